"""A step process: ``python -P -m headwater.worker headwater-step <label> <fd>,<fd>``, started by ``StepProcess``.

It is bound to one code bundle, performs the attempts that come through a pipe one after the other, and ends when the
pipe does.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from headwater.backend import Attempt, LogLine
from headwater.store import open_store
from headwater.worker.bind import bind
from headwater.worker.capture import Recorder, log_handler
from headwater.worker.current import dedicate
from headwater.worker.failure import failure_of
from headwater.worker.frames import read_frame, write_frame
from headwater.worker.loading import load
from headwater.worker.perform import perform
from headwater.worker.surroundings import note_installed, were_replaced

if TYPE_CHECKING:
    from headwater.digest import Json
    from headwater.store import Store
    from headwater.worker.perform import Place

#: Seconds from which a step counts as long.
_LONG = 0.5


class _Step:
    """This process: its pipes, and what it is bound to."""

    def __init__(self, source: int, sink: int) -> None:
        self._source = source
        self._sink = sink
        self._pid = os.getpid()
        #: (name, version) of packages that attempts have asked for so far.
        self._packages: set[tuple[str, str]] = set()

    def run(self) -> None:
        """Bind, then perform what comes until nothing can come any more."""
        message = read_frame(self._source)
        if message is None:
            return
        binding = cast("dict[str, Json]", message["bind"])
        try:
            store, place = _bind(binding)
        except BaseException as error:  # noqa: BLE001  the parent must hear of it
            failure = failure_of(error, in_body=False)
            document: Json = {"fault": failure.fault.value, "kind": failure.kind, "message": failure.message}
            write_frame(self._sink, {"failure": document})
            return
        note_installed()
        write_frame(self._sink, {"ready": True})
        while (message := self._next()) is not None:
            assert place.standing is not None
            attempt = Attempt.from_document(cast("dict[str, Json]", message["perform"]))
            # A loaded module read a file that has changed since, or may itself be of a package that was replaced, or a
            # step has left a constant changed.
            is_marred = place.memos is not None and bool(place.memos.constants_changed())
            if is_marred or not place.standing.is_current() or self._is_outdated(attempt):
                write_frame(self._sink, {"stale": True})
                return
            self._perform(attempt, store, Path(str(message["scratch"])), place)

    def _is_outdated(self, attempt: Attempt) -> bool:
        """Tell whether packages that an attempt asks for were replaced while this process lived."""
        packages = cast("dict[str, str]", attempt.environment.get("packages") or {})
        fresh = packages.items() - self._packages
        self._packages |= fresh
        return bool(fresh) and were_replaced([name for name, _ in fresh])

    def _next(self) -> dict[str, Json] | None:
        while True:
            try:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                return read_frame(self._source)
            except KeyboardInterrupt:  # came too late for the attempt that it was meant for
                continue

    def _perform(self, attempt: Attempt, store: Store, scratch: Path, place: Place) -> None:
        recorder = Recorder(attempt.attempt_id, self._log)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        outcome = perform(attempt, store=store, load=load, scratch=scratch, place=place, recorder=recorder)
        if os.getpid() != self._pid:  # the step forked, and its child came back here
            os._exit(0)
        recorder.close()
        _flush()
        write_frame(self._sink, {"outcome": outcome.document()})
        if outcome.seconds > _LONG:  # what a long step leaves in cycles is not kept while the process waits
            gc.collect()

    def _log(self, line: LogLine) -> None:
        write_frame(self._sink, {"log": line.text + "\n"})


def main() -> None:
    """Run a step process with the pipes named on the command line."""
    source, sink = (int(fd) for fd in sys.argv[3].split(","))
    for fd in (source, sink):
        os.set_inheritable(fd, False)
    sys.argv = [sys.argv[1]]
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    dedicate()
    logging.getLogger().addHandler(log_handler())
    _Step(source, sink).run()


def _bind(binding: dict[str, Json]) -> tuple[Store, Place]:
    store = open_store(str(binding["store"]), create=False)
    return store, bind(
        str(binding["bundle"]),
        store=store,
        project=str(binding["project"]),
        folder=str(binding["folder"]),
        label=str(binding["label"]),
        strict_files=tuple(cast("list[str]", binding["files"])) if binding["is_strict"] else None,
    )


def _flush() -> None:
    """Push out what Python and C still hold, so that the parent can tell whose it is."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # the step closed it
            continue
    if "ctypes" in sys.modules:  # without it no foreign code prints through C's buffers, but for extension modules
        import ctypes

        ctypes.CDLL(None).fflush(None)


if __name__ == "__main__":
    main()
