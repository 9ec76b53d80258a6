"""Snapshots: the logs of many ended runs in one immutable object, so that a new index does not read every run.

``traces/<n>`` is one line of JSON (which runs are in it, which others were still open, up to which id none is missing)
followed by the runs' claims and events, verbatim and compressed. What an index learns from a snapshot is thus the same
as from the logs. Snapshots are made by whoever ends a run when enough has come together, by exclusive create.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from headwater.digest import canonical
from headwater.errors import Corrupt
from headwater.record.events import VERSION, claim_path, events_path, read_claims

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headwater.digest import Json
    from headwater.record.events import LogSource
    from headwater.types import RunId


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Copies of ended runs' logs; reads like the store that they came from."""

    runs: Sequence[RunId]
    #: Runs that had not ended when it was made.
    unfinished: Sequence[RunId]
    #: Every run with an id up to this one is in a snapshot up to this one, or unfinished, or was removed.
    upto: RunId
    files: Mapping[str, bytes]

    def read(self, path: str) -> bytes | None:
        """Return a claim's bytes, or None."""
        return self.files.get(path)

    def read_log(self, path: str, offset: int = 0) -> tuple[bytes, int]:
        """Return a log's bytes from an offset on, and the new offset."""
        data = self.files.get(path, b"")[offset:]
        return data, offset + len(data)


def snapshot_path(number: int) -> str:
    """Return where a snapshot lies."""
    return f"traces/{number:06d}"


def pack(source: LogSource, runs: Sequence[RunId], *, unfinished: Sequence[RunId], upto: RunId) -> bytes:
    """Return a snapshot of the given ended runs; what is not there or not sealed is left out."""
    packed: list[RunId] = []
    files: dict[str, Json] = {}
    for run in runs:
        claims = read_claims(source, run)
        if not claims or not claims[-1].is_seal:
            continue
        packed.append(run)
        for claim in claims:
            files[claim_path(run, claim.epoch)] = cast("bytes", source.read(claim_path(run, claim.epoch))).decode()
            if not claim.is_seal:
                data, _ = source.read_log(events_path(run, claim.epoch))
                files[events_path(run, claim.epoch)] = data[: data.rfind(b"\n") + 1].decode()
    header: dict[str, Json] = {"v": VERSION, "runs": list(packed), "unfinished": list(unfinished), "upto": upto}
    return canonical(header) + b"\n" + zlib.compress(canonical(files))


def unpack(data: bytes) -> Snapshot | None:
    """Read a snapshot; None where a later version wrote it. Raises Corrupt when it is none."""
    try:
        first, _, body = data.partition(b"\n")
        header = json.loads(first)
        if header["v"] != VERSION:
            return None
        files = json.loads(zlib.decompress(body))
        return Snapshot(
            runs=header["runs"],
            unfinished=header["unfinished"],
            upto=header["upto"],
            files={path: text.encode() for path, text in files.items()},
        )
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        raise Corrupt("a snapshot of runs cannot be read") from error
