"""The code of one definition's steps: fingerprints, made once each, and the bundle that workers execute."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from headwater.bundle import make_bundle
from headwater.digest import digest_bytes, digest_of
from headwater.errors import DefinitionError
from headwater.expr import to_json
from headwater.fingerprint import fingerprint, installed_versions, is_importable, synthesise
from headwater.observed import value_of, walk
from headwater.rebuild import Code, code_of_document

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headwater.bundle import Bundle
    from headwater.digest import Json
    from headwater.expr import Expr
    from headwater.fingerprint import Fingerprint, Project
    from headwater.graph import Node
    from headwater.sources import Sources

#: Modules written for functions that cannot be imported have names that begin with this.
_MADE = "headwater_made_"


class CodeBook:
    """Fingerprints of a definition's functions, of classes that arrive as inputs, and of commands."""

    def __init__(
        self,
        project: Project,
        functions: Mapping[str, Callable[..., object]],
        sources: Sources,
        load_type: Callable[[str], type],
    ) -> None:
        self._project = project
        #: Step → function.
        self._functions = functions
        self._sources = sources
        self._load_type = load_type
        self._fingerprints: dict[str, Fingerprint] = {}
        self._codes: dict[str, Code] = {}
        self._types: dict[str, str] = {}
        self._made: dict[str, str] = {}

    def code(self, node: Node) -> Code:
        """Return the code of a node: what of its key does not depend on its inputs."""
        if node.name not in self._codes:
            self._codes[node.name] = self._code(node)
        return self._codes[node.name]

    def _code(self, node: Node) -> Code:
        environment = {f"env:{name}": digest_bytes(value.encode()) for name, value in node.options.env.items()}
        files = self._files(node)
        if node.kind == "condition":
            return code_of_document(node.kind, to_json(cast("Expr", node.call)))
        if node.kind not in ("function", "command"):
            return code_of_document(node.kind, None)
        packages = dict(installed_versions(node.options.packages))
        document: Json = None
        if node.kind == "function":
            environment["python"] = f"{sys.version_info.major}.{sys.version_info.minor}"
        if node.options.version is not None:
            # The pin stands for this code: two steps that are both at version 1 are not the same step.
            what = node.call if node.kind == "function" else cast("Mapping[str, Json]", node.call).get("argv")
            digest = digest_of(["version", node.kind, cast("Json", what), node.options.version])
        elif node.kind == "command":
            digest = code_of_document(node.kind, cast("Json", node.call)).digest
        else:
            found = self.fingerprint(node)
            digest, document = found.digest, found.document()
            packages |= found.distributions
        environment |= {f"package:{name}": version for name, version in packages.items()}
        return Code(digest, environment, files, document)

    def fingerprint(self, node: Node) -> Fingerprint:
        """Return the fingerprint of a node's function."""
        entry = cast("str", node.call)
        if entry not in self._fingerprints:
            self._fingerprints[entry] = fingerprint(self._functions[node.name], self._project)
        return self._fingerprints[entry]

    def type_digest(self, name: str) -> str:
        """Return the digest of the code of a class, named ``module:qualname``."""
        if name not in self._types:
            self._types[name] = fingerprint(self._load_type(name), self._project).digest
        return self._types[name]

    def knows_type(self, name: str) -> bool:
        """Tell whether the class of a ``module:qualname`` is got without importing code from outside the project."""
        return self._project.knows(name)

    def _files(self, node: Node) -> dict[str, str]:
        """Digest what a step declares to read, and the scripts of a command; a folder counts with all that is in it."""
        patterns = list(node.options.files)
        if node.kind == "command":
            patterns += cast("list[str]", cast("Mapping[str, Json]", node.call).get("files") or [])
        found: dict[str, str] = {}
        for pattern in patterns:
            matches = sorted(self._project.root.glob(pattern))
            if not matches:
                raise DefinitionError(
                    f"step '{node.name}' declares a file that is not there",
                    facts={"file": pattern, "project": self._project.root},
                    hint="mend the path; it is relative to the project's folder",
                )
            for match in matches:
                for path in walk(match):
                    name = path.relative_to(self._project.root).as_posix()
                    found[name] = value_of(path, digest=self._sources.digest)
        return found

    def forget_files(self, node: Node) -> None:
        """Look at the files that a step declares anew when it is next decided; its code stays what it was."""
        self._codes.pop(node.name, None)

    def entries(self, nodes: Mapping[str, Node]) -> dict[str, str]:
        """Return compiled entry → entry as workers import it, for functions that cannot be imported by name.

        Their code is written into modules of the bundle.
        """
        renamed: dict[str, str] = {}
        for node in nodes.values():
            if node.kind != "function":
                continue
            entry, function = cast("str", node.call), self._functions[node.name]
            if entry in renamed or is_importable(function, self._project):
                continue
            text = synthesise(function, self._project)
            module = _MADE + digest_bytes(text.encode())[:16]
            self._made[f"{module}.py"] = text
            renamed[entry] = f"{module}:{function.__name__}"
        return renamed

    def bundle(self, nodes: Mapping[str, Node]) -> Bundle:
        """Return the code that workers execute: the snapshot that was fingerprinted, whole."""
        roots = {root.name: root.base for root in self._project.roots}
        sources = {path: source.data for path in self._project.python_files() if (source := self._project.source(path))}
        for node in nodes.values():
            if node.kind == "command":
                paths = [Path(self._project.root, name) for name in self._files(node)]
                sources |= {path: path.read_bytes() for path in paths if path.is_file()}
        return make_bundle(roots, sources, made={name: text.encode() for name, text in self._made.items()})
