"""The engine's own log: off by default, lines or JSON when asked for."""

from __future__ import annotations

import json
import sys

import pytest

from headwater.errors import ConfigError
from headwater.logs import VARIABLE, logger
from headwater.run.logged import logged
from headwater.run.quiet import Quiet
from headwater.types import RunStatus, StepStatus


@pytest.fixture(autouse=True)
def nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def test_nobody_asked_and_nothing_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "structlog", None)
    assert logger() is None
    view = Quiet()
    assert logged(view) is view


def test_json_has_a_line_for_each_event(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(VARIABLE, "json")
    view = logged(Quiet())
    view.running("train", 1, "dask")
    view.settled("train", StepStatus.RAN, "it has not run before", 1.5)
    view.ended(RunStatus.SUCCEEDED, 2.0)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["step.finished", "run.ended"]
    assert lines[0]["step"] == "train"
    assert lines[0]["seconds"] == 1.5


def test_debug_tells_more(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(VARIABLE, "debug")
    logged(Quiet()).running("train", 2, "dask")
    assert "attempt.submitted" in capsys.readouterr().err


def test_an_unknown_wish_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "loud")
    with pytest.raises(ConfigError, match="HEADWATER_LOG cannot be 'loud'"):
        logger()
