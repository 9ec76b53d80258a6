"""A run goes on under a trace function: a debugger, or the measuring of coverage."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PIPELINE = """
from headwater import pipeline, step

@step
def one() -> int:
    return 1

@step
def two(x: int) -> int:
    return x + 1

@pipeline
def main() -> int:
    return two(one())
"""


@pytest.mark.parametrize("backend", ["inline", "threads"])
def test_a_run_under_a_trace_function_ends(tmp_path: Path, backend: str) -> None:
    (tmp_path / "pipeline.py").write_text(PIPELINE)
    trace = "import sys, threading; trace = lambda *event: None; sys.settrace(trace); threading.settrace(trace); "
    words = ["run", "pipeline.py", "--backend", backend, "--store", str(tmp_path / "store")]
    code = f"{trace}from headwater.cli import main; raise SystemExit(main({words}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=25, check=False
    )
    assert done.returncode == 0, done.stderr
