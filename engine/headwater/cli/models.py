"""List the models that runs registered: their versions, metrics, and which run each came from.

hw models
hw models delay            # every version of one

Copy one out: hw get DIGEST -o model.joblib
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from headwater.cli import options, text
from headwater.errors import RequestError
from headwater.values import untagged

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from headwater.digest import Json


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="every version of this model; default: all models")
    options.add_json(parser)
    options.add_store(parser)


def run(args: argparse.Namespace) -> int:
    """Carry the command out."""
    from headwater.run.control import names, versions

    store = options.records(args).store
    known = names(store)
    if args.name is not None and args.name not in known:
        raise RequestError(
            f"no model {args.name!r} is registered",
            facts={"models": ", ".join(known) or "none"},
            hint='a step registers one: register(model, name="…")',
        )
    chosen = known if args.name is None else [args.name]
    found = [entry for name in chosen for _, entry in sorted(versions(store, name).items())]
    if args.json:
        options.print_json([_document(entry) for entry in found])
        return 0
    rows = [
        [
            f"{entry['name']}@{entry['version']}",
            str(entry["run"]),
            text.moment(cast("float", entry["time"])),
            ", ".join(f"{digest[:12]}" for digest in _digests(entry["artifact"])),
            "" if entry["metrics"] is None else json.dumps(untagged(entry["metrics"]), ensure_ascii=False),
        ]
        for entry in found
    ]
    print(text.table(["model", "run", "registered", "artifact", "metrics"], rows) if rows else "no models yet")
    return 0


def _document(entry: Mapping[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in entry.items() if name != "headwater"}


def _digests(tree: Json) -> list[str]:
    """Return the digests of what was registered: one, or those of its parts."""
    match tree:
        case {"digest": str(digest), "type": str()}:
            return [digest]
        case dict(inside):
            return [digest for inner in inside.values() for digest in _digests(inner)]
        case list(items):
            return [digest for item in items for digest in _digests(item)]
        case _:
            return []
