"""What processes that a step forks (a pool of ``multiprocessing``) were seen to open: they leave it in a file.

A forked process has the audit hook of its parent and a copy of its observer. Programs, and processes that are started
anew, have neither: what they read is not seen.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Children:
    """One observer's end of the file; None where there is none to leave anything in.

    A process that outlives the step that forked it goes on to write there, so that the next step hears of it.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._pid = os.getpid()
        self._start = path.stat().st_size if path is not None and path.exists() else 0

    def tell(self, place: str, identity: tuple[int, int, int] | None, value: str | None) -> None:
        """Leave word of a file that was read, if this is a forked process."""
        if self._path is None or os.getpid() == self._pid:
            return
        line = json.dumps([place, identity, value]) + "\n"
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError:  # the process outlives the one that it was forked from
            return
        try:
            os.write(file, line.encode("utf-8", "surrogatepass"))  # in one piece: others write there, too
        finally:
            os.close(file)

    def told(self) -> Iterator[tuple[str, tuple[int, int, int] | None, str | None]]:
        """Yield what forked processes left since this observer began."""
        if self._path is None or os.getpid() != self._pid or not self._path.exists():
            return
        with self._path.open("rb") as stream:
            stream.seek(self._start)
            lines = stream.readlines()
        for line in lines:
            place, identity, value = json.loads(line.decode("utf-8", "surrogatepass"))
            yield place, None if identity is None else (identity[0], identity[1], identity[2]), value
