"""Go on with a run whose driver stopped, with the code and the parameters of then.

hw resume RUN
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.cli import options
from headwater.cli.run import status_of, tell

if TYPE_CHECKING:
    import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("run_id", metavar="RUN", nargs="?", default="latest", help="a run's id, or how it begins")
    parser.add_argument("--backend", metavar="NAME", help="the backend of steps that name none")
    parser.add_argument("-v", "--verbose", action="store_true", help="a line for each step that is reused, too")
    parser.add_argument("-q", "--quiet", action="store_true", help="print failures only")
    options.add_json(parser)
    options.add_store(parser)


def run(args: argparse.Namespace) -> int:
    """Carry the command out."""
    from headwater.cli.live import live_view

    with live_view(is_quiet=args.quiet or args.json, is_verbose=args.verbose) as view:
        result = options.records(args).resume(args.run_id, view=view)
    tell(result, args)
    return status_of(result, args)
