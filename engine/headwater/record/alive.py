"""Whether a run's driver is still there.

On the driver's own machine the process itself is looked up. From elsewhere only its heartbeat can be seen: a ref that
it replaces every few seconds, whose age is told by the store's clock. A driver on another machine that has been silent
for ``SILENCE`` seconds counts as gone; should it come back, the epochs keep the record right.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from headwater.digest import canonical
from headwater.record.events import read_claims, run_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.digest import Json
    from headwater.store import Store
    from headwater.types import RunId

#: Seconds between two heartbeats.
BEAT = 10.0
#: A driver elsewhere that was silent for this long counts as gone.
SILENCE = 60.0


@dataclass(frozen=True, slots=True)
class Driver:
    """The process that runs the loop of a run."""

    host: str
    user: str
    pid: int
    #: Digest of machine, boot and process namespace: where this pid means this process. Empty where it cannot be told.
    place: str
    #: When the process began, in the system's own terms: tells it from a later one with the same pid.
    begun: str

    @staticmethod
    def here() -> Driver:
        """Describe this process."""
        pid = os.getpid()
        return Driver(socket.gethostname(), _user(), pid, _place(), _begun(pid))

    def document(self) -> dict[str, Json]:
        """Return it as JSON."""
        return {"host": self.host, "user": self.user, "pid": self.pid, "place": self.place, "begun": self.begun}

    @staticmethod
    def from_document(document: Mapping[str, Json]) -> Driver:
        """Read it from JSON; what is missing is unknown."""
        return Driver(
            host=str(document.get("host", "")),
            user=str(document.get("user", "")),
            pid=cast("int", document.get("pid", 0)),
            place=str(document.get("place", "")),
            begun=str(document.get("begun", "")),
        )


def beat(store: Store, run: RunId, driver: Driver) -> None:
    """Give a sign of life."""
    store.replace(_path(run), canonical(driver.document()))


def is_alive(store: Store, run: RunId) -> bool:
    """Tell whether a run that has not ended still has a driver."""
    claims = read_claims(store, run)
    if not claims or claims[-1].is_seal:
        return False
    return is_driver_alive(store, run, Driver.from_document(claims[-1].driver))


def is_driver_alive(store: Store, run: RunId, driver: Driver) -> bool:
    """Tell whether a run's last driver is still there."""
    if driver.place and driver.place == _place():
        return _is_process(driver)
    for path in (_path(run), f"{run_path(run)}/epochs/0001"):
        if store.read(path) is not None:
            return store.now() - store.modified(path) < SILENCE
    return False


def _path(run: RunId) -> str:
    return f"{run_path(run)}/alive"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


def _place() -> str:
    """Return the digest of this machine, its boot and the process namespace, or "" where pids cannot be looked up."""
    if os.name != "posix":
        return ""
    parts = [socket.gethostname(), _read("/proc/sys/kernel/random/boot_id")]
    try:
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    except OSError:
        parts.append("")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _is_process(driver: Driver) -> bool:
    try:
        os.kill(driver.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _begun(driver.pid) == driver.begun


def _begun(pid: int) -> str:
    """Return a process's start in clock ticks since boot, or "" where the system does not tell it so."""
    after_name = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if after_name[:1] == ["Z"]:
        return "dead"
    return after_name[19] if len(after_name) > 19 else ""


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
