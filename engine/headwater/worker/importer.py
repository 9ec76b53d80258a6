"""Imports from a code bundle: what runs is what was fingerprinted, whatever the disk holds meanwhile.

Modules get the file name that they have in the project (so data files beside the code are found, and tracebacks read
as usual), but their code is compiled from the bundle's bytes: no source and no ``.pyc`` of a changed disk counts.
"""

from __future__ import annotations

import importlib
import importlib.util
import linecache
import os
import sys
from contextlib import nullcontext
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, FileFinder, ModuleSpec, PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

from headwater.bundle import PACKAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from importlib.abc import TraversableResources
    from types import CodeType, ModuleType

    from headwater.bundle import Bundle

_INIT = "__init__.py"
#: The engine never loads itself from a bundle.
_OWN = "headwater"


class BundleFinder(MetaPathFinder):
    """Serves the modules of one bundle from memory; put first on ``sys.meta_path`` by :meth:`install`."""

    def __init__(
        self,
        bundle: Bundle,
        *,
        digest: str,
        places: Mapping[str, str],
        around: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        #: File name → bytes, for every file of the bundle.
        self.files: dict[str, bytes] = {}
        #: Folders with code somewhere below them.
        self._folders: set[str] = set()
        #: Where each root lies on this machine, or would lie.
        self.roots: list[str] = []
        #: Entered while a module of the bundle is executed.
        self.around = around
        found = places_of(bundle, places)
        for root in bundle.roots():
            self._add_root(bundle, root, found.get(root) or f"<bundle {digest[:12]}>/{root}")

    def _add_root(self, bundle: Bundle, root: str, place: str) -> None:
        self.roots.append(place)
        self._folders.add(place)
        for name, data in bundle.files.items():
            holder, _, relative = name.partition("/")
            if holder != root:
                continue
            path = os.path.join(place, *relative.split("/"))  # noqa: PTH118  virtual places are no paths
            self.files[path] = data
            if relative.endswith(".py"):
                while (path := os.path.dirname(path)) not in self._folders:  # noqa: PTH120
                    self._folders.add(path)
        source = f"{place}{os.sep}src"  # modules are imported from there, too, as where the code was fingerprinted
        if root.startswith(PACKAGE) and source in self._folders and f"{source}{os.sep}{_INIT}" not in self.files:
            self.roots.append(source)

    def install(self) -> None:
        """Make this process import the bundle's code, and no other code from its roots."""
        sys.meta_path.insert(0, self)
        sys.path_hooks.insert(0, self._path_hook)
        real = [root for root in self.roots if os.path.isdir(root) and root not in sys.path]  # noqa: PTH112
        sys.path[:0] = real
        sys.path_importer_cache.clear()
        importlib.invalidate_caches()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module in the bundle as the import system would find it on disk."""
        del target
        top, _, _ = fullname.partition(".")
        if top == _OWN or fullname in sys.builtin_module_names:
            return None
        tail = fullname.rpartition(".")[2]
        portions: list[str] = []
        for place in self._search_path(path):
            base = f"{place}{os.sep}{tail}"
            for file, is_package in ((f"{base}{os.sep}{_INIT}", True), (f"{base}.py", False)):
                if file in self.files:
                    return _spec(fullname, BundleLoader(self, fullname, file), is_package=is_package)
            if base in self._folders:
                portions.append(base)
        return self._namespace(fullname, path, portions) if portions else None

    def _search_path(self, path: Sequence[str] | None) -> Iterator[str]:
        """Yield the folders to look in: the parent's; or all roots, and what the code put on ``sys.path`` itself."""
        if path is None:
            yield from self.roots
        for entry in sys.path if path is None else path:
            place = os.path.abspath(entry) if not entry.startswith("<") else entry  # noqa: PTH100
            if place in self._folders and (path is not None or place not in self.roots):
                yield place

    def _namespace(self, fullname: str, path: Sequence[str] | None, portions: list[str]) -> ModuleSpec | None:
        """Return a namespace package; None where a real package of that name is installed."""
        other = PathFinder.find_spec(fullname, path)
        if other is not None:
            if other.loader is not None:
                return None
            portions += [place for place in other.submodule_search_locations or () if place not in portions]
        spec = ModuleSpec(fullname, None, is_package=True)
        spec.submodule_search_locations = portions
        return spec

    def _path_hook(self, path: str) -> FileFinder:
        """Find only compiled extensions in the roots' folders: their Python code comes from the bundle."""
        place = os.path.abspath(path)  # noqa: PTH100
        if os.path.isfile(place):  # noqa: PTH113  a script that is run by its path, an archive
            raise ImportError(path)
        if not any(_is_below(place, root) for root in self.roots) or _is_installed(place):
            raise ImportError(path)
        return FileFinder(place, (ExtensionFileLoader, EXTENSION_SUFFIXES))


class BundleLoader(InspectLoader):
    """Loads one module from the bundle's bytes."""

    def __init__(self, finder: BundleFinder, name: str, path: str) -> None:
        self._finder = finder
        self.name = name
        #: The module's file name.
        self.path = path

    def get_filename(self, fullname: str) -> str:
        """Return the module's file name."""
        del fullname
        return self.path

    def is_package(self, fullname: str) -> bool:
        """Tell whether the module is a package."""
        del fullname
        return self.path.endswith(os.sep + _INIT)

    def get_source(self, fullname: str) -> str:
        """Return the module's text."""
        from importlib.util import decode_source

        del fullname
        return decode_source(self._finder.files[self.path])

    def get_code(self, fullname: str) -> CodeType:
        """Compile the module."""
        del fullname
        return compile(self._finder.files[self.path], self.path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module."""
        text = self.get_source(self.name)
        # Without a time stamp, an entry survives `linecache.checkcache`: tracebacks show the lines that ran.
        linecache.cache[self.path] = (len(text), None, text.splitlines(keepends=True), self.path)
        code = self.get_code(self.name)
        with self._finder.around():
            exec(code, module.__dict__)  # noqa: S102  this is what a loader does

    def get_data(self, path: str) -> bytes:
        """Return a file's bytes: the bundle's if it is in it, else the disk's."""
        data = self._finder.files.get(os.path.abspath(path), self._finder.files.get(path))  # noqa: PTH100
        if data is not None:
            return data
        with open(path, "rb") as stream:  # noqa: PTH123
            return stream.read()

    def get_resource_reader(self, fullname: str) -> TraversableResources:
        """Return a reader of the files beside the package."""
        from importlib.readers import FileReader

        del fullname
        return FileReader(self)  # type: ignore[arg-type]  # it asks for the path only


def _spec(fullname: str, loader: BundleLoader, *, is_package: bool) -> ModuleSpec:
    spec = ModuleSpec(fullname, loader, origin=loader.path, is_package=is_package)
    spec.has_location = True
    if is_package:
        spec.submodule_search_locations = [os.path.dirname(loader.path)]  # noqa: PTH120
    return spec


def places_of(bundle: Bundle, places: Mapping[str, str]) -> dict[str, str]:
    """Return where the roots of a bundle lie on this machine: as ``places`` says, or where they are installed."""
    installs = [root for root in bundle.roots() if root.startswith(PACKAGE) and root not in places]
    if not installs:
        return dict(places)
    from headwater.fingerprint.distributions import local_installs

    known = {f"{PACKAGE}{install.name}": str(install.base) for install in local_installs()}
    found = {root: known.get(root) or _place_of(bundle, root) for root in installs}
    return {**places, **{root: place for root, place in found.items() if place is not None}}


def _place_of(bundle: Bundle, root: str) -> str | None:
    """Find where a package lies on this machine whose installer left no word of it, by one of its modules."""
    for name in sorted(bundle.files):
        holder, _, relative = name.partition("/")
        if holder == root and relative.endswith(".py") and relative.count("/") <= 1:
            top = relative.removesuffix(f"/{_INIT}").removesuffix(".py").partition("/")[0]
            spec = importlib.util.find_spec(top)
            if spec is not None and spec.origin and spec.origin.endswith(os.sep + relative.replace("/", os.sep)):
                return spec.origin[: -len(relative) - 1]
    return None


def files_of(bundle: Bundle, places: Mapping[str, str]) -> dict[str, bytes]:
    """Return path → bytes of a bundle's files, of those roots that lie on this machine."""
    found = places_of(bundle, places)
    split = ((name.partition("/"), data) for name, data in bundle.files.items())
    return {str(Path(found[root], relative)): data for (root, _, relative), data in split if root in found}


def _is_below(place: str, root: str) -> bool:
    return place == root or place.startswith(root + os.sep)


def _is_installed(place: str) -> bool:
    """Tell whether a folder belongs to an environment, or to the engine, that happens to lie in the project."""
    parts = Path(place).parts
    own = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH120, PTH100
    return (
        "site-packages" in parts
        or (sys.prefix != sys.base_prefix and _is_below(place, sys.prefix))
        or _is_below(place, own)
    )
