"""Traces: which one stands in, and whose it is."""

from __future__ import annotations

import pytest

from headwater.index import Index
from headwater.store import open_store
from headwater.traces import Traces, sign_trace
from headwater.trust import Keyring
from tests.histories import Clock, Scribe, artifact


@pytest.fixture
def place(tmp_path):
    store = open_store(tmp_path / "store")
    index = Index.open(store, folder=tmp_path / "index")
    keyring = Keyring.load(tmp_path / "mine" / "key.json")
    yield store, index, keyring
    index.close()


def test_the_oldest_stands_until_it_is_superseded(place):
    store, index, keyring = place
    clock = Clock()
    scribes = [Scribe(store, keyring, clock) for _ in range(4)]
    _, base = scribes[0].parts("load", None)
    for number in (0, 1):
        scribes[number].ran("load", str(number).encode())
        clock.time += 1
    traces = Traces(index, keyring)
    index.refresh()
    assert [trace.run for trace in traces.by_base(base)] == [scribes[0].run, scribes[1].run]
    scribes[2].log.append("trace.superseded", step="load", base=base, reason="force")
    index.refresh()
    assert len(traces.by_base(base)) == 2  # it takes the place of others when it is there
    for number in (2, 3):
        scribes[number].ran("load", str(number).encode())
    index.refresh()
    assert [trace.run for trace in traces.by_base(base)] == [scribes[2].run, scribes[3].run]
    assert [trace.run for trace in traces.by_key(base)] == [scribes[2].run, scribes[3].run]
    assert [row.is_superseded for row in index.traces_by_base(base)] == [True, True, False, False]
    # Two forced runs at once: whichever says so last, the one that is later in the order stands.
    scribes[3].log.append("trace.superseded", step="load", base=base, reason="force")
    index.refresh()
    assert [trace.run for trace in traces.by_base(base)] == [scribes[3].run]
    assert traces.by_base("0" * 64) == []


def test_a_base_has_traces_of_several_keys(place):
    store, index, keyring = place
    scribe = Scribe(store, keyring)
    _, base = scribe.parts("load", None)
    for key, digest in (("k1", "d1"), ("k2", "d2")):
        scribe.ran("load", b"x", key=key, observed={"project:a.csv": digest})
    index.refresh()
    traces = Traces(index, keyring)
    assert [(trace.key, trace.observed) for trace in traces.by_base(base)] == [
        ("k1", {"project:a.csv": "d1"}),
        ("k2", {"project:a.csv": "d2"}),
    ]
    assert [trace.key for trace in traces.by_key("k2")] == ["k2"]


def test_whose_a_trace_is_decides_when_it_is_looked_up(place, tmp_path):
    store, index, keyring = place
    hers = Keyring.load(tmp_path / "hers" / "key.json")
    scribe = Scribe(store, hers)
    _, base = scribe.parts("load", None)
    scribe.ran("load", b"x")
    index.refresh()
    (trace,) = Traces(index, keyring).by_base(base)
    assert (trace.trusted, trace.signer) == (False, hers.own.id)
    keyring.add(hers.export(), name="ada")
    assert Traces(index, keyring).by_base(base)[0].trusted
    assert Traces(index, hers).by_base(base)[0].trusted


@pytest.mark.parametrize("forged", ["outputs", "key", "base", "observed", "step", "run", "mac"])
def test_a_false_signature_hides_a_trace(place, forged):
    store, index, keyring = place
    scribe = Scribe(store, keyring)
    _, base = scribe.parts("load", None)
    facts = {"step": "load", "status": "ran", "key": base, "base": base, "outputs": {"r": artifact(b"x")}}
    run = "20200101-000000-aaaaaa" if forged == "run" else scribe.run
    signed = sign_trace(run, facts, keyring)
    changes = {
        "outputs": {"r": artifact(b"y")},
        "key": "other",
        "base": "other",
        "observed": {"a": "b"},
        "step": "fit",
        "mac": {"key": keyring.own.id, "mac": "0" * 64},
    }
    signed |= {forged: changes[forged]} if forged in changes else {}
    scribe.log.append("step.finished", **signed)
    index.refresh()
    traces = Traces(index, keyring)
    assert [*traces.by_base(base), *traces.by_base("other"), *traces.by_key("other")] == []
    assert index.traces_by_base(str(signed["base"])) != []


def test_a_trace_that_nobody_signed_is_data_only(place):
    store, index, keyring = place
    scribe = Scribe(store, keyring)
    scribe.log.append("step.finished", step="load", status="ran", key="k", base="k", outputs={})
    index.refresh()
    (trace,) = Traces(index, keyring).by_base("k")
    assert (trace.trusted, trace.signer) == (False, "")
