"""List, show and compare definitions: name@1, name@2, … as runs and `hw compile --publish` stored them.

hw definitions
hw definitions show flights@2
hw definitions diff flights@1 flights@2

Any of them can be run: hw run flights@1
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from headwater.cli import options, text
from headwater.errors import RequestError

if TYPE_CHECKING:
    import argparse

    from headwater.definition import Definition
    from headwater.digest import Json
    from headwater.pipelines import Change, Version
    from headwater.store import Store


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("verb", nargs="?", choices=["list", "show", "diff"], default="list", help="default: list")
    parser.add_argument("words", nargs="*", metavar="NAME[@N]", help="a pipeline's name, and a version of it")
    options.add_json(parser)
    options.add_store(parser)


def run(args: argparse.Namespace) -> int:
    """Carry the command out."""
    store = options.workspace(args, create=False).store
    match args.verb, args.words:
        case "list", words:
            return _list(store, words, as_json=args.json)
        case "show", [word]:
            return _show(store, word, as_json=args.json)
        case "diff", [old, new]:
            return _diff(store, old, new, as_json=args.json)
        case _:
            raise RequestError(
                f"hw definitions {args.verb}: which?",
                hint="hw definitions show NAME[@N], hw definitions diff NAME@A NAME@B",
            )


def _list(store: Store, names: list[str], *, as_json: bool) -> int:
    from headwater import pipelines

    found = [version for name in names or pipelines.names(store) for version in pipelines.versions(store, name)]
    if names and not found:
        pipelines.find(store, names[0])  # raises, and says what there is
    if as_json:
        options.print_json([version.document() for version in found])
        return 0
    rows = [[f"{each.name}@{each.number}", each.definition[:16], text.moment(each.time)] for each in found]
    print(text.table(["definition", "digest", "stored"], rows) if rows else "no definitions yet")
    return 0


def _show(store: Store, word: str, *, as_json: bool) -> int:
    version, definition = _load(store, word)
    document = definition.document()
    if as_json:
        options.print_json({**version.document(), "document": document})
        return 0
    print(f"{version.name}@{version.number}  {version.definition}")
    for parameter in cast("list[dict[str, Json]]", document["parameters"]):
        default = f" = {json.dumps(parameter['default'])}" if "default" in parameter else ""
        print(f"  parameter {parameter['name']}{default}")
    rows = [
        [f"  {node.name}", node.kind, ", ".join(each.name for each in node.outputs) or "-", _call(node.call)]
        for node in definition.graph.nodes.values()
    ]
    print(text.table(["  step", "kind", "outputs", "calls"], rows))
    return 0


def _call(call: object) -> str:
    return call if isinstance(call, str) else ""


def _diff(store: Store, old: str, new: str, *, as_json: bool) -> int:
    from headwater import pipelines

    (_, before), (_, after) = _load(store, old), _load(store, new)
    found = pipelines.changes(before, after)
    if as_json:
        changed: list[Json] = [
            {"what": each.what, "name": each.name, "field": each.field, "old": each.old, "new": each.new}
            for each in found
        ]
        options.print_json({"old": before.digest, "new": after.digest, "changes": changed})
        return 0
    for each in found:
        print(_sentence(each))
    if not found:
        print("no difference")
    return 0


def _sentence(change: Change) -> str:
    title = f"{change.what} {change.name}".strip()
    if change.field in ("added", "removed"):
        return f"{title}: {change.field}"
    old, new = (json.dumps(value, ensure_ascii=False, sort_keys=True) for value in (change.old, change.new))
    return f"{title}: {change.field}\n  - {old}\n  + {new}"


def _load(store: Store, word: str) -> tuple[Version, Definition]:
    from headwater import pipelines

    name, _, number = word.partition("@")
    if number and number != "latest" and not number.isdecimal():
        raise RequestError(f"{number!r} is not the number of a version", hint=f"{name}@1, or {name} for the latest")
    version = pipelines.find(store, name, int(number) if number.isdecimal() else None)
    return version, pipelines.load(store, version.definition)
