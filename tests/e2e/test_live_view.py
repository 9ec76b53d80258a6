"""What a person sees of a run: in a real terminal, and where there is none."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

import pytest

from tests.projects import HW, Project

PIPELINE = """
    import time
    from headwater import over, pipeline, step

    @step
    def numbers(n: int) -> list[int]:
        return list(range(n))

    @step
    def twice(x: int) -> int:
        if x == 7:
            time.sleep(1.5)
        return x * 2

    @step
    def total(xs: list[int]) -> int:
        print("adding", len(xs))
        return sum(xs)

    @pipeline
    def main(n: int = 40) -> int:
        return total(twice.map(over(numbers(n))))
"""


def seen(project: Project, *words: str, columns: int = 80, status: int = 0, **variables: str) -> str:
    """Run a command in a terminal and return all that was written to it."""
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {**project.environment(**variables), "TERM": variables.get("TERM", "xterm")}
    stdout = side if words[0] != "run" else subprocess.DEVNULL
    process = subprocess.Popen(
        [*HW, *words], cwd=project.folder, env=environment, stdin=side, stdout=stdout, stderr=side
    )
    os.close(side)
    text, end = b"", time.monotonic() + 60
    while time.monotonic() < end:
        if select.select([main], [], [], 0.1)[0]:
            try:
                part = os.read(main, 65536)
            except OSError:  # the other end was closed
                break
            text += part
        elif process.poll() is not None:
            break
    os.close(main)
    assert process.wait(10) == status
    return text.decode()


def left_on_screen(text: str) -> list[str]:
    """Carry out the cursor movements that the view uses, and return the lines that stay."""
    lines: list[str] = []
    for part in re.split(r"(\x1b\[\d+A\x1b\[J)", text):
        up = re.fullmatch(r"\x1b\[(\d+)A\x1b\[J", part)
        if up:
            del lines[len(lines) - int(up[1]) :]
        else:
            lines.extend(part.replace("\r", "").split("\n")[:-1])
    return lines


@pytest.fixture
def counting(project: Project) -> Project:
    project.write(pipeline=PIPELINE)
    return project


def test_in_a_terminal(counting: Project) -> None:
    words = ["run", "pipeline.py", "--backend", "threads"]
    text = seen(counting, *words)
    assert re.search(r"twice: \d+ of 40 elements, \d at once", text)
    assert re.search(r"\d+ of 42 done, \d+s", text)
    assert "\x1b[32mran" in text
    stayed = left_on_screen(seen(counting, *words, "--force", NO_COLOR="1"))
    assert stayed[0].startswith("run ")
    assert [re.sub(r"\s+[\d.]+s", "", line).split("  (")[0].strip() for line in stayed[1:-1]] == [
        "ran  numbers",
        "ran  twice, 40 elements",
        "total | adding 40",
        "ran  total",
    ]
    assert re.fullmatch(r"succeeded in [\d.]+s: 42 ran", stayed[-1])


def test_colour_width_and_dumb_terminals(counting: Project) -> None:
    text = seen(counting, "run", "pipeline.py", "--backend", "threads", columns=30, NO_COLOR="1")
    assert "\x1b[3" not in text
    assert max(len(line) for part in re.findall(r"running .*", text) for line in part.splitlines()) < 31
    assert "\x1b" not in seen(counting, "run", "pipeline.py", "--force", TERM="dumb")


def test_time_left_is_told_from_the_second_run_on(counting: Project) -> None:
    counting.write(pipeline=PIPELINE.replace("if x == 7", "if x % 4 == 0").replace("1.5", "0.5"))
    assert counting.hw("run", "pipeline.py", "n=16").status == 0
    counting.write(pipeline=PIPELINE.replace("if x == 7", "if x % 4 == 0").replace("1.5", "0.51"))
    assert re.search(r"about \d+s left", seen(counting, "run", "pipeline.py", "n=32"))


def test_plain_lines(counting: Project) -> None:
    first = counting.hw("run", "pipeline.py")
    assert "\x1b" not in first.err
    assert len(first.err.splitlines()) == 6, first.err
    again = counting.hw("run", "pipeline.py")
    assert len(again.err.splitlines()) == 2
    assert again.err.rstrip().endswith("42 reused")
    told = counting.hw("run", "pipeline.py", "-v").err
    assert "twice[39]" in told
    assert len(told.splitlines()) > 42
    assert counting.hw("run", "pipeline.py", "-q").err == ""
    done = counting.hw("run", "pipeline.py", "--json")
    assert done.err == ""
    assert done.json["status"] == "succeeded"


def test_elements_that_fail_are_told_one_by_one(counting: Project) -> None:
    counting.write(pipeline=PIPELINE.replace("if x == 7:", "if x in (3, 5): raise ValueError(x)\n        if x == 7:"))
    done = counting.hw("run", "pipeline.py", "--keep-going")
    assert done.status == 1
    assert re.search(r"FAILED .*twice\[3\]", done.err)
    assert re.search(r"FAILED .*twice\[5\]", done.err)
    assert "2 FAILED" in done.err


def test_a_step_cannot_command_the_terminal(project: Project) -> None:
    project.write(
        pipeline="""
        from headwater import pipeline, step

        @step
        def prints() -> int:
            print("\\x1b]0;title\\x07 \\x1b[2J \\x1b[31mred\\x1b[0m tab\\tbed \\x9b2J")
            raise ValueError("\\x1b[2J in a message")

        @pipeline
        def main() -> int:
            return prints()
        """
    )
    spelt = "\\x1b]0;title\\x07 \\x1b[2J \x1b[31mred\x1b[0m tab\tbed \\x9b2J\x1b[0m"
    for words in (["run", "pipeline.py"], ["logs"], ["show"], ["why"], ["show", "latest", "prints"]):
        text = seen(project, *words, status=int(words[0] == "run"))
        assert "\x1b[2J" not in text
        assert "\x1b]0" not in text
        assert "\x9b" not in text
        assert (spelt if words[0] in ("run", "logs") else "in a message") in text, text
    raw = project.hw("logs").out
    assert "\x1b]0;title\x07 \x1b[2J" in raw
