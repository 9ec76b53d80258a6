"""List backends, codecs and listeners: from which package, which version, and whether they can be used.

hw plugins --check         # also import each one

Without --check nothing of a plugin is imported. HEADWATER_PLUGINS=none leaves out all that are not headwater's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from headwater.cli import options, text

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from importlib.metadata import EntryPoint

    from headwater.digest import Json

_KINDS = ("backend", "codec", "hook")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--check", action="store_true", help="import each; exit status 3 if one cannot be")
    options.add_json(parser)


@dataclass(frozen=True, slots=True)
class Plugin:
    """One provider or listener."""

    kind: str
    name: str
    package: str
    version: str
    #: What its entry point names.
    place: str
    #: registered, ok, left out, hidden; or why it cannot be used.
    state: str
    #: Whether it was imported, and could not be used.
    is_broken: bool = False

    def document(self) -> dict[str, Json]:
        """Return it as JSON."""
        return {
            "kind": self.kind,
            "name": self.name,
            "package": self.package,
            "version": self.version,
            "place": self.place,
            "state": self.state,
        }


def run(args: argparse.Namespace) -> int:
    """Carry the command out."""
    found = [plugin for kind in _KINDS for plugin in plugins(kind, check=args.check)]
    if args.json:
        options.print_json([plugin.document() for plugin in found])
    else:
        rows = [[each.kind, each.name, f"{each.package} {each.version}", each.place, each.state] for each in found]
        print(text.table(["kind", "name", "package", "place", "state"], rows))
    return 3 if any(plugin.is_broken for plugin in found) else 0


def plugins(kind: str, *, check: bool) -> Iterator[Plugin]:
    """Yield the providers of a kind, also those that are not used; with ``check`` each of the others is imported."""
    from headwater import providers
    from headwater.artifacts.choice import OWN

    if kind == "codec":
        from headwater import __version__

        for name, (module, attribute) in OWN.items():
            yield Plugin(kind, name, "headwater", __version__, f"headwater.artifacts.{module}:{attribute}", "ok")
    used = providers.names(kind)
    for point in sorted(entry_points(group=f"headwater.{kind}s"), key=lambda each: each.name):
        package, version = (point.dist.name, point.dist.version) if point.dist else ("unknown", "")
        if point.name not in used:
            yield Plugin(kind, point.name, package, version, point.value, "left out: HEADWATER_PLUGINS=none")
        elif used[point.name] != point:
            yield Plugin(kind, point.name, package, version, point.value, "hidden by another of that name")
        else:
            state, is_broken = _checked(kind, point) if check else ("registered", False)
            yield Plugin(kind, point.name, package, version, point.value, state, is_broken)


def _checked(kind: str, point: EntryPoint) -> tuple[str, bool]:
    from headwater import providers
    from headwater.errors import ProviderError

    try:
        providers.find(kind, point.name)
    except ProviderError as error:
        hint = f" ({error.hint})" if error.hint else ""
        return f"{error.sentence}{hint}", True
    return "ok", False
