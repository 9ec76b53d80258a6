"""Say whose results and code may be used here.

hw trust                               # the keys, your own first
hw trust export ann.key                # give this file to those who may sign as you
hw trust add ann.key --name ann        # use what ann's key signed
hw trust remove 3f2a9c0111223344

What another key wrote is data only: its code is not executed and its pickles are not opened.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from headwater.cli import options, text
from headwater.errors import RequestError

if TYPE_CHECKING:
    import argparse

    from headwater.trust import Keyring


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    verbs = ["list", "export", "add", "remove"]
    parser.add_argument("verb", nargs="?", choices=verbs, default="list", help="default: list")
    parser.add_argument("word", metavar="FILE|ID", nargs="?", help="a file (- for a pipe), or a key's id for remove")
    parser.add_argument("--name", help="whose key is added")
    options.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Carry the command out."""
    from headwater.trust import Keyring

    keyring = Keyring.load()
    match args.verb:
        case "export":
            _export(keyring, args.word)
        case "add":
            key = keyring.add(_read(args.word), name=_named(args))
            print(f"{key.id} ({key.name}) is trusted", file=sys.stderr)
        case "remove":
            key = keyring.remove(_given(args.word, "which key?"))
            print(f"{key.id} ({key.name}) is trusted no longer", file=sys.stderr)
        case _:
            if not args.json:
                rows = [[key.id, key.name, "your own" if key.is_own else "trusted"] for key in keyring.listing()]
                print(text.table(["key", "name", "standing"], rows))
    if args.json:
        options.print_json([{"id": key.id, "name": key.name, "is_own": key.is_own} for key in keyring.listing()])
    return 0


def _export(keyring: Keyring, file: str | None) -> None:
    if file in (None, "-"):
        print(keyring.export())
        return
    path = Path(file)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.write(keyring.export() + "\n")
    except FileExistsError:
        raise RequestError(f"{file} is there already", hint="name another file") from None
    print(f"{file}: whoever has it can sign as you", file=sys.stderr)


def _read(file: str | None) -> str:
    if _given(file, "which file?") == "-":
        return sys.stdin.read()
    try:
        return Path(str(file)).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{file} cannot be read", facts={"because": error}) from None


def _named(args: argparse.Namespace) -> str:
    return args.name or (Path(args.word).stem if args.word not in (None, "-") else "unnamed")


def _given(word: str | None, question: str) -> str:
    if word is None:
        raise RequestError(question, hint="hw trust --help")
    return word
