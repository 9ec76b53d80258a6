"""Every row of the `.edits` files beside this module."""

from __future__ import annotations

from pathlib import Path

from tests.edits.row import read_rows

#: The file with the steps and the pipeline `main` of every row.
MAIN = "flow.py"

ROWS = [row for path in sorted(Path(__file__).parent.glob("*.edits")) for row in read_rows(path)]
