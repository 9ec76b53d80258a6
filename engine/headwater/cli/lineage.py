"""Trace what something was made from, or what was made from it.

hw lineage latest train            # a step; latest/train is the same
hw lineage report.html             # a copy of what some step made; or how an artifact's digest begins
hw lineage data.csv                # a file that steps read: what was made from it
hw lineage latest --dot | dot -Tsvg > run.svg
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.cli import options

if TYPE_CHECKING:
    import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "thing",
        metavar="WHAT",
        nargs="?",
        default="latest",
        help="a run (default: the latest), RUN/STEP, a file, a digest",
    )
    parser.add_argument("step", metavar="STEP", nargs="?", help="a step, when WHAT is a run")
    parser.add_argument("--down", action="store_true", help="what was made from it: the default for a file")
    parser.add_argument("--up", action="store_true", help="what it was made from: else the default")
    parser.add_argument("--depth", metavar="N", type=options.count, help="only so many steps away")
    parser.add_argument("--dot", action="store_true", help="print a graph for Graphviz")
    options.add_json(parser)
    options.add_store(parser)


def run(args: argparse.Namespace) -> int:
    """Carry the command out."""
    from headwater.errors import RequestError
    from headwater.lineage import as_dot, as_text

    if args.up and args.down:
        raise RequestError("a trace goes up or down", hint="name one of --up and --down")
    workspace = options.records(args)
    direction = args.down if args.up or args.down else None
    found = workspace.lineage(args.thing, args.step, downstream=direction, depth=args.depth)
    if args.json:
        options.print_json(found.document())
    else:
        print(as_dot(found) if args.dot else as_text(found), end="")
    return 0
