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
    if words[0] not in COMMANDS:
        return _unknown(words[0])
    return _guarded(words[0], words[1:])


def _unknown(word: str) -> int:
    import difflib

    near = difflib.get_close_matches(word, COMMANDS, 1)
    hint = f"did you mean 'hw {near[0]}'?" if near else "hw --help lists the commands"
    print(f"there is no command named {word!r}\n  hint: {hint}", file=sys.stderr)
    return 2


def parser_of(name: str) -> argparse.ArgumentParser:
    """Return the parser of one command."""
    import argparse

    command = cast("Command", importlib.import_module(f"headwater.cli.{name}"))
    parser = argparse.ArgumentParser(
        prog=f"hw {name}",
        description=(command.__doc__ or "").strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--traceback", action="store_true", help="show Python's traceback of an error of headwater")
    command.arguments(parser)
    return parser


def _guarded(name: str, words: Sequence[str]) -> int:
    """Run one command; an error becomes its message on stderr and its exit status."""
    from headwater.errors import HeadwaterError

    args = parser_of(name).parse_intermixed_args(words) if name != "debug" else parser_of(name).parse_args(words)
    command = cast("Command", importlib.import_module(f"headwater.cli.{name}"))
    try:
        status = command.run(args)
        sys.stdout.flush()
    except HeadwaterError as error:
        if args.traceback:
            raise
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output went away (`hw logs | head`): not an error, but Python must not try to flush again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


if __name__ == "__main__":
    sys.exit(main())
