"""The state of one walk through live code: what was met, what is still to be looked at."""

from __future__ import annotations

import importlib
import sys
import types
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeGuard, cast

from headwater.fingerprint.distributions import ENGINE, distributions_of, is_standard
from headwater.fingerprint.merkle import Node

if TYPE_CHECKING:
    import ast

    from headwater.fingerprint.project import Project, Source
    from headwater.fingerprint.scopes import Import
    from headwater.fingerprint.trees import Definition, SourceTree

#: What a reference stands for: a piece, or the text that names something outside the project.
Target: TypeAlias = "Node | str"
Job: TypeAlias = Literal["function", "static", "class", "name", "module", "file", "effect"]

MISSING = object()


@dataclass(eq=False)
class Module:
    """A live project module with its source; or everything entered in a notebook."""

    name: str
    globals: dict[str, object]
    sources: list[Source]
    #: Whether it was entered at a prompt or in a notebook rather than imported from a file.
    is_entered: bool = False

    @property
    def trees(self) -> list[SourceTree]:
        """The parsed sources."""
        return [tree for source in self.sources if (tree := source.tree) is not None]

    @property
    def label(self) -> str:
        """The file's name in records."""
        return self.sources[0].label if self.sources else "<entered>"


@dataclass(frozen=True, slots=True)
class Context:
    """Where a reference is looked up."""

    module: Module
    #: Live values of the closure by name.
    cells: dict[str, object] = field(default_factory=dict[str, object])
    source: Source | None = None
    definition: Definition | None = None
    #: The live function; None where only its source is known.
    function: types.FunctionType | None = None


class Walk:
    """One walk from a function through everything that it can reach; lives as long as one fingerprint is made."""

    def __init__(self, project: Project, sees: frozenset[str] = frozenset()) -> None:
        self.project = project
        #: What reached code can see that forms leave out; known from an earlier walk.
        self.sees = sees
        self.seen: set[str] = set()
        self.nodes: dict[tuple[object, ...], Node] = {}
        self.queue: deque[tuple[Job, Node, object]] = deque()
        self.modules: dict[int, Module | None] = {}
        #: Modules in which something was reached, in the order they were met.
        self.reached: dict[str, Module] = {}
        self.distributions: set[str] = set()
        self.volatile: dict[str, None] = {}
        #: Names of the environment variables that were taken in.
        self.variables: set[str] = set()
        self.widened: dict[str, None] = {}
        #: Answers to questions about the project that are asked again and again.
        self.answers: dict[tuple[str, ...], object] = {}
        self._alive: list[object] = []

    def request(self, job: Job, key: tuple[object, ...], payload: object, node: Node) -> Node:
        """Return the piece of a key; when it is new, take ``node`` for it and have it filled in later."""
        full = (job, *key)
        if full not in self.nodes:
            self.nodes[full] = node
            self._alive.append(payload)  # keys are made of identities: keep the objects alive
            self.queue.append((job, node, payload))
        return self.nodes[full]

    def keep(self, value: object) -> None:
        """Keep an object alive, because its identity is a key."""
        self._alive.append(value)

    # Modules

    def module_of(self, scope: dict[str, object]) -> Module | None:
        """Return the project module that a globals dictionary belongs to; None for foreign code."""
        key = id(scope)
        if key not in self.modules:
            self.modules[key] = self._module_of(scope)
            self._alive.append(scope)
        return self.modules[key]

    def _module_of(self, scope: dict[str, object]) -> Module | None:
        name, file = scope.get("__name__"), scope.get("__file__")
        if isinstance(file, str):
            source = self.project.source(file) if file.endswith(".py") else None
            if source is not None:
                return Module(self.project.canonical_module(str(name)), scope, [source])
            return None
        if name == "__main__":
            return Module("__main__", scope, self.project.cells(), is_entered=True)
        if not isinstance(name, str) or (name == "builtins" and "len" not in scope):
            return Module("<executed>", scope, [], is_entered=True)
        folders = list(cast("list[str]", scope.get("__path__") or ()))
        is_ours = bool(folders) and all(self.project.has(f"{folder}/__init__.py") for folder in folders)
        return Module(name, scope, []) if is_ours else None  # a package without `__init__.py`

    def live_module(self, module: types.ModuleType) -> Module | None:
        """Return the project module that a module object is; None for a foreign one."""
        return self.module_of(vars(module))

    def reach(self, module: Module) -> None:
        """Note that something in a module counts, so its import-time effects count."""
        self.reached.setdefault(module.name, module)

    def load(self, name: str) -> types.ModuleType | None:
        """Import a project module that a function imports; None if it is not the project's, or fails."""
        loaded = sys.modules.get(name)
        if loaded is not None:
            return loaded if self.live_module(loaded) is not None else None
        if name in self.project.failed_imports or self.project.module_path(name) is None:
            return None
        try:
            return importlib.import_module(name)
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001  whatever user code raises at import, SystemExit too
            self.project.failed_imports.add(name)
            return None

    def module_of_source(self, source: Source) -> Module | None:
        """Return the loaded module of a source; None if it is not loaded."""
        if source.path is None:
            return next((m for m in self.reached.values() if source in m.sources), None)
        for name in (self.project.module_name(source.path), "__main__"):
            loaded = sys.modules.get(name)
            live = self.live_module(loaded) if loaded is not None else None
            if live is not None and source in live.sources:
                return live
        return None

    def sources_with(self, name: str, module: Module) -> list[Source]:
        """Return the project's sources that mention a name, those of one module first."""
        return [*module.sources, *(s for s in self.project.mentions(name) if s not in module.sources)]

    def defined(self, module: Module, source: Source, definition: Definition) -> Node:
        """Return the piece of a definition: of the live function, where it can be found, else of the source."""
        here: object = module.globals
        for part in definition.qualname.split("."):
            here = (here if isinstance(here, dict) else getattr(here, "__dict__", {})).get(part)
        here = getattr(here, "__func__", here)
        tree = source.tree
        if tree is not None and isinstance(here, types.FunctionType) and here.__globals__ is module.globals:
            found = tree.code_definitions(here.__code__)
            return self.function(here) if definition in found else self.static(module, source, definition)
        return self.static(module, source, definition)

    # Pieces by what they are

    def function(self, function: types.FunctionType) -> Node:
        """Return the piece of a live project function."""
        module = self.module_of(function.__globals__)
        name = module.name if module else "?"
        label = f"{name}.{function.__code__.co_qualname}"  # not what `functools.wraps` makes of it
        code = function.__code__
        file = self.project.label(code.co_filename) or (module.label if module else "?")
        return self.request("function", (id(function),), function, Node("function", label, file, code.co_firstlineno))

    def static(self, module: Module, source: Source, definition: Definition) -> Node:
        """Return the piece of a function or class of which only the source is known."""
        label, line = f"{module.name}.{definition.qualname}", definition.node.lineno
        return self.request(
            "static", (id(definition.node),), (module, source, definition), Node("function", label, source.label, line)
        )

    def klass(self, cls: type) -> Node:
        """Return the piece of a project class."""
        home = self.module_of_class(cls)
        name = home.name if home else "?"
        return self.request(
            "class", (id(cls),), cls, Node("class", f"{name}.{cls.__qualname__}", home.label if home else "?", 0)
        )

    def module_of_class(self, cls: type) -> Module | None:
        """Return the project module of a class; None for a foreign class."""
        home = sys.modules.get(str(cls.__module__))
        return self.live_module(home) if home is not None else None

    def name(self, module: Module, name: str) -> Node:
        """Return the piece of a module-level name that holds data."""
        return self.request(
            "name",
            (id(module.globals), name),
            (module, name),
            Node("constant", f"{module.name}.{name}", module.label, 0),
        )

    def whole(self, module: Module, why: str) -> Node:
        """Return the piece of a whole module file, for what cannot be seen more closely."""
        self.widen(f"all of {module.label} counts: {why}")
        return self.request("module", (id(module.globals),), module, Node("module", module.name, module.label, 1))

    def file(self, name: str, why: str) -> Node | None:
        """Return the piece of a project file that could not be imported."""
        path = self.project.module_path(name)
        source = self.project.source(path) if path else None
        if source is None:
            return None
        self.widen(f"all of {source.label} counts: {why}")
        return self.request("file", (source.label,), (name, source), Node("module", name, source.label, 1))

    def everything(self, why: str) -> Node:
        """Return the piece that stands for all files of the project."""
        self.widen(f"all project files count: {why}")
        if ("everything",) not in self.nodes:
            node = Node("module", "<all project files>", "", 0)
            for path in self.project.python_files():
                source = self.project.source(path)
                if source is not None:
                    tree = source.tree
                    node.items += [source.label, *(tree.whole.parts if tree else [source.digest])]
                    node.items += [f"{r.name}.{'.'.join(r.chain)}" for r in (tree.whole.refs if tree else ())]
            self.nodes["everything",] = node
        return self.nodes["everything",]

    def external(self, path: str) -> str:
        """Return the text for something outside the project, and note its distribution."""
        top = path.partition(".")[0]
        if top == ENGINE or is_standard(top):
            return f"ext:{path}"
        found = distributions_of(top)
        if found:
            self.distributions.update(found)
        return f"ext:{path}" if found else self._loose(top, path)

    def _loose(self, top: str, path: str) -> str:
        """Take in the files of a foreign module that belongs to no distribution."""
        from headwater.fingerprint.loose import files_digest  # noqa: PLC0415

        digest = files_digest(top)
        if digest is None:
            return f"ext:{path}"
        self.widen(f"all files of {top} count: it belongs to no distribution")
        return f"ext:{path}:{digest}"

    def widen(self, why: str) -> None:
        """Note that more was taken in than is certainly used, and why."""
        self.widened.setdefault(why)

    def note_volatile(self, what: str) -> None:
        """Note a value that is read from the environment, the clock or the like at import."""
        self.volatile.setdefault(what)

    def see(self, what: frozenset[str] | set[str]) -> None:
        """Note what reached code can see that forms leave out."""
        self.seen |= what


def places_of(module: Module, name: str) -> list[tuple[Source, ast.stmt]]:
    """Return the module-level statements that bind a name."""
    found = [
        (source, statement)
        for source in module.sources
        for statement in (source.tree.bindings.get(name, []) if source.tree else [])
    ]
    if module.is_entered and found:  # cells run again: the last one that binds the name is the one that counts
        last = found[-1][0]
        found = [place for place in found if place[0] is last]
    return found


def is_module(value: object) -> TypeGuard[types.ModuleType]:
    """Tell whether a value is a module object."""
    return isinstance(value, types.ModuleType)


def absolute(imported: Import, scope: dict[str, object]) -> str:
    """Return the absolute name of the module that an import names."""
    if not imported.level:
        return imported.module
    package = scope.get("__package__") or (
        scope.get("__name__") if "__path__" in scope else str(scope.get("__name__", "")).rpartition(".")[0]
    )
    parts = str(package or "").split(".")
    kept = parts[: len(parts) - imported.level + 1]
    return ".".join([*kept, *([imported.module] if imported.module else [])])
