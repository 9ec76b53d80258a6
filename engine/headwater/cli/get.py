"""Copy an artifact out of the store: to a file, or print a plain value.

hw get RUN evaluate                        # plain values, as JSON
hw get RUN join -o joined.parquet          # a table: .parquet, .csv, .arrow
hw get RUN write_page page -o page.html    # one of several outputs
hw get 3f2a9c01 -o model.joblib            # by how its digest begins
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from headwater.cli import options

if TYPE_CHECKING:
    import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("thing", metavar="RUN|DIGEST", help="a run, or how the digest of an artifact begins")
    parser.add_argument("step", metavar="STEP", nargs="?", help="a step of the run")
    parser.add_argument("output", metavar="OUTPUT", nargs="?", help="one of the step's outputs, when it has several")
    parser.add_argument("-o", "--output-file", metavar="FILE", help="where to; - prints the stored bytes")
    parser.add_argument("-n", "--no-clobber", action="store_true", help="do not replace a file that is there")
    options.add_json(parser)
    options.add_store(parser)


def run(args: argparse.Namespace) -> int:
    """Carry the command out."""
    from headwater import export
    from headwater.errors import RequestError

    workspace = options.workspace(args, create=False)
    if args.step and not args.output and not args.output_file:
        several = workspace.artifacts(args.thing, args.step)
        if len(several) > 1 and all(each.type == "json" for each in several.values()):
            options.print_json({name: export.as_json(each, workspace.store) for name, each in several.items()})
            return 0
    artifact = workspace.artifact(args.thing, args.step, args.output)
    if args.output_file == "-":
        sys.stdout.buffer.write(export.body(artifact, workspace.store))
        return 0
    if args.output_file is None and artifact.type == "json":
        options.print_json(export.as_json(artifact, workspace.store))
        return 0
    name = args.output_file or export.suggested_name(artifact, args.output or args.step or artifact.digest[:12])
    path = Path(name)
    if path.exists() and (args.no_clobber or args.output_file is None):
        raise RequestError(f"{name} is there already", hint="name another file with -o, or this one to replace it")
    export.save(artifact, workspace.store, path)
    if artifact.type == "pickle":
        print("a pickle: written as it is, not opened; opening it runs code of whoever made it", file=sys.stderr)
    if args.json:
        options.print_json({"file": name, **{k: v for k, v in artifact.document().items() if k != "inline"}})
    else:
        print(name)
    return 0
