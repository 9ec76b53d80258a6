"""Who may act just now, in a store without locks: numbered objects ``leases/<key>/<n>``.

Each change of a lease (taken, renewed, released) is a new object with the next number, made by exclusive create; the
object with the highest number counts. Time is the store's. Old numbers are removed, never the highest.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, cast

from headwater.digest import canonical
from headwater.errors import Corrupt

if TYPE_CHECKING:
    from headwater.store import Store

_FOLDER = "leases"
_DIGITS = 12


@dataclass(frozen=True, slots=True)
class _Claim:
    """The content of one numbered object."""

    owner: str
    #: Tells two claims of one owner apart.
    token: str
    #: When it ends, on the store's clock.
    until: float
    released: bool = False


class Lease:
    """A time-limited right to act, held by one owner at a time; made by :meth:`acquire`."""

    def __init__(self, store: Store, key: str, seconds: float, claim: _Claim, number: int) -> None:
        #: What the right is about.
        self.key = key
        #: For how long each renewal lasts.
        self.seconds = seconds
        self._store = store
        self._claim = claim
        self._number = number

    @classmethod
    def acquire(cls, store: Store, key: str, owner: str, seconds: float) -> Lease | None:
        """Take the lease for some seconds; None when somebody holds it or was faster."""
        number, last = _highest(store, key)
        if last is not None and not last.released and last.until > store.now():
            return None
        claim = _Claim(owner, secrets.token_hex(8), store.now() + seconds)
        if not _advance(store, key, number + 1, claim):
            return None
        return cls(store, key, seconds, claim, number + 1)

    @staticmethod
    def holder(store: Store, key: str) -> str | None:
        """Return the owner who holds the lease of a key just now, or None."""
        _, last = _highest(store, key)
        return None if last is None or last.released or last.until <= store.now() else last.owner

    @property
    def owner(self) -> str:
        """Who took the lease."""
        return self._claim.owner

    @property
    def until(self) -> float:
        """When the lease ends unless it is renewed, on the store's clock."""
        return self._claim.until

    @property
    def is_live(self) -> bool:
        """Whether the lease still holds, as far as can be told without asking the store."""
        return not self._claim.released and self._store.now() < self.until

    def renew(self) -> bool:
        """Hold on for as long again from now; False when it was released or somebody else has it."""
        while not self._claim.released:
            claim = replace(self._claim, until=self._store.now() + self.seconds)
            # Exactly the next number: one that is left out could be taken by another.
            following = self._number + 1
            if _advance(self._store, self.key, following, claim):
                self._number, self._claim = following, claim
                return True
            if _token(self._store, self.key, following) == claim.token:
                self._number = following  # an earlier renewal of ours, which failed only on its way back
            else:
                self._claim = replace(self._claim, released=True)
        return False

    def release(self) -> None:
        """Let others have it at once; nothing happens when it is no longer ours."""
        if not self._claim.released:
            self._claim = replace(self._claim, released=True)
            _advance(self._store, self.key, self._number + 1, self._claim)


def _advance(store: Store, key: str, number: int, claim: _Claim) -> bool:
    """Make a numbered object and tell whether it counts; remove those that no longer do."""
    path = _path(key, number)
    data = canonical(asdict(claim))
    # The answer to a create that succeeded may be lost; its token shows that it was ours.
    if not store.create(path, data) and store.read(path) != data:
        return False
    numbers = _numbers(store, key)
    if numbers[-1:] != [number]:
        # We slept so long that our number had been used and removed again.
        store.delete(path)
        return False
    for old in numbers[:-1]:
        store.delete(_path(key, old))
    return True


def _token(store: Store, key: str, number: int) -> str | None:
    data = store.read(_path(key, number))
    return None if data is None else _parse(store, key, data).token


def _highest(store: Store, key: str) -> tuple[int, _Claim | None]:
    while numbers := _numbers(store, key):
        data = store.read(_path(key, numbers[-1]))
        if data is not None:
            return numbers[-1], _parse(store, key, data)
        # Removed since it was listed: a higher one exists.
    return -1, None


def _numbers(store: Store, key: str) -> list[int]:
    return sorted(int(name) for name in store.children(f"{_FOLDER}/{key}") if name.isdigit())


def _path(key: str, number: int) -> str:
    return f"{_FOLDER}/{key}/{number:0{_DIGITS}}"


def _parse(store: Store, key: str, data: bytes) -> _Claim:
    try:
        document = cast("dict[str, object]", json.loads(data))
        return _Claim(
            owner=str(document["owner"]),
            token=str(document["token"]),
            until=float(cast(float, document["until"])),
            released=document["released"] is True,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise Corrupt("a lease cannot be read", facts={"store": store.url, "lease": key, "reason": error}) from error
