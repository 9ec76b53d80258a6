"""The command line: words become one `Workspace` call, and its answer is printed. One module per command.

Only the module of the command that was asked for is imported, so that the command line answers at once.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from headwater.errors import RequestError

    class Command(Protocol):
        """A command's module."""

        def arguments(self, parser: argparse.ArgumentParser) -> None:
            """Add the command's arguments."""
            ...

        def run(self, args: argparse.Namespace) -> int:
            """Carry the command out; return the exit status."""
            ...


#: Command → one sentence. The order is that of a first day with headwater.
COMMANDS = {
    "init": "make a small working project in a folder",
    "run": "run a pipeline; what is unchanged is reused",
    "plan": "say what a run would do, and why, without doing it",
    "compile": "print or store a pipeline's definition",
    "definitions": "list, show, diff and number stored definitions",
    "models": "list the models that runs registered",
    "runs": "list runs; keep, pin or remove them",
    "show": "show one run, step by step",
    "logs": "print what steps wrote",
    "why": "say why a step ran or was reused",
    "diff": "compare two runs",
    "lineage": "trace an artifact, a file or a run up and down",
    "get": "copy an artifact to a file",
    "debug": "run one recorded step again in this process, with its exact inputs",
    "resume": "go on with a run whose driver stopped",
    "cancel": "stop a run from another terminal",
    "gc": "remove objects that no kept run reaches",
    "fsck": "check a store, and mend what can be mended",
    "trust": "say whose traces and code may be executed",
    "plugins": "list backends, codecs and listeners",
    "doctor": "check this machine, project and store",
    "completions": "print completions for bash, zsh or fish",
}

_USAGE = """\
usage: hw COMMAND [...]

Runs typed Python pipelines; reruns only what changed; remembers why.

commands:
{commands}

hw COMMAND --help explains one command. Exit status: 0 done, 1 a step failed,
2 wrong request or definition, 3 the environment is not as needed, 130 interrupted.
With --json stdout is one JSON document, of an error {{"error": {{...}}}}; messages go to stderr.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        print(_USAGE.format(commands="\n".join(f"  {name:<12} {text}" for name, text in COMMANDS.items())), end="")
        return 0
    if words[0] in ("-V", "--version"):
        from headwater import __version__

        print(f"headwater {__version__}")
        return 0
    if words[0] == "--complete":
        from headwater.cli.candidates import complete

        print("\n".join(complete(words[1:], commands=COMMANDS, parser_of=parser_of)))
        return 0
    if words[0] not in COMMANDS:
        return _told(_unknown(words[0]), as_json="--json" in words)
    status = _guarded(words[0], words[1:])
    if argv is None:
        from headwater.cli.leaving import leave

        leave(status)
    return status


def _unknown(word: str) -> RequestError:
    import difflib

    from headwater.errors import RequestError

    near = difflib.get_close_matches(word, COMMANDS, 1)
    hint = f"did you mean 'hw {near[0]}'?" if near else "hw --help lists the commands"
    return RequestError(f"there is no command named {word!r}", hint=hint)


def parser_of(name: str) -> argparse.ArgumentParser:
    """Return the parser of one command."""
    import argparse

    from headwater.cli.parser import Parser

    command = cast("Command", importlib.import_module(f"headwater.cli.{name}"))
    parser = Parser(
        prog=f"hw {name}",
        description=(command.__doc__ or "").strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--traceback", action="store_true", help="show Python's traceback of an error of headwater")
    command.arguments(parser)
    return parser


def _guarded(name: str, words: Sequence[str]) -> int:
    """Run one command; an error becomes its message on stderr and its exit status.

    With ``--json`` it also becomes the one document on stdout: ``{"error": {...}}``.
    """
    from headwater.errors import HeadwaterError

    args = None
    try:
        parser = parser_of(name)
        args = parser.parse_args(words) if name == "debug" else parser.parse_intermixed_args(words)
        args.given = [name, *words]
        command = cast("Command", importlib.import_module(f"headwater.cli.{name}"))
        status = command.run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output went away (`hw logs | head`): not an error, but Python must not try to flush again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (HeadwaterError, OSError, KeyboardInterrupt) as error:
        if "--traceback" in words:
            raise
        return _told(error, as_json="--json" in words, args=args)
    return status


def _told(error: BaseException, *, as_json: bool, args: argparse.Namespace | None = None) -> int:
    """Print an error and return its exit status."""
    from headwater.cli.place import told_again
    from headwater.cli.text import shown
    from headwater.errors import HeadwaterError, Interrupted, SetupError

    if isinstance(error, KeyboardInterrupt):
        told: HeadwaterError = Interrupted("interrupted")
    elif isinstance(error, HeadwaterError):
        told = error
    else:  # a disk that is full, a folder that may not be written, …
        told = SetupError(str(error))
    if told.hint is not None:
        told.hint = told_again(told.hint, args)
    print(f"error: {shown(str(told), sys.stderr)}", file=sys.stderr)
    if as_json:
        import json

        document = {
            "class": type(told).__name__,
            "message": told.sentence,
            "facts": {name: str(fact) for name, fact in told.facts.items()},
            "hint": told.hint,
            "exit_status": told.exit_status,
        }
        print(json.dumps({"error": document}, indent=2, ensure_ascii=False))
    return told.exit_status


if __name__ == "__main__":
    sys.exit(main())
