"""Write the reference pages from the code: `python docs/generate.py`; `--check` only says which are out of date."""

from __future__ import annotations

import inspect
import os
import re
import sys
from pathlib import Path

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
    return {"commands.md": commands(), "names.md": names(), "settings.md": settings(), "errors.md": errors()}


def commands() -> str:
    """Give one section for each command of the command line."""
    os.environ["COLUMNS"] = "100"  # argparse folds its text at the terminal's width
    os.environ["NO_COLOR"] = "1"
    from headwater.cli import COMMANDS, parser_of

    sections = [
        f"## hw {name}\n\n{sentence.capitalize()}.\n\n```text\n{parser_of(name).format_help().strip()}\n```\n"
        for name, sentence in COMMANDS.items()
    ]
    head = "# Commands\n\n`hw` and `headwater` are the same program.\n"
    return "\n".join([head, *sections])


def names() -> str:
    """Give one section for each name that `headwater` exports."""
    import headwater

    sections = []
    for name in headwater.__all__:
        if name.startswith("__"):
            continue
        thing = getattr(headwater, name)
        text = inspect.getdoc(thing) or ""
        home = getattr(thing, "__module__", "")
        sections.append(
            f"## {name}\n\n```python\n{declaration(name, thing)}\n```\n\n{text}\n\n*Defined in `{home}`.*\n"
        )
    return "\n".join(["# Names to import\n\n`from headwater import …`\n", *sections])


def declaration(name: str, thing: object) -> str:
    """Write a function's or a class's first line."""
    try:
        signature = str(inspect.signature(thing)) if callable(thing) else ""
    except (TypeError, ValueError):
        signature = ""
    signature = re.sub(r" at 0x[0-9a-f]+", "", signature).replace("<factory>", "…")
    signature = re.sub(r"(: |-> )'([^']*)'", r"\1\2", signature)  # annotations are text
    signature = re.sub(r"<([\w.]+): [^>]*>", r"\1", signature)  # a member of an enum
    return f"class {name}{signature}".removesuffix(" -> None") if inspect.isclass(thing) else f"def {name}{signature}"


def settings() -> str:
    """Give the settings' explanation and the environment variables."""
    from headwater import config

    text = inspect.getdoc(config) or ""
    title, _, rest = text.partition("\n")
    example = inspect.cleandoc("\n" + rest.partition("::\n")[2])
    before = rest.partition("::\n")[0].strip()
    found = {
        match
        for path in sorted(ENGINE.rglob("*.py"))
        if "testing" not in path.parts
        for match in re.findall(r'"(HEADWATER_[A-Z_]+)"', path.read_text(encoding="utf-8"))
    }
    missing = found - set(VARIABLES)
    if missing:
        raise SystemExit(f"docs/generate.py: say in VARIABLES what these are for: {', '.join(sorted(missing))}")
    rows = [f"| `{name}` | {VARIABLES[name]} |" for name in sorted(found)]
    parts = [
        "# Settings",
        title.replace("``", "`"),
        f"{before}:",
        f"```toml\n{example}\n```",
        "## Environment variables",
        "\n".join(["| variable | meaning |", "|---|---|", *rows]),
    ]
    return "\n\n".join(parts) + "\n"


def errors() -> str:
    """Give the tree of errors and the exit statuses."""
    from headwater import errors as module

    title, _, rest = (inspect.getdoc(module) or "").partition("\n")
    tree, _, after = rest.strip().partition("\n\n")
    return f"# Errors and exit statuses\n\n{title}\n\n```text\n{tree}\n```\n\n{after.strip()}\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
