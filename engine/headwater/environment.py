"""What a run was started in: git, Python, packages, platform; recorded, but no part of any key."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from typing import TYPE_CHECKING, cast

from headwater.digest import digest_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
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
    packages = dict(sorted(_installed()))
    return {
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "packages": cast("Json", packages),
    }


def _installed() -> Iterator[tuple[str, str]]:
    """Yield name and version of what is installed, from the names of folders alone: reading each takes a second."""
    for place in sys.path:
        try:
            names = os.listdir(place or ".")  # noqa: PTH208  names are all that is wanted
        except OSError:
            continue
        for name in names:
            stem, dot, kind = name.rpartition(".")
            if dot and kind in ("dist-info", "egg-info"):
                package, _, version = stem.partition("-")
                yield package.lower().replace("_", "-"), version.partition("-")[0]
