"""What the project's code asks of files without opening them: whether they are there, and how large they are.

Python audits no such call, so ``os.stat`` and its kin tell of it themselves: ``os.path.exists``, ``isfile``, ``isdir``,
``getsize``, ``Path.exists``, ``Path.stat`` and ``os.access`` all come down to them. What libraries ask for themselves
does not count. The time of a file is not told: it would differ on every machine.
"""

from __future__ import annotations

import functools
import os
import sys
from typing import TYPE_CHECKING, Any, cast

from headwater.observed import SIZE, WHETHER, answer
from headwater.worker.current import current

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from headwater.worker.observe import Observer

#: Modules whose frames stand between a question and the code that wanted it.
_BETWEEN = ("os", "posixpath", "ntpath", "genericpath", "pathlib", "pathlib._abc", "pathlib._local")
#: Functions that only tell whether there is a file or folder.
_WHETHER = frozenset({"exists", "lexists", "isfile", "isdir", "islink", "is_file", "is_dir", "is_symlink"})
_CALLS = ("stat", "lstat", "access")


class Questions:
    """Notes what one attempt asks of files."""

    def __init__(self) -> None:
        #: Path and what is asked → the answer when it was first asked.
        self._answers: dict[tuple[str, str], str] = {}

    def asked(self, place: str, what: str) -> None:
        """Take note of a question about an absolute path; ``what`` is one of those of :mod:`headwater.observed`."""
        if (place, what) not in self._answers:
            self._answers[place, what] = answer(place, what)

    def answers(self, is_known: Callable[[str], bool]) -> dict[tuple[str, str], str]:
        """Return path and question → answer, without paths that are known better in another way.

        How large a file is tells also whether it is there.
        """
        return {
            (place, what): value
            for (place, what), value in sorted(self._answers.items())
            if not is_known(place) and not (what == WHETHER and (place, SIZE) in self._answers)
        }

    def absorb(self, other: Questions) -> None:
        """Count what another attempt asked as asked by this one too."""
        self._answers = other._answers | self._answers


def install() -> None:
    """Let ``os.stat``, ``os.lstat`` and ``os.access`` tell of questions; without effect outside of attempts."""
    for name in _CALLS:
        plain = getattr(os, name)
        told = _telling(plain, name)
        setattr(os, name, told)
        for able in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks, os.supports_effective_ids):
            if plain in able:
                able.add(told)


def _telling(plain: Callable[..., Any], name: str) -> Callable[..., Any]:
    @functools.wraps(plain)
    def told(path: object, *args: object, **options: object) -> object:
        performance = current()
        observer = None if performance is None else performance.observer
        if observer is not None and not isinstance(path, int) and options.get("dir_fd") is None:
            _tell(observer, path, sys._getframe(1), name)  # noqa: SLF001
        return plain(path, *args, **options)

    told.__module__, told.__qualname__ = "os", name  # so that it is found again by those that send functions
    return told


def _tell(observer: Observer, path: object, frame: FrameType, name: str) -> None:
    with observer.resting() as is_mine:  # to find out who asks, the engine asks, too
        if not is_mine:
            return
        reader: FrameType | None = frame
        what = WHETHER if name == "access" else SIZE
        while reader is not None and str(reader.f_globals.get("__name__", "")) in _BETWEEN:
            if reader.f_code.co_name in _WHETHER:
                what = WHETHER
            reader = reader.f_back
        if reader is not None and observer.variables.when_wanted(reader) == "body":
            observer.asked(cast("str", path), what)
