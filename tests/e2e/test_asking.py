"""Asking of runs as people ask: a map by its bare name, from another folder, of what was reused, without all words."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from headwater.cli import COMMANDS
from tests.projects import Done, Project

PIPELINE = """
    from dataclasses import dataclass
    from pathlib import Path
    from headwater import File, notify, over, pipeline, register, step

    @dataclass(frozen=True)
    class Report:
        best: float
        count: int

    @step
    def train(depth: int) -> float:
        print("training", depth)
        return depth / 10

    @step
    def page(depth: int) -> File:
        out = File.new("page.txt")
        Path(out).write_text(str(depth))
        return out

    @step
    def evaluate(scores: list[float], broken: bool) -> Report:
        if broken:
            raise ValueError("broken")
        return Report(max(scores), len(scores))

    @step
    def publish(report: Report) -> None:
        pass

    @pipeline
    def main(broken: bool = False) -> Report:
        scores = train.map(over([4, 6]))
        page.map(over([1, 2]))
        report = evaluate(scores, broken)
        publish(report)
        register(report, name="model", metrics={"best": report.best})
        notify("best so far", report)
        return report
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in a folder of a folder: one run, and one that reused all of it."""
    folder = tmp_path_factory.mktemp("asking") / "above" / "project"
    folder.mkdir(parents=True)
    project = Project(folder)
    project.write(headwater_toml='backend = "inline"\n', pipeline=PIPELINE)
    first = project.hw("run", "pipeline.py")
    assert first.status == 0, first.err
    assert 'notify: best so far: {"best": 0.6, "count": 2}' in first.err, first.err
    assert project.hw("run", "pipeline.py").status == 0
    return project


@pytest.fixture
def above(ran: Project) -> Project:
    """The folder above, which has no store."""
    return Project(ran.folder.parent)


def runs(project: Project) -> list[str]:
    return [run["run"] for run in reversed(project.hw("runs", "--json").json)]


def refused(done: Done, *parts: str, status: int = 2) -> None:
    assert done.status == status, done.err + done.out
    assert "Traceback" not in done.err, done.err
    for part in parts:
        assert part in done.err, done.err


def hinted(done: Done) -> list[list[str]]:
    """Return the commands that a message says to type, without `hw`."""
    text = re.sub(r"\(.*?\)", "", done.err)
    return [shlex.split(each.partition(" lists")[0]) for each in re.findall(r"\bhw ([^,\n]+)", text)]


def test_a_map_is_named_without_an_index(ran: Project) -> None:
    first = runs(ran)[0]
    assert [line.split()[0] for line in ran.hw("why", "train").out.splitlines()] == ["train[0]", "train[1]"]
    shown = ran.hw("show", first, "train")
    assert "train: ran, 2 elements" in shown.out
    assert "train[1]" in shown.out
    assert [each["name"] for each in ran.hw("show", first, "train", "--json").json["elements"]] == [
        "train[0]",
        "train[1]",
    ]
    assert ran.hw("get", first, "train").json == [0.4, 0.6]
    assert ran.hw("logs", first, "train").out == "train[0] | training 4\ntrain[1] | training 6\n"
    assert ran.hw("logs", first, "train[0]").out == "training 4\n"
    up = ran.hw("lineage", first, "train").out
    assert up.startswith(f"train in {first}, 2 elements\n  train[0] in {first}\n")
    for words in (["debug", first, "train"], ["get", first, "page"], ["runs", "pin", first, "train", "x"]):
        done = ran.hw(*words)
        refused(done, "is a map of 2 elements: name one", "[0], ")
        (command,) = hinted(done)
        assert command[-1].endswith("[0]")
        assert ran.hw(*command, *(["--no-pdb"] if command[0] == "debug" else [])).status == 0


def test_hints_can_be_pasted(ran: Project, above: Project, tmp_path: Path) -> None:
    store = str(tmp_path / "a store")
    failed = above.hw("run", "project/pipeline.py", "broken=true", "--store", store)
    assert failed.status == 1
    logs, debug = hinted(failed)
    assert above.hw(*logs).status == 0
    assert above.hw(*debug, "--no-pdb").status == 1
    assert store in debug
    lists = above.hw("show", "--store", store, "latest", "nope")
    refused(lists, "has no step 'nope'")
    assert above.hw(*hinted(lists)[0]).status == 0
    told = above.hw("show", "--store", store, "latest", "nope", "--json").json["error"]["hint"]
    assert shlex.quote(store) in told
    failed = above.hw("run", "project/pipeline.py", "broken=true", "--force")
    logs, debug = hinted(failed)
    assert "--project project" in failed.err
    assert above.hw(*debug, "--no-pdb").status == 1
    refused(ran.hw("get", "latest", "evaluate"), "step 'evaluate' gave nothing", "ValueError: broken")
    assert "cpu 0." in ran.hw("show", "latest", "evaluate").out
    assert ran.hw("runs", "rm", "latest").status == 0


def test_a_store_below_is_named(ran: Project, above: Project) -> None:
    for words in (
        ["show"],
        ["why", "latest", "evaluate"],
        ["runs"],
        ["logs"],
        ["get", "latest", "evaluate"],
        ["models"],
    ):
        done = above.hw(*words)
        refused(done, "there is no store", "project/.headwater", status=3)
        (command,) = hinted(done)
        assert command == [words[0], "--project", "project", *words[1:]]
        assert above.hw(*command).status == 0
    assert not (above.folder / ".headwater").exists()


def test_what_was_reused_wrote_its_log_before(ran: Project) -> None:
    first, second = runs(ran)[:2]
    assert ran.hw("logs", first).out.count("training") == 2
    done = ran.hw("logs", second)
    assert done.out == ""
    assert f"run {second} wrote nothing: " in done.err
    assert ran.hw(*hinted(done)[0]).out.count("training") == 2
    done = ran.hw("logs", second, "train[0]")
    assert "it was reused" in done.err
    assert ran.hw(*hinted(done)[0]).out == "training 4\n"
    assert ran.hw("logs", second, "--json").json == []
    assert "wrote nothing\n" in ran.hw("logs", first, "evaluate").err


def test_what_is_missing_is_asked_for(ran: Project) -> None:
    refused(ran.hw("get", "latest", "publish"), "step 'publish' gave nothing", "reason", "hw show")
    refused(ran.hw("get", "latest"), "name a step", "train[0], train[1]", "hw get latest STEP")
    refused(ran.hw("runs", "pin", "latest", "publish", "x"), "step 'publish' gave nothing that could be pinned")
    assert ran.hw("runs", "pins").out == "no pins yet\n"
    assert ran.hw("runs", "pin", "latest", "evaluate", "best").out == "pinned best.best\npinned best.count\n"
    assert [pin["name"] for pin in ran.hw("runs", "pins", "--json").json] == ["best.best", "best.count"]
    assert "evaluate" in ran.hw("runs", "pins").out
    assert ran.hw("runs", "unpin", "best.best").out == "unpinned best.best\n"


def test_doctor_makes_no_store(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    done = Project(folder).hw("doctor")
    assert done.status == 0, done.out
    assert "is not there yet: the first run makes it" in done.out
    assert list(folder.iterdir()) == []


def test_models_and_notifications_are_shown(ran: Project) -> None:
    first, second = runs(ran)[:2]
    (model,) = ran.hw("models", "--json").json
    assert (model["name"], model["version"], model["metrics"], model["run"]) == ("model", 1, {"best": 0.6}, first)
    assert "model@1" in ran.hw("models").out
    assert first in ran.hw("models", "model").out
    refused(ran.hw("models", "other"), "no model 'other' is registered")
    assert "  input    scores: step train (2 elements)\n" in ran.hw("show", first, "evaluate").out
    assert "  input    report: step evaluate\n" in ran.hw("show", first, "publish").out
    counts = {run["run"]: run["steps"] for run in ran.hw("runs", "--json").json}
    assert counts[first] == {"ran": 8}  # a map counts by its elements
    assert 'told     best so far: {"best": 0.6, "count": 2}\n' in ran.hw("show", first, "notify").out
    assert 'notify told: best so far: {"best": 0.6, "count": 2}\n' in ran.hw("show", first).out
    assert f'"count": 2}} (in run {first})' in ran.hw("show", second).out


# ------------------------------------------------------------------------------------------------------- short and true

CHANGING = """
    from dataclasses import dataclass
    from headwater import over, pipeline, step, when

    NAMES = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau"
    RATE = 10

    @dataclass(frozen=True)
    class Report:
        best: float
        count: int

    @step
    def load(n: int) -> list[int]:
        return list(range(n))

    @step
    def half(value: int) -> float:
        return value / RATE

    @step
    def evaluate(values: list[float]) -> Report:
        return Report(max(values), len(values) + 0 * len(NAMES))

    @step
    def page(report: Report) -> str:
        return f"{report.best}"

    @pipeline
    def main(n: int = 3) -> str:
        values = half.map(over(load(n)))
        report = evaluate(values)
        with when(report.best > 5):
            page.using(name="rare")(report)
        return page(report)
"""


@pytest.fixture
def changing(tmp_path: Path) -> Project:
    folder = tmp_path / "changing"
    folder.mkdir()
    project = Project(folder)
    project.write(headwater_toml='backend = "inline"\n', pipeline=CHANGING)
    return project


def test_a_plan_says_what_can_only_run(changing: Project) -> None:
    told = {step["name"]: step["reason"] for step in changing.hw("plan", "pipeline.py", "--json").json["steps"]}
    assert told["half"] == told["page"] == "it has not run before: it runs when 'load' has run"
    assert told["rare"] == "it has not run before: it runs when 'load' has run and condition 'when' asks for it"
    assert changing.hw("run", "pipeline.py").status == 0
    told = {step["name"]: step["reason"] for step in changing.hw("plan", "pipeline.py", "n=4", "--json").json["steps"]}
    assert told["half"] == told["page"] == "until 'load' has run: if its result is the same, this is reused"
    assert told["rare"].startswith("it has not run before")


def test_differences_are_seen_and_short(changing: Project) -> None:
    assert changing.hw("run", "pipeline.py").status == 0
    code = changing.folder / "pipeline.py"
    code.write_text(code.read_text().replace("sigma tau", "sigma omega").replace("RATE = 10", "RATE = 5"))
    assert changing.hw("run", "pipeline.py").status == 0
    why = changing.hw("why", "evaluate").out
    assert "NAMES (pipeline.py:4) changed: …" in why
    assert "sigma tau'" in why
    assert "sigma omega'" in why
    assert "input values (from half) changed: [0.0, 0.1, 0.2] → [0.0, 0.2, 0.4]" in why
    why = changing.hw("why", "page").out
    assert (
        why == "page ran: input report (from evaluate) changed: Report(best=0.2, count=3) → Report(best=0.4, count=3)\n"
    )
    short = changing.hw("diff").out
    lines = {line.split(":")[0].strip(): line for line in short.splitlines()}
    assert lines["half[1]"].endswith("(pipeline.py:5) changed: 10 → 5; result 0.1 → 0.2")
    assert lines["half[0]"].endswith("the same result")
    assert lines["page"].endswith("result '0.2' → '0.4'")
    assert max(map(len, lines.values())) < 240
    full = changing.hw("diff", "--full").out
    assert "    output result: '0.2' → '0.4'" in full
    assert len(full.splitlines()) > len(short.splitlines())


def test_what_the_code_prints_is_no_answer(changing: Project) -> None:
    code = changing.folder / "pipeline.py"
    text = code.read_text().replace("    values = half", '    print("while drawn")\n    values = half')
    code.write_text('print("at import")\n' + text)
    for words in (["plan"], ["compile"], ["compile", "--publish"], ["run"]):
        done = changing.hw(*words, "pipeline.py", "--json")
        assert done.status == 0, done.err
        assert done.json
        assert "at import\nwhile drawn\n" in done.err
    assert "while drawn" not in changing.hw("compile", "pipeline.py", "--digest").out


def test_publishing_says_which_code_a_version_runs(changing: Project) -> None:
    first = changing.hw("compile", "pipeline.py", "--publish")
    assert first.out.startswith("main@1  ")
    assert first.err == ""
    code = changing.folder / "pipeline.py"
    code.write_text(code.read_text().replace("RATE = 10", "RATE = 5"))
    again = changing.hw("compile", "pipeline.py", "--publish")
    assert again.out == first.out
    assert "which keeps its code" in again.err
    assert "hw run main@1 runs that code" in again.err
    assert "hw run pipeline.py runs the code as it is now" in again.err
    document = changing.hw("compile", "pipeline.py", "--publish", "--json").json
    assert document["present_code"] != document["bundle"]
    assert changing.hw("run", "main@1").status == 0
    assert changing.hw("get", "latest", "half[2]").json == 0.2


SCRIPT = """
    from pipeline import main
    result = main.run(broken=True)
    print(repr(result))
    result.check()
"""


def test_a_script_can_fail_with_its_run(ran: Project, tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write(headwater_toml='backend = "inline"\n', pipeline=PIPELINE, script=SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path, env=project.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert re.fullmatch(r"<run \S+ of main: failed; evaluate: ValueError: broken>\n", done.stdout)
    assert "RunFailed: run" in done.stderr
    assert "evaluate  ValueError: broken" in done.stderr
    project.write(
        script=SCRIPT.replace("broken=True", "broken=False").replace("result.check()", "print(result.check().output)")
    )
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path, env=project.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Report(best=0.6, count=2)" in done.stdout


# ------------------------------------------------------------------------------------------------------- wrong requests

#: Words, and what the one message says of them. `latest` is a run; `LATER` is one that is not there.
WRONG: dict[str, str] = {
    "show LATER": "there is no run",
    "show latest nope": "has no step 'nope'",
    "show latest train[9]": "has no step",
    "why LATER train": "there is no run",
    "why nope": "has no step 'nope'",
    "logs latest nope": "has no step 'nope'",
    "debug latest nope": "has no step 'nope'",
    "get latest nope": "has no step 'nope'",
    "get latest evaluate nope": "has no output 'nope'",
    "get ffff": "nothing in this store",
    "lineage latest nope": "has no step 'nope'",
    "lineage nope.csv": "nothing in this store",
    "lineage latest --depth -1": "is not a number of things",
    "diff LATER": "there is no run",
    "resume latest": "cannot be resumed",
    "cancel latest": "is not running",
    "runs keep": "which?",
    "runs -n -1": "is not a number of things",
    "runs unpin nope": "there is no pin",
    "gc --keep -1": "is not a number of things",
    "models nope": "no model 'nope'",
    "definitions show nope": "no definition nope",
    "run nope.py": "there is no file",
    "run nope@1 --store none": "there is no store",
    "run ''": "it is empty",
    "plan ''": "it is empty",
    "compile ''": "it is empty",
    "run pipeline.py --only nope": "nope",
    "show --project nope": "there is no folder",
    "show --profile nope": "no profile named",
    "completions tcsh": "invalid choice",
    **dict.fromkeys(
        [f"{name} --nope" for name in COMMANDS], "unrecognized arguments: --nope|required|one of the arguments"
    ),
}


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_request_gets_one_message_and_leaves_nothing(ran: Project, line: str) -> None:
    before = sorted(str(path) for path in ran.folder.rglob("*"))
    done = ran.hw(*shlex.split(line.replace("LATER", "20300101")))
    assert done.status == (3 if "--store none" in line else 2), done.err
    assert done.err.count("error: ") == 1
    assert re.search(WRONG[line], done.err), done.err
    assert "Traceback" not in done.err
    assert done.out == ""
    assert sorted(str(path) for path in ran.folder.rglob("*")) == before


def test_settings_that_cannot_be_read_are_told_once(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    project.folder.mkdir()
    project.write(headwater_toml="backend = [[\n", pipeline=PIPELINE)
    for words in (
        ["run", "pipeline.py"],
        ["plan", "pipeline.py"],
        ["show"],
        ["why", "x"],
        ["get", "x"],
        ["gc"],
        ["models"],
    ):
        refused(project.hw(*words), "headwater.toml is not valid TOML")
    assert sorted(path.name for path in project.folder.iterdir()) == ["headwater.toml", "pipeline.py"]
    assert project.hw("doctor").status == 3
