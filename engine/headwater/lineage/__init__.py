"""From what, by what, into what; and how two runs differ: answered from records alone."""

from headwater.lineage.difference import Difference, StepDifference, diff, diff_text
from headwater.lineage.pictures import as_dot, as_text
from headwater.lineage.walk import (
    Edge,
    Lineage,
    Node,
    Start,
    downstream,
    file_labels,
    folder_around,
    of_artifact,
    of_file,
    of_run,
    of_step,
    upstream,
)

__all__ = [
    "Difference",
    "Edge",
    "Lineage",
    "Node",
    "Start",
    "StepDifference",
    "as_dot",
    "as_text",
    "diff",
    "diff_text",
    "downstream",
    "file_labels",
    "folder_around",
    "of_artifact",
    "of_file",
    "of_run",
    "of_step",
    "upstream",
]
