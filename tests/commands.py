"""The real command line in a process of its own, on a project written for the test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

HW = [sys.executable, "-m", "headwater"]


@dataclass(frozen=True, slots=True)
class Done:
    """What a command came to."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout."""
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class Project:
    """A folder with a pipeline."""

    folder: Path

    def write(self, **files: str) -> None:
        """Write files: ``pipeline=...`` writes ``pipeline.py``, ``headwater_toml=...`` writes ``headwater.toml``."""
        for name, text in files.items():
            stem, _, suffix = name.rpartition("_")
            path = self.folder / (f"{stem}.{suffix}" if suffix in ("toml", "json", "csv", "txt") else f"{name}.py")
            path.write_text(dedent(text).lstrip())

    def environment(self, **variables: str) -> dict[str, str]:
        """Return the variables that a command gets: nothing of the tester's own headwater."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(("HEADWATER_", "NO_COLOR"))}
        place = self.folder.parent
        return {
            **own,
            "HEADWATER_CACHE": str(place / "cache"),
            "HEADWATER_KEY": str(place / "key" / "key.json"),
            "XDG_CACHE_HOME": str(place / "xdg"),
            "PYTHONDONTWRITEBYTECODE": "1",
            **variables,
        }

    def hw(self, *words: str, timeout: float = 120, text: str = "", **variables: str) -> Done:
        """Run a command to its end."""
        done = subprocess.run(
            [*HW, *words],
            cwd=self.folder,
            env=self.environment(**variables),
            input=text,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *words: str, **variables: str) -> subprocess.Popen[str]:
        """Start a command in a process group of its own, as a shell does.

        It is not measured: an exception that waits for a thread in a blocking call makes CPython 3.11 turn in circles
        under a trace function, and that is what a stopped step on `threads` is.
        """
        environment = self.environment(**variables)
        return subprocess.Popen(
            [*HW, *words],
            cwd=self.folder,
            env={name: value for name, value in environment.items() if not name.startswith("COVERAGE_")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def statuses(self, *words: str, **variables: str) -> dict[str, str]:
        """Run the pipeline and return step → status."""
        done = self.hw("run", "pipeline.py", "--json", *words, **variables)
        assert done.status == 0, done.err
        return {step["name"]: step["status"] for step in done.json["steps"]}
