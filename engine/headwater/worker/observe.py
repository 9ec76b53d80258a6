"""Which files a step opens that nobody declared.

An audit hook sees what Python opens and lists while the body of an attempt runs; :mod:`headwater.worker.openers` adds
what libraries open by themselves. What is environment, input, store or the step's own making does not count, nor code
that is imported; a code file that is read as text does. :mod:`headwater.worker.questions` adds what the project's code
asks of files without opening them. A program that the project's code starts is taken to read the files that its
arguments name, unless they have changed when the attempt ends.
"""

from __future__ import annotations

import contextlib
import os
import site
import sys
import sysconfig
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

from headwater.observed import ABSENT, UNSTABLE, label_of, label_of_question, value_of
from headwater.worker.children import Children
from headwater.worker.current import Performance, current, performing
from headwater.worker.questions import Questions
from headwater.worker.questions import install as watch_questions
from headwater.worker.variables import Variables
from headwater.worker.variables import install as watch_variables

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from types import FrameType

    Identity: TypeAlias = tuple[int, int, int]

_LINUX = ("/proc", "/sys", "/dev", "/etc", "/usr", "/lib", "/lib64", "/bin", "/sbin", "/run", "/boot")
_SYSTEM = (*_LINUX, "/System", "/Library")
_FLEETING = ("__pycache__", ".headwater", ".ipynb_checkpoints")
_CREATES = os.O_CREAT | os.O_TRUNC


class Observer:
    """Notes what one attempt opens; in a strict attempt, refuses it."""

    def __init__(
        self,
        *,
        project: str,
        skip: Iterable[str] = (),
        code: Collection[str] = (),
        declared: Collection[str] = (),
        is_strict: bool = False,
        variables: Variables | None = None,
        shared: Path | None = None,
    ) -> None:
        self._children = Children(shared)
        #: Sees which environment variables are looked up.
        self.variables = variables or Variables()
        self._questions = Questions()
        self._project = project
        self._own_places = tuple(_with_real(skip))
        self._code = code
        self._declared = declared
        self._is_strict = is_strict
        self._since = time.time_ns()
        #: Path → identity when it was first opened; None where there was nothing.
        self._reads: dict[str, Identity | None] = {}
        #: Path → value, where it had to be told at once.
        self._values: dict[str, str] = {}
        #: What the step wrote or made itself.
        self._made: set[str] = set()
        #: What files that the step added to were before: identity and value.
        self._before: dict[str, tuple[Identity, str]] = {}
        #: Files that programs were told of, as they were then.
        self._named: dict[str, Identity] = {}
        #: What was opened only to import it.
        self._imported: set[str] = set()
        self._busy: set[int] = set()

    def opened(
        self, path: object, flags: int, *, is_raw: bool = False, is_import: bool = False, is_shown: bool = False
    ) -> None:
        """Take note of a file that is about to be opened. Raises PermissionError in a strict attempt.

        ``is_shown`` says that lines of code are looked up, for a traceback: that is no use of the file as data.
        """
        place = _absolute(path)
        if place is None or flags & getattr(os, "O_DIRECTORY", 0):
            return
        if is_import and _is_below(place, _with_real((self._project,))):  # the project's code: fingerprinted
            return
        if (is_import or is_shown) and (place in self._code or os.path.realpath(place) in self._code):
            return
        (self._imported.add if is_import and place not in self._reads else self._imported.discard)(place)
        self._opened(path, place, flags, is_raw=is_raw)

    def _opened(self, path: object, place: str, flags: int, *, is_raw: bool) -> None:
        is_reading = flags & os.O_ACCMODE != os.O_WRONLY and not flags & os.O_TRUNC
        identity = _identity(place)
        if identity is not None and not flags & os.O_TRUNC and flags & os.O_ACCMODE == os.O_WRONLY:
            self._added_to(place, identity)
            return
        if place in self._before and is_reading:
            self._read_back(place)
            return
        if flags & _CREATES and (identity is None or flags & os.O_TRUNC):
            is_reading = False
        # A relative path of `os.open` may be relative to another folder, which the event does not tell.
        is_guess = is_raw and identity is None and not os.path.isabs(os.fspath(cast("str", path)))  # noqa: PTH117
        if is_reading and not is_guess and not self._is_known(place, identity):
            self._read(place, identity)
        if flags & os.O_ACCMODE != os.O_RDONLY:
            self.wrote(place)

    def _added_to(self, place: str, identity: Identity) -> None:
        """Take note of a file that is added to: no read, but to read it back is one, of what was there before."""
        if place not in self._before and place not in self._reads and not self._is_known(place, identity):
            self._before[place] = (identity, value_of(Path(place)))

    def _read_back(self, place: str) -> None:
        identity, value = self._before.pop(place)
        self._read(place, identity)
        self._values.setdefault(place, value)
        self._made.add(place)

    def wrote(self, path: object) -> None:
        """Take note of something that the step makes itself; what it read there before is settled first."""
        place = _absolute(path)
        if place is None or place in self._made:
            return
        if place in self._reads and place not in self._values:
            self._values[place] = self._settled(place)
        self._made.add(place)

    def listed(self, path: object) -> None:
        """Take note of a folder whose names are read."""
        place = _absolute("." if path is None else path)
        if place is None or place in self._values or self._is_known(place, _identity(place)):
            return
        self._read(place, _identity(place))
        self._values[place] = value_of(Path(place))  # at once: the step may put files of its own there
        self._children.tell(place, self._reads[place], self._values[place])

    def asked(self, path: object, what: str) -> None:
        """Take note of a question about a file that is not opened."""
        place = _absolute(path)
        if place is not None and not self._is_known(place, _identity(place)):
            self._questions.asked(place, what)

    def named(self, path: object) -> None:
        """Take note of a file that a program is told of: it may read it, or write it."""
        place = _absolute(path)
        identity = None if place is None or os.path.isdir(place) else _identity(place)  # noqa: PTH112
        if place is not None and identity is not None and not self._is_known(place, identity):
            self._named.setdefault(place, identity)

    def values(self) -> dict[str, str]:
        """Return label → value of all that was read. What changed meanwhile is ``unstable``."""
        for place, identity, value in self._children.told():
            if place not in self._made:
                self._reads.setdefault(place, identity)
                if value is not None:
                    self._values.setdefault(place, value)
        for place, identity in self._named.items():
            if place not in self._made and _identity(place) == identity:
                self._reads.setdefault(place, identity)
        for place in self._reads:
            if place not in self._values:
                self._values[place] = self._settled(place)
        files = {label_of(place, self._project): self._values[place] for place in sorted(self._reads)}
        asked = self._questions.answers(lambda place: place in self._reads or _is_below(place, self._made))
        questions = {label_of_question(place, self._project, what): value for (place, what), value in asked.items()}
        return files | questions | dict(sorted(self.variables.found.items()))

    def absorb(self, other: Observer) -> None:
        """Count what another observer saw as seen by this one too."""
        self.variables.found = other.variables.found | self.variables.found
        self._questions.absorb(other._questions)
        other.values()
        for place, identity in other._reads.items():
            if place not in self._reads:
                self._reads[place] = identity
                self._values[place] = other._values[place]

    def leave_out(self, code: Collection[str]) -> None:
        """Forget that files were imported which turn out to be code of the bundle: they are fingerprinted."""
        for place in self._imported:
            if place in code or os.path.realpath(place) in code:
                self._reads.pop(place, None)
                self._values.pop(place, None)

    def is_current(self) -> bool:
        """Tell whether everything that was read is still as it was."""
        is_same = all(_identity(place) == identity for place, identity in self._reads.items())
        return is_same and self.variables.are_current()

    @contextlib.contextmanager
    def resting(self) -> Iterator[bool]:
        """Ignore what this thread opens inside; False when it is ignored already."""
        thread = threading.get_ident()
        if thread in self._busy:
            yield False
            return
        self._busy.add(thread)
        try:
            yield True
        finally:
            self._busy.discard(thread)

    def _read(self, place: str, identity: Identity | None) -> None:
        if self._is_strict and identity is not None:
            label = label_of(place, self._project)
            name = label.removeprefix("project:")
            raise PermissionError(
                f"this step is strict and did not declare that it reads {name}; "
                f"hint: take it as an input (File or Dir), or declare it: @step(files=[{name!r}])"
            )
        self._reads.setdefault(place, identity)
        self._children.tell(place, identity, self._values.get(place))

    def _settled(self, place: str) -> str:
        identity = self._reads[place]
        if identity is None:
            return ABSENT
        value = value_of(Path(place))
        return value if _identity(place) == identity else UNSTABLE

    def _is_known(self, place: str, identity: Identity | None) -> bool:
        """Tell whether a path is no undeclared file: environment, input, store, or made by the step."""
        if place.endswith((".pyc", ".pyo")) or _is_below(place, self._own_places):
            return True
        if _is_below(place, self._made):
            return True
        inner = [root for root in (self._project, os.path.realpath(self._project)) if _is_below(place, (root,))]
        if not inner or not self._project:
            return is_foreign(place) or _is_personal(place) or self._is_fresh_temporary(place)
        relative = os.path.relpath(place, inner[0]).replace(os.sep, "/")
        if any(part in _FLEETING for part in relative.split("/")):
            return True
        if relative in self._declared:
            return True
        nested = [root for root in environment_places() if _is_below(root, inner) and root not in inner]
        return identity is not None and _is_below(place, nested)

    def _is_fresh_temporary(self, place: str) -> bool:
        """Tell whether a temporary file came up since the attempt began: written by native code, most likely."""
        if not _is_below(place, _with_real((tempfile.gettempdir(), "/tmp", "/var/tmp"))):  # noqa: S108  looked at, not written
            return False
        try:
            return os.stat(place).st_ctime_ns >= self._since  # noqa: PTH116
        except OSError:
            return False


class _Places:
    """Folders of the interpreter and its packages: told once per state of ``sys.path``."""

    __slots__ = ("found", "state")

    def __init__(self) -> None:
        self.state: tuple[str, ...] | None = None
        self.found: tuple[str, ...] = ()


_PLACES = _Places()


def environment_places() -> tuple[str, ...]:
    """Return the folders whose files are part of the environment: they count by version, not by content."""
    state = tuple(sys.path)
    if _PLACES.state != state:
        named = {sys.prefix, sys.base_prefix, sys.exec_prefix, *sysconfig.get_paths().values(), *_SYSTEM}
        named |= {*site.getsitepackages(), site.getusersitepackages()}
        named |= {entry for entry in state if "-packages" in entry or entry.endswith(".zip")}
        own = Path(__file__).resolve().parents[1]
        performance = current()
        observer = performance.observer if performance is not None else None
        with observer.resting() if observer is not None else contextlib.nullcontext():  # no read of the step's
            named |= {str(own), *(str(path) for path in own.parents[1].glob("*/headwater_*"))}
        _PLACES.found = tuple(_with_real(name for name in named if name and name != os.sep))
        _PLACES.state = state
    return _PLACES.found


def is_foreign(place: str) -> bool:
    """Tell whether a file belongs to the interpreter or an installed package."""
    return _is_below(place, environment_places())


def _is_personal(place: str) -> bool:
    """Tell whether a file is a setting, a cache or a credential in the user's home."""
    home = os.path.expanduser("~")  # noqa: PTH111
    named = [os.environ.get(name, "") for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR")]
    return place.startswith((f"{home}{os.sep}.", f"{home}{os.sep}Library{os.sep}")) or _is_below(
        place, _with_real(named)
    )


def _is_below(place: str, roots: Collection[str]) -> bool:
    """Tell whether a path is one of some roots, or lies in one."""
    if place in roots:
        return True
    if isinstance(roots, set):  # many: climb instead of comparing with each
        while (parent := os.path.dirname(place)) != place:  # noqa: PTH120
            if parent in roots:
                return True
            place = parent
        return False
    return any(place.startswith(root + os.sep) for root in roots)


def _with_real(places: Iterable[str]) -> list[str]:
    found = dict.fromkeys(place.rstrip(os.sep) for place in places if place)
    return list(dict.fromkeys([*found, *(os.path.realpath(place) for place in found)]))


def _absolute(path: object) -> str | None:
    """Return an absolute path; None for what is no path: a descriptor, a pipe."""
    if isinstance(path, int):
        return None
    try:
        return os.path.abspath(os.fsdecode(cast("str", path)))  # noqa: PTH100
    except (TypeError, ValueError, OSError):
        return None


def _identity(place: str) -> Identity | None:
    try:
        stat = os.stat(place)  # noqa: PTH116  no audit event, no object
    except (OSError, ValueError):
        return None
    return (stat.st_size, stat.st_mtime_ns, stat.st_ino)


def _database(name: object) -> str | None:
    """Return the file of an SQLite database."""
    text = os.fsdecode(cast("str", name)) if isinstance(name, str | bytes | os.PathLike) else ""
    if not text or text.startswith((":memory:", "file::memory:")) or "mode=memory" in text:
        return None
    if text.startswith("file:"):
        from urllib.parse import unquote

        return unquote(text.removeprefix("file:").partition("?")[0])
    return text


def _on_open(observer: Observer, args: tuple[object, ...]) -> None:
    path, mode, flags = args
    opener = sys._getframe(2)  # noqa: SLF001
    is_shown = opener.f_globals.get("__name__") in _SHOWERS
    observer.opened(path, cast("int", flags), is_raw=mode is None, is_import=_is_import(opener), is_shown=is_shown)


def _on_list(observer: Observer, args: tuple[object, ...]) -> None:
    if not _is_import(sys._getframe(2)):  # noqa: SLF001  to find a module is no read of the step's
        observer.listed(args[0])


def _is_import(frame: FrameType) -> bool:
    """Tell whether the import system is at work, or looks which distributions are installed."""
    name = str(frame.f_globals.get("__name__", ""))
    return frame.f_code.co_filename.startswith("<frozen importlib") or name.startswith(_FINDERS)


def _on_database(observer: Observer, args: tuple[object, ...]) -> None:
    path = _database(args[0])
    if path is not None:
        exists = os.path.exists(path)  # noqa: PTH110
        observer.opened(path, os.O_RDONLY if exists else os.O_WRONLY | os.O_CREAT)


def _on_program(observer: Observer, args: tuple[object, ...]) -> None:
    _, words, folder, _ = args
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001
    while frame is not None and observer.variables.when_wanted(frame) != "body":
        frame = frame.f_back
    if frame is None:
        return
    several = words if isinstance(words, list | tuple) else [words]
    for word in cast("Sequence[object]", several):
        text = os.fsdecode(word) if isinstance(word, str | bytes | os.PathLike) else ""  # pyright: ignore[reportUnknownArgumentType]
        for part in {text, text.partition("=")[2], *text.split()} - {""}:
            observer.named(os.path.join(os.fsdecode(cast("str", folder or "")), part))  # noqa: PTH118


def _on_made(observer: Observer, args: tuple[object, ...]) -> None:
    observer.wrote(args[0])


def _on_moved(observer: Observer, args: tuple[object, ...]) -> None:
    observer.wrote(args[1])


#: Modules that read code to show it.
_SHOWERS = ("linecache", "tokenize", "inspect", "traceback")

#: Modules that list the folders of ``sys.path`` on behalf of others.
_FINDERS = ("importlib.metadata", "pkgutil", "pkg_resources")

_EVENTS: Mapping[str, Callable[[Observer, tuple[object, ...]], None]] = {
    "open": _on_open,
    "os.listdir": _on_list,
    "os.scandir": _on_list,
    "sqlite3.connect": _on_database,
    "subprocess.Popen": _on_program,
    "os.mkdir": _on_made,
    "os.rename": _on_moved,
    "os.link": _on_moved,
    "os.symlink": _on_moved,
    "tempfile.mkstemp": _on_made,
    "tempfile.mkdtemp": _on_made,
}


def _hook(event: str, args: tuple[object, ...]) -> None:
    handle = _EVENTS.get(event)
    if handle is None:
        return
    performance = current()
    observer = performance.observer if performance is not None else None
    if observer is None:
        return
    with observer.resting() as is_mine:
        if is_mine:
            handle(observer, args)


class _Installed:
    """Whether this process has the hook: it cannot be taken off again."""

    __slots__ = ("is_on",)

    def __init__(self) -> None:
        self.is_on = False


_INSTALLED = _Installed()


def install() -> None:
    """Put the audit hook on, once per process; watch the variables, and libraries that open files by themselves."""
    if _INSTALLED.is_on:
        return
    _INSTALLED.is_on = True
    from headwater.worker import openers

    sys.addaudithook(_hook)
    watch_variables()
    watch_questions()
    openers.install()


#: Project → what saw its modules being imported into this process: they stay, and so does what they read.
_IMPORTS: dict[str, Observer] = {}


@contextlib.contextmanager
def importing(project: str, *, skip: Iterable[str] = ()) -> Iterator[Observer]:
    """See what the project's modules read while they are imported inside, in a process of many purposes.

    What was read when they had been imported earlier in this process, inside such a block, is told too.
    """
    install()
    if project not in _IMPORTS:
        variables = Variables(project=os.sep, foreign=is_foreign)
        _IMPORTS[project] = Observer(project=project, skip=skip, variables=variables)
    with performing(Performance()), observing(_IMPORTS[project]) as observer:
        yield observer


def are_imports_current(project: str) -> bool:
    """Tell whether modules of a project that were imported inside :func:`importing` would read the same now."""
    return project not in _IMPORTS or _IMPORTS[project].is_current()


@contextlib.contextmanager
def observing(observer: Observer) -> Iterator[Observer]:
    """Let an observer see what the running attempt opens inside; the one before sees it again afterwards."""
    performance = current()
    if performance is None:
        yield observer
        return
    before, performance.observer = performance.observer, observer
    try:
        yield observer
    finally:
        performance.observer = before
