"""Trace what something was made from, or what was made from it.

hw lineage report.html             # a file that a step read, or how an artifact's digest begins
hw lineage RUN train               # a step; RUN/train is the same
hw lineage data.csv --down         # everything that came out of a file
hw lineage RUN --dot | dot -Tsvg > run.svg
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.cli import options

if TYPE_CHECKING:
    import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "thing", metavar="WHAT", nargs="?", default="latest", help="a run, RUN/STEP, a file, or an artifact's digest"
    )
    parser.add_argument("step", metavar="STEP", nargs="?", help="a step, when WHAT is a run")
    parser.add_argument("--down", action="store_true", help="what was made from it, instead of what it was made from")
    parser.add_argument("--up", action="store_true", help="what it was made from: the default")
    parser.add_argument("--depth", metavar="N", type=int, help="only so many steps away")
    parser.add_argument("--dot", action="store_true", help="print a graph for Graphviz")
    options.add_json(parser)
    options.add_store(parser)


def run(args: argparse.Namespace) -> int:
    """Carry the command out."""
    from headwater.errors import RequestError
    from headwater.lineage import as_dot, as_text

    if args.up and args.down:
        raise RequestError("a trace goes up or down", hint="name one of --up and --down")
    workspace = options.workspace(args, create=False)
    found = workspace.lineage(args.thing, args.step, downstream=args.down, depth=args.depth)
    if args.json:
        options.print_json(found.document())
    else:
        print(as_dot(found) if args.dot else as_text(found), end="")
    return 0
