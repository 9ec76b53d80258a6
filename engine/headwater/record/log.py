"""The writing side of a run's log."""

from __future__ import annotations

import datetime as dt
import os
import threading
import time as clocks
from typing import TYPE_CHECKING

from headwater.digest import canonical
from headwater.errors import RequestError, StoreError, Superseded
from headwater.record.alive import BEAT, Driver, beat
from headwater.record.events import (
    RUN_ENDED,
    claim_path,
    decode_claim,
    encode_claim,
    encode_event,
    end_bytes,
    events_path,
    read_more,
    text_path,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from headwater.digest import Json
    from headwater.record.events import Claim
    from headwater.store import Appender, Store
    from headwater.types import RunId, StepName

#: Digits whose order is that of their characters, without those that look alike.
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


def new_run_id(now: float, random: Callable[[int], bytes] = os.urandom) -> RunId:
    """Return a new run's id, such as ``20261123-161200-7f3k2a``: ids sort by time, to the millisecond."""
    milliseconds = int(now * 1000)
    moment = dt.datetime.fromtimestamp(milliseconds // 1000, tz=dt.UTC)
    fraction = milliseconds % 1000
    tail = [_DIGITS[fraction >> 5], _DIGITS[fraction & 31], *(_DIGITS[byte & 31] for byte in random(4))]
    return f"{moment:%Y%m%d-%H%M%S}-{''.join(tail)}"


class RunLog:
    """A driver's hold on a run: it appends events until the run ends or another driver takes over.

    May be used from several threads. Call ``sync`` every few seconds: it makes what was appended durable, gives the
    sign of life, and tells when another driver took over.
    """

    def __init__(self, store: Store, run: RunId, driver: Driver, clock: Callable[[], float], claim: Claim) -> None:
        #: The run's id.
        self.run = run
        #: Which driver of the run this is, counted from 1.
        self.epoch = claim.epoch
        self._store, self._driver, self._clock = store, driver, clock
        self._seq, self._chain = claim.previous_seq, claim.chain
        self._events = store.appender(events_path(run, self.epoch))
        self._text: Appender | None = None
        self._lock = threading.RLock()
        self._next_beat = 0.0
        self._has_ended = self._is_closed = self._is_superseded = False

    @classmethod
    def create(cls, store: Store, run: RunId, driver: Driver, clock: Callable[[], float]) -> RunLog:
        """Begin a new run's log. Raises StoreError when the id is taken."""
        data = encode_claim(driver.document(), clock(), 0, "")
        if not store.create(claim_path(run, 1), data):
            raise StoreError("there is already a run with this id", facts={"run": run}, hint="start it again")
        log = cls(store, run, driver, clock, decode_claim(data, 1))
        log._beat()
        return log

    @classmethod
    def resume(cls, store: Store, run: RunId, driver: Driver, clock: Callable[[], float]) -> RunLog:
        """Take a run over from its last driver, dead or alive.

        Raises RequestError when there is no such run or it has ended, Superseded when another driver was faster.
        """
        batch = read_more(store, run)
        if batch is None:
            raise RequestError(f"there is no run {run}", hint="list the runs with: hw runs")
        has_ended = any(event.type == RUN_ENDED for event in batch.events)
        cursor = batch.cursor
        data = encode_claim(driver.document(), clock(), cursor.seq, cursor.chain, is_seal=has_ended)
        if has_ended or cursor.is_sealed:
            if not cursor.is_sealed:  # its driver died between the last event and the seal
                store.create(claim_path(run, cursor.epoch + 1), data)
            raise RequestError(f"run {run} has ended", hint="start a new one: what it finished will be reused")
        epoch = cursor.epoch + 1
        if not store.create(claim_path(run, epoch), data):
            raise Superseded("another driver has just taken this run over", facts={"run": run, "epoch": epoch})
        log = cls(store, run, driver, clock, decode_claim(data, epoch))
        log._beat()
        return log

    @property
    def seq(self) -> int:
        """Number of the last event."""
        return self._seq

    def append(self, kind: str, /, **facts: Json) -> int:
        """Append an event, hand it to the operating system, and return its number."""
        return self.append_many([(kind, facts)])

    def append_many(self, events: Iterable[tuple[str, Mapping[str, Json]]]) -> int:
        """Append events in one write; return the number of the last."""
        with self._lock:
            self._check_open()
            now = self._clock()
            lines: list[bytes] = []
            seq, chain, has_ended = self._seq, self._chain, self._has_ended
            for kind, facts in events:
                seq += 1
                line, chain = encode_event(chain, seq, now, kind, facts)
                lines.append(line)
                has_ended = has_ended or kind == RUN_ENDED
            if lines:
                self._events.append(b"".join(lines))
                self._seq, self._chain, self._has_ended = seq, chain, has_ended
            return seq

    def end(self, sign: Callable[[bytes], Json], **facts: Json) -> int:
        """Append the end of the run, with a signature over all that was appended before it, by every driver."""
        with self._lock:
            mac = sign(end_bytes(self.run, self._seq + 1, self._chain, facts))
            return self.append(RUN_ENDED, **facts, mac=mac)

    def text(self, step: StepName, attempt: str, stream: str, text: str, *, time: float | None = None) -> None:
        """Append a piece of text that a step wrote."""
        moment = self._clock() if time is None else time
        line = canonical({"step": step, "attempt": attempt, "stream": stream, "t": moment, "text": text}) + b"\n"
        with self._lock:
            self._check_open()
            if self._text is None:
                self._text = self._store.appender(text_path(self.run, self.epoch))
            self._text.append(line)

    def sync(self) -> None:
        """Make objects and events durable, in this order. Raises Superseded when another driver took over."""
        with self._lock:
            self._check_open()
            self._check_epoch()
            self._store.flush()
            self._events.sync()
            if self._text is not None:
                self._text.sync()
            self._beat()

    def close(self) -> None:
        """Let go of the run; one that has ended is sealed. Raises Superseded when it was taken over meanwhile."""
        with self._lock:
            if self._is_closed:
                return
            try:
                if self._has_ended and not self._is_superseded:
                    self.sync()
                    self._seal()
            finally:
                self._is_closed = True
                self._events.close()
                if self._text is not None:
                    self._text.close()

    def _seal(self) -> None:
        data = encode_claim(self._driver.document(), self._clock(), self._seq, self._chain, is_seal=True)
        if not self._store.create(claim_path(self.run, self.epoch + 1), data):
            self._supersede()

    def _check_open(self) -> None:
        if self._is_superseded:
            self._supersede()
        if self._is_closed:
            raise ValueError("the log of this run is closed")

    def _check_epoch(self) -> None:
        if self._store.read(claim_path(self.run, self.epoch + 1)) is not None:
            self._supersede()

    def _supersede(self) -> None:
        self._is_superseded = True
        raise Superseded(
            "another driver took this run over",
            facts={"run": self.run, "epoch": self.epoch + 1},
            hint=f"see how it goes on with: hw show {self.run}",
        )

    def _beat(self) -> None:
        now = clocks.monotonic()
        if now >= self._next_beat:
            self._next_beat = now + BEAT
            beat(self._store, self.run, self._driver)
