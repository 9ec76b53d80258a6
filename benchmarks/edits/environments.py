"""The environments that the tools run in: made once under a cache folder, one for each tool."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
import venv
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.edits.peers import Peer

ROOT = Path(__file__).resolve().parents[2]
#: Lets a case bring packages of its own, as if they were installed.
HOOK = "import os, site; 'EDITS_SITE' in os.environ and site.addsitedir(os.environ['EDITS_SITE'])\n"


def prepared(peer: Peer, cache: Path) -> Path:
    """Return the folder of the peer's programs; make its environment if there is none."""
    home = cache / peer.venv
    programs = home / "bin"
    if not (home / "ready").exists():
        venv.create(home, with_pip=True, clear=True)
        packages = peer.packages or (["-e", str(ROOT)] if peer.venv == "headwater" else [])
        if packages:
            subprocess.run([programs / "python", "-m", "pip", "install", "--quiet", *packages], check=True)
        (home / "ready").touch()
    script = "import sysconfig; print(sysconfig.get_path('purelib'))"
    found = subprocess.run([programs / "python", "-c", script], check=True, capture_output=True, text=True)
    Path(found.stdout.strip(), "edits.pth").write_text(HOOK)
    return programs


def version(peer: Peer, programs: Path) -> str:
    """Ask the environment which version of the tool it has; of headwater, which commit."""
    name = peer.packages[0] if peer.packages else "headwater"
    script = f"import importlib.metadata as m; print(m.version({name!r}))"
    found = subprocess.run([programs / "python", "-c", script], check=True, capture_output=True, text=True)
    number = found.stdout.strip()
    return number if peer.packages else f"{number} at {_commit()}"


def _commit() -> str:
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    return told.stdout.strip() or "no commit"


@contextlib.contextmanager
def server(programs: Path, home: Path) -> Iterator[dict[str, str]]:
    """Run Prefect's server on this machine, and tell the variables that lead to it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    api = f"http://127.0.0.1:{port}/api"
    environment = {**os.environ, "PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    command = [programs / "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait(f"{api}/health", process)
            yield {"PREFECT_HOME": str(home), "PREFECT_API_URL": api}
        finally:
            process.terminate()


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 120
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        if process.poll() is not None or time.monotonic() > until:
            sys.exit("Prefect's server does not start")
        time.sleep(1)
