"""The files that a step declares are those that it was decided for: looked at before its body, and after."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from headwater.digest import digest_bytes
from headwater.observed import ABSENT, value_of
from headwater.types import Fault
from headwater.worker.failure import failed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from headwater.sources import Sources
    from headwater.worker.failure import AttemptFailed

#: The failure of an attempt whose declared files are not those that it was decided for: the step is decided anew.
CHANGED: Final = "FileChanged"


def check_declared(files: Mapping[str, str], *, project: str, sources: Sources) -> None:
    """Raise AttemptFailed for a declared file that differs from what ``files`` says: relative path → value.

    A file that did not change since it was last looked at is not read again.
    """
    for name, expected in files.items():
        found = value_of(Path(project, name), digest=sources.digest)
        if found == ABSENT:
            raise _missing(name)
        if found != expected:
            raise _changed(name)


def declared_bytes(name: str, expected: str, *, places: Iterable[bytes | None]) -> bytes:
    """Return the bytes of a declared file from the first place that has them. Raises AttemptFailed if none does."""
    found = [data for data in places if data is not None]
    if not found:
        raise _missing(name)
    data = next((data for data in found if digest_bytes(data) == expected), None)
    if data is None:
        raise _changed(name)
    return data


def _missing(name: str) -> AttemptFailed:
    return failed(Fault.CONFIG, "FileMissing", f"the step declares {name}, which is not where it runs")


def _changed(name: str) -> AttemptFailed:
    return failed(Fault.TRANSIENT, CHANGED, f"{name}, which the step declares, changed after the step was decided")
