"""Where a command looks, and how to say so again: a hint is a command that works when it is pasted."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from headwater.errors import StoreError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from headwater.workspace import Workspace

#: Commands that a store, a profile and a project can be named for.
_PLACED = "run|plan|compile|definitions|models|runs|show|logs|why|diff|lineage|get|debug|resume|cancel|gc|fsck|doctor"
_COMMAND = re.compile(rf"\bhw ({_PLACED})\b(?! --(?:help|project|store|profile)\b)")
_DEEPEST = 3
_NO_PLACES = {"node_modules", "site-packages", "__pycache__"}


def told_again(text: str, args: argparse.Namespace | None) -> str:
    """Return a text with its commands as they must be typed to look where this command looked."""
    words = [] if args is None or _COMMAND.search(text) is None else _words(args)
    return _COMMAND.sub(lambda found: shlex.join([*found.group().split(), *words]), text) if words else text


def _words(args: argparse.Namespace) -> list[str]:
    found: list[str] = []
    project = getattr(args, "project", None) or _project_of_target(args)
    for option, value in (
        ("--store", getattr(args, "store", None)),
        ("--profile", getattr(args, "profile", None)),
        ("--project", project),
    ):
        found += [option, str(value)] if value else []
    return found


def _project_of_target(args: argparse.Namespace) -> str | None:
    """Return the project that a target belongs to, where it is not that of the working directory."""
    target = getattr(args, "target", None)
    if not target:
        return None
    from headwater.fingerprint import find_project
    from headwater.targets import project_of

    root = project_of(str(target)).root
    return None if root == find_project(Path.cwd()).root else shown(root)


def shown(path: Path) -> str:
    """Return a path as one would type it: relative where it lies below the working directory."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def check_store(workspace: Workspace, args: argparse.Namespace) -> None:
    """Raise StoreError for a store that is not there, or holds no run; it names the stores in folders below."""
    from headwater.record import list_runs

    try:
        if args.store or args.project or next(iter(list_runs(workspace.store)), None) is not None:
            return
        error = StoreError("there are no runs in this store", facts={"store": workspace.store.url})
    except StoreError as missing:
        error = missing
    below = sorted(stores_below(Path.cwd()))
    if not below:
        if error.hint:
            raise error
        return  # an empty store: the command itself says what it misses
    name, *words = args.given
    raise StoreError(
        error.sentence,
        facts=error.facts | {"found below": ", ".join(shown(place / ".headwater") for place in below)},
        hint=f"name its project: {shlex.join(['hw', name, '--project', shown(below[0]), *words])}",
    )


def stores_below(folder: Path) -> Iterator[Path]:
    """Yield the folders below one that have a store of their own; a few levels deep."""
    for place, folders, _ in os.walk(folder):
        path = Path(place)
        if ".headwater" in folders and path != folder and (path / ".headwater" / "format").is_file():
            yield path
        is_deepest = len(path.relative_to(folder).parts) >= _DEEPEST
        folders[:] = (
            [] if is_deepest else [each for each in folders if not each.startswith(".") and each not in _NO_PLACES]
        )
