"""Objects that are about to be removed, and how a writer that relies on one saves it.

Who collects garbage never removes an object on sight:

1. **condemn**  It lists objects that nothing reaches in ``gc/<n>/condemned``.
2. **wait**     Longer than any writer takes from finding an object to recording its use.
3. **look again**, then close the list with ``gc/<n>/sweep``.
4. **sweep**    What is still reached by nothing, and was not saved before the list was closed, goes. ``gc/<n>/done``.

A writer that is about to record the use of objects that it did not just write calls ``Saviour.save``. For those on a
list it creates ``gc/<n>/saved/<digest>`` and only then looks whether the list is closed. Who sweeps closes the list and
only then looks what was saved. So either the sweep leaves the object alone, or the writer knows that it cannot rely on
it: it waits until the sweep is over and is told that the object is lost, to be written again.

A sweep has a time limit of its own, after which it removes nothing more; a sweeper that died is not waited for longer.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.digest import canonical
from headwater.errors import Corrupt

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from headwater.digest import Digest
    from headwater.store import Store

#: Seconds after which a sweep removes nothing more.
SWEEP_LIMIT = 120.0
#: Seconds that are granted to a removal that was begun within the limit.
SWEEP_MARGIN = 60.0
#: Seconds for which a writer may rely on a look at the lists. Far less than the wait between condemning and sweeping.
_LOOK = 10.0
_PAUSE = 0.2


@dataclass(frozen=True, slots=True)
class Condemnation:
    """A list of objects that are to be removed unless somebody saves them."""

    number: int
    #: When it was written, on the store's clock.
    time: float
    digests: frozenset[Digest]


def condemn(store: Store, digests: Iterable[Digest]) -> Condemnation:
    """Write a list of objects to be removed later."""
    doomed = sorted(set(digests))
    number = max(_numbers(store), default=0)
    while True:
        number += 1
        now = store.now()
        if store.create(_path(number, "condemned"), canonical({"v": 1, "t": now, "digests": doomed})):
            return Condemnation(number, now, frozenset(doomed))


def condemnations(store: Store) -> Sequence[Condemnation]:
    """Return the lists that have not been dealt with."""
    found = (_read(store, number) for number in _numbers(store))
    return [one for one in found if one is not None and store.read(_path(one.number, "done")) is None]


def close(store: Store, condemnation: Condemnation) -> tuple[float, set[Digest]] | None:
    """Close a list before a sweep; return until when the sweep may go on, and what was saved.

    None when somebody else closed it; one who died at it is cleared away.
    """
    now = store.now()
    path = _path(condemnation.number, "sweep")
    if not store.create(path, canonical({"v": 1, "t": now})):
        if _is_over(store, condemnation.number):
            finish(store, condemnation)
        return None
    return now + SWEEP_LIMIT, set(store.children(_path(condemnation.number, "saved")))


def finish(store: Store, condemnation: Condemnation) -> None:
    """Say that a sweep is over."""
    store.create(_path(condemnation.number, "done"), canonical({"v": 1, "t": store.now()}))


def clear(store: Store, *, age: float) -> None:
    """Remove lists that were dealt with, once no writer can still be looking at them."""
    before = store.now() - age
    for number in _numbers(store):
        done = _path(number, "done")
        if store.read(done) is not None and store.modified(done) < before:
            for path in [
                *store.list(f"gc/{number:06d}/saved"),
                _path(number, "condemned"),
                _path(number, "sweep"),
                done,
            ]:
                store.delete(path)


class Saviour:
    """Saves objects that a writer relies on; looks at the lists every few seconds at most."""

    def __init__(self, store: Store, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._store, self._sleep = store, sleep
        self._lists: Sequence[Condemnation] = ()
        self._looked: float | None = None

    def save(self, digests: Collection[Digest]) -> set[Digest]:
        """Make sure that objects which are there stay there; return those that are lost and must be made again.

        To be called right before the event that records their use, and again when that takes more than a few minutes.
        Objects that are on no list are not looked at.
        """
        lost: set[Digest] = set()
        for condemnation in self._current():
            for digest in sorted(condemnation.digests.intersection(digests)):
                self._store.create(_path(condemnation.number, f"saved/{digest}"), b"{}")
                if self._store.read(_path(condemnation.number, "sweep")) is not None:
                    self._wait(condemnation.number)
                if not self._store.has(digest):
                    lost.add(digest)
        return lost

    def _current(self) -> Sequence[Condemnation]:
        now = self._store.now()
        if self._looked is None or not 0 <= now - self._looked < _LOOK:
            known = {one.number: one for one in self._lists}
            found = (known.get(number) or _read(self._store, number) for number in _numbers(self._store))
            self._lists = [one for one in found if one is not None]
            self._looked = now
        return self._lists

    def _wait(self, number: int) -> None:
        while not _is_over(self._store, number):
            self._sleep(_PAUSE)


def _is_over(store: Store, number: int) -> bool:
    """Tell whether a sweep removes nothing more: it is done, or its time is up."""
    if store.read(_path(number, "done")) is not None:
        return True
    data = store.read(_path(number, "sweep"))
    if data is None:  # cleared away long ago
        return True
    try:
        begun = float(json.loads(data)["t"])
    except (ValueError, KeyError, TypeError):
        begun = store.modified(_path(number, "sweep"))
    return store.now() > begun + SWEEP_LIMIT + SWEEP_MARGIN


def _numbers(store: Store) -> Sequence[int]:
    return [int(name) for name in store.children("gc") if name.isdecimal()]


def _path(number: int, name: str) -> str:
    return f"gc/{number:06d}/{name}"


def _read(store: Store, number: int) -> Condemnation | None:
    data = store.read(_path(number, "condemned"))
    if data is None:
        return None
    try:
        document = json.loads(data)
        return Condemnation(number, float(document["t"]), frozenset(document["digests"]))
    except (ValueError, KeyError, TypeError) as error:
        raise Corrupt("a list of condemned objects cannot be read", facts={"list": number}) from error
