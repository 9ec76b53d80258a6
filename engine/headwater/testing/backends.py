"""What every backend promises, as tests: inherit :class:`BackendContract` and name the fixture ``backend_factory``.

The fixture returns a function: given a context, it makes the backend::

    class TestMyBackend(BackendContract):
        @pytest.fixture
        def backend_factory(self):
            return lambda context: MyBackend(dataclasses.replace(context, settings={"queue": "test"}))

Clauses about something that a backend does not claim in its capabilities are skipped.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, TypeAlias

import pytest

from headwater.artifacts import File
from headwater.backend import INTERFACE, Backend, BackendContext, Capability, StepFailure
from headwater.digest import digest_bytes
from headwater.testing.bench import PATIENCE, Bench, is_alive, run_all, wait_all, wait_for
from headwater.types import Fault, Resources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    BackendFactory: TypeAlias = Callable[[BackendContext], Backend]

_STATES = ("queued", "running", "done")


def _need(backend: Backend, capability: Capability) -> None:
    if capability not in backend.capabilities.can:
        pytest.skip(f"this backend does not claim '{capability}'")


class BackendContract:
    """The clauses B1 to B30. A backend that passes can be trusted with steps."""

    @pytest.fixture
    def backend_factory(self) -> BackendFactory:
        """Return a function that makes the backend; the author's own fixture takes this one's place."""
        pytest.fail("define a fixture 'backend_factory' in the class that inherits BackendContract")

    @pytest.fixture
    def bench(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
        """Return a project with a store."""
        bench = Bench(tmp_path)
        monkeypatch.chdir(bench.project)
        bench.enter()
        yield bench
        bench.leave()

    @pytest.fixture
    def backend(self, bench: Bench, backend_factory: BackendFactory) -> Iterator[Backend]:
        """Return the backend on trial."""
        backend = backend_factory(
            BackendContext(
                name="trial",
                settings={},
                store=bench.store.url,
                project=str(bench.project),
                sink=bench.sink,
                cores=2,
            )
        )
        yield backend
        backend.close("cancel")

    # --------------------------------------------------------------------------------------------- asking and telling

    def test_b01_it_is_a_backend_of_this_interface(self, backend: Backend) -> None:
        """B1. It has the methods of a backend, and says which version of the interface it was written for."""
        assert isinstance(backend, Backend)
        assert backend.capabilities.interface == INTERFACE

    def test_b02_every_attempt_gets_an_answer_in_order(self, backend: Backend, bench: Bench) -> None:
        """B2. ``submit`` and ``poll`` answer for each item, in the order in which they were asked."""
        attempts = [bench.attempt("give", inputs={"value": number}) for number in range(5)]
        handles = list(backend.submit(attempts))
        assert len(handles) == len(attempts)
        outcomes = wait_all(backend, list(map(str, handles)))
        assert [outcome.attempt_id for outcome in outcomes] == [attempt.attempt_id for attempt in attempts]
        assert [bench.value(outcome) for outcome in outcomes] == list(range(5))

    def test_b03_submitting_again_changes_nothing(self, backend: Backend, bench: Bench) -> None:
        """B3. An attempt that was submitted is not performed a second time; its handle stays the same."""
        mark = bench.outside / "count"
        attempt = bench.attempt("count", inputs={"path": str(mark)})
        first = backend.submit([attempt])
        wait_all(backend, list(map(str, first)))
        assert backend.submit([attempt]) == first
        run_all(backend, [bench.attempt("give", inputs={"value": 1})])
        assert mark.read_text() == "x"

    def test_b04_polling_the_unknown_does_not_raise(self, backend: Backend) -> None:
        """B4. A handle that means nothing is ``unknown``; it does not disturb the others."""
        assert [report.state for report in backend.poll(["nothing", "nothing/else"])] == ["unknown"] * 2
        assert list(backend.poll([])) == []

    def test_b05_states_never_go_back(self, backend: Backend, bench: Bench) -> None:
        """B5. What is told of an attempt goes from queued over running to done, once, and stays there."""
        attempt = bench.attempt("sleep", inputs={"seconds": 0.1})
        handles = list(map(str, backend.submit([attempt])))
        [outcome] = wait_all(backend, handles)
        told = [report.state for report in bench.reports if report.attempt_id == attempt.attempt_id]
        assert told == sorted(told, key=_STATES.index)
        assert told.count("done") == 1
        assert [report.outcome for report in backend.poll(handles)] == [outcome]

    def test_b06_many_attempts_all_end(self, backend: Backend, bench: Bench) -> None:
        """B6. A large submission ends in as many outcomes, each with its own value."""
        attempts = [bench.attempt("give", inputs={"value": number}) for number in range(60)]
        assert [bench.value(outcome) for outcome in run_all(backend, attempts)] == list(range(60))

    # ----------------------------------------------------------------------------------------------------- outcomes

    def test_b07_success_means_that_outputs_are_stored(self, backend: Backend, bench: Bench) -> None:
        """B7. What a successful attempt names is in the store, for whoever opens it."""
        size = 100_000
        [outcome] = run_all(backend, [bench.attempt("large", inputs={"size": size})])
        assert bench.value(outcome) == bytes(size)

    def test_b08_an_outcome_tells_when_and_where(self, backend: Backend, bench: Bench) -> None:
        """B8. An outcome names its worker, when it began and ended, and how long the body took."""
        before = time.time()
        [outcome] = run_all(backend, [bench.attempt("sleep", inputs={"seconds": 0.2})])
        assert outcome.worker
        assert before - 1 <= outcome.started <= outcome.ended <= time.time() + 1
        assert 0.2 <= outcome.seconds < PATIENCE

    def test_b09_results_of_several_parts(self, backend: Backend, bench: Bench) -> None:
        """B9. The fields of a dataclass and the items of a tuple are outputs of their own."""
        parts = {"left": "any", "right": "any"}
        pair = bench.attempt("pair", outputs=parts, whole=f"{bench.module}:Pair")
        couple = bench.attempt("couple", outputs={"0": "any", "1": "any"}, whole="tuple")
        one, two = run_all(backend, [pair, couple])
        assert (bench.value(one, "left"), bench.value(one, "right")) == (1, "one")
        assert (bench.value(two, "0"), bench.value(two, "1")) == (1, "one")

    def test_b10_a_step_without_outputs(self, backend: Backend, bench: Bench) -> None:
        """B10. A step that is run for its effect alone succeeds with no outputs."""
        [outcome] = run_all(backend, [bench.attempt("give", inputs={"value": None}, outputs={})])
        assert outcome.failure is None
        assert outcome.outputs == {}

    def test_b11_an_input_changed_in_place_stays_in_the_step(self, backend: Backend, bench: Bench) -> None:
        """B11. Every attempt gets values of its own, decoded from what is stored."""
        stored = bench.artifact(["as stored"] * 1_000)
        inputs = {"items": stored}
        first, second = run_all(backend, [bench.attempt("change", inputs=inputs) for _ in range(2)])
        assert bench.value(first) == bench.value(second) == [*["as stored"] * 1_000, "changed"]

    def test_b12_the_code_that_runs_is_the_bundle(self, backend: Backend, bench: Bench) -> None:
        """B12. What lies in the project meanwhile does not count."""
        bench.file.write_text("raise SystemError('this was never planned')\n")
        plain, limited = run_all(backend, [bench.attempt("limit"), bench.attempt("limit", timeout=PATIENCE)])
        assert bench.value(plain) == bench.value(limited) == 3

    # ----------------------------------------------------------------------------------------------------- failures

    def test_b13_an_exception_is_the_users(self, backend: Backend, bench: Bench) -> None:
        """B13. An exception is a fault of the step, told with its class, message, and the user's traceback alone."""
        [outcome] = run_all(backend, [bench.attempt("fail", inputs={"message": "no such month"})])
        failure = _failure(outcome.failure, Fault.USER)
        assert (failure.kind, failure.message) == ("ValueError", "no such month")
        frames = [line for line in failure.traceback if line.startswith("  File ")]
        assert [frame.rpartition(" in ")[2] for frame in frames] == ["fail", "_inner"]
        assert all(str(bench.file) in frame for frame in frames)
        assert "    raise ValueError(message)" in failure.traceback
        assert failure.traceback[-1] == "ValueError: no such month"
        assert outcome.outputs is None

    def test_b14_sys_exit_is_the_users(self, backend: Backend, bench: Bench) -> None:
        """B14. A step that calls ``sys.exit`` has failed; the next one runs."""
        first, second = run_all(backend, [bench.attempt("leave"), bench.attempt("limit")])
        assert "7" in _failure(first.failure, Fault.USER).message
        assert bench.value(second) == 3

    def test_b15_a_step_that_ends_its_process(self, backend: Backend, bench: Bench) -> None:
        """B15. A step with a time limit may even end its process: it has failed, and the next one runs."""
        _need(backend, Capability.TIMEOUT)
        first, second = run_all(backend, [bench.attempt("end_process", timeout=PATIENCE), bench.attempt("limit")])
        assert "5" in _failure(first.failure, Fault.USER).message
        assert bench.value(second) == 3

    def test_b16_what_cannot_be_stored_is_the_users(self, backend: Backend, bench: Bench) -> None:
        """B16. A result that no codec stores fails the step, by name."""
        [outcome] = run_all(backend, [bench.attempt("unstorable")])
        assert _failure(outcome.failure, Fault.USER).kind == "ValueNotStorable"

    def test_b17_a_result_of_another_type(self, backend: Backend, bench: Bench) -> None:
        """B17. A result that is not what the step declares fails it, naming both."""
        parts = {"left": "any", "right": "any"}
        record = bench.attempt("not_a_pair", outputs=parts, whole=f"{bench.module}:Pair")
        couple = bench.attempt("not_a_pair", outputs=parts, whole="tuple")
        first, second = run_all(backend, [record, couple])
        assert "Pair" in _failure(first.failure, Fault.USER).message
        assert "tuple" in _failure(second.failure, Fault.USER).message

    def test_b18_another_environment_is_refused(self, backend: Backend, bench: Bench) -> None:
        """B18. Where a package is not of the version in the key, the fault is ``config``, and names it."""
        python = f"{sys.version_info[0]}.{sys.version_info[1]}"
        packages = bench.attempt("limit", environment={"python": python, "packages": {"blake3": "0.0.1"}})
        older = bench.attempt("limit", environment={"python": "2.7"})
        first, second = run_all(backend, [packages, older])
        assert "blake3" in _failure(first.failure, Fault.CONFIG).message
        assert "2.7" in _failure(second.failure, Fault.CONFIG).message

    # ------------------------------------------------------------------------------------------- limits and stopping

    def test_b19_a_time_limit_ends_a_step(self, backend: Backend, bench: Bench) -> None:
        """B19. A step that takes too long is stopped, with a ``resource`` fault; the next one runs."""
        _need(backend, Capability.TIMEOUT)
        slow = bench.attempt("sleep", inputs={"seconds": 600}, timeout=0.3)
        first, second = run_all(backend, [slow, bench.attempt("limit")])
        assert _failure(first.failure, Fault.RESOURCE).kind == "Timeout"
        assert bench.value(second) == 3

    def test_b20_a_memory_limit_ends_a_step(self, backend: Backend, bench: Bench) -> None:
        """B20. A step that takes too much memory is stopped, with a ``resource`` fault; the next one runs."""
        _need(backend, Capability.MEMORY_LIMIT)
        inputs = {"size": 600_000_000}
        greedy = bench.attempt("hold", inputs=inputs, resources=Resources(memory="300MB"))
        first, second = run_all(backend, [greedy, bench.attempt("limit")])
        _failure(first.failure, Fault.RESOURCE)
        assert bench.value(second) == 3

    def test_b21_cancel_stops_a_running_step(self, backend: Backend, bench: Bench) -> None:
        """B21. A cancelled step ends as ``cancelled``, cancelling it again does nothing, and the next one runs."""
        mark = bench.outside / "running"
        attempt = bench.attempt("sleep", inputs={"seconds": 600, "mark": str(mark)})
        submitting = _submit_aside(backend, attempt)
        wait_for(mark)
        for _ in range(2):
            backend.cancel([attempt.attempt_id], 0)
        [outcome] = wait_all(backend, [attempt.attempt_id])
        submitting.join(PATIENCE)
        _failure(outcome.failure, Fault.CANCELLED)
        backend.cancel([attempt.attempt_id, "nothing"], 0)
        assert bench.value(run_all(backend, [bench.attempt("limit")])[0]) == 3

    def test_b22_cancel_stops_a_step_in_native_code(self, backend: Backend, bench: Bench) -> None:
        """B22. Where stopping is certain, it is so for a step that does not come back to Python, and its children."""
        _need(backend, Capability.CANCEL)
        mark = bench.outside / "pids"
        attempt = bench.attempt("with_child", inputs={"mark": str(mark)})
        _submit_aside(backend, attempt)
        pids = [int(word) for word in wait_for(mark).split()]
        backend.cancel([attempt.attempt_id], 0)
        [outcome] = wait_all(backend, [attempt.attempt_id])
        _failure(outcome.failure, Fault.CANCELLED)
        _wait_until_gone(pids)

    def test_b23_close_leaves_nothing_behind(self, backend: Backend, bench: Bench) -> None:
        """B23. Closing stops what runs in processes of its own, with all that it started; closing twice is nothing."""
        _need(backend, Capability.TIMEOUT)
        mark = bench.outside / "pids"
        _submit_aside(backend, bench.attempt("with_child", inputs={"mark": str(mark)}, timeout=600))
        pids = [int(word) for word in wait_for(mark).split()]
        backend.close("cancel")
        _wait_until_gone(pids)

    # ------------------------------------------------------------------------------------------------- surroundings

    def test_b24_text_knows_its_attempt(self, backend: Backend, bench: Bench) -> None:
        """B24. Lines come with the attempt that wrote them, by stream, in order, and none is lost."""
        words = [f"word{number}" for number in range(3)]
        attempts = [bench.attempt("speak", inputs={"word": word, "times": 200}) for word in words]
        run_all(backend, attempts)
        for word, attempt in zip(words, attempts, strict=True):
            _wait_until(lambda name=attempt.attempt_id: len(bench.texts(name, "stdout")) >= 200)  # type: ignore[misc]
            assert bench.texts(attempt.attempt_id, "stdout") == [f"{word} {number}" for number in range(200)]
            assert bench.texts(attempt.attempt_id, "stderr") == [f"{word} last"]

    def test_b25_variables_are_set_for_one_step(self, backend: Backend, bench: Bench) -> None:
        """B25. Declared variables are set while the step runs, and not for the next one."""
        declared = bench.attempt("variable", inputs={"name": "CONTRACT_WORD"}, env={"CONTRACT_WORD": "said"})
        other = bench.attempt("variable", inputs={"name": "CONTRACT_WORD"})
        assert [bench.value(outcome) for outcome in run_all(backend, [declared])] == ["said"]
        assert [bench.value(outcome) for outcome in run_all(backend, [other])] == [None]

    def test_b26_secrets_do_not_show(self, backend: Backend, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """B26. A secret's value reaches the step, and neither its lines nor its failure."""
        if Capability.REMOTE in backend.capabilities.can:
            pytest.skip("its workers have an environment of their own")
        monkeypatch.setenv("HEADWATER_SECRET_CONTRACT_KEY", "open-sesame-42")
        attempt = bench.attempt("tell_secret", inputs={"name": "CONTRACT_KEY"}, secrets=("CONTRACT_KEY",))
        [outcome] = run_all(backend, [attempt])
        failure = _failure(outcome.failure, Fault.USER)
        _wait_until(lambda: bool(bench.texts(attempt.attempt_id, "stdout")))
        shown = [*bench.texts(attempt.attempt_id, "stdout"), failure.message, *failure.traceback]
        assert "the secret is ***" in shown
        assert not [text for text in shown if "open-sesame" in text]

    def test_b27_a_secret_that_is_missing(self, backend: Backend, bench: Bench) -> None:
        """B27. A secret that the worker does not have is a ``config`` fault that names it."""
        [outcome] = run_all(backend, [bench.attempt("limit", secrets=("CONTRACT_NO_SUCH_KEY",))])
        assert "CONTRACT_NO_SUCH_KEY" in _failure(outcome.failure, Fault.CONFIG).message

    def test_b28_undeclared_reads_are_told(self, backend: Backend, bench: Bench) -> None:
        """B28. A project file that a step opens without having declared it is told with the outcome."""
        (bench.project / "table.csv").write_text("a,b\n")
        inputs = {"path": str(bench.project / "table.csv")}
        plain = bench.attempt("read", inputs=inputs)
        declared = bench.attempt("read", inputs=inputs, files={"table.csv": digest_bytes(b"a,b\n")})
        missing = bench.attempt("read", inputs={"path": str(bench.project / "absent.csv")})
        first, second, third = run_all(backend, [plain, declared, missing])
        assert list(first.observed) == ["project:table.csv"]
        assert dict(second.observed) == {}
        assert dict(third.observed) == {"project:absent.csv": "absent"}

    def test_b29_a_strict_step_sees_what_it_declared(
        self, backend: Backend, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """B29. A strict step has a process of its own: undeclared variables are hidden, undeclared reads refused."""
        _need(backend, Capability.OWN_PROCESS)
        monkeypatch.setenv("CONTRACT_UNDECLARED", "seen")
        (bench.project / "table.csv").write_text("a,b\n")
        hidden = bench.attempt("variable", inputs={"name": "CONTRACT_UNDECLARED"}, strict=True)
        refused = bench.attempt("read", inputs={"path": str(bench.project / "table.csv")}, strict=True)
        first, second = run_all(backend, [hidden, refused])
        assert bench.value(first) is None
        assert "table.csv" in _failure(second.failure, Fault.USER).message

    def test_b30_a_command(self, backend: Backend, bench: Bench) -> None:
        """B30. A command gets paths and values in its line and gives files; where it fails, its last words are told."""
        given = bench.outside / "given.txt"
        given.write_text("some text\n")
        call = {"argv": ["cat {text}; echo {number}"], "shell": True, "stdout": "out", "suffixes": {"out": ".txt"}}
        inputs = {"text": bench.artifact(File(given)), "number": 7}
        good = bench.attempt("command", call={"command": call}, inputs=inputs, outputs={"out": "file"})
        call = {"argv": ["echo it is broken >&2; exit 3"], "shell": True, "suffixes": {}}
        bad = bench.attempt("command", call={"command": call}, outputs={})
        first, second = run_all(backend, [good, bad])
        written = bench.value(first, "out")
        assert isinstance(written, File)
        assert written.read_text() == "some text\n7\n"
        assert written.suffix == ".txt"
        failure = _failure(second.failure, Fault.USER)
        assert "exit code 3" in failure.message
        assert failure.traceback == ("it is broken",)


def _failure(failure: StepFailure | None, fault: Fault) -> StepFailure:
    assert failure is not None, "the attempt should have failed"
    assert failure.fault is fault, failure
    return failure


def _submit_aside(backend: Backend, *attempts: object) -> threading.Thread:
    """Submit from another thread: some backends perform within the call."""
    thread = threading.Thread(target=backend.submit, args=(attempts,), daemon=True)
    thread.start()
    return thread


def _wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not is_so() and time.monotonic() < end:
        time.sleep(0.005)
    assert is_so()


def _wait_until_gone(pids: list[int]) -> None:
    _wait_until(lambda: not any(map(is_alive, pids)))
