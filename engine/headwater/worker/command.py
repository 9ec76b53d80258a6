"""Perform a command: a program with files in and files out, in a folder of its own."""

from __future__ import annotations

import os
import shlex
import shutil
import string
import subprocess
import sys
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from headwater.backend import StepFailure
from headwater.observed import LISTING
from headwater.types import Fault
from headwater.worker.failure import AttemptFailed, failed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from headwater.backend import Attempt
    from headwater.digest import Json

_TAIL = 30
_FOLDER = "/"


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """What is run: the document of a command, read."""

    argv: tuple[str, ...]
    shell: bool
    #: The output that takes what it prints.
    stdout: str | None
    #: Output → suffix of its file; ``"/"`` for a folder.
    suffixes: Mapping[str, str]


def command_of(document: Json) -> CommandSpec:
    """Read the document of a command."""
    given = cast("dict[str, Json]", document)
    return CommandSpec(
        argv=tuple(cast("list[str]", given["argv"])),
        shell=bool(given.get("shell")),
        stdout=cast("str | None", given.get("stdout")),
        suffixes=cast("dict[str, str]", given.get("suffixes") or {}),
    )


def run_command(
    attempt: Attempt,
    spec: CommandSpec,
    inputs: Mapping[str, object],
    *,
    scratch: Path,
    source: Callable[[str], bytes],
) -> dict[str, Path]:
    """Run a command and return output name → the path that it wrote. ``source`` gives a declared file's bytes.

    Raises a ``user`` failure with the last lines of the error stream when the program does.
    """
    folder = scratch / "work"
    folder.mkdir()
    _place_files(attempt, folder, source)
    outputs = {name: _output_path(scratch, name, spec.suffixes.get(name, "")) for name in attempt.outputs}
    texts = {name: _text(value) for name, value in inputs.items()} | {k: str(v) for k, v in outputs.items()}
    if spec.shell:
        line = spec.argv[0].format_map({name: shlex.quote(text) for name, text in texts.items()})
        argv = ["/bin/sh", "-c", line]
    else:
        argv = [_fill(part, texts) for part in spec.argv]
    _run(argv, folder, outputs[spec.stdout] if spec.stdout is not None else None)
    for name, path in outputs.items():
        if not path.exists():
            raise failed(Fault.USER, "OutputMissing", f"the command ended well, but did not write its output '{name}'")
    return outputs


def _place_files(attempt: Attempt, folder: Path, source: Callable[[str], bytes]) -> None:
    for name, value in attempt.files.items():
        target = folder / name
        if value.startswith(LISTING):
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source(name))
        target.chmod(0o755)


def _output_path(scratch: Path, name: str, suffix: str) -> Path:
    folder = scratch / "out" / name
    folder.mkdir(parents=True)
    if suffix == _FOLDER:
        path = folder / name
        path.mkdir()
        return path
    return folder / f"{name}{suffix}"


def _text(value: object) -> str:
    if isinstance(value, os.PathLike):
        return os.fspath(cast("os.PathLike[str]", value))
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _fill(part: str, texts: Mapping[str, str]) -> str:
    return string.Formatter().vformat(part, (), texts)


def _run(argv: list[str], folder: Path, stdout: Path | None) -> None:
    """Run a program; its error stream goes on as it comes, its end is kept."""
    last: deque[str] = deque(maxlen=_TAIL)
    program = shutil.which(argv[0], path=os.environ.get("PATH")) or argv[0]
    into = stdout.open("wb") if stdout is not None else None
    try:
        process = subprocess.Popen(
            argv, executable=_executable(program, folder), cwd=folder, stdout=into, stderr=subprocess.PIPE
        )
    except OSError as error:
        raise failed(Fault.CONFIG, "CannotStart", f"the command cannot be started: {error}") from error
    finally:
        if into is not None:
            into.close()
    with process:
        assert process.stderr is not None
        for raw in process.stderr:
            line = raw.decode("utf-8", "backslashreplace")
            last.append(line.rstrip("\n"))
            sys.stderr.write(line)
    if process.returncode:
        ending = f"exit code {process.returncode}" if process.returncode > 0 else f"signal {-process.returncode}"
        message = f"the command failed ({ending})" + (f": {last[-1]}" if last else "")
        raise AttemptFailed(StepFailure(Fault.USER, "CommandFailed", message, tuple(last)))


def _executable(program: str, folder: Path) -> str:
    """Return the program's path; a script that came along is meant relative to the folder."""
    own = folder / program
    return str(own) if not os.path.isabs(program) and own.is_file() else program  # noqa: PTH117
