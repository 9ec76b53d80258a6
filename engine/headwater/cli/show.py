"""Show one run, step by step; or one step of it in full.

hw show                    # the latest run
hw show RUN train
"""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, cast

from headwater.cli import options, text
from headwater.expr import Const, describe
from headwater.observed import is_file
from headwater.types import StepStatus

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from headwater.digest import Json
    from headwater.record import RunRecord, StepRecord


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("run_id", metavar="RUN", nargs="?", default="latest", help="a run's id, or how it begins")
    parser.add_argument("step", metavar="STEP", nargs="?", help="a step of it")
    options.add_json(parser)
    options.add_store(parser)


def run(args: argparse.Namespace) -> int:
    """Carry the command out."""
    result = options.records(args).result(args.run_id)
    if args.step is not None:
        return _show_step(result.record, args)
    if args.json:
        options.print_json({**result.document(), "facts": dict(result.record.facts)})
        return 0
    record = result.record
    print(f"run {record.run}: {record.pipeline} version {record.version}, {record.status}")
    print(f"  started    {text.moment(record.started)}, took {text.duration(record.seconds)}")
    print(f"  definition {record.definition[:16]}  code {str(record.facts.get('bundle'))[:16]}")
    for name, value in record.params.items():
        print(f"  {name} = {describe(Const(value))}")
    git = cast("Mapping[str, Json] | None", record.facts.get("git"))
    if git:
        print(f"  git {str(git['commit'])[:12]}{' with changes' if git['dirty'] else ''}")
    print(_table(result.steps))
    for step in result.steps:
        if told := _message(step):
            print(f"{step.step} told: {text.shown(told, sys.stdout)}")
    return 0


def _table(steps: Sequence[StepRecord]) -> str:
    rows = [[step.step, step.status.value, text.duration(step.seconds), step.reason] for step in steps]
    return text.shown(text.table(["step", "status", "seconds", "reason"], rows), sys.stdout)


def _show_step(record: RunRecord, args: argparse.Namespace) -> int:
    from headwater.cli.place import told_again
    from headwater.cli.steps import steps_of
    from headwater.workspace import step_of

    step, found = step_of(record, args.step), steps_of(record, args.step)
    is_map = found[0] is not step
    if args.json:
        elements: dict[str, Json] = {"elements": [step_in_full(each) for each in found]} if is_map else {}
        options.print_json(step_in_full(step) | elements)
    elif is_map:
        print(f"{step.step}: {step.status}, {text.counted(len(found), 'element')}")
        print(_table(found))
        print(told_again(shlex.join(["hw", "show", record.run, found[0].step]), args) + " shows one in full")
    else:
        _print_step(step)
    return 0


def _message(step: StepRecord) -> str:
    """Return what a notification told, its value, and in which run; "" for other steps and where it told nothing."""
    if step.parts.get("kind") != "notify" or step.status not in (StepStatus.RAN, StepStatus.REUSED):
        return ""
    from headwater.cli.answer import plain
    from headwater.run.control import shown_value

    message, value = (plain(step.trees.get(name)) for name in ("message", "value"))
    told = shown_value(message) + (f": {shown_value(value)}" if value is not None else "")
    return told if step.trace is None else f"{told} (in run {step.trace.run})"


def step_in_full(step: StepRecord) -> dict[str, Json]:
    """Return everything recorded of a step as JSON."""
    return {
        "name": step.step,
        "run": step.run,
        "status": step.status.value,
        "reason": step.reason,
        "changes": list(step.changes),
        "key": step.key,
        "base": step.base,
        "parts": dict(step.parts),
        "inputs": cast("Json", dict(step.inputs)),
        "observed": cast("Json", dict(step.observed)),
        "trace": None if step.trace is None else {"run": step.trace.run, "step": step.trace.step},
        "outputs": dict(step.outputs),
        "backend": step.backend,
        "seconds": step.seconds,
        "error": None if step.error is None else dict(step.error),
        "attempts": [
            {"attempt": each.attempt, "backend": each.backend, "fault": each.fault, **each.facts}
            for each in step.attempts
        ],
    }


def _print_step(step: StepRecord) -> None:
    print(f"{step.step}: {step.status} ({text.shown(step.reason, sys.stdout)})")
    for change in step.changes:
        print(f"  changed: {change}")
    if step.trace is not None:
        print(f"  result of run {step.trace.run}, step {step.trace.step}")
    print(f"  key      {step.key}")
    took = text.duration(step.seconds)
    print(f"  backend  {step.backend or 'none'}{', ' if took else ''}{took}")
    if told := _message(step):
        print(f"  told     {text.shown(told, sys.stdout)}")
    for name, sources in step.inputs.items():
        print(f"  input    {name}: {', '.join(_origins(sources)) or 'a constant'}")
    for label, value in step.observed.items():
        print(f"  {'opened' if is_file(label) else 'asked '}   {label} {value[:16]}")
    for name, document in step.outputs.items():
        doc = cast("Mapping[str, Json]", document)
        print(f"  output   {name}: {doc['type']} {str(doc['digest'])[:16]} {text.size(cast('int', doc['bytes']))}")
    for attempt in step.attempts:
        facts = attempt.facts
        memory = text.size(cast("float | None", facts.get("memory")))
        cpu = text.duration(cast("float | None", facts.get("cpu")))
        print(
            f"  attempt  {attempt.attempt.rpartition('/')[2]} on {facts.get('worker') or attempt.backend}:"
            f" {attempt.fault or 'ok'}, cpu {cpu or 'unknown'}, memory {memory or 'unknown'}"
        )
    if step.error is not None:
        print(f"  error    {step.error.get('class')}: {text.shown(str(step.error.get('message')), sys.stdout)}")
        for line in cast("list[str]", step.error.get("traceback") or []):
            print(f"    {text.shown(line, sys.stdout)}")


def _origins(sources: Sequence[Mapping[str, Json]]) -> list[str]:
    """Say where an input came from: each step once, and of a map how many elements."""
    if len(sources) == 1:
        return [_source(sources[0])]
    whole = dict.fromkeys(_source({**source, "output": "result"}) for source in sources)
    maps: dict[str, int] = {}
    for name in whole:
        mapped = name.partition("[")[0]
        maps[mapped] = maps.get(mapped, 0) + 1
    return [f"{name} ({count} elements)" if count > 1 else name for name, count in maps.items()]


def _source(source: Mapping[str, Json]) -> str:
    for kind in ("step", "parameter", "file"):
        if kind in source:
            output = source.get("output")
            return f"{kind} {source[kind]}" + (f".{output}" if output not in (None, "result") else "")
    return str(source.get("digest"))[:16]
