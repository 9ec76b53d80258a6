"""Check this machine, the project and the store, and say what to do about what is missing.

The exit status is 3 if something that every run needs does not work.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from headwater.cli import options
from headwater.errors import HeadwaterError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from headwater.digest import Json
    from headwater.store import Store
    from headwater.workspace import Workspace

    Grade: TypeAlias = Literal["ok", "warn", "fail"]

#: Extra → a module that it brings, and what it is for.
_EXTRAS = {"s3": ("s3fs", "stores on S3")}
#: Modules that the base install brings and that a run needs.
_BASE = ("blake3", "dask", "distributed", "fsspec", "pluggy", "pyarrow", "structlog")
_LEAST_PYTHON = (3, 11)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check came to."""

    grade: Grade
    name: str
    message: str
    #: What to do about it.
    hint: str = ""

    def document(self) -> dict[str, Json]:
        """Return it as JSON."""
        return {"check": self.name, "grade": self.grade, "message": self.message, "hint": self.hint or None}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    options.add_json(parser)
    options.add_store(parser)


def run(args: argparse.Namespace) -> int:
    """Carry the command out."""
    workspace = options.workspace(args, create=False)
    findings: list[Finding] = []
    for check in _CHECKS:
        for finding in _guarded(check, workspace):
            findings.append(finding)
            if not args.json:
                print(f"{finding.grade:<4}  {finding.name:<10} {finding.message}")
                if finding.hint:
                    print(f"{'':<17}{finding.hint}")
    if args.json:
        options.print_json([finding.document() for finding in findings])
    return 3 if any(finding.grade == "fail" for finding in findings) else 0


def _guarded(check: Callable[[Workspace], Iterator[Finding]], workspace: Workspace) -> Iterator[Finding]:
    """Let a check that raises be a finding of its own."""
    name = check.__name__.strip("_")
    try:
        yield from check(workspace)
    except HeadwaterError as error:
        facts = "; ".join(f"{key}: {value}" for key, value in error.facts.items())
        yield Finding("fail", name, error.sentence + (f" ({facts})" if facts else ""), error.hint or "")
    except OSError as error:
        yield Finding("fail", name, str(error))


def _python(workspace: Workspace) -> Iterator[Finding]:
    del workspace
    version = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, {sys.executable}"
    if sys.version_info < _LEAST_PYTHON:
        yield Finding("fail", "python", version, "headwater needs Python 3.11 or later")
    else:
        yield Finding("ok", "python", version)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Finding("ok", "cores", f"{cores} of {os.cpu_count()} may be used")


def _packages(workspace: Workspace) -> Iterator[Finding]:
    del workspace
    missing = [name for name in _BASE if importlib.util.find_spec(name) is None]
    if missing:
        yield Finding("fail", "packages", f"not installed: {', '.join(missing)}", "pip install --upgrade headwater")
    else:
        yield Finding("ok", "packages", "everything that a run on this machine needs is installed")
    for extra, (module, purpose) in _EXTRAS.items():
        if importlib.util.find_spec(module) is None:
            message = f"extra '{extra}' is not installed: no {purpose}"
            yield Finding("warn", "extras", message, f"pip install 'headwater[{extra}]'")
        else:
            yield Finding("ok", "extras", f"{extra}: {purpose}")


def _project(workspace: Workspace) -> Iterator[Finding]:
    profile = workspace.profile
    yield Finding("ok", "project", f"{workspace.project.root}, profile {profile.name}, backend {profile.backend}")


def _store(workspace: Workspace) -> Iterator[Finding]:
    url = workspace.profile.store
    if "://" not in url and not Path(url).exists():
        yield _new_store(Path(url))
        return
    store = workspace.store
    yield Finding("ok", "store", f"{store.url} can be reached, exclusive create by {store.exclusive_create!r}")
    if not store.is_writable:
        yield Finding("fail", "store", "it can only be read by this version", "pip install --upgrade headwater")
        return
    yield from _writes(store)
    if store.root is not None:
        free = shutil.disk_usage(store.root).free
        grade: Grade = "ok" if free > 1 << 30 else "warn"
        hint = "" if grade == "ok" else "make room, or let old runs go: hw gc --keep 10"
        yield Finding(grade, "store", f"{free / (1 << 30):.1f} GiB free", hint)


def _new_store(place: Path) -> Finding:
    """Say whether the first run can make the store; nothing is made here."""
    above = next(folder for folder in place.parents if folder.exists())
    if above.is_dir() and os.access(above, os.W_OK):
        return Finding("ok", "store", f"{place} is not there yet: the first run makes it")
    return Finding("fail", "store", f"{place} cannot be made: {above} cannot be written", "name another with --store")


def _writes(store: Store) -> Iterator[Finding]:
    """Write, read and remove an object and a ref, as a run would."""
    import secrets

    path = f"tmp-doctor/{secrets.token_hex(8)}"
    if not store.create(path, b"{}") or store.create(path, b"{}"):
        yield Finding(
            "fail", "store", "a name can be created twice", "use a folder, or a server with conditional writes"
        )
        return
    store.delete(path)
    data = secrets.token_bytes(32)
    digest = store.put(data)
    if store.get(digest) != data:
        yield Finding("fail", "store", "what was written is not what is read")
    store.delete_object(digest)
    store.flush()
    yield Finding("ok", "store", "objects and names can be written, read and removed")


def _cache(workspace: Workspace) -> Iterator[Finding]:
    from headwater.sources import cache_folder

    del workspace
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f"doctor-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        hint = "name a folder that can be written with HEADWATER_CACHE; until then every start reads more than it must"
        yield Finding("warn", "cache", str(error), hint)
    else:
        yield Finding("ok", "cache", str(folder))


def _key(workspace: Workspace) -> Iterator[Finding]:
    from headwater.trust import key_path

    keyring = workspace.keyring
    path = key_path()
    mode = stat.S_IMODE(path.stat().st_mode)
    trusted = len(keyring.listing()) - 1
    yield Finding("ok", "key", f"{keyring.own.id} in {path}, mode {mode:o}; trusted besides: {trusted}")


def _backends(workspace: Workspace) -> Iterator[Finding]:
    from headwater import providers
    from headwater.errors import ProviderError

    wanted = workspace.profile.backend
    for name in providers.names("backend"):
        try:
            providers.find("backend", name)
        except ProviderError as error:
            yield Finding("fail" if name == wanted else "warn", "backend", error.sentence, error.hint or "")
        else:
            yield Finding("ok", "backend", name + (", the default here" if name == wanted else ""))
    if wanted not in providers.names("backend"):
        providers.find("backend", wanted)  # raises, and says which there are


def _git(workspace: Workspace) -> Iterator[Finding]:
    root = workspace.project.root
    if shutil.which("git") is None:
        yield Finding("warn", "git", "git is not installed: runs will not record the commit", "install git")
    elif not any((folder / ".git").exists() for folder in (root, *root.parents)):
        yield Finding("warn", "git", "the project is not in a git repository: runs cannot record a commit", "git init")
    else:
        yield Finding("ok", "git", "runs record the commit and what is not committed")


_CHECKS: tuple[Callable[[Workspace], Iterator[Finding]], ...] = (
    _python,
    _packages,
    _project,
    _store,
    _cache,
    _key,
    _backends,
    _git,
)
