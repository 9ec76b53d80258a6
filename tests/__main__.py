"""Run every gate: lint, format, types, layers, tests with coverage. The exit status is 0 if all hold.

With the names of gates as arguments, only those are run: `python -m tests ruff mypy`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
NO_TESTS_COLLECTED = 5

COVERAGE = [PYTHON, "-m", "coverage"]
PYTEST = [*COVERAGE, "run", "-m", "pytest", "-q", "-rsxX", "--durations=8", "-p", "no:cacheprovider"]


@dataclass(frozen=True, slots=True)
class Gate:
    """One thing that must hold: a name, and the commands that show it."""

    name: str
    commands: tuple[list[str], ...]
    #: Exit statuses that count as success.
    accepted: tuple[int, ...] = (0,)


def gates() -> list[Gate]:
    """Every gate, the quick ones first."""
    workers = str(min(os.cpu_count() or 1, 4))
    return [
        Gate("ruff", ([PYTHON, "-m", "ruff", "check", "."],)),
        Gate("format", ([PYTHON, "-m", "ruff", "format", "--check", "."],)),
        Gate("layers", ([PYTHON, "-c", "from importlinter.cli import lint_imports_command as c; c()"],)),
        Gate("mypy", ([PYTHON, "-m", "mypy"], [PYTHON, "-m", "mypy", "examples/flights"])),
        Gate("pyright", ([PYTHON, "-m", "pyright", "--pythonpath", PYTHON],)),
        Gate("tests", ([*PYTEST, "-m", "not chaos", "-n", workers, "--dist", "loadfile"],)),
        Gate("chaos", ([*PYTEST, "-m", "chaos"],), accepted=(0, NO_TESTS_COLLECTED)),
        Gate("coverage", ([*COVERAGE, "combine", "-q"], [*COVERAGE, "report"])),
    ]


def main(chosen: list[str]) -> int:
    """Run the gates of the given names, or all; print one line for each at the end."""
    every = gates()
    unknown = set(chosen) - {gate.name for gate in every}
    if unknown:
        print(f"no such gate: {', '.join(sorted(unknown))}; there are: {', '.join(gate.name for gate in every)}")
        return 2
    wanted = [gate for gate in every if not chosen or gate.name in chosen]
    left_out = missing_packages() if any(gate.name in {"tests", "chaos"} for gate in wanted) else []
    if "tests" in {gate.name for gate in wanted}:
        subprocess.run([*COVERAGE, "erase"], cwd=ROOT, check=True)
    results = [(gate, *perform(gate)) for gate in wanted]

    print()
    for gate, passed, seconds in results:
        print(f"{'passed' if passed else 'FAILED'}  {gate.name:<10} {seconds:6.1f} s")
    for name, suites in left_out:
        print(f"left out: {suites} (needs the system package {name})")
    complete = not (left_out and os.environ.get("CI"))
    if not complete:
        print("FAILED  in CI nothing may be left out")
    return 0 if complete and all(passed for _, passed, _ in results) else 1


def perform(gate: Gate) -> tuple[bool, float]:
    """Run one gate's commands until one fails; give whether it held and how long it took."""
    print(f"\n=== {gate.name}", flush=True)
    start = time.monotonic()
    passed = all(
        subprocess.run(command, cwd=ROOT, check=False, stdin=subprocess.DEVNULL).returncode in gate.accepted
        for command in gate.commands
    )
    return passed, time.monotonic() - start


def missing_packages() -> list[tuple[str, str]]:
    """Install the system packages that tests need where that can be done; give those still missing."""
    needed = [line.split("#", 1) for line in (ROOT / "system-packages.txt").read_text().splitlines() if line.strip()]
    rows = [(*part.split(), suites.strip()) for part, suites in needed if part.strip()]
    missing = [row for row in rows if shutil.which(row[1]) is None]
    apt = shutil.which("apt-get")
    if missing and apt and os.geteuid() == 0:
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        names = [row[0] for row in missing]
        subprocess.run([apt, "-qq", "update"], check=False, env=quiet, stdin=subprocess.DEVNULL)
        install = [apt, "-qq", "-y", "install", "--no-install-recommends", *names]
        subprocess.run(install, check=False, env=quiet, stdin=subprocess.DEVNULL)
    return [(row[0], row[2]) for row in missing if shutil.which(row[1]) is None]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
