"""Who wrote a trace or a code bundle: keys of this user, and keys of others that this user trusts.

A key is 32 random bytes, made on first use and kept in a file that only its owner can read. It authenticates by
HMAC-SHA-256, so whoever is given a key can also sign with it: it is shared among people who trust one another with
their code. What an unknown key wrote is data only.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from headwater.digest import canonical, digest_bytes, is_signed, sign
from headwater.errors import TrustError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headwater.digest import Json

#: Names the key file; by default it lies in the user's configuration folder.
KEY_VARIABLE = "HEADWATER_KEY"
#: What a signature says: of this user's key, of a key that is trusted, of an unknown key or none, or false.
Standing: TypeAlias = Literal["own", "trusted", "foreign", "bad"]

_PREFIX = "headwater-key"
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Key:
    """A secret that signs, under the name of its digest."""

    #: First 16 digits of the secret's digest.
    id: str
    #: Whose it is, as the user calls it.
    name: str
    secret: bytes
    is_own: bool

    def __repr__(self) -> str:
        """Leave the secret out: representations end in logs."""
        return f"Key(id={self.id!r}, name={self.name!r}, is_own={self.is_own})"


def key_path() -> Path:
    """Return where the user's key lies."""
    named = os.environ.get(KEY_VARIABLE)
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(named) if named else Path(base) / "headwater" / "key.json"


class Keyring:
    """The user's own key and the keys that the user trusts."""

    def __init__(self, own: Key, trusted: Sequence[Key], path: Path) -> None:
        self._own, self._path = own, path
        self._keys = {key.id: key for key in (*trusted, own)}

    @classmethod
    def load(cls, path: Path | None = None) -> Keyring:
        """Read the keys; the user's own is made where there is none. Raises TrustError when they cannot be read."""
        path = path or key_path()
        try:
            own = _read_own(path)
            if own is None:
                _create(path)
                own = _read_own(path)
        except OSError as error:
            raise TrustError(
                "the signing key cannot be read or made",
                facts={"file": path, "error": error},
                hint=f"name a file that can be written with {KEY_VARIABLE}",
            ) from error
        assert own is not None  # noqa: S101  created above
        return cls(own, _read_trusted(path), path)

    @property
    def own(self) -> Key:
        """The user's own key."""
        return self._own

    def listing(self) -> Sequence[Key]:
        """Return all keys, the user's own first."""
        return sorted(self._keys.values(), key=lambda key: (not key.is_own, key.name, key.id))

    def sign(self, data: bytes) -> dict[str, Json]:
        """Return what authenticates some bytes as this user's: ``{"key": id, "mac": …}``."""
        return {"key": self._own.id, "mac": sign(self._own.secret, data)}

    def check(self, data: bytes, mac: Json) -> Standing:
        """Tell who authenticated some bytes; without a signature, or with one of an unknown key, it is foreign."""
        if not isinstance(mac, dict):
            return "foreign"
        key = self._keys.get(str(mac.get("key")))
        if key is None:
            return "foreign"
        if not is_signed(key.secret, data, str(mac.get("mac"))):
            return "bad"
        return "own" if key.is_own else "trusted"

    def export(self) -> str:
        """Return the user's own key as text, to be given to others who may then sign as this user."""
        return f"{_PREFIX}:{base64.b64encode(self._own.secret).decode()}"

    def add(self, text: str, *, name: str) -> Key:
        """Trust a key that somebody exported. Raises TrustError when the text is no key."""
        prefix, _, encoded = text.strip().partition(":")
        try:
            secret = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            secret = b""
        if prefix != _PREFIX or len(secret) != _SECRET_BYTES:
            raise TrustError("this is not an exported key", hint="its owner prints it with: hw trust export")
        key = _key(secret, name, is_own=False)
        if key.id == self._own.id:
            return self._own
        self._keys[key.id] = key
        self._write_trusted()
        return key

    def remove(self, key_id: str) -> Key:
        """Trust a key no longer. Raises TrustError when it is unknown or the user's own."""
        key = self._keys.get(key_id)
        if key is None or key.is_own:
            what = "unknown" if key is None else "your own"
            raise TrustError(f"key {key_id} is {what}", hint="list the keys with: hw trust")
        del self._keys[key_id]
        self._write_trusted()
        return key

    def _write_trusted(self) -> None:
        keys = [_document(key) for key in self.listing() if not key.is_own]
        path = _trusted_path(self._path)
        fresh = _write_new(path, canonical({"v": 1, "keys": cast("Json", keys)}))
        fresh.replace(path)


def _key(secret: bytes, name: str, *, is_own: bool) -> Key:
    return Key(digest_bytes(secret)[:16], name, secret, is_own)


def _document(key: Key) -> dict[str, Json]:
    return {"name": key.name, "secret": base64.b64encode(key.secret).decode()}


def _create(path: Path) -> None:
    """Make a key where there is none; of several processes at once, one makes it and all then read it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    own = _key(secrets.token_bytes(_SECRET_BYTES), "own", is_own=True)
    fresh = _write_new(path, canonical({"v": 1, **_document(own)}))
    try:
        os.link(fresh, path)  # appears whole or not at all, and never replaces one that is there
    except FileExistsError:
        pass
    except OSError:  # no hard links here
        if not path.exists():
            fresh.rename(path)
    finally:
        fresh.unlink(missing_ok=True)


def _write_new(path: Path, data: bytes) -> Path:
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(descriptor)
    return fresh


def _read_own(path: Path) -> Key | None:
    data = _read_private(path)
    return None if data is None else _parse(path, data, is_own=True)[0]


def _trusted_path(path: Path) -> Path:
    return path.with_name("trusted.json")


def _read_trusted(path: Path) -> Sequence[Key]:
    found = _trusted_path(path)
    data = _read_private(found)
    return [] if data is None else _parse(found, data, is_own=False)


def _read_private(path: Path) -> bytes | None:
    try:
        with path.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            data = stream.read()
    except FileNotFoundError:
        return None
    if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        raise TrustError(
            "others can read the file of signing keys",
            facts={"file": path, "mode": oct(stat.S_IMODE(mode))},
            hint=f"chmod 600 {path}",
        )
    return data


def _parse(path: Path, data: bytes, *, is_own: bool) -> Sequence[Key]:
    try:
        document: Mapping[str, Json] = json.loads(data)
        entries = cast("list[dict[str, str]]", [document] if is_own else document["keys"])
        keys = [
            _key(base64.b64decode(entry["secret"], validate=True), entry["name"], is_own=is_own) for entry in entries
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise TrustError(
            "the file of signing keys cannot be read", facts={"file": path}, hint="move it away; a new one is made"
        ) from error
    if any(len(key.secret) != _SECRET_BYTES for key in keys):
        raise TrustError("a signing key is not 32 bytes long", facts={"file": path}, hint="move the file away")
    return keys
