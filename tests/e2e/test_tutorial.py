"""The tutorials do what they say: their files are saved and their commands are run, word for word."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TUTORIALS = Path(__file__).resolve().parents[2] / "docs" / "tutorials"
#: `… saved as `units.py`:` before a block makes the block that file.
SAVE = re.compile(r"as `([\w./-]+)`:\s*$")


def blocks(page: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Give each fenced block: the line of text before it, its kind, its lines."""
    before, kind, body = "", None, list[str]()
    for line in page.read_text(encoding="utf-8").splitlines():
        if kind is not None and line == "```":
            yield before, kind, body
            before, kind, body = "", None, []
        elif kind is not None:
            body.append(line)
        elif line.startswith("```"):
            kind = line.removeprefix("```")
        elif line:
            before = line


def perform(page: Path, folder: Path) -> list[tuple[str, list[str], str]]:
    """Save the files of a page and run its commands in order; give each with what is shown and what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADWATER_")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment["HEADWATER_CACHE"] = str(folder.parent / "cache")
    performed: list[tuple[str, list[str], str]] = []
    for before, kind, body in blocks(page):
        saved = SAVE.search(before)
        if saved:
            (folder / saved[1]).write_text("\n".join([*body, ""]), encoding="utf-8")
        for line in body if kind == "console" else []:
            if line.startswith("$ "):
                performed.append((line[2:], [], output_of(line[2:], folder, environment)))
            else:
                performed[-1][1].append(line)
    return performed


def output_of(command: str, folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        shlex.split(command),
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}"
    return done.stdout


def words(line: str) -> list[str]:
    """Split a line, with a placeholder for what differs from run to run: ids and durations."""
    line = re.sub(r"\d{8}-\d{6}-\w{6}", "RUN", line)
    return re.sub(r"\b\d+(\.\d+)?s\b", "SECONDS", line).split()


def shows(shown: str, printed: str) -> bool:
    """Say whether a line of the page is a line that was printed, perhaps with words left out."""
    rest = iter(words(printed))
    return all(word in rest for word in words(shown))


@pytest.mark.slow
def test_first_pipeline(tmp_path: Path) -> None:
    folder = tmp_path / "first"
    folder.mkdir()
    for command, shown, printed in perform(TUTORIALS / "first-pipeline.md", folder):
        missing = [line for line in shown if not any(shows(line, each) for each in printed.splitlines())]
        assert not missing, f"$ {command}\n{printed}"
    assert (folder / "report.txt").read_text() == "6 readings, 65.72 F on average, 76.8 F at most\n"
