"""Ctrl-C, SIGTERM, SIGHUP and `hw cancel`: what runs is stopped and recorded; nothing is left behind."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from tests.projects import HW, Project

PIPELINE = """
    import os
    import time
    from pathlib import Path
    from headwater import over, pipeline, step

    @step
    def quick() -> int:
        return 1

    @step{options}
    def hang(x: int, k: int) -> int:
        Path({signs!r}, f"{{k}}-{{os.getpid()}}").touch()
        time.sleep(600)
        return x

    @pipeline
    def main() -> list[int]:
        return hang.map(quick(), over([1, 2]))
"""


def begun(project: Project, backend: str, *, options: str = "") -> tuple[subprocess.Popen[str], list[int]]:
    """Start a run and return when a step hangs, with the processes that are seen to perform steps."""
    signs = project.folder.parent / "signs"
    signs.mkdir()
    project.write(pipeline=PIPELINE.format(options=options, signs=str(signs)))
    process = project.start("run", "pipeline.py", "--backend", backend)
    end = time.monotonic() + 60
    while not list(signs.iterdir()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "no step began"
        time.sleep(0.05)
    time.sleep(0.5)
    return process, [int(path.name.partition("-")[2]) for path in signs.iterdir()]


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def ended(project: Project, process: subprocess.Popen[str], pids: list[int], *, within: float) -> str:
    """Check that the run ended so, was recorded so, and left no process; return what it told."""
    began = time.monotonic()
    try:
        _, told = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130, told
    assert time.monotonic() - began < within, told
    assert "cancelled" in told
    assert "Traceback (most recent call last):\n  File" not in told
    shown = project.hw("show", "--json").json
    assert shown["status"] == "cancelled"
    assert {step["name"]: step["status"] for step in shown["steps"]} == {
        "quick": "ran",
        "hang[0]": "cancelled",
        "hang[1]": "cancelled",
    }
    end = time.monotonic() + 10
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < end, f"left behind: {pids}"
        time.sleep(0.1)
    assert project.hw("fsck").status == 0
    return told


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=["ctrl-c", "sigterm", "sighup"])
@pytest.mark.parametrize(
    ("backend", "options"), [("inline", ""), ("inline", "(timeout=500)"), ("threads", "(timeout=500)"), ("dask", "")]
)
def test_once(project: Project, backend: str, options: str, number: signal.Signals) -> None:
    process, pids = begun(project, backend, options=options)
    os.killpg(process.pid, number)  # as a terminal does: to the whole process group
    ended(project, process, pids, within=20)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["inline", "threads", "dask"])
def test_twice_stops_at_once(project: Project, backend: str) -> None:
    """Also a step in a thread that sits in a system call, which nothing can interrupt."""
    process, pids = begun(project, backend)
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGINT)
    told = ended(project, process, pids, within=15)
    if backend == "threads":
        assert "Ctrl-C again stops at once" in told


@pytest.mark.slow
@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_a_terminal_that_is_closed_ends_its_run(project: Project, term: str) -> None:
    signs = project.folder.parent / "signs"
    signs.mkdir()
    project.write(pipeline=PIPELINE.format(options="(timeout=500)", signs=str(signs)))
    main, side = pty.openpty()
    process = subprocess.Popen(
        [*HW, "run", "pipeline.py", "--backend", "threads"],
        cwd=project.folder,
        env=project.environment(TERM=term),
        stdin=side,
        stdout=side,
        stderr=side,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509  nothing else runs here
    )
    os.close(side)
    end = time.monotonic() + 60
    while not list(signs.iterdir()):
        assert process.poll() is None
        assert time.monotonic() < end, "no step began"
        time.sleep(0.05)
    os.close(main)
    process.wait(30)
    shown = project.hw("show", "--json").json
    assert shown["status"] == "cancelled"
    (log,) = (project.folder / ".headwater" / "runs").glob("*/events-0001")
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [event["by"] for event in events if event["type"] == "cancel.requested"] == ["SIGHUP"]
    assert not any(is_alive(int(path.name.partition("-")[2])) for path in signs.iterdir())


@pytest.mark.slow
def test_from_another_terminal(project: Project) -> None:
    process, pids = begun(project, "threads", options="(timeout=500)")
    asked = project.hw("cancel", "latest")
    assert asked.status == 0
    assert "asked run" in asked.out
    ended(project, process, pids, within=20)
    again = project.hw("cancel", "latest")
    assert again.status == 2
    assert "is not running: it is cancelled" in again.err


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["inline", "threads"])
def test_a_thread_that_a_step_left_does_not_keep_the_command_alive(project: Project, backend: str) -> None:
    project.write(
        pipeline="""
        import threading
        import time
        from concurrent.futures import ThreadPoolExecutor
        from headwater import pipeline, step

        POOL = ThreadPoolExecutor(1)  # idle at the end: no trouble

        @step
        def leaves() -> int:
            threading.Thread(target=time.sleep, args=(600,), name="for ever").start()
            return POOL.submit(int, 7).result()

        @step
        def ends() -> int:
            threading.Thread(target=time.sleep, args=(2,), name="for a while").start()
            return 1

        @pipeline
        def main() -> list[int]:
            return [leaves(), ends()]
        """
    )
    done = project.hw("run", "pipeline.py", "--backend", backend, timeout=60)
    assert (done.status, done.json) == (0, [7, 1])
    warnings = [line for line in done.err.splitlines() if line.startswith("warning")]
    told = "warning: step 'leaves' left the thread 'for ever' running; it ends with this process"
    assert warnings == [told] * (backend == "inline")  # threads of a daemon's are daemons, which nobody waits for
    assert project.hw("show", "--json").json["status"] == "succeeded"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only the group of the step's process is ended")
def test_what_a_step_started_ends_with_a_driver_that_is_killed(project: Project) -> None:
    mark = project.folder.parent / "mark"
    project.write(
        pipeline=f"""
        import subprocess
        import time
        from pathlib import Path
        from headwater import pipeline, step

        @step(timeout=500)
        def starts() -> None:
            child = subprocess.Popen(["sleep", "600"], start_new_session=True)
            Path({str(mark)!r}).write_text(str(child.pid))
            time.sleep(600)

        @pipeline
        def main() -> None:
            starts()
        """
    )
    process = project.start("run", "pipeline.py")
    end = time.monotonic() + 60
    while not mark.exists() or not mark.read_text():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "no step began"
        time.sleep(0.05)
    process.kill()
    process.communicate()
    end = time.monotonic() + 10
    while is_alive(int(mark.read_text())):
        assert time.monotonic() < end, "left behind"
        time.sleep(0.1)
