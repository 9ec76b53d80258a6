"""Stop a run from another terminal: what runs is stopped and recorded, the rest does not start.

hw cancel RUN
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.cli import options

if TYPE_CHECKING:
    import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("run_id", metavar="RUN", nargs="?", default="latest", help="a run's id, or how it begins")
    options.add_store(parser)


def run(args: argparse.Namespace) -> int:
    """Carry the command out."""
    print(f"asked run {options.records(args).cancel(args.run_id)} to stop")
    return 0
