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
#: Times that strays are looked for, at most: two are enough, but for a bomb.
_ROUNDS = 10


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
    for folder in groups.values():
        end_strays(folder)
    if groups:
        time.sleep(_SETTLE)
    for folder in groups.values():
        shutil.rmtree(folder, ignore_errors=True)


def end_strays(folder: str) -> None:
    """Kill the processes that a step started and that left its group: sessions of their own, daemons.

    They are told by the temporary folder that they inherited, however their parents ended. Only Linux shows that; and
    it does not find a process that was started with other variables.
    """
    if not os.path.isdir("/proc/self"):  # noqa: PTH112
        return
    for _ in range(_ROUNDS):  # one that was looked at may just have started another
        found = [pid for pid in _pids() if _is_from(pid, folder)]
        if not found:
            return
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue


def _pids() -> list[int]:
    own = os.getpid()
    return [int(name) for name in os.listdir("/proc") if name.isdecimal() and int(name) != own]  # noqa: PTH208


def _is_from(pid: int, folder: str) -> bool:
    """Tell whether a process has its temporary folder in ``folder``; a zombie has none."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as stream:  # noqa: PTH123
            variables = stream.read()
    except OSError:  # gone, or somebody else's
        return False
    return b"\0TMPDIR=" + os.fsencode(folder) + b"/" in b"\0" + variables


if __name__ == "__main__":
    main()
