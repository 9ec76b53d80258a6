"""Arguments that several commands share, and the workspace that they ask for."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from headwater.errors import RequestError
from headwater.selection import EVERYTHING, Selection

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from headwater.digest import Json
    from headwater.request import RunOptions
    from headwater.workspace import Workspace

TARGET = "file.py, file.py:name, package.module:name, file.json or name@version"


def add_store(parser: argparse.ArgumentParser) -> None:
    """Add what chooses a store and a profile."""
    group = parser.add_argument_group("where")
    group.add_argument(
        "--store", metavar="URL", help="folder or URL; default: HEADWATER_STORE, the profile's, .headwater"
    )
    group.add_argument("--profile", metavar="NAME", help="a [profile.NAME] of headwater.toml")
    group.add_argument("--project", metavar="FOLDER", help="default: that of the target, else of this folder")


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def add_target(parser: argparse.ArgumentParser, *, nargs: str | None = None) -> None:
    """Add a target, its parameters, and what chooses steps of it."""
    parser.add_argument("target", metavar="TARGET", nargs=nargs, type=target_word, help=TARGET)
    parser.add_argument("words", metavar="name=value", nargs="*", help="parameters of the pipeline")
    parser.add_argument("-p", dest="more", metavar="name=value", action="append", default=[], help="the same")
    parser.add_argument("--params", metavar="FILE", help="parameters from a JSON or TOML file")
    parser.add_argument("--backend", metavar="NAME", help="the backend of steps that name none")
    steps = parser.add_argument_group("which steps")
    steps.add_argument("--only", metavar="STEP", action="append", default=[], help="only this step")
    steps.add_argument(
        "--from", dest="start", metavar="STEP", action="append", default=[], help="this step and all after it"
    )
    steps.add_argument("--until", metavar="STEP", action="append", default=[], help="this step and all that it needs")
    steps.add_argument(
        "--force",
        metavar="STEP",
        nargs="?",
        const=EVERYTHING,
        action="append",
        default=[],
        help="run this step, or without a name every step, though a result could be reused",
    )


def target_word(text: str) -> str:
    """Return a target as it was typed; raises ArgumentTypeError for an empty one."""
    import argparse

    if not text.strip():
        raise argparse.ArgumentTypeError(f"it is empty; it may be {TARGET}")
    return text


def count(text: str) -> int:
    """Read a number of things; raises ArgumentTypeError for what is none."""
    import argparse

    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of things: 0, 1, 2, …")
    return int(text)


def workspace(args: argparse.Namespace, *, create: bool = True) -> Workspace:
    """Return the workspace that the arguments ask for; without ``create`` its store must be there.

    For a stored version, ``NAME@2``, it must be there in any case. Raises RequestError for a project that is not there.
    """
    from headwater.workspace import Workspace

    if args.project and not Path(args.project).exists():
        raise RequestError(f"there is no folder {args.project}", hint="--project names the folder of a project")
    if create and "@" in (getattr(args, "target", None) or ""):
        from headwater.targets import stored_name

        create = stored_name(args.target) is None
    found = Workspace(
        project=args.project,
        store=args.store,
        profile=args.profile,
        backend=getattr(args, "backend", None),
        create=create,
    )
    found.is_fresh = True
    return found


def records(args: argparse.Namespace) -> Workspace:
    """Return the workspace to look into: its store must be there, and hold a run."""
    from headwater.cli.place import check_store

    found = workspace(args, create=False)
    check_store(found, args)
    return found


def run_options(args: argparse.Namespace) -> RunOptions:
    """Return what the arguments say of parameters and steps."""
    from headwater.parameters import read_file
    from headwater.request import RunOptions

    return RunOptions(
        selection=Selection(
            only=tuple(args.only), start=tuple(args.start), until=tuple(args.until), force=tuple(args.force)
        ),
        words=(*args.words, *args.more),
        file=read_file(Path(args.params)) if args.params else {},
        command=tuple(sys.argv),
    )


def print_json(document: Json) -> None:
    """Print one JSON document."""
    json.dump(document, sys.stdout, indent=2, ensure_ascii=False)
    print()


@contextmanager
def writing(name: str) -> Iterator[Path]:
    """Give the path that an option names, to be written inside; RequestError where that cannot be."""
    try:
        yield Path(name)
    except OSError as error:
        raise RequestError(
            f"{name} cannot be written", facts={"because": error.strerror or error}, hint="name another place with -o"
        ) from error
