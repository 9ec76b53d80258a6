"""What others may listen to: pluggy hook specifications, few and typed.

A hook is *everybody may listen*; it never changes the outcome. A hook that raises is reported and never breaks a run.
Listeners register a module or an object under the entry-point group ``headwater.hooks``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headwater.digest import Json
    from headwater.types import RunId

PROJECT = "headwater"

hookspec = pluggy.HookspecMarker(PROJECT)
#: Marks a listener's function.
hookimpl = pluggy.HookimplMarker(PROJECT)


class Hooks:
    """The specifications; a listener implements any of them by name."""

    @hookspec
    def headwater_run_started(self, run: RunId, pipeline: str, params: Mapping[str, Json]) -> None:
        """Tell that a run has begun."""

    @hookspec
    def headwater_step_finished(self, run: RunId, step: str, status: str, facts: Mapping[str, Json]) -> None:
        """Tell that a step has come to its end: ran, reused, failed, skipped or cancelled."""

    @hookspec
    def headwater_run_ended(self, run: RunId, pipeline: str, status: str, seconds: float) -> None:
        """Tell that a run has ended."""

    @hookspec
    def headwater_notify(self, run: RunId, step: str, message: str, value: Json) -> None:
        """Carry a message that a pipeline sent with ``notify(...)``."""


def manager() -> pluggy.PluginManager:
    """Return a plugin manager with the specifications and every installed listener that can be loaded."""
    made = pluggy.PluginManager(PROJECT)
    made.add_hookspecs(Hooks)
    from headwater import providers

    for name, point in providers.names("hook").items():
        made.register(point.load(), name=name)
    return made


def call(hook: Callable[..., object], report: Callable[[str], None], **facts: object) -> None:
    """Call one hook's listeners; what a listener raises is reported, never passed on."""
    try:
        hook(**facts)
    except Exception as error:  # noqa: BLE001  a listener may raise anything, and a run must not end by it
        report(f"a listener failed: {type(error).__name__}: {error}")
