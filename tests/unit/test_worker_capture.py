"""Text finds its attempt, by line, masked, whoever writes it."""

import json
import logging
import sys
import threading

import pytest

from headwater.worker.capture import Recorder, Routing, masker
from headwater.worker.current import Performance, current, idempotency_key, performing


@pytest.fixture
def routing():
    return Routing()


def recorded(name="a"):
    lines = []
    return Recorder(name, lines.append), lines


def texts(lines, stream="stdout"):
    return [line.text for line in lines if line.stream == stream]


def test_lines_are_whole_and_the_rest_comes_at_the_end():
    recorder, lines = recorded()
    for piece in ("one\ntw", "o\n", "three"):
        recorder.write("stdout", piece)
    assert texts(lines) == ["one", "two"]
    recorder.close()
    assert texts(lines) == ["one", "two", "three"]


def test_a_progress_bar_is_its_last_state():
    recorder, lines = recorded()
    recorder.write("stderr", " 10%\r 50%\r100%\nwindows\r\n")
    assert texts(lines, "stderr") == ["100%", "windows"]


def test_a_line_without_end_does_not_grow_for_ever():
    recorder, lines = recorded()
    recorder.write("stdout", "x" * 200_000)
    assert sum(map(len, texts(lines))) == 200_000


def test_secrets_are_masked_whole_by_line_and_quoted():
    mask = masker(["s3cret", "begin\nline-two\nend-of-it", "with'quote", ""])
    assert mask("key=s3cret!") == "key=***!"
    assert mask("line-two") == "***"
    for text in ("with'quote", "with'quote and\"quotes"):
        assert "with" not in mask(repr(text))
        assert "with" not in mask(json.dumps(text))
    assert mask("nothing") == "nothing"


def test_two_attempts_and_a_driver_share_one_process(routing, capsys):
    logger = logging.getLogger("shared")
    both = threading.Barrier(2)
    seen = {}

    def body(name):
        recorder, seen[name] = recorded(name)
        with routing.active(), performing(Performance(recorder)):
            both.wait()
            for number in range(50):
                print(name, number)
            sys.stderr.write(f"{name} err\n")
            sys.stdout.buffer.write(f"{name} bytes\n".encode())
            logger.warning("%s logs", name)
            helper = threading.Thread(target=print, args=(name, "helper"))
            helper.start()
            helper.join()
            assert not sys.stdout.isatty()
            both.wait()

    threads = [threading.Thread(target=body, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("the driver's own")
    for name in ("a", "b"):
        assert texts(seen[name]) == [*(f"{name} {n}" for n in range(50)), f"{name} bytes", f"{name} helper"]
        assert texts(seen[name], "stderr") == [f"{name} err"]
        assert texts(seen[name], "log") == [f"WARNING shared: {name} logs"]
    assert capsys.readouterr().out == "the driver's own\n"


def test_streams_are_put_back(routing):
    before = sys.stdout, sys.stderr, sys.breakpointhook, logging.getLogger().handlers[:]
    with routing.active(), routing.active():
        assert sys.stdout is not before[0]
    assert (sys.stdout, sys.stderr, sys.breakpointhook, logging.getLogger().handlers) == before


def test_what_a_handler_prints_anyway_is_not_told_twice(routing):
    recorder, lines = recorded()
    logger = logging.getLogger("printed")
    with routing.active(), performing(Performance(recorder)):
        handler = logging.StreamHandler(sys.stderr)
        logger.addHandler(handler)
        logger.warning("once")
        logger.removeHandler(handler)
    assert (texts(lines, "stderr"), texts(lines, "log")) == (["once"], [])


def test_structlog_goes_the_same_way(routing):
    import structlog

    recorder, lines = recorded()
    with routing.active(), performing(Performance(recorder)):
        structlog.wrap_logger(structlog.PrintLogger(), processors=[structlog.processors.JSONRenderer()]).info(
            "hello", n=1
        )
    assert texts(lines) == ['{"n": 1, "event": "hello"}']


def test_a_thread_that_outlives_its_attempt_belongs_to_nothing(routing, capsys):
    recorder, lines = recorded()
    go, ready = threading.Event(), threading.Event()

    def late():
        ready.set()
        go.wait()
        assert current() is None

    with routing.active(), performing(Performance(recorder, idempotency_key="run/step")):
        thread = threading.Thread(target=late)
        thread.start()
        ready.wait()
        assert idempotency_key() == "run/step"
    go.set()
    thread.join()
    assert idempotency_key() is None
    assert lines == []


def test_a_debugger_gets_the_terminal(routing, capsys, monkeypatch):
    recorder, lines = recorded()
    stops = []
    monkeypatch.setattr(sys, "breakpointhook", lambda *_, **__: stops.append(1))
    with routing.active(), performing(Performance(recorder)):
        print("before")
        breakpoint()  # noqa: T100
        print("after")
    assert (texts(lines), stops) == (["before"], [1])
    assert capsys.readouterr().out == "after\n"
