"""Project code: which files it is, and a snapshot of their bytes."""

from __future__ import annotations

import linecache
import os
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from headwater.digest import digest_bytes
from headwater.fingerprint.distributions import ENGINE, local_installs, refresh
from headwater.fingerprint.trees import SourceTree, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

_FOREIGN = frozenset({"__pycache__", "site-packages", "dist-packages", "node_modules", "venv", "env", "__pypackages__"})
_MARKERS = ("headwater.toml", "pyproject.toml")


@dataclass(frozen=True, slots=True)
class Source:
    """One source as it was when it was first read: what is fingerprinted is what is bundled."""

    #: ``features.py``; ``pkg:mylib/core.py`` in a further root; ``<cell 3>`` in a notebook.
    label: str
    #: Where it was read; None for what has no file.
    path: Path | None
    data: bytes
    digest: str

    @property
    def tree(self) -> SourceTree | None:
        """The parsed source; None for a syntax error."""
        return parse(self.data, self.digest) if self.label.endswith(".py") or self.path is None else None


@dataclass(frozen=True, slots=True)
class Root:
    """A folder of project code."""

    #: ``project``, or ``pkg:<distribution>``.
    name: str
    base: Path
    #: The folder as it was given, which may lead through links.
    given: Path
    #: What in it belongs to it.
    paths: tuple[Path, ...]


class Project:
    """The code that is the user's own: the files under a root, and editable and path installs.

    Every source is read once and kept, so that one ``Project`` is one snapshot.
    """

    def __init__(self, root: Path, *, name: str = "project") -> None:
        refresh()
        #: The folder itself.
        self.root = Path(os.path.realpath(root))
        self._given = Path.cwd() / root
        self.name = name
        #: Modules that functions import and that raised when they were.
        self.failed_imports: set[str] = set()
        self._roots: tuple[Root, ...] | None = None
        self._sources: dict[str, Source | None] = {}
        self._data: dict[str, str] = {}
        self._cells: dict[str, Source] = {}
        self._own_folders: dict[str, bool] = {}
        self._located: dict[str, tuple[Root, Path] | None] = {}

    @property
    def roots(self) -> tuple[Root, ...]:
        """The project's root first, then those of editable and path installs."""
        if self._roots is None:
            own = Root(self.name, self.root, self._given, (self.root,))
            installs = [i for i in local_installs() if not self.root.is_relative_to(i.base) or i.base == i.paths[0]]
            further = [
                Root(f"pkg:{i.name}", i.base, i.base, i.paths)
                for i in installs
                if not all(p.is_relative_to(self.root) and self._is_own(p) for p in i.paths)
                and not self.root.is_relative_to(i.paths[0])
            ]
            self._roots = (own, *further)
        return self._roots

    def source(self, path: Path | str) -> Source | None:
        """Return the bytes of a project file, read once; None for anything that is not project code."""
        text = str(path)
        if text not in self._sources:
            self._sources[text] = self._read(text)
        return self._sources[text]

    def has(self, path: Path | str) -> bool:
        """Tell whether a file is project code."""
        return self._locate(str(path)) is not None

    def label(self, path: Path | str) -> str | None:
        """Return a project file's name for people and records; None for a foreign file."""
        found = self._locate(str(path))
        if found is None:
            return None
        root, real = found
        relative = real.relative_to(root.base).as_posix()
        return relative if root.base == self.root else f"{root.name}/{relative}"

    def python_files(self) -> list[Path]:
        """Return every Python file of the project, sorted, root by root."""
        return [path for root in self.roots for place in root.paths for path in self._files(place)]

    def files_used(self) -> list[Source]:
        """Return the sources that were read so far."""
        found = {s.label: s for s in self._sources.values() if s is not None and s.path is not None}
        return [found[label] for label in sorted(found)]

    def module_name(self, path: Path | str) -> str:
        """Return the dotted name under which a project file is imported."""
        found = self._locate(str(path))
        if found is None:
            return Path(path).stem
        root, real = found
        base = max(self._import_bases(root, real), key=lambda place: len(place.parts))
        parts = list(real.relative_to(base).with_suffix("").parts)
        if parts[-1] == "__init__" and len(parts) > 1:
            parts.pop()
        return ".".join(parts)

    def canonical_module(self, name: str) -> str:
        """Return a module's name, that of the main file for ``__main__``, so that it is one however it is started."""
        if name not in ("__main__", "__mp_main__"):
            return name
        path = getattr(sys.modules.get(name), "__file__", None)
        return self.module_name(path) if path and self.has(path) else name

    def module_path(self, name: str) -> Path | None:
        """Return the project file that would be imported under a dotted name; None if it is not project code."""
        parts = name.split(".")
        for root in self.roots:
            for base in self._import_bases(root, None):
                place = base.joinpath(*parts)
                for candidate in (place / "__init__.py", place.with_name(place.name + ".py")):
                    if self.has(candidate) and candidate.is_file():
                        return candidate
        return None

    def knows(self, name: str) -> bool:
        """Tell whether a class, named ``module:qualname``, is the project's own or of a module that is loaded."""
        module = name.partition(":")[0]
        return module in sys.modules or self.module_path(module) is not None

    def mentions(self, name: str) -> list[Source]:
        """Return the sources of the project in which a name stands."""
        wanted = name.encode()
        sources = [self.source(path) for path in self._every_file]
        return [source for source in sources if source is not None and wanted in source.data]

    @cached_property
    def _every_file(self) -> list[Path]:
        return self.python_files()

    def file_digest(self, path: Path) -> str:
        """Return the digest of a data file's content, read once."""
        text = str(path)
        if text not in self._data:
            self._data[text] = digest_bytes(path.read_bytes())
        return self._data[text]

    def strip(self, text: str) -> str:
        """Return a text without the folders that the project happens to lie in."""
        for root in self.roots:
            for place in dict.fromkeys((str(root.base), str(root.given))):
                if len(Path(place).parts) > 1 and place in text:
                    text = text.replace(place, f"<{root.name}>")
        return text

    def cells(self) -> list[Source]:
        """Return the sources of code that was entered rather than imported: notebook cells, in order."""
        entered = [name for name in linecache.cache if _is_cell(name)]
        return [source for name in entered if (source := self.entered(name)) is not None]

    def entered(self, filename: str) -> Source | None:
        """Return the source of code without a file, through linecache; None where there is none."""
        is_known = filename in linecache.cache and (_is_cell(filename) or _is_text(filename))
        lines = linecache.getlines(filename) if is_known else []
        if not lines:
            return None
        data = "".join(lines).encode()
        digest = digest_bytes(data)
        known = self._cells.get(filename)
        if known is None or known.digest != digest:
            known = self._cells[filename] = Source("<cell>", None, data, digest)
        return known

    def _read(self, text: str) -> Source | None:
        label = self.label(text)
        if label is None:
            return None
        try:
            data = Path(text).read_bytes()
        except OSError:
            return None
        return Source(label, Path(os.path.realpath(text)), data, digest_bytes(data))

    def _locate(self, text: str) -> tuple[Root, Path] | None:
        if text not in self._located:
            self._located[text] = self._find(text)
        return self._located[text]

    def _find(self, text: str) -> tuple[Root, Path] | None:
        if not text or text.startswith("<"):
            return None
        real = Path(os.path.realpath(text))
        for root in self.roots:
            if any(real.is_relative_to(place) for place in root.paths) and self._is_own(real, root):
                return root, real
        return None

    def _is_own(self, path: Path, root: Root | None = None) -> bool:
        """Tell whether no folder between the root and a path is hidden, a virtual environment or the like."""
        base = root.base if root is not None else self.root
        folder = path.parent
        while folder != base and folder.is_relative_to(base):
            if not self._is_own_folder(folder):
                return False
            folder = folder.parent
        return self._engine_folder() not in path.parents

    def _engine_folder(self) -> Path:
        place = getattr(sys.modules.get(ENGINE), "__file__", None)
        return Path(os.path.realpath(place)).parent if place else Path(__file__).parent.parent

    def _is_own_folder(self, folder: Path) -> bool:
        text = str(folder)
        if text not in self._own_folders:
            name = folder.name
            is_foreign = name.startswith(".") or name in _FOREIGN or (folder / "pyvenv.cfg").exists()
            self._own_folders[text] = not is_foreign
        return self._own_folders[text]

    def _files(self, place: Path) -> Iterator[Path]:
        if place.is_file():
            yield place
            return
        for folder, folders, names in os.walk(place):
            folders[:] = sorted(name for name in folders if self._is_own_folder(Path(folder, name)))
            yield from (Path(folder, name) for name in sorted(names) if name.endswith(".py"))

    def _import_bases(self, root: Root, real: Path | None) -> list[Path]:
        """Return the folders in a root from which its modules are imported, the root itself among them."""
        bases = [root.base]
        source = root.base / "src"
        if source.is_dir() and not (source / "__init__.py").exists():
            bases.append(source)
        on_path = [Path(os.path.realpath(entry)) for entry in sys.path if entry]
        bases += [p for p in on_path if p != root.base and p.is_relative_to(root.base)]
        return [base for base in bases if real is None or real.is_relative_to(base)]


def find_project(start: Path) -> Project:
    """Return the project of a file or folder: the nearest with ``headwater.toml`` or ``pyproject.toml`` upward."""
    place = Path(os.path.realpath(start))
    folder = place if place.is_dir() else place.parent
    for candidate in (folder, *folder.parents):
        if any((candidate / marker).is_file() for marker in _MARKERS):
            return Project(candidate)
    return Project(folder)


def _is_cell(filename: str) -> bool:
    """Tell whether a code object's file name is that of a notebook cell or of a line at a prompt."""
    starts = ("<ipython-input", "<cell", "<python-input", "<doctest")
    return filename.startswith(starts) or f"{os.sep}ipykernel_" in filename or "__marimo__cell" in filename


def _is_text(filename: str) -> bool:
    """Tell whether a file name is that of other code without a file, but not of methods that a library generates."""
    return filename.startswith("<") and filename != "<string>" and "generated" not in filename
