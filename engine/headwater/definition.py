"""The immutable JSON document of a pipeline, and its digest: what is stored, numbered and run.

Two pipelines that are drawn the same have the same document. Comments, docstrings and line numbers are not in it, so
moving code about makes no new version. ``docs/reference/definition.schema.json`` describes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from headwater import expr as exprs
from headwater.digest import canonical, digest_of
from headwater.errors import DefinitionError
from headwater.graph import KINDS, Graph, Guard, Kind, Node, Options, Output, Parameter, graph_of
from headwater.types import Fault, Resources, Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headwater.digest import Digest, Json

_T = TypeVar("_T")

#: The form that this module writes, and the only one it reads.
FORMAT: Final = "definition/1"


@dataclass(frozen=True, slots=True)
class Definition:
    """A pipeline as data: its name and its graph."""

    name: str
    graph: Graph
    #: The author's description: for people, no part of the document.
    doc: str = field(default="", compare=False)

    def document(self) -> dict[str, Json]:
        """Return the definition as JSON."""
        return {
            "headwater": FORMAT,
            "name": self.name,
            "parameters": [_write_parameter(each) for each in self.graph.parameters.values()],
            "steps": [_write_node(node) for node in self.graph.nodes.values()],
            "output": exprs.to_json(self.graph.output),
        }

    @property
    def digest(self) -> Digest:
        """The digest of the document."""
        return digest_of(self.document())

    @classmethod
    def from_document(cls, document: Json) -> Definition:
        """Read and check a document; raises DefinitionError that names the part where it is wrong."""
        form = document.get("headwater") if isinstance(document, dict) else None
        if not isinstance(document, dict) or form != FORMAT:
            raise DefinitionError(
                "this is not a definition that headwater can read",
                facts={"form": form, "understood": FORMAT},
                hint="read it with the version of headwater that wrote it, or a later one",
            )
        unknown = sorted(document.keys() - {"headwater", "name", "parameters", "steps", "output"})
        if unknown:
            raise DefinitionError(f"this definition has fields that are not understood: {', '.join(unknown)}")
        try:
            return _read(document)
        except (KeyError, TypeError) as error:
            what = "lacks a part, or has one of another form"
            raise DefinitionError(f"this definition {what}", facts={"part": error}) from None


# ---------------------------------------------------------------------------------------------------- writing


def _write_parameter(parameter: Parameter) -> dict[str, Json]:
    document: dict[str, Json] = {"name": parameter.name, "type": dict(parameter.type)}
    return document if parameter.required else {**document, "default": parameter.default}


def _write_node(node: Node) -> dict[str, Json]:
    """Return a step as JSON; what is empty or as by default is left out, so that new options keep old digests."""
    document: dict[str, Json] = {"name": node.name, "kind": node.kind}
    optional: dict[str, Json] = {
        "call": write_call(node),
        "inputs": _write_exprs(node.inputs),
        "over": _write_exprs(node.over),
        "outputs": [{"name": each.name, "type": each.type} for each in node.outputs],
        "whole": node.whole,
        "guards": [{"condition": each.condition, "expected": each.expected} for each in node.guards],
        "after": list(node.after),
        "options": write_options(node.options),
    }
    return document | {name: value for name, value in optional.items() if value not in (None, [], {})}


def write_call(node: Node) -> Json:
    """Return what a node calls as JSON: an entry point, a command or a condition."""
    if node.call is None or isinstance(node.call, str):
        return node.call
    return (
        exprs.to_json(cast("exprs.Expr", node.call))
        if node.kind == "condition"
        else dict(cast("dict[str, Json]", node.call))
    )


def _write_exprs(inputs: Mapping[str, exprs.Expr]) -> dict[str, Json]:
    return {name: exprs.to_json(each) for name, each in inputs.items()}


def write_options(options: Options) -> dict[str, Json]:
    """Return options as JSON, without those that are as by default."""
    return _changed(options, Options())


def _changed(data: Options | Resources | Retry, default: Options | Resources | Retry) -> dict[str, Json]:
    document: dict[str, Json] = {}
    for each in fields(data):
        value, usual = getattr(data, each.name), getattr(default, each.name)
        if value != usual:
            document[each.name] = _changed(value, usual) if isinstance(value, Resources | Retry) else _plain(value)
    return document


def _plain(value: object) -> Json:
    if isinstance(value, tuple):
        return [str(item) for item in cast("tuple[object, ...]", value)]
    if isinstance(value, dict | MappingProxyType):
        return dict(cast("Mapping[str, Json]", value))
    return cast("Json", value)


# ---------------------------------------------------------------------------------------------------- reading


def _read(document: dict[str, Json]) -> Definition:
    steps = [_faithful(_read_node, _write_node, each, "step") for each in _objects(document, "steps")]
    parameters = [
        _faithful(_read_parameter, _write_parameter, each, "parameter") for each in _objects(document, "parameters")
    ]
    name = document["name"]
    if not isinstance(name, str):
        raise TypeError("name")
    return Definition(name, graph_of(steps, parameters, exprs.from_json(document["output"])))


def _faithful(
    read: Callable[[dict[str, Json]], _T], write: Callable[[_T], dict[str, Json]], document: dict[str, Json], what: str
) -> _T:
    """Read a part; refuse it if writing it again gives something else: an unknown field may change the meaning."""
    try:
        value = read(document)
    except (LookupError, TypeError, ValueError, AttributeError):
        raise _wrong(what, document, "something is missing, or not of its type") from None
    if canonical(write(value)) != canonical(document):
        written = write(value)
        names = sorted(key for key in written.keys() | document.keys() if written.get(key) != document.get(key))
        raise _wrong(what, document, f"not understood: {', '.join(names)}")
    return value


def _wrong(what: str, document: dict[str, Json], why: str) -> DefinitionError:
    name = document.get("name")
    return DefinitionError(f"a {what} of this definition cannot be read", facts={what: name, "why": why})


def _objects(document: dict[str, Json], key: str) -> list[dict[str, Json]]:
    items = document[key]
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise TypeError
    return cast("list[dict[str, Json]]", items)


def _read_parameter(document: dict[str, Json]) -> Parameter:
    type_ = cast("dict[str, Json]", document["type"])
    return Parameter(str(document["name"]), dict(type_), "default" not in document, document.get("default"))


def _read_node(document: dict[str, Json]) -> Node:
    kind = KINDS[KINDS.index(cast("Kind", document["kind"]))]
    whole = document.get("whole")
    return Node(
        str(document["name"]),
        kind,
        _read_call(kind, document.get("call")),
        _read_exprs(document.get("inputs", {})),
        tuple(Output(str(each["name"]), str(each["type"])) for each in _list(document, "outputs")),
        tuple(Guard(str(each["condition"]), bool(each["expected"])) for each in _list(document, "guards")),
        tuple(cast("list[str]", document.get("after", []))),
        _read_exprs(document.get("over", {})),
        read_options(cast("dict[str, Json]", document.get("options", {}))),
        None if whole is None else str(whole),
    )


def _read_call(kind: Kind, call: Json) -> str | exprs.Expr | Mapping[str, Json] | None:
    match kind:
        case "condition":
            return exprs.from_json(call)
        case "function":
            return str(call)
        case "command":
            return cast("dict[str, Json]", call)
        case "fail" | "register" | "notify":
            return None


def _read_exprs(document: Json) -> dict[str, exprs.Expr]:
    return {name: exprs.from_json(each) for name, each in cast("dict[str, Json]", document).items()}


def _list(document: dict[str, Json], key: str) -> list[dict[str, Json]]:
    return cast("list[dict[str, Json]]", document.get(key, []))


def read_options(document: dict[str, Json]) -> Options:
    """Return the options that ``write_options`` wrote; raises TypeError or ValueError where it did not write them."""
    values: dict[str, Any] = {}
    for name, value in _checked(document, _OPTIONS).items():
        match name, value:
            case "resources", dict():
                values[name] = Resources(**cast("dict[str, Any]", _checked(value, _RESOURCES)))
            case "retry", dict():
                values[name] = _read_retry(_checked(value, _RETRY))
            case _:
                values[name] = tuple(value) if isinstance(value, list) else value
    return Options(**values)


def _read_retry(document: dict[str, Json]) -> Retry:
    values: dict[str, Any] = dict(document)
    if "on" in values:
        values["on"] = tuple(Fault(str(each)) for each in cast("list[Json]", values["on"]))
    return Retry(**values)


def _checked(document: dict[str, Json], kinds: Mapping[str, tuple[type[object], ...]]) -> dict[str, Json]:
    for name, value in document.items():
        if type(value) not in kinds.get(name, ()):
            raise TypeError(name)
    return document


_NUMBER = (int, float)
_OPTIONS: Mapping[str, tuple[type[object], ...]] = {
    "resources": (dict,),
    "retry": (dict,),
    "timeout": _NUMBER,
    "env": (dict,),
    "secrets": (list,),
    "fresh": _NUMBER,
    "effect": (str,),
    "version": (str,),
    "strict": (bool,),
    "priority": (int,),
    "backend": (str,),
    "files": (list,),
    "packages": (list,),
    "reuse": (bool,),
    "limit": (str,),
}
_RESOURCES: Mapping[str, tuple[type[object], ...]] = {
    "cpus": _NUMBER,
    "memory": (int, str),
    "gpus": (int,),
    "named": (dict,),
}
_RETRY: Mapping[str, tuple[type[object], ...]] = {
    "times": (int,),
    "wait": (*_NUMBER, str),
    "factor": _NUMBER,
    "on": (list,),
}
