"""The pages do what they say: their files are saved and their commands are run, word for word, each page in a folder.

A page takes part if it has a ``console`` block. In such a block a line that begins with ``$`` is a command, and the
lines below it are lines that it prints, perhaps with words left out. A block of any kind after a line that ends in
``… as `name`:`` is saved under that name. Other blocks are for reading.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "```console" in path.read_text(encoding="utf-8"))
#: `… saved as `units.py`:` before a block makes the block that file.
SAVE = re.compile(r"as `([\w./-]+)`:\s*$")
#: What must be there in the end, by page.
LEFT = {"first-pipeline.md": {"report.txt": "6 readings, 65.72 F on average, 76.8 F at most\n"}}


def blocks(page: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Give each fenced block: the line of text before it, its kind, its lines."""
    before, kind, body = "", None, list[str]()
    for line in page.read_text(encoding="utf-8").splitlines():
        if kind is not None and line == "```":
            yield before, kind, body
            before, kind, body = "", None, []
        elif kind is not None:
            body.append(line)
        elif line.startswith("```"):
            kind = line.removeprefix("```")
        elif line:
            before = line


def perform(page: Path, folder: Path, environment: dict[str, str]) -> Iterator[tuple[str, list[str], str]]:
    """Save the files of a page and run its commands in order; give each with what is shown and what it printed."""
    for before, kind, body in blocks(page):
        if saved := SAVE.search(before):
            path = folder / saved[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join([*body, ""]), encoding="utf-8")
        performed: list[tuple[str, list[str], str]] = []
        for line in body if kind == "console" else []:
            if line.startswith("$ "):
                performed.append((line[2:], [], output_of(line[2:], folder, environment)))
            else:
                performed[-1][1].append(line)
        yield from performed


def output_of(command: str, folder: Path, environment: dict[str, str]) -> str:
    if command == "pip install -e .":
        return install(folder)
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}"
    return done.stdout


def install(folder: Path) -> str:
    """Do what matters of an editable install, where no registry is reached and no environment is changed.

    The folder is on the path already; what makes its package known is the metadata beside it.
    """
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    known = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    known.mkdir()
    (known / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = []
    for group, table in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in table.items())]
    (known / "entry_points.txt").write_text("\n".join([*lines, ""]))
    return ""


@pytest.fixture
def environment(tmp_path):
    """Return the variables of a user whom nobody else's settings reach."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HEADWATER_", "AWS_"))}
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HEADWATER_CACHE": str(tmp_path / "cache"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }


@pytest.fixture
def bucket(tmp_path, request):
    """Give the variables under which S3 is a server of this test, which has the bucket ``our-bucket``."""
    if "s3://" not in request.getfixturevalue("page").read_text(encoding="utf-8"):
        yield {}
        return
    pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    end = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(urllib.request.Request(f"{url}/our-bucket", method="PUT"), timeout=5).close()
            break
        except urllib.error.URLError:
            assert time.monotonic() < end
            time.sleep(0.1)
    yield {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    server.stop()


def words(line: str) -> list[str]:
    """Split a line, with a placeholder for what differs from run to run: ids and durations."""
    line = re.sub(r"\d{8}-\d{6}-\w{6}", "RUN", line)
    return re.sub(r"\b\d+(\.\d+)?s\b", "SECONDS", line).split()


def shows(shown: str, printed: str) -> bool:
    """Say whether a line of the page is a line that was printed, perhaps with words left out."""
    rest = iter(words(printed))
    return all(word in rest for word in words(shown))


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page(page, tmp_path, environment, bucket):
    folder = tmp_path / "project"
    folder.mkdir()
    path = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = environment | bucket
    if any("$ pip install -e ." in body for _, _, body in blocks(page)):
        variables["PYTHONPATH"] = os.pathsep.join(path)
    for command, shown, printed in perform(page, folder, variables):
        missing = [line for line in shown if not any(shows(line, each) for each in printed.splitlines())]
        assert not missing, f"$ {command}\n{printed}"
    for name, text in LEFT.get(page.name, {}).items():
        assert (folder / name).read_text() == text


def test_a_line_that_was_not_printed_is_noticed():
    assert shows("ran 0.1s train", "ran          2.31s  train  (it has not run before)")
    assert not shows("ran train", "reused train")
    assert not shows("train ran", "ran train")
