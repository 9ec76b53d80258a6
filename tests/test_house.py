"""The house is in order: lists equal folders, sizes, layers, imports, the README."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_readme_has_exactly_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    start = readme.split("\n## ", 2)[1]
    assert start.startswith("Quick start\n")
    blocks = re.findall(r"^```\w*\n(.*?)^```$", start, flags=re.DOTALL | re.MULTILINE)
    assert len(blocks) == 2
    assert all(block.count("\n") == 1 for block in blocks)
    assert "hw run examples/flights/pipeline.py" in blocks[0]
    assert "python -m tests" in blocks[1]
