"""Write runs as a driver would, for tests that read them."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headwater.digest import digest_bytes, digest_of
from headwater.record import Driver, RunLog, new_run_id
from headwater.record.events import claim_path, decode_claim, encode_claim, encode_event, events_path
from headwater.traces import sign_trace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from headwater.digest import Json
    from headwater.store import Store
    from headwater.trust import Keyring

START = 1_790_000_000.0


@dataclass
class Clock:
    """A clock that tests move."""

    time: float = START

    def __call__(self) -> float:
        self.time += 0.001
        return self.time


@dataclass
class Scribe:
    """Appends the events of one run."""

    store: Store
    keyring: Keyring
    clock: Clock = field(default_factory=Clock)
    pipeline: str = "daily"
    run: str = ""
    log: RunLog = field(init=False)

    def __post_init__(self) -> None:
        self.run = self.run or new_run_id(self.clock())
        self.log = RunLog.create(self.store, self.run, Driver.here(), self.clock)
        self.log.append("run.started", pipeline=self.pipeline, definition=digest_of(self.pipeline), params={"n": 3})

    def ran(
        self, step: str, body: bytes, *, inputs: Mapping[str, bytes] | None = None, **more: Json
    ) -> dict[str, Json]:
        """Record a step that ran; returns its artifact document."""
        parts, base = self.parts(step, inputs)
        self.log.append("step.decided", step=step, action="run", key=base, base=base, parts=parts)
        attempt = f"{self.run}/{step}/1"
        self.log.append("attempt.submitted", attempt=attempt, step=step, backend="inline")
        self.log.append("attempt.accepted", attempt=attempt, handle="h1")
        self.log.append("attempt.ended", attempt=attempt, seconds=1.5, worker="w")
        document = artifact(body)
        facts: dict[str, Json] = {"step": step, "status": "ran", "outputs": {"result": document}, "base": base}
        facts |= {"key": base, "observed": {}, "seconds": 1.5, "attempts": 1, **more}
        self.log.append("step.finished", **sign_trace(self.run, facts, self.keyring))
        return document

    def reused(self, step: str, body: bytes, *, trace: Mapping[str, Json]) -> None:
        """Record a step that was reused."""
        parts, base = self.parts(step, None)
        facts: dict[str, Json] = {"key": base, "base": base, "parts": parts, "trace": dict(trace)}
        self.log.append("step.decided", step=step, action="reuse", **facts)
        self.log.append("step.finished", step=step, status="reused", outputs={"result": artifact(body)}, key=base)

    def parts(self, step: str, inputs: Mapping[str, bytes] | None) -> tuple[dict[str, Json], str]:
        given: dict[str, Json] = {name: ["bytes", digest_bytes(body)] for name, body in (inputs or {}).items()}
        parts: dict[str, Json] = {"scheme": "1", "kind": "function", "code": digest_of(step), "inputs": given}
        return parts, digest_of(parts)

    def end(self, status: str = "succeeded") -> str:
        """End the run."""
        self.log.end(self.keyring.sign, status=status, seconds=2.0)
        self.log.close()
        return self.run


def artifact(body: bytes, *, inline: bool = True) -> dict[str, Json]:
    """Return the document of a bytes artifact."""
    document: dict[str, Json] = {"digest": digest_bytes(body), "type": "bytes", "bytes": len(body), "meta": {}}
    return {**document, "inline": base64.b64encode(body).decode()} if inline else document


def rewrite(root: Path, run: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change the events of a run that has ended, as somebody would who can write to the store: chains and seal fit."""
    claim, seal = (root / claim_path(run, epoch) for epoch in (1, 2))
    chain, lines = decode_claim(claim.read_bytes(), 1).chain, []
    path = root / events_path(run, 1)
    for line in path.read_text().splitlines():
        facts = change(json.loads(line))
        known = {name: facts.pop(name) for name in ("v", "seq", "t", "type", "chain")}
        data, chain = encode_event(chain, known["seq"], known["t"], known["type"], facts)
        lines.append(data)
    path.write_bytes(b"".join(lines))
    old = decode_claim(seal.read_bytes(), 2)
    seal.write_bytes(encode_claim(old.driver, old.time, len(lines), chain, is_seal=True))
