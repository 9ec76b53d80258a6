"""A writer beside a collection of garbage, in every order of their steps that can be thought of."""

from __future__ import annotations

import itertools
import tempfile
import threading
import time
import uuid
from pathlib import Path

from headwater.condemned import Saviour
from headwater.housekeeping import collect
from headwater.record import new_run_id
from headwater.store import open_store
from headwater.trust import Keyring
from tests.histories import START, Clock, Scribe, artifact

BODY = b"made long ago, reached by nothing"
WAIT = 3600.0


class Turns:
    """Lets one thread at a time make one call to the store, in an order that is given."""

    def __init__(self, order):
        self._order = order
        self._condition = threading.Condition()
        self._waiting: set[str] = set()
        self._turn: str | None = None
        self.alive: set[str] = set()

    def wait(self, name):
        with self._condition:
            self._waiting.add(name)
            self._next()
            assert self._condition.wait_for(lambda: self._turn == name, timeout=30)
            self._turn = None
            self._waiting.discard(name)

    def leave(self, name):
        with self._condition:
            self.alive.discard(name)
            self._next()

    def _next(self):
        """Give the turn to the next in order, once all who are alive stand waiting."""
        if self._turn is None and self._waiting and self._waiting >= self.alive:
            wanted = next(self._order, None)
            self._turn = wanted if wanted in self._waiting else min(self._waiting)
            self._condition.notify_all()


class Stepped:
    """A store whose every call waits for its turn."""

    is_local = True

    def __init__(self, store, turns, name, clock, calls):
        self._store, self._turns, self._name, self._clock, self._calls = store, turns, name, clock, calls

    def now(self):
        return self._clock()

    def __getattr__(self, name):
        found = getattr(self._store, name)
        if not callable(found) or name in ("put_many", "flush", "appender"):
            return found

        def stepped(*args, **kwargs):
            self._turns.wait(self._name)
            result = found(*args, **kwargs)
            self._calls.append((self._name, args[0] if args else None))
            return list(result) if name == "objects" else result

        return stepped


class Time:
    def __init__(self, now):
        self.now = now

    def __call__(self):
        return self.now


#: Calls of the writer; calls of the collector to the lists of condemned objects; calls of the writer; all the rest.
ORDERS = itertools.product(range(7), range(11), (4, 30))


def turns_of(order, calls):
    first, looks, then = order
    yield from ["writer"] * first
    while sum(str(path).startswith("gc") for who, path in calls if who == "collector") < looks:
        yield "collector"
    yield from ["writer"] * then


def test_what_a_writer_recorded_is_there_or_it_was_told():
    """Every way to stop the writer once, the collector once, and to go on."""
    for order in ORDERS:
        meet(order)


def meet(order):
    """The object was condemned an hour ago; now it is swept, while a writer finds it and records its use."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"memory://{uuid.uuid4().hex}")
        keyring = Keyring.load(Path(folder) / "key.json")
        digest = store.put(BODY)
        clock = Time(time.time() + 200_000)
        calls: list[tuple[object, ...]] = []
        turns = Turns(turns_of(order, calls))
        beside = Stepped(store, Turns(iter(())), "setup", clock, [])
        saviour_store = Stepped(store, turns, "writer", clock, calls)
        assert collect(beside).condemned == 1
        clock.now += WAIT + 1
        scribe = Scribe(store, keyring, Clock(START), run=new_run_id(START))
        failures: list[BaseException] = []

        def write():
            try:
                saviour = Saviour(saviour_store, sleep=lambda _: None)
                if saviour.save([digest]) or not saviour_store.has(digest):
                    saviour_store.put(BODY)
                    assert saviour.save([digest]) == set()
                turns.wait("writer")
                document = artifact(BODY, inline=False)
                scribe.log.append("step.finished", step="s", status="ran", outputs={"r": document}, key="k", base="k")
                scribe.log._events.sync()
            except BaseException as error:  # noqa: BLE001  told to the test below
                failures.append(error)
            finally:
                turns.leave("writer")

        def sweep():
            try:
                collect(Stepped(store, turns, "collector", clock, calls))
            except BaseException as error:  # noqa: BLE001
                failures.append(error)
            finally:
                turns.leave("collector")

        turns.alive = {"writer", "collector"}
        threads = [threading.Thread(target=write), threading.Thread(target=sweep)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert failures == [], order
        assert store.has(digest), order
        clock.now += 10 * WAIT
        collect(beside)
        clock.now += 10 * WAIT
        collect(beside)
        assert store.get(digest) == BODY
        scribe.log.close()
