"""Libraries whose native code opens files unseen by audit hooks: their readers tell the observer themselves.

A module's functions are wrapped when it is imported (or at once, if it is already); a wrapper does nothing outside
of attempts.
"""

from __future__ import annotations

import functools
import glob
import os
import sys
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING, Any, cast

from headwater.worker.current import current

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

#: Module → its readers; a reader's first argument (after ``self``) is a path, a list of paths, or something opened.
_READERS: dict[str, tuple[str, ...]] = {
    "pyarrow": ("memory_map", "input_stream", "OSFile"),
    "pyarrow.csv": ("read_csv", "open_csv"),
    "pyarrow.json": ("read_json", "open_json"),
    "pyarrow.feather": ("read_feather", "read_table"),
    "pyarrow.ipc": ("open_file", "open_stream"),
    "pyarrow.orc": ("read_table", "ORCFile.__init__"),
    "pyarrow.parquet.core": (
        "read_table",
        "read_schema",
        "read_metadata",
        "ParquetFile.__init__",
        "ParquetDataset.__init__",
    ),
    "pyarrow.parquet": ("read_table", "read_schema", "read_metadata"),
    "pyarrow.dataset": ("dataset", "parquet_dataset"),
    "pyarrow.fs": ("LocalFileSystem",),
    "polars": (
        "read_csv",
        "read_parquet",
        "read_ipc",
        "read_json",
        "read_ndjson",
        "read_avro",
        "scan_csv",
        "scan_parquet",
        "scan_ipc",
        "scan_ndjson",
    ),
    "h5py": ("File.__init__",),
}
#: Methods of native classes that open files; the class is replaced by a subclass.
_NATIVE_METHODS = {"LocalFileSystem": ("open_input_file", "open_input_stream")}
_MARK = "__headwater_reader__"
_MOST_FILES = 100_000


class _Watcher(MetaPathFinder):
    """Lets the other finders find a module, and wraps its readers once it has been executed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _READERS:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            if finder is self or find is None:
                continue
            spec = cast("ModuleSpec | None", find(fullname, path, target))
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = cast("Any", _WrappingLoader(spec.loader, fullname))
                return spec
        return None


class _WrappingLoader:
    """A loader that wraps the readers of the module that another loader has executed."""

    def __init__(self, loader: object, name: str) -> None:
        self._loader: Any = loader
        self._name = name

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return cast("ModuleType | None", self._loader.create_module(spec))

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        _wrap_module(module, _READERS[self._name])

    def __getattr__(self, name: str) -> object:
        return getattr(self._loader, name)


def install() -> None:
    """Wrap the readers of modules that are loaded, and of those that will be."""
    sys.meta_path.insert(0, _Watcher())
    for name, readers in _READERS.items():
        if (module := sys.modules.get(name)) is not None:
            _wrap_module(module, readers)


def _wrap_module(module: ModuleType, readers: Iterable[str]) -> None:
    for reader in readers:
        holder_name, _, method = reader.partition(".")
        holder = getattr(module, holder_name, None)
        if holder is None or getattr(holder, _MARK, False):
            continue
        if method:
            setattr(holder, method, _wrapped(getattr(holder, method), place=1))
        elif isinstance(holder, type):
            setattr(module, holder_name, _subclass(holder))
        else:
            setattr(module, holder_name, _wrapped(holder, place=0))


def _wrapped(function: Callable[..., object], *, place: int) -> Callable[..., object]:
    if getattr(function, _MARK, False):
        return function

    @functools.wraps(function)
    def reader(*args: object, **options: object) -> object:
        if len(args) > place:
            _note(args[place])
        else:
            for name in ("source", "path", "input_file", "where", "path_or_paths", "metadata_path", "name"):
                _note(options.get(name))
        return function(*args, **options)

    setattr(reader, _MARK, True)
    return reader


def _subclass(native: type) -> type:
    """Return a subclass of a native class that tells which paths it opens."""
    methods = _NATIVE_METHODS.get(native.__name__)
    body: dict[str, object] = {_MARK: True, "__module__": native.__module__, "__doc__": native.__doc__}
    if methods:
        body |= {name: _wrapped(getattr(native, name), place=1) for name in methods}
    else:

        def new(cls: type, *args: object, **options: object) -> object:
            mode = options.get("mode", args[1] if len(args) > 1 else "r")
            if args and isinstance(mode, str) and mode.startswith("r"):
                _note(args[0])
            return native.__new__(cls, *args, **options)

        body["__new__"] = new
    return type(native.__name__, (native,), body)


def _note(source: object) -> None:
    """Tell the observer of a path, of a folder with all below it, or of what a pattern matches."""
    performance = current()
    observer = performance.observer if performance is not None else None
    if observer is None:
        return
    if isinstance(source, list | tuple):
        for part in cast("Sequence[object]", source):
            _note(part)
        return
    if not isinstance(source, str | os.PathLike) or "://" in str(source):
        return
    path = os.fspath(cast("str", source))
    with observer.resting() as is_mine:
        if not is_mine:
            return
        is_pattern = glob.has_magic(path) and not os.path.exists(path)  # noqa: PTH110
        for found in glob.glob(path, recursive=True) if is_pattern else (path,):  # noqa: PTH207
            _note_below(observer, found)
        if is_pattern:
            observer.listed(os.path.dirname(path.partition("*")[0]) or ".")  # noqa: PTH120


def _note_below(observer: Any, path: str) -> None:
    if not os.path.isdir(path):  # noqa: PTH112
        observer.opened(path, os.O_RDONLY)
        return
    count = 0
    for folder, folders, files in os.walk(path):
        observer.listed(folder)
        folders.sort()
        for name in sorted(files):
            count += 1
            if count > _MOST_FILES:
                return
            observer.opened(os.path.join(folder, name), os.O_RDONLY)  # noqa: PTH118
