"""What may come next on a command line: asked by shells through ``hw --complete WORD...``, answered at once.

Nothing is imported from a project: what a pipeline file holds is read off its syntax.
"""

from __future__ import annotations

import ast
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Collection, Iterator, Sequence

_MOST_FILES = 200
_MOST_RUNS = 50


def complete(
    words: Sequence[str], *, commands: Collection[str], parser_of: Callable[[str], argparse.ArgumentParser]
) -> list[str]:
    """Return what the last word, begun or empty, may become; the words are those after ``hw``."""
    *before, last = words or [""]
    if not before:
        return _fitting([*commands, "--help", "--version"], last)
    if before[0] not in commands:
        return []
    parser = parser_of(before[0])
    found: list[str] = []
    with contextlib.suppress(Exception):  # half a command line may be anything; no answer is one, too
        found = _fitting(_Line(parser, before[1:], last).candidates(), last)
    return found


def _fitting(candidates: Sequence[str], begun: str) -> list[str]:
    return [each for each in dict.fromkeys(candidates) if each.startswith(begun)]


class _Line:
    """A command's words so far, sorted into options and positions."""

    def __init__(self, parser: argparse.ArgumentParser, words: Sequence[str], last: str) -> None:
        self._options = {name: action for action in parser._actions for name in action.option_strings}  # noqa: SLF001
        self._positions = [action for action in parser._actions if not action.option_strings]  # noqa: SLF001
        self.last = last
        self.words: list[str] = []
        self.values: dict[str, str] = {}
        self._open: argparse.Action | None = None
        for word in words:
            self._take(word)

    def _take(self, word: str) -> None:
        action = self._options.get(word)
        if action is not None:
            self._open = action if action.nargs != 0 else None
        elif self._open is not None:
            self.values[self._open.dest] = word
            self._open = None
        else:
            self.words.append(word)

    def candidates(self) -> list[str]:
        if self._open is not None and self._open.nargs != "?":
            return self._values(self._open)
        if self.last.startswith("-"):
            return list(self._options)
        place = min(len(self.words), len(self._positions) - 1)
        found = self._values(self._positions[place]) if self._positions else []
        return found + (self._values(self._open) if self._open is not None else [])

    def _values(self, action: argparse.Action) -> list[str]:
        if action.choices is not None:
            return [str(each) for each in action.choices]
        metavar = str(action.metavar or "")
        if metavar == "TARGET":
            return _targets(self.last)
        if metavar == "name=value":
            return [f"{name}=" for name in _parameters(self.words[0] if self.words else "")]
        if metavar in ("[RUN] [STEP]", "WHAT", "RUN|DIGEST") or metavar.startswith("RUN"):
            return [*self._runs(), *(self._steps() if metavar == "[RUN] [STEP]" else [])]
        if metavar == "STEP":
            return self._steps()
        return _provided(metavar, action.dest, self)

    def _root(self) -> Path:
        from headwater.fingerprint import find_project

        target = self.words[0].partition(":")[0] if self.words else ""
        start = Path(self.values.get("project") or (target if target.endswith(".py") else "."))
        return find_project(start).root

    def store(self) -> str:
        from headwater.config import load_profile

        return load_profile(self._root(), name=self.values.get("profile"), store=self.values.get("store")).store

    def profiles(self) -> list[str]:
        import tomllib

        text = (self._root() / "headwater.toml").read_text(encoding="utf-8")
        return list(tomllib.loads(text).get("profile", {}))

    def _runs(self) -> list[str]:
        """Return the newest runs, read off the names in a local store."""
        from headwater.record import list_runs
        from headwater.store import open_store

        if "://" in self.store():
            return ["latest"]
        runs = list(list_runs(open_store(self.store(), create=False)))
        return ["latest", *reversed(runs[-_MOST_RUNS:])]

    def _steps(self) -> list[str]:
        """Return the steps of the run that is named, else of the latest; or those of the pipeline file."""
        from headwater.workspace import Workspace

        named = self.words[0] if self.words and not self.words[0].partition(":")[0].endswith(".py") else "latest"
        try:
            workspace = Workspace(project=self._root(), store=self.values.get("store"), create=False)
            return list(workspace.record(named).steps)
        except Exception:  # noqa: BLE001  no store yet
            return _decorated(Path(self.words[0].partition(":")[0]), "step") if self.words else []


def _provided(metavar: str, dest: str, line: _Line) -> list[str]:
    if dest == "backend":
        from headwater import providers

        return list(providers.names("backend"))
    if dest == "profile":
        return line.profiles()
    if metavar == "NAME[@N]":
        from headwater import pipelines
        from headwater.store import open_store

        store = open_store(line.store(), create=False)
        return [
            f"{each.name}@{each.number}" for name in pipelines.names(store) for each in pipelines.versions(store, name)
        ]
    return []


def _targets(begun: str) -> list[str]:
    """Return pipeline files and folders; after a colon, the pipelines of a file."""
    file, colon, _ = begun.partition(":")
    if colon:
        return [f"{file}:{name}" for name in _decorated(Path(file), "pipeline")]
    folder, _, start = begun.rpartition("/")
    prefix = f"{folder}/" if "/" in begun else ""
    found: list[str] = []
    for path in sorted(Path(prefix or ".").iterdir())[:_MOST_FILES]:
        if path.name.startswith((".", "__")) or not path.name.startswith(start):
            continue
        if path.is_dir():
            found.append(f"{prefix}{path.name}/")
        elif path.suffix == ".json" or (path.suffix == ".py" and _decorated(path, "pipeline")):
            found.append(prefix + path.name)
    return found


def _functions(path: Path) -> Iterator[ast.FunctionDef]:
    with contextlib.suppress(OSError, SyntaxError, ValueError):
        yield from (node for node in ast.parse(path.read_bytes()).body if isinstance(node, ast.FunctionDef))


def _is_decorated(function: ast.FunctionDef, name: str) -> bool:
    return any(name in ast.unparse(each).partition("(")[0].split(".") for each in function.decorator_list)


def _decorated(path: Path, name: str) -> list[str]:
    return [each.name for each in _functions(path) if _is_decorated(each, name)]


def _parameters(target: str) -> list[str]:
    file, _, name = target.partition(":")
    found = [each for each in _functions(Path(file)) if _is_decorated(each, "pipeline")]
    chosen = [each for each in found if each.name == (name or "main")] or found[:1]
    return [each.arg for function in chosen for each in (*function.args.args, *function.args.kwonlyargs)]
