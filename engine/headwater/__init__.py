"""headwater: a local-first engine that runs typed Python pipelines and reruns only what changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from headwater.artifacts import Dir as Dir
    from headwater.artifacts import File as File
    from headwater.artifacts import codec as codec
    from headwater.author.control import all_of as all_of
    from headwater.author.control import any_of as any_of
    from headwater.author.control import either as either
    from headwater.author.control import fail as fail
    from headwater.author.control import is_in as is_in
    from headwater.author.control import not_ as not_
    from headwater.author.control import notify as notify
    from headwater.author.control import otherwise as otherwise
    from headwater.author.control import over as over
    from headwater.author.control import register as register
    from headwater.author.control import when as when
    from headwater.author.pipeline import pipeline as pipeline
    from headwater.author.step import command as command
    from headwater.author.step import step as step
    from headwater.request import RunOptions as RunOptions
    from headwater.run import RunResult as RunResult
    from headwater.selection import Selection as Selection
    from headwater.types import Fault as Fault
    from headwater.types import Resources as Resources
    from headwater.types import Retry as Retry
    from headwater.workspace import Workspace as Workspace

#: Public name → the module that holds it; imported when first asked for (PEP 562).
_HOMES = {
    "Dir": "artifacts",
    "Fault": "types",
    "File": "artifacts",
    "Resources": "types",
    "Retry": "types",
    "RunOptions": "request",
    "RunResult": "run",
    "Selection": "selection",
    "Workspace": "workspace",
    "all_of": "author.control",
    "any_of": "author.control",
    "codec": "artifacts",
    "command": "author.step",
    "either": "author.control",
    "fail": "author.control",
    "is_in": "author.control",
    "not_": "author.control",
    "notify": "author.control",
    "otherwise": "author.control",
    "over": "author.control",
    "pipeline": "author.pipeline",
    "register": "author.control",
    "step": "author.step",
    "when": "author.control",
}

__all__ = [
    "Dir",
    "Fault",
    "File",
    "Resources",
    "Retry",
    "RunOptions",
    "RunResult",
    "Selection",
    "Workspace",
    "__version__",
    "all_of",
    "any_of",
    "codec",
    "command",
    "either",
    "fail",
    "is_in",
    "not_",
    "notify",
    "otherwise",
    "over",
    "pipeline",
    "register",
    "step",
    "when",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'headwater' has no attribute {name!r}")
    import importlib  # noqa: PLC0415

    value: object = getattr(importlib.import_module(f"headwater.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
