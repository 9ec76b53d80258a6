"""Objects that were damaged on disk: noticed when they are read, and made again."""

from __future__ import annotations

import pytest

CHAIN = """
from headwater import pipeline, step

@step
def make() -> list[int]:
    return list(range(5000))

@step
def use(rows: list[int], k: int) -> int:
    return sum(rows) + k

@pipeline
def main(k: int = 1) -> int:
    return use(make(), k)
"""
TABLE = """
import pyarrow as pa
import pyarrow.compute as pc
from headwater import pipeline, step

@step
def make() -> pa.Table:
    return pa.table({"x": list(range(50_000))})

@step
def use(rows: pa.Table, k: int) -> int:
    return pc.sum(rows["x"]).as_py() + k

@pipeline
def main(k: int = 1) -> int:
    return use(make(), k)
"""


@pytest.mark.parametrize("pipeline", [CHAIN, TABLE], ids=["plain", "mapped"])
def test_a_damaged_input_is_refused_and_the_next_run_makes_it_anew(project, pipeline):
    project.write(pipeline=pipeline)
    assert project.statuses() == {"make": "ran", "use": "ran"}
    objects = [path for path in (project.folder / ".headwater" / "objects").rglob("*") if path.is_file()]
    (body,) = [path for path in objects if path.stat().st_size > 20_000]
    data = bytearray(body.read_bytes())
    data[len(data) // 2] ^= 1
    body.chmod(0o644)
    body.write_bytes(data)
    failed = project.hw("run", "pipeline.py", "k=2")
    assert failed.status != 0
    assert "run again: it was put aside" in failed.out + failed.err
    assert project.statuses("k=2") == {"make": "ran", "use": "ran"}
    assert project.statuses("k=3") == {"make": "reused", "use": "ran"}


@pytest.mark.parametrize("pipeline", [CHAIN, TABLE], ids=["plain", "mapped"])
def test_a_result_that_is_computed_again_replaces_its_damaged_object(project, pipeline):
    project.write(pipeline=pipeline)
    project.statuses()
    objects = [path for path in (project.folder / ".headwater" / "objects").rglob("*") if path.is_file()]
    (body,) = [path for path in objects if path.stat().st_size > 20_000]
    right = body.read_bytes()
    body.chmod(0o644)
    body.write_bytes(bytes(len(right)))
    assert project.statuses("--force", "make") == {"make": "ran", "use": "reused"}
    assert body.read_bytes() == right
    assert project.hw("fsck").status == 0
