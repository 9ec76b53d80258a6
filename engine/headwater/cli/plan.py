"""Say for every step whether it would be reused or run, and why; runs nothing and starts nothing.

hw plan pipeline.py depth=8
hw plan pipeline.py -o plan.json && hw run --plan plan.json
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from headwater.cli import options

if TYPE_CHECKING:
    import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    options.add_target(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help="write the plan to a file, for hw run --plan")
    options.add_json(parser)
    options.add_store(parser)


def run(args: argparse.Namespace) -> int:
    """Carry the command out."""
    plan = options.workspace(args).plan(args.target, run_options=options.run_options(args))
    if args.output:
        with options.writing(args.output) as path:
            path.write_text(json.dumps(plan.document(), indent=2) + "\n", encoding="utf-8")
    if args.json:
        options.print_json(plan.document())
    else:
        print(plan)
    return 0
