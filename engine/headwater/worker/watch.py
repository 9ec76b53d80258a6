"""How much memory a process and its descendants hold, told from outside; and whether the kernel ran out of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_PROC = Path("/proc")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def memory_of(pid: int, *, limit: int) -> int:
    """Return the resident bytes of a process and its descendants; shared pages once, where that matters."""
    if not _PROC.is_dir():
        return _memory_by_ps(pid)
    members = _family(pid)
    total = sum(_resident(member) for member in members)
    if total <= limit or len(members) == 1:
        return total
    return sum(_proportional(member) for member in members)  # forked children share most pages


def oom_kills() -> int:
    """Return how often this machine's kernel has killed a process for want of memory; 0 where it does not tell."""
    try:
        lines = (_PROC / "vmstat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def _family(pid: int) -> list[int]:
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        try:
            for thread in os.listdir(_PROC / str(one) / "task"):  # noqa: PTH208  numbers
                todo += [int(child) for child in (_PROC / str(one) / "task" / thread / "children").read_text().split()]
        except OSError:
            continue
    return found


def _resident(pid: int) -> int:
    try:
        return int((_PROC / str(pid) / "statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0


def _proportional(pid: int) -> int:
    try:
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return _resident(pid)


def _memory_by_ps(pid: int) -> int:
    assert sys.platform != "win32"
    shown = subprocess.run(["ps", "-axo", "pgid=,rss="], capture_output=True, text=True, check=False)
    rows = [line.split() for line in shown.stdout.splitlines()]
    return sum(int(row[1]) for row in rows if len(row) == 2 and row[0] == str(pid)) * 1024
