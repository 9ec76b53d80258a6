"""``File`` and ``Dir``: files and folders as values of steps."""

from __future__ import annotations

import abc
import contextlib
import os
import shutil
import tempfile
from contextvars import ContextVar
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from headwater.errors import RequestError, StepError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The folder of the step that is being performed; absent outside steps.
_scratch: ContextVar[Path] = ContextVar("headwater_scratch")


@contextlib.contextmanager
def scratch_folder(path: Path) -> Iterator[None]:
    """Let ``File.new`` and ``Dir.new`` make their paths in a folder, until the block ends."""
    token = _scratch.set(path)
    try:
        yield
    finally:
        _scratch.reset(token)


class _Place(os.PathLike[str]):
    """A path on this machine, or a URL whose content is fetched when it is first needed."""

    __slots__ = ("_local", "source")

    def __init__(self, source: str | os.PathLike[str]) -> None:
        self._local: Path | None = None
        #: The path or URL as it was given.
        self.source: str = source.source if isinstance(source, _Place) else os.fspath(source)

    @property
    def path(self) -> Path:
        """Where it is on this machine; a URL is fetched first, once."""
        if self._local is None:
            self._local = self._fetched() if is_url(self.source) else Path(self.source)
        return self._local

    @property
    def name(self) -> str:
        """The last part of the path or URL."""
        return Path(self.source.split("?", 1)[0] if is_url(self.source) else self.source).name

    @abc.abstractmethod
    def _fetched(self) -> Path:
        """Bring what the URL names to this machine."""

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.source!r})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.source == other.source

    def __hash__(self) -> int:
        return hash((type(self), self.source))


class File(_Place):
    """A file as a value: its content, and the suffixes of its name, are what counts.

    ``File("x.csv")`` names a file that exists, by path or URL; ``File.new("model.joblib")`` one that the step is about
    to write, in a folder of its own. It goes wherever a path goes.
    """

    __slots__ = ()

    @classmethod
    def new(cls, name: str) -> File:
        """Return a path to write to, in the current step's scratch folder."""
        return cls(_new_folder() / _checked(name))

    @property
    def suffix(self) -> str:
        """The last suffix of the name, with its dot: ``.gz``."""
        return Path(self.name).suffix

    @property
    def suffixes(self) -> list[str]:
        """All suffixes of the name: ``[".csv", ".gz"]``."""
        return Path(self.name).suffixes

    def open(self, mode: str = "r", *, encoding: str | None = None) -> IO[Any]:
        """Open the file; as text, in UTF-8 unless told otherwise."""
        return self.path.open(mode, encoding=encoding if "b" in mode else encoding or "utf-8")

    def read_text(self) -> str:
        """Return the content as text in UTF-8."""
        return self.path.read_text(encoding="utf-8")

    def read_bytes(self) -> bytes:
        """Return the content."""
        return self.path.read_bytes()

    def _fetched(self) -> Path:
        import fsspec

        target = _new_folder() / (self.name or "file")
        with _reporting(self.source), fsspec.open(self.source, "rb") as remote, target.open("wb") as local:
            shutil.copyfileobj(cast("IO[bytes]", remote), local, 1 << 20)
        return target


class Dir(_Place):
    """A folder as a value: the relative paths in it, and the content of its files, are what counts.

    ``Dir("data/")`` names a folder that exists, by path or URL; ``Dir.new("name")`` gives an empty one to fill.
    """

    __slots__ = ()

    @classmethod
    def new(cls, name: str) -> Dir:
        """Make an empty folder in the current step's scratch folder and return it."""
        path = _new_folder() / _checked(name)
        path.mkdir()
        return cls(path)

    @property
    def name(self) -> str:
        """The last part of the path or URL."""
        return Path(self.source.rstrip("/")).name

    def __truediv__(self, relative: str | os.PathLike[str]) -> Path:
        return self.path / relative

    def _fetched(self) -> Path:
        import fsspec

        target = _new_folder() / (self.name or "folder")
        target.mkdir()
        with _reporting(self.source):
            fs, root = fsspec.url_to_fs(self.source)
            root = root.rstrip("/")
            if not fs.isdir(root):
                raise FileNotFoundError(self.source)
            for path in fs.find(root):
                relative = path[len(root) :].lstrip("/")
                if relative:
                    place = target / relative
                    place.parent.mkdir(parents=True, exist_ok=True)
                    fs.get_file(path, str(place))
        return target


def is_url(source: str) -> bool:
    """Tell whether a text names a file by URL; one letter before the colon is a drive."""
    scheme, separator, _ = source.partition("://")
    return bool(separator) and len(scheme) > 1 and scheme.replace("+", "").replace("-", "").isalnum()


def _new_folder() -> Path:
    """Make a folder for one new path, so that two of one name do not meet."""
    scratch = _scratch.get(None)
    if scratch is not None:
        scratch.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="headwater-" if scratch is None else "new-", dir=scratch))


def _checked(name: str) -> str:
    if name in {"", ".", ".."} or "/" in name or os.sep in name or "\0" in name:
        raise RequestError(
            f"{name!r} cannot name a new file or folder", hint='give a plain name, such as "model.joblib"'
        )
    return name


@contextlib.contextmanager
def _reporting(source: str) -> Iterator[None]:
    """Turn the many errors of the file systems behind URLs into one that names the URL."""
    try:
        yield
    except Exception as error:
        raise StepError(f"{source} cannot be fetched", facts={"because": f"{type(error).__name__}: {error}"}) from error
