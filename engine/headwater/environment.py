"""What a run was started in: git, Python, packages, platform; recorded, but no part of any key."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib import metadata
from typing import TYPE_CHECKING

from headwater.digest import digest_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from headwater.digest import Json

_GIT_SECONDS = 10


def describe_git(project: Path) -> tuple[dict[str, Json] | None, bytes]:
    """Return commit, branch, whether the tree is dirty and the digest of its diff; and the diff.

    None where there is no git, or the project is in no repository. Nothing is fetched, no hook and no pager runs.
    """
    commit = _git(project, "rev-parse", "HEAD")
    if commit is None:
        return None, b""
    diff = _git(project, "diff", "HEAD", "--no-ext-diff", "--no-textconv", "--no-color", "--binary", "--", ".") or b""
    branch = _git(project, "rev-parse", "--abbrev-ref", "HEAD") or b""
    untracked = _git(project, "ls-files", "--others", "--exclude-standard", "--", ".") or b""
    described: dict[str, Json] = {
        "commit": commit.decode().strip(),
        "branch": branch.decode().strip(),
        "dirty": bool(diff.strip() or untracked.strip()),
        "diff": digest_bytes(diff) if diff else None,
        "untracked": len(untracked.splitlines()),
    }
    return described, diff


def _git(folder: Path, *words: str) -> bytes | None:
    try:
        done = subprocess.run(
            ["git", "-c", "core.fsmonitor=false", "-C", str(folder), *words],
            capture_output=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def describe_environment() -> dict[str, Json]:
    """Return Python, platform and every installed distribution with its version."""
    packages: dict[str, Json] = {}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        if name:
            packages.setdefault(name.lower().replace("_", "-"), distribution.version)
    return {
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "packages": dict(sorted(packages.items())),
    }
