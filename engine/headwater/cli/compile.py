"""Print a pipeline's definition, or store it as the next version of its name.

hw compile pipeline.py                  # the canonical JSON
hw compile pipeline.py -o flights.json
hw compile pipeline.py --publish
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from headwater.cli import options, text
from headwater.cli.place import told_again

if TYPE_CHECKING:
    import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("target", metavar="TARGET", type=options.target_word, help=options.TARGET)
    parser.add_argument("-o", "--output", metavar="FILE", help="write the definition to a file")
    parser.add_argument("--publish", action="store_true", help="store it with its code, and number it")
    parser.add_argument("--digest", action="store_true", help="print the digest alone")
    options.add_json(parser)
    options.add_store(parser)


def run(args: argparse.Namespace) -> int:
    """Carry the command out."""
    from headwater.digest import canonical

    workspace = options.workspace(args)
    if args.publish:
        version = workspace.publish(args.target)
        if args.json:
            options.print_json(version.document() | {"present_code": version.refused or version.bundle})
            return 0
        label = f"{version.name}@{version.number}"
        print(f"{label}  {version.definition}")
        if version.refused is not None:
            stored = f"{version.bundle[:16]}, stored {text.moment(version.time)}"
            print(f"the definition is that of {label}, which keeps its code ({stored}):", file=sys.stderr)
            print(told_again(f"  hw run {label} runs that code", args), file=sys.stderr)
            print(f"  hw run {args.target} runs the code as it is now ({version.refused[:16]})", file=sys.stderr)
        return 0
    definition = workspace.compile(args.target).definition
    data = canonical(definition.document())
    if args.output:
        with options.writing(args.output) as path:
            path.write_bytes(data + b"\n")
    if args.digest:
        print(definition.digest)
    elif not args.output:
        options.print_json(definition.document())
    return 0
