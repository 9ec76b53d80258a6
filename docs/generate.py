"""Write the reference pages from the code: `python docs/generate.py`; `--check` only says which are out of date.

What has no description in the code is refused: an option, a setting, a hook, a public name, a codec.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import sys
import textwrap
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

DOCS = Path(__file__).resolve().parent
ENGINE = DOCS.parent / "engine" / "headwater"

#: Environment variable → what it does. One that the code reads and that is not here fails the check.
VARIABLES = {
    "HEADWATER_SECRET_": "With a secret's name behind it: its value, which then only the step that asked for it sees.",
    "HEADWATER_STORE": "Folder or URL of the store; goes over the settings, and `--store` goes over it.",
    "HEADWATER_CACHE": "Folder of what is remembered outside the store, such as digests of source files.",
    "HEADWATER_IDEMPOTENCY_KEY": "Set for a command step: the same text in each attempt at the same effect.",
    "HEADWATER_KEY": "File of the key that signs what this user writes.",
    "HEADWATER_LOG": "`info` or `debug` prints the engine's own log to stderr; `json` prints it as JSON, a line each.",
    "HEADWATER_PLUGINS": "`none` runs without any plugin that is not part of headwater.",
}
#: Setting → what it does; those of a profile are the same but `profile`.
SETTINGS = {
    "store": "Folder, relative to the project, or URL. `.headwater` if nothing is said.",
    "backend": "Backend of every step that does not name one. `dask` if nothing is said.",
    "concurrency": "At most so many attempts at once; else as many as the backends can take.",
    "backends": "`[backends.NAME]`: settings of one backend.",
    "limits": "Group → how many of its steps may run at once; a step joins with `@step(limit=…)`.",
    "steps": "`[steps.NAME]`: what is otherwise for one step. `train-2` and `train[3]` are `train` here.",
    "keep": "How many ended runs of each pipeline `hw gc` keeps; else all.",
    "profile": "`[profile.NAME]`: any of the above, for those who say `--profile NAME`.",
}
#: Setting of one step → what it does.
STEP_SETTINGS = {
    "backend": "Where it runs. `step.using(backend=…)` in the code goes over it.",
    "resources": '`{ cpus = 8, memory = "16GiB", gpus = 1, named = { licences = 1 } }`, over those in the code.',
    "timeout": 'Seconds, or text such as `"5m"`, instead of what the code says.',
    "retry": "Number of further attempts, instead of what the code says.",
    "priority": "Among steps that could start, the higher goes first.",
}
#: Setting of the backend `threads`.
THREADS_SETTINGS = {"threads": "How many attempts at a time; the machine's cores if nothing is said."}


def main(words: list[str]) -> int:
    """Write each page, or compare it; the exit status is 1 if one was out of date and is to be checked only."""
    stale = []
    for name, text in pages().items():
        path = DOCS / "reference" / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in words:
            path.write_text(text, encoding="utf-8")
    if stale and "--check" in words:
        print(f"out of date: {', '.join(stale)}; write them anew with: python docs/generate.py")
        return 1
    return 0


def pages() -> dict[str, str]:
    """Give each page's text by its file name."""
    written = {
        "commands.md": commands(),
        "names.md": names(),
        "steps.md": steps(),
        "values.md": values(),
        "python.md": python(),
        "plugins.md": plugins(),
        "settings.md": settings(),
        "errors.md": errors(),
    }
    return {name: plain_ticks(text) for name, text in written.items()}


# ------------------------------------------------------------------------------------------------- the command line


def commands() -> str:
    """Give one section for each command of the command line."""
    os.environ["COLUMNS"] = "100"  # argparse folds its text at the terminal's width
    os.environ["NO_COLOR"] = "1"
    from headwater.cli import COMMANDS, parser_of

    sections = []
    for name, sentence in COMMANDS.items():
        parser = parser_of(name)
        required(
            (f"hw {name} {action.option_strings or action.dest}", action.help)
            for action in parser._actions  # noqa: SLF001  argparse has no other way to list them
        )
        sections.append(f"## hw {name}\n\n{sentence.capitalize()}.\n\n```text\n{parser.format_help().strip()}\n```\n")
    head = "# Commands\n\n`hw` and `headwater` are the same program.\n"
    return "\n".join([head, *sections])


# --------------------------------------------------------------------------------------------------- names and steps


def names() -> str:
    """Give one section for each name that `headwater` exports."""
    import headwater

    exported = [name for name in headwater.__all__ if not name.startswith("__")]
    sections = [section(name, getattr(headwater, name)) for name in exported]
    return "\n".join(["# Names to import\n\n`from headwater import …`\n", *sections])


def steps() -> str:
    """Give the options of steps, calls and commands, and what a step can do."""
    from headwater.author import commands as command
    from headwater.author import control, options, pipeline
    from headwater.author import step as function

    parts = [
        "# Steps and pipelines",
        "Every option that a step takes, and every way to call one.",
        "## Options of @step",
        '`@step`, or `@step(retry=3, timeout="5m")`. Each of them can be set for one call with `.using(…)`, too.',
        table(["option", "type", "default", "meaning"], with_defaults(rows_of(options.StepOptions))),
        "## Options of .using",
        (
            '`train.using(name="small", backend="inline")(data)`: the same step, for this call with other options. '
            "It takes the options of `@step`, and these:"
        ),
        table(["option", "type", "meaning"], rows_of(options.CallOptions)),
        "## Options of command",
        "`command(line, outputs=…, …)` takes the options of `@step`, and these:",
        table(["option", "type", "meaning"], rows_of(command.CommandOptions)),
        indented(inspect.getdoc(command) or "", drop_title=True),
        "## A step",
        inspect.getdoc(function.Step) or "",
        bullets(function.Step),
        "## A command",
        inspect.getdoc(command.Command) or "",
        bullets(command.Command),
        "## An effect: register, notify",
        inspect.getdoc(control.Effect) or "",
        bullets(control.Effect),
        "## A pipeline",
        inspect.getdoc(pipeline.Pipeline) or "",
        bullets(pipeline.Pipeline),
        f"A parameter of a pipeline is of type {_allowed()}.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def with_defaults(rows: Iterable[Sequence[str]]) -> list[list[str]]:
    """Put the value that stands where nothing is said into each row of an option."""
    from headwater.graph import Options

    said = Options()
    known = {"name": "the function's", "resources": "one core", "retry": "none", "env": "none"}
    found = []
    for name, kind, text in rows:
        value = getattr(said, name[1:-1], None)
        found.append([name, kind, known.get(name[1:-1], "none" if value == () else f"`{value}`"), text])
    return found


def _allowed() -> str:
    from headwater.author.schemas import _ALLOWED as ALLOWED

    return ALLOWED


def values() -> str:
    """Give which values can be stored, by which codec, and what each codec promises."""
    from headwater import values as forms
    from headwater.artifacts import Codec, choice, find_codec

    classes: dict[str, list[str]] = {name: [] for name in choice.OWN}
    for (package, name), chosen in choice._BY_CLASS.items():  # noqa: SLF001  the table itself is what is shown
        classes[chosen].append(name if package == "builtins" else f"{package}.{name}")
    plain = sorted("None" if cls is type(None) else cls.__name__ for cls in choice._PLAIN)  # noqa: SLF001
    modules = sorted(choice._PLAIN_MODULES)  # noqa: SLF001
    classes["json"] = [*plain, *(f"{module}.*" for module in modules), "Enum", "dataclass", "NamedTuple", "TypedDict"]
    classes["pickle"] = ["anything, only if asked for"]
    rows, details = [], []
    for name in choice.OWN:
        found = type(find_codec(name))
        rows.append([f"`{name}`", ", ".join(f"`{cls}`" if " " not in cls else cls for cls in classes[name])])
        required([(f"codec {name}", inspect.getdoc(found))])
        text = inspect.getdoc(inspect.getmodule(found)) or ""
        about = f"{inspect.getdoc(found)}\n\n{text.partition(chr(10))[2].strip()}" if name in ("arrow", "npy") else ""
        details.append(f"### {name}\n\n{about or inspect.getdoc(found)}")
    parts = [
        "# What can be stored",
        (
            "A step may take and return values of these types. The declared type chooses the codec; where nothing is "
            "declared (no annotation, `Any`, a union of several), the value does."
        ),
        table(["codec", "types"], rows),
        (
            "Lists, tuples, dicts and sets of plain values are plain values, and so are those that hold a `File` or "
            "`Dir`. A table or an array inside a list is refused: return it as an output of its own."
        ),
        (
            "A frozen dataclass, a `NamedTuple` or a tuple of fixed length as the declared result is taken apart: each "
            "field is an output, with a codec of its own, and can be an input of another step alone. "
            'To store one in one piece, say so: `Annotated[Report, codec("json")]`.'
        ),
        "## Plain values",
        (inspect.getdoc(forms) or "").partition("\n")[2].strip(),
        "## Any other type",
        (
            "There are three ways: write a file and return a `File`; "
            '[write a codec](../how-to/store-my-own-type.md); or ask for a pickle: `Annotated[Model, codec("pickle")]`.'
        ),
        (
            "A pickle is made only where the author asks for one. Equal values may have different pickles, so what "
            "follows may rerun without need. Reading a pickle runs code, so it is read only if your own key signed it, "
            "or one that you trust with `hw trust add`; else it is refused with a `TrustError`. `hw get` copies it as "
            "it is."
        ),
        "## The codecs",
        *details,
        "## Writing one",
        f"See [the seam](plugins.md#codec): {(inspect.getdoc(Codec) or '').partition(chr(10))[0]}",
    ]
    return "\n\n".join(parts) + "\n"


# ---------------------------------------------------------------------------------------------------- use from Python


def python() -> str:
    """Give what programs and notebooks use: the workspace, its options, what comes back."""
    shown = ["Workspace", "RunOptions", "Selection", "Plan", "Foreseen", "RunResult", "View", "RunRecord", "StepRecord"]
    shown += ["AttemptRecord", "RunStatus", "StepStatus", "Difference", "Lineage"]
    parts = [
        (
            "# Use from Python\n\nWhat `pipeline.run(…)`, `pipeline.plan(…)` and `Workspace` take and give. "
            "How they are used: [from Python and in notebooks](../how-to/use-from-python.md).\n"
        )
    ]
    parts += [section(name, found_by_name(name)) for name in shown]
    return "\n".join(parts)


def found_by_name(name: str) -> type[object]:
    """Return a class of the engine, from whichever module defines it."""
    for path in sorted(ENGINE.rglob("*.py")):
        if re.search(rf"^class {name}\b", path.read_text(encoding="utf-8"), re.MULTILINE):
            module = ".".join(path.relative_to(ENGINE.parent).with_suffix("").parts).removesuffix(".__init__")
            return cast("type[object]", getattr(importlib.import_module(module), name))
    raise SystemExit(f"docs/generate.py: no module of the engine defines {name}")


# ------------------------------------------------------------------------------------------------ for plugins' authors


def plugins() -> str:
    """Give the seams: entry points, hooks, what a backend, a codec and a store promise, and their contract suites."""
    from headwater import backend, hooks, testing, worker
    from headwater.artifacts import seam
    from headwater.worker import ledger

    specs = [(name, each) for name, each in vars(hooks.Hooks).items() if name.startswith("headwater_")]
    required((f"hook {name}", inspect.getdoc(each)) for name, each in specs)
    groups = [
        ["`headwater.backends`", '`name = "package.module:Class"`', "a class called with a `BackendContext`"],
        ["`headwater.codecs`", '`name = "package.module:instance"`', "a codec, or a class of one"],
        ["`headwater.hooks`", '`name = "package.module"`', "a module or object with functions marked `@hookimpl`"],
    ]
    parts = [
        "# Seams for plugin authors",
        (
            "A plugin is a package that names what it offers under an entry point in its `pyproject.toml`. Nothing of "
            "it is imported before it is asked for. `hw plugins --check` lists what is installed and imports each."
        ),
        table(["group", "entry", "what it names"], groups),
        (
            "A store needs no plugin: any place that [fsspec](https://filesystem-spec.readthedocs.io) reaches will do, "
            "if it can create a file exclusively. A secret is read from the environment of the worker."
        ),
        (
            f"Interface {backend.INTERFACE}. How-to: [write a backend](../how-to/write-a-backend.md), "
            "[store my own type](../how-to/store-my-own-type.md), [listen to runs](../how-to/listen-to-runs.md)."
        ),
        "## Hooks",
        (inspect.getdoc(hooks) or "").partition("\n")[2].strip() + " Import the mark: "
        "`from headwater.hooks import hookimpl`.",
        *(f"### {name}\n\n```python\n{declaration(name, each)}\n```\n\n{inspect.getdoc(each)}" for name, each in specs),
        "## Backends",
        (inspect.getdoc(backend) or "").partition("\n")[2].strip(),
        *(_seam(backend, name) for name in ("Backend", "BackendContext", "Capabilities", "Capability", "Attempt")),
        *(_seam(backend, name) for name in ("Report", "Outcome", "StepFailure", "LogLine")),
        "## What a backend may use",
        "The worker is the same everywhere; a backend only decides where it works.",
        *(_seam(worker, name) for name in ("StepPool", "perform_alone")),
        _seam(ledger, "Ledger"),
        "## Codec",
        *(_seam(seam, name) for name in ("Codec", "Sink", "Source")),
        "## Contract suites",
        "A plugin's tests inherit the suite of its kind; it needs pytest. Each clause is one test.",
        *(_suite(name, getattr(testing, name)) for name in testing.__all__),
    ]
    return "\n\n".join(parts) + "\n"


def _seam(module: object, name: str) -> str:
    return section(name, getattr(module, name), level=3).strip()


def _suite(name: str, suite: type[object]) -> str:
    tests = [(each, test) for each, test in vars(suite).items() if each.startswith("test_")]
    required((f"{name}.{each}", inspect.getdoc(test)) for each, test in tests)
    clauses = "\n".join(f"- {' '.join((inspect.getdoc(test) or '').split())}" for _, test in tests)
    return f"### {name}\n\n`from headwater.testing import {name}`. {inspect.getdoc(suite)}\n\n{clauses}"


# ------------------------------------------------------------------------------------------------ settings and errors


def settings() -> str:
    """Give every setting and the environment variables."""
    from headwater import config
    from headwater_dask import cluster

    text = inspect.getdoc(config) or ""
    title, _, rest = text.partition("\n")
    example = inspect.cleandoc("\n" + rest.partition("::\n")[2])
    before = rest.partition("::\n")[0].strip()
    same_names("settings", config._TOP, SETTINGS)  # noqa: SLF001  what is checked is what is shown
    same_names("settings of a step", config._STEP, STEP_SETTINGS)  # noqa: SLF001
    found = {
        match
        for path in sorted(ENGINE.rglob("*.py"))
        if "testing" not in path.parts
        for match in re.findall(r'"(HEADWATER_[A-Z_]+)"', path.read_text(encoding="utf-8"))
    }
    same_names("environment variables", found, VARIABLES)
    dask = [[name, kind, text] for name, kind, text in rows_of(cluster.Settings)]
    parts = [
        "# Settings",
        title.replace("``", "`"),
        f"{before}:",
        f"```toml\n{example}\n```",
        table(["setting", "meaning"], [[f"`{name}`", SETTINGS[name]] for name in config._TOP]),  # noqa: SLF001
        "## Settings of one step",
        "In `[steps.NAME]` or `[profile.NAME.steps.NAME]`.",
        table(["setting", "meaning"], [[f"`{name}`", STEP_SETTINGS[name]] for name in config._STEP]),  # noqa: SLF001
        "## Settings of the backend dask",
        "In `[backends.dask]` or `[profile.NAME.backends.dask]`.",
        table(["setting", "type", "meaning"], dask),
        "## Settings of the backend threads",
        table(["setting", "meaning"], [[f"`{name}`", text] for name, text in THREADS_SETTINGS.items()]),
        "The backend `inline` has none.",
        "## Environment variables",
        table(["variable", "meaning"], [[f"`{name}`", VARIABLES[name]] for name in sorted(found)]),
    ]
    return "\n\n".join(parts) + "\n"


def errors() -> str:
    """Give the tree of errors and the exit statuses."""
    from headwater import errors as module

    title, _, rest = (inspect.getdoc(module) or "").partition("\n")
    tree, _, after = rest.strip().partition("\n\n")
    from headwater.types import Fault

    parts = [
        f"# Errors and exit statuses\n\n{title}\n\n```text\n{tree}\n```\n\n{after.strip()}",
        "## Faults",
        (
            "Why an attempt did not succeed. The fault decides what happens next; `Retry(on=(Fault.USER, …))` names "
            "those that count."
        ),
        fields_of(Fault),
        section("HeadwaterError", module.HeadwaterError).strip(),
    ]
    return "\n\n".join(parts) + "\n"


# ------------------------------------------------------------------------------------------------------ how it is laid


def section(name: str, thing: object, *, level: int = 2) -> str:
    """Lay out one name: its declaration, its description, its fields and its methods."""
    text = _description(thing)
    required([(name, text)])
    parts = [f"{'#' * level} {name}", f"```python\n{declaration(name, thing)}\n```", text]
    if inspect.isclass(thing):
        parts.append(fields_of(thing))
        parts.append(bullets(thing))
    elif example := _example(thing):
        parts.append(example)
    parts.append(f"*`from {home_of(name, thing)} import {name}`*")
    return "\n\n".join(part for part in parts if part) + "\n"


def fields_of(cls: type[object]) -> str:
    """Lay out the members of an enum, or the fields of a class that have a comment."""
    rows = rows_of(cls, all_described=False)
    if issubclass(cls, Enum):
        members = cast("dict[str, Enum]", cls.__members__)
        return table(
            ["member", "value", "meaning"], [[name, f"`{members[name[1:-1]].value}`", text] for name, _, text in rows]
        )
    rows = [row for row in rows if row[2]]
    return table(["field", "type", "meaning"], rows) if rows else ""


def home_of(name: str, thing: object) -> str:
    """Return the shortest module to import a name from."""
    module = str(getattr(thing, "__module__", ""))
    parts = module.split(".")
    homes = (".".join(parts[:end]) for end in range(1, len(parts)))
    return next((home for home in homes if getattr(importlib.import_module(home), name, None) is thing), module)


def _description(thing: object) -> str:
    """Return a docstring; a dataclass without one of its own has none."""
    text = inspect.getdoc(thing) or ""
    return "" if text.startswith(f"{getattr(thing, '__name__', '')}(") else text


def _example(thing: object) -> str:
    """Return the comment above a module's variable, such as that of an effect."""
    kind = type(thing)
    module = sys.modules[kind.__module__]
    if not kind.__module__.startswith("headwater."):
        return ""
    name = next((name for name, value in vars(module).items() if value is thing), "")
    comments = commented(ast.parse(inspect.getsource(module)).body, inspect.getsource(module).splitlines())
    return comments.get(name, ("", ""))[1]


def declaration(name: str, thing: object) -> str:
    """Write a function's or a class's first line."""
    thing = getattr(thing, "_function", thing)  # an effect is called as its function is
    try:
        signature = str(inspect.signature(cast("Callable[..., object]", thing))) if callable(thing) else ""
    except (TypeError, ValueError):
        signature = ""
    signature = re.sub(r" at 0x[0-9a-f]+", "", signature).replace("<factory>", "…")
    signature = re.sub(r"(: |-> )'([^']*)'", r"\1\2", signature)  # annotations are text
    signature = re.sub(r"(: |-> )\"([^\"]*)\"", r"\1\2", signature)
    signature = re.sub(r"<([\w.]+): [^>]*>", r"\1", signature)  # a member of an enum
    signature = re.sub(r"\(self, /, \*args, \*\*kwargs\)|\(\*args, \*\*kwargs\)|\(value, names=.*", "", signature)
    signature = re.sub(r"<function .*?>(?=[,)])", "…", signature)
    signature = signature.replace("(self, ", "(").replace("(self)", "()")
    line = f"class {name}{signature}".removesuffix(" -> None") if inspect.isclass(thing) else f"def {name}{signature}"
    return line if len(line) <= 110 else folded(line)


def folded(line: str) -> str:
    """Break a long declaration after its commas."""
    head, _, rest = line.partition("(")
    inside, bracket, tail = rest.rpartition(")")
    depth, pieces = 0, [""]
    for sign in inside:
        depth += (sign in "([") - (sign in ")]")
        pieces[-1] += sign
        if sign == "," and depth == 0:
            pieces.append("")
    lines = [f"    {piece.strip().rstrip(',')}," for piece in pieces if piece.strip()]
    return "\n".join([f"{head}(", *lines, f"{bracket}{tail}"])


def bullets(cls: type[object]) -> str:
    """Give a line for each public method and property."""
    found = []
    for name, thing in vars(cls).items():
        function = getattr(thing, "__func__", getattr(thing, "fget", getattr(thing, "func", thing)))
        if (name.startswith("_") and name not in ("__call__", "__getitem__")) or not inspect.isfunction(function):
            continue
        text = inspect.getdoc(thing)
        required([(f"{cls.__name__}.{name}", text)])
        is_value = function is not thing and not isinstance(thing, staticmethod | classmethod)
        shown = name if is_value else declaration(name, function).removeprefix("def ").replace("(cls, ", "(")
        shown = shown.replace("\n    ", " ").replace("\n", "").replace("( ", "(").replace(",)", ")")
        found.append(f"- `{shown}`: {' '.join((text or '').split())}")
    return "\n".join(found)


def rows_of(cls: type[object], *, all_described: bool = True) -> list[list[str]]:
    """Give name, type and comment of each field that a class declares in its own body."""
    source = textwrap.dedent(inspect.getsource(cls))
    body = cast("ast.ClassDef", ast.parse(source).body[0]).body
    found = commented(body, source.splitlines())
    if all_described:
        required((f"{cls.__name__}.{name}", text) for name, (_, text) in found.items())
    return [[f"`{name}`", f"`{kind}`" if kind else "", text] for name, (kind, text) in found.items()]


def commented(body: Sequence[ast.stmt], lines: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return the assignments of a body: name → annotation, and the comment of `#:` lines above it."""
    found: dict[str, tuple[str, str]] = {}
    for node in body:
        target = node.target if isinstance(node, ast.AnnAssign) else None
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
        if not isinstance(target, ast.Name) or target.id.startswith("_"):
            continue
        place, texts = node.lineno - 2, list[str]()
        while place >= 0 and lines[place].strip().startswith("#:"):
            texts.insert(0, lines[place].strip().removeprefix("#:").strip())
            place -= 1
        kind = ast.unparse(node.annotation) if isinstance(node, ast.AnnAssign) else ""
        found[target.id] = (kind.strip("'"), " ".join(texts).replace("``", "`"))
    return found


def plain_ticks(text: str) -> str:
    """Turn the marks of docstrings into those of Markdown."""
    return re.sub(r":(?:mod|class|func|meth):`([^`]*)`", r"`\1`", re.sub(r"(?<!`)``(?!`)", "`", text))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a table."""
    lines = [" | ".join(cell.replace("|", r"\|") for cell in row) for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {line} |" for line in lines)])


def indented(text: str, *, drop_title: bool = False) -> str:
    """Turn the `::` block of a docstring into a fenced one."""
    body = text.partition("\n")[2].strip() if drop_title else text
    block = re.search(r"::\n\n((?:    .*\n|\n)+)", body)
    if block is None:
        return body
    code = textwrap.dedent(block[1]).strip()
    return f"{body[: block.start()].rstrip()}\n\n```python\n{code}\n```\n\n{body[block.end() :].strip()}".strip()


def required(described: Iterable[tuple[str, str | None]]) -> None:
    """Refuse to write a page on which something has no description."""
    missing = [name for name, text in described if not (text or "").strip()]
    if missing:
        raise SystemExit(f"docs/generate.py: these have no description in the code: {', '.join(missing)}")


def same_names(what: str, found: Iterable[str], told: Iterable[str]) -> None:
    """Refuse to write a page that leaves out, or invents, a name."""
    wrong = set(found) ^ set(told)
    if wrong:
        raise SystemExit(f"docs/generate.py: {what} that are only in the code or only here: {', '.join(sorted(wrong))}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
