"""The house is in order: lists equal folders, sizes, layers, imports, docs, the README."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
#: Folders whose children are import packages.
ROOTS = [name for name in ("engine", "backends", "plugins") if (ROOT / name).is_dir()]
PACKAGES = sorted(path.parent for name in ROOTS for path in (ROOT / name).glob("*/__init__.py"))
MODULES = sorted(path for package in PACKAGES for path in package.rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

#: What only the code that uses it may import: each costs a tenth of a second or more.
HEAVY = {
    "boto3",
    "dask",
    "distributed",
    "fsspec",
    "numpy",
    "pandas",
    "polars",
    "pyarrow",
    "s3fs",
    "sklearn",
    "structlog",
}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def committed() -> list[Path]:
    """Every file that is, or is about to be, in the repository."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("not a git repository")
    return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]


# ---------------------------------------------------------------------------------------------- lists equal folders


def test_the_wheel_holds_every_package() -> None:
    assert sorted(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == [relative(p) for p in PACKAGES]


@pytest.mark.parametrize(
    ("tool", "names"),
    [
        ("mypy", PROJECT["tool"]["mypy"]["packages"]),
        ("import-linter", PROJECT["tool"]["importlinter"]["root_packages"]),
    ],
)
def test_a_tool_knows_every_package(tool: str, names: list[str]) -> None:
    assert sorted(names) == sorted(package.name for package in PACKAGES), f"in the list of {tool}"


@pytest.mark.parametrize(
    ("tool", "names"),
    [
        ("mypy", PROJECT["tool"]["mypy"]["mypy_path"]),
        ("pyright", PROJECT["tool"]["pyright"]["include"]),
        ("ruff", PROJECT["tool"]["ruff"]["src"]),
        ("coverage", PROJECT["tool"]["coverage"]["run"]["source"]),
        ("hatch", PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["only-include"]),
    ],
)
def test_a_tool_knows_every_root(tool: str, names: list[str]) -> None:
    assert set(ROOTS) <= set(names), f"in the list of {tool}"


def test_every_package_is_typed() -> None:
    assert [relative(package) for package in PACKAGES if not (package / "py.typed").exists()] == []


def test_every_entry_point_loads() -> None:
    for group, table in PROJECT["project"]["entry-points"].items():
        found = {point.name: point for point in entry_points(group=group)}
        for name in table:
            assert found[name].load() is not None


def test_every_lint_ignore_has_its_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    lines = re.findall(r'^    "[A-Z]+\d*",.*$', text, flags=re.MULTILINE)
    assert lines
    assert [line for line in lines if "#" not in line] == []


# ------------------------------------------------------------------------------------------------ size, words, cycles


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_no_module_is_long() -> None:
    sizes = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {name: lines for name, lines in sizes.items() if lines > 500} == {}


def test_no_function_is_long() -> None:
    sizes = {
        f"{relative(path)}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in MODULES
        for node in functions(path)
    }
    assert {name: lines for name, lines in sizes.items() if lines > 50} == {}


def test_modules_are_named_after_a_thing() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}
    assert [relative(path) for path in MODULES if path.stem.lstrip("_") in vague] == []


def test_every_public_name_has_a_docstring() -> None:
    missing = []
    for path in MODULES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        public = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
        missing += [
            f"{relative(path)}:{node.lineno} {node.name}"
            for node in public
            if not node.name.startswith("_") and ast.get_docstring(node) is None and not is_overload(node)
        ]
    assert missing == []


def is_overload(node: ast.AST) -> bool:
    return any(ast.unparse(decorator).endswith("overload") for decorator in getattr(node, "decorator_list", []))


def test_no_imports_go_in_a_circle() -> None:
    import grimp

    graph = grimp.build_graph(
        *(package.name for package in PACKAGES), exclude_type_checking_imports=True, cache_dir=None
    )
    upward = {tuple(line.split(" -> ")) for line in PROJECT["tool"]["importlinter"]["contracts"][0]["ignore_imports"]}
    imports = {
        module: {other for other in graph.find_modules_directly_imported_by(module) if (module, other) not in upward}
        for module in graph.modules
    }
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


# --------------------------------------------------------------------------------------------------- import costs


def loaded_by(code: str) -> set[str]:
    """Run code in a new interpreter and give the top-level names of all modules it loaded."""
    script = f"import json, sys\n{code}\nprint(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import headwater",
        "from headwater import step, pipeline, when, over, Resources, Retry",
        "from headwater.cli import main; main(['--help'])",
        "from headwater.cli import main; main(['--version'])",
    ],
)
def test_starting_is_cheap(code: str) -> None:
    assert loaded_by(code) & HEAVY == set()


def test_no_module_of_the_engine_imports_anything_heavy_at_its_top() -> None:
    engine = ROOT / "engine"
    names = [".".join(path.relative_to(engine).with_suffix("").parts) for path in sorted(engine.rglob("*.py"))]
    names = [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]
    # The contract suites are pytest modules: they are for tests, where pytest is loaded anyway.
    names = [name for name in names if not name.startswith("headwater.testing")]
    assert loaded_by("\n".join(f"import {name}" for name in names)) & HEAVY == set()


# ------------------------------------------------------------------------------------------------------ repository


def test_no_lock_file_is_committed() -> None:
    locks = {"poetry.lock", "uv.lock", "pdm.lock", "Pipfile.lock", "package-lock.json", "yarn.lock", "pylock.toml"}
    assert [relative(path) for path in committed() if path.name in locks] == []


def test_nothing_names_a_registry_or_a_machine() -> None:
    hosts = ["pypi" + ".org", "python" + "hosted.org", "npm" + "js.org", "index" + "-url"]
    paths = ["/" + name + "/" for name in ("root", "work", "opt/hw")]
    pattern = re.compile("|".join([*map(re.escape, hosts), *(rf"(?<![\w.}}\])*]){re.escape(path)}" for path in paths)]))
    found = []
    for path in committed():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{relative(path)}: {match.group()}" for match in pattern.finditer(text)]
    assert found == []


# ------------------------------------------------------------------------------------------------------------ docs


def test_readme_has_exactly_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    start = readme.split("\n## ", 2)[1]
    assert start.startswith("Quick start\n")
    blocks = re.findall(r"^```\w*\n(.*?)^```$", start, flags=re.DOTALL | re.MULTILINE)
    assert len(blocks) == 2
    assert all(block.count("\n") == 1 for block in blocks)
    assert "hw run examples/flights/pipeline.py" in blocks[0]
    assert "python -m tests" in blocks[1]


PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", without_code(page.read_text(encoding="utf-8")))
    dead = []
    for target, anchor in links:
        goal = page.parent / target if target else page
        if not goal.exists() or (anchor and anchor not in anchors(goal)):
            dead.append(f"{target}#{anchor}")
    assert dead == []


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as they are made for links."""
    headings = re.findall(r"^#+ (.*)$", without_code(page.read_text(encoding="utf-8")), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def fenced(page: Path, kind: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_commands_of_a_page_exist(page: Path) -> None:
    from headwater.cli import COMMANDS, parser_of

    text = page.read_text(encoding="utf-8")
    spans = re.findall(r"`([^`\n]+)`", without_code(text))
    lines = [line for kind in ("sh", "console", "text") for block in fenced(page, kind) for line in block.splitlines()]
    wrong = []
    for place in [*spans, *lines]:
        for name, rest in re.findall(r"(?:^|[ /(])hw ([a-z]+)\b([^|;#&`)]*)", place.removeprefix("$ ")):
            known = (
                {word for action in parser_of(name)._actions for word in action.option_strings}
                if name in COMMANDS
                else set()
            )
            options = [word.partition("=")[0] for word in rest.split() if re.match(r"--?[a-z]", word)]
            wrong += [place for word in options if word not in known] if name in COMMANDS else [place]
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_code_and_settings_of_a_page_can_be_read(page: Path, tmp_path: Path) -> None:
    from headwater.config import FILE, load_profile

    for code in fenced(page, "python") if page.parent.name != "reference" else []:  # there, declarations
        ast.parse(code)
    for text in fenced(page, "toml"):
        document = tomllib.loads(text)
        if "project" not in document:
            (tmp_path / FILE).write_text(text)
            for name in [None, *document.get("profile", {})]:
                load_profile(tmp_path, name=name)


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert [name for name in pages if name != "index.md" and f"({name})" not in index] == []


def test_the_reference_is_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def reference(name: str) -> str:
    return (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")


def table_rows(page: str) -> dict[str, str]:
    """First cell → last cell of each row of each table of a reference page."""
    lines = [line.strip("| ") for line in reference(page).splitlines() if line.startswith("| `")]
    cells = [re.split(r"(?<!\\) \| ", line) for line in lines]
    return {each[0].strip("`"): each[-1] for each in cells}


def test_every_option_of_a_step_is_explained() -> None:
    from headwater.author.commands import CommandOptions
    from headwater.author.options import CallOptions, StepOptions

    options = {*StepOptions.__annotations__, *CallOptions.__annotations__, *CommandOptions.__annotations__}
    rows = table_rows("steps.md")
    assert options - rows.keys() == set()
    assert [name for name, text in rows.items() if len(text) < 10] == []


def test_every_setting_is_explained() -> None:
    from headwater import config
    from headwater_dask import cluster

    rows = table_rows("settings.md")
    assert {*config._TOP, *config._STEP, *cluster._KINDS} - rows.keys() == set()


def test_every_command_and_each_of_its_options_is_explained() -> None:
    from headwater.cli import COMMANDS, parser_of

    page = reference("commands.md")
    for name in COMMANDS:
        assert f"## hw {name}\n" in page
        unexplained = [action.dest for action in parser_of(name)._actions if not action.help]
        assert (name, unexplained) == (name, [])


def test_every_public_name_is_explained() -> None:
    import headwater
    from headwater import backend, hooks, testing
    from headwater.artifacts import choice

    names = [f"## {name}\n" for name in headwater.__all__ if not name.startswith("__")]
    assert [name for name in names if name not in reference("names.md")] == []
    page = reference("plugins.md")
    seams = [*(name for name in vars(hooks.Hooks) if name.startswith("headwater_")), *testing.__all__]
    seams += [name for name, thing in vars(backend).items() if getattr(thing, "__module__", "") == backend.__name__]
    assert [name for name in seams if not name.startswith("_") and f"### {name}\n" not in page] == []
    assert [name for name in choice.OWN if f"### {name}\n" not in reference("values.md")] == []


def test_every_command_has_its_module() -> None:
    from headwater.cli import COMMANDS

    folder = ROOT / "engine" / "headwater" / "cli"
    assert [name for name in COMMANDS if not (folder / f"{name}.py").exists()] == []
