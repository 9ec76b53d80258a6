"""Ends step processes, and removes their folders, when the process that started them is gone.

Run as a script by :class:`headwater.worker.process.Guard`. It reads lines, ``+<group> <folder>`` and ``-<group>``;
the end of its input means that the parent has ended, however that happened: a pipe is closed by the kernel. It is a
process of its own because a step may hold the interpreter's lock for ever, and because a parent-death signal would
follow the thread that started the step, not the process, and would spare the step's own children.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time

_SETTLE = 0.05


def main() -> None:
    """Read what there is to guard until the parent is gone, then end it."""
    groups: dict[int, str] = {}
    for line in sys.stdin.buffer:
        sign, words = line[:1], line[1:].rstrip(b"\n").split(b" ", 1)
        if sign == b"+":
            groups[int(words[0])] = os.fsdecode(words[1])
        else:
            groups.pop(int(words[0]), None)
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except OSError:
            continue
    if groups:
        time.sleep(_SETTLE)
    for folder in groups.values():
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
