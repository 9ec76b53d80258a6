"""What a step prints and logs, as lines that know their attempt.

In a step process the text is read from its file descriptors, by the parent; in a process that several attempts share,
``sys.stdout``, ``sys.stderr`` and the root logger are routed by attempt.
"""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TextIO, TypeAlias

from headwater.backend import LogLine
from headwater.worker.current import current

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from headwater.worker.current import Performance

Stream: TypeAlias = Literal["stdout", "stderr", "log"]

#: A line longer than this is handed on in pieces.
_LONGEST = 1 << 16
_MASK = "***"


def masker(secrets: Iterable[str]) -> Callable[[str], str]:
    """Return what replaces the values of secrets in a text, also line by line and as Python would quote them."""
    values: set[str] = set()
    for secret in secrets:
        lines = [line.strip() for line in secret.splitlines()]
        # As it is, as Python and as JSON would quote it, and each line of a longer one.
        quoted = {repr(secret)[1:-1], repr(secret + "'\"")[1:-4], json.dumps(secret)[1:-1]} if secret else set[str]()
        values |= {secret, *quoted, *(line for line in lines if len(lines) > 1 and len(line) > 3)}
    ordered = sorted(filter(None, values), key=len, reverse=True)

    def mask(text: str) -> str:
        for value in ordered:
            if value in text:
                text = text.replace(value, _MASK)
        return text

    return mask


class Recorder:
    """Collects the text of one attempt and hands it on by lines."""

    def __init__(self, attempt_id: str, sink: Callable[[LogLine], None], mask: Callable[[str], str] = str) -> None:
        self._attempt_id = attempt_id
        self._sink = sink
        self.mask = mask
        self._parts: dict[Stream, str] = {}
        self._lock = threading.Lock()
        #: Text goes to the terminal instead: somebody sits at a debugger.
        self.is_passing = False

    def write(self, stream: Stream, text: str) -> None:
        """Take a piece of text; whole lines go on at once."""
        with self._lock:
            *lines, rest = (self._parts.get(stream, "") + text).split("\n")
            if len(rest) > _LONGEST:
                lines, rest = [*lines, rest], ""
            self._parts[stream] = rest
            for line in lines:
                self._emit(stream, line)

    def close(self) -> None:
        """Hand on what was written without a line's end."""
        with self._lock:
            for stream, rest in self._parts.items():
                if rest:
                    self._emit(stream, rest)
            self._parts.clear()

    def _emit(self, stream: Stream, line: str) -> None:
        # As on a terminal, what follows a carriage return has overwritten what stood before it: progress bars.
        shown = line.removesuffix("\r").rpartition("\r")[2]
        self._sink(LogLine(self._attempt_id, stream, self.mask(shown), time.time()))


def _recorder() -> Recorder | None:
    performance = current()
    recorder = performance.recorder if performance is not None else None
    return None if recorder is None or recorder.is_passing else recorder


class RoutedStream(io.TextIOBase):
    """Stands for ``sys.stdout`` or ``sys.stderr``: an attempt's text goes to its recorder, all else to the original."""

    def __init__(self, stream: Literal["stdout", "stderr"], original: TextIO) -> None:
        self._stream: Literal["stdout", "stderr"] = stream
        #: What stood here before.
        self.original = original

    def write(self, text: str) -> int:
        """Write to the attempt's recorder, or to the original stream."""
        recorder = _recorder()
        if recorder is None:
            return self.original.write(text)
        recorder.write(self._stream, text)
        return len(text)

    def flush(self) -> None:
        """Flush the original stream."""
        if not self.original.closed:
            self.original.flush()

    def isatty(self) -> bool:
        """Tell whether text goes to a terminal."""
        return _recorder() is None and self.original.isatty()

    def fileno(self) -> int:
        """Return the original's file descriptor."""
        return self.original.fileno()

    def writable(self) -> bool:
        """Tell that this can be written to."""
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The original's encoding."""
        return self.original.encoding

    @property
    def buffer(self) -> _RoutedBuffer:
        """The binary side."""
        return _RoutedBuffer(self)


class _RoutedBuffer(io.RawIOBase):
    """The binary side of a routed stream."""

    def __init__(self, text: RoutedStream) -> None:
        self._text = text

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        raw = bytes(data)  # type: ignore[call-overload]
        if _recorder() is None:
            return self._text.original.buffer.write(raw)
        self._text.write(raw.decode("utf-8", "backslashreplace"))
        return len(raw)

    def flush(self) -> None:
        self._text.flush()


class LogHandler(logging.Handler):
    """Hands the log records of attempts to their recorders."""

    def emit(self, record: logging.LogRecord) -> None:
        """Hand on a record, unless a handler of the user's writes it to a captured stream anyway."""
        performance = current()
        recorder = performance.recorder if performance is not None else None
        if recorder is None or _is_printed(record):
            return
        try:
            recorder.write("log", self.format(record) + "\n")
        except Exception:  # noqa: BLE001  what logging does with a record that cannot be formatted
            self.handleError(record)


def _is_printed(record: logging.LogRecord) -> bool:
    logger: logging.Logger | None = logging.getLogger(record.name)
    while logger is not None:
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream in (sys.stdout, sys.stderr):
                return True
        logger = logger.parent if logger.propagate else None
    return False


def log_handler() -> LogHandler:
    """Return a handler for the root logger, with a plain format."""
    handler = LogHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    return handler


class Routing:
    """Routes this process's output by attempt as long as somebody is inside."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._handler = log_handler()
        self._breakpoint = sys.breakpointhook

    @contextmanager
    def active(self) -> Iterator[None]:
        """Route while inside."""
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._enter()
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    self._leave()

    def _enter(self) -> None:
        sys.stdout = RoutedStream("stdout", sys.stdout)
        sys.stderr = RoutedStream("stderr", sys.stderr)
        logging.getLogger().addHandler(self._handler)
        self._breakpoint, sys.breakpointhook = sys.breakpointhook, self._debug

    def _leave(self) -> None:
        if isinstance(sys.stdout, RoutedStream):
            sys.stdout = sys.stdout.original
        if isinstance(sys.stderr, RoutedStream):
            sys.stderr = sys.stderr.original
        logging.getLogger().removeHandler(self._handler)
        sys.breakpointhook = self._breakpoint

    def _debug(self, *args: object, **options: object) -> object:
        """Give the terminal to the debugger for the rest of the attempt."""
        performance: Performance | None = current()
        if performance is not None and performance.recorder is not None:
            performance.recorder.close()
            performance.recorder.is_passing = True
        if self._breakpoint is not sys.__breakpointhook__ or args or options:
            return self._breakpoint(*args, **options)
        import pdb  # noqa: T100  the user asked for it

        pdb.Pdb(nosigint=True).set_trace(sys._getframe(1))  # noqa: SLF001  the caller's frame, not this one
        return None
