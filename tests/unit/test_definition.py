"""The definition's document: the golden file, the schema, what is refused."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings

from headwater.definition import Definition, read_options, write_options
from headwater.errors import DefinitionError
from headwater.graph import Graph, Node, Options, Output
from headwater.types import Fault, Resources, Retry
from tests.drawn import graphs
from tests.typing.flights import flights

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests/golden/definition-1.json"
SCHEMA = json.loads((ROOT / "docs/reference/definition.schema.json").read_text())


def golden() -> dict[str, object]:
    return json.loads(GOLDEN.read_text())


def test_the_documented_pipeline_compiles_to_the_golden_document() -> None:
    assert flights.compile().definition.document() == golden()


def test_the_golden_document_is_read_and_keeps_its_digest() -> None:
    definition = Definition.from_document(golden())
    assert definition == flights.compile().definition
    # The digest names the pipeline for ever: if this changes, so does everybody's version.
    assert definition.digest == "112a8eafb8441bcabbec5de918fb7a4342647a21f503d98897de20dbd2d5720f"


def test_the_schema_is_a_schema_and_takes_the_golden_document() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(golden(), SCHEMA, cls=jsonschema.Draft202012Validator)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graphs())
def test_the_schema_takes_every_definition(graph: Graph) -> None:
    document = json.loads(json.dumps(Definition("flights", graph).document()))
    jsonschema.validate(document, SCHEMA, cls=jsonschema.Draft202012Validator)


def change(document: dict[str, object], path: str, value: object) -> None:
    *way, last = path.split(".")
    place: object = document
    for key in way:
        place = place[int(key)] if isinstance(place, list) else place[key]  # type: ignore[index]
    if value is ...:
        del place[last]  # type: ignore[attr-defined]
    else:
        place[last] = value  # type: ignore[index]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("headwater", "definition/2"),
        ("headwater", ...),
        ("steps", ...),
        ("output", ...),
        ("output", {"out": "evaluate"}),
        ("parameters", {"month": {}}),
        ("more", 1),
        ("steps.0.kind", "job"),
        ("steps.0.name", ...),
        ("steps.0.name", 5),
        ("steps.0.more", 1),
        ("steps.0.inputs.month", "2026-01"),
        ("steps.0.options.more", 1),
        ("steps.0.options.strict", "yes"),
        ("steps.0.options.retry.more", 1),
        ("steps.0.options.resources", 4),
        ("steps.2.options.resources.cpus", "4"),
        ("steps.0.options.secrets", "KEY"),
        ("name", 5),
        ("steps", {}),
        ("steps.0.outputs", "result"),
        ("steps.0.call", ["fetch"]),
        ("steps.5.call", {"compare": "<>", "left": {"const": 1}, "right": {"const": 2}}),
        ("steps.6.guards.0.expected", "yes"),
        ("steps.6.call", "m:f"),
        ("parameters.0.type", "text"),
    ],
)
def test_what_is_not_understood_is_refused_by_reader_and_schema(path: str, value: object) -> None:
    document = deepcopy(golden())
    change(document, path, value)
    with pytest.raises(DefinitionError):
        Definition.from_document(document)  # type: ignore[arg-type]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, SCHEMA, cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize("document", [None, [], "definition/1", {}])
def test_what_is_no_definition_at_all_is_refused(document: object) -> None:
    with pytest.raises(DefinitionError, match="not a definition that headwater can read"):
        Definition.from_document(document)  # type: ignore[arg-type]


def test_what_is_told_names_the_step_and_the_field() -> None:
    document = golden()
    change(document, "steps.0.colour", "red")
    with pytest.raises(DefinitionError) as caught:
        Definition.from_document(document)  # type: ignore[arg-type]
    assert "fetch" in str(caught.value)
    assert "colour" in str(caught.value)


def test_a_graph_that_cannot_run_is_refused_when_read() -> None:
    document = golden()
    change(document, "steps.1.inputs.raw", {"out": "nobody", "output": "result"})
    with pytest.raises(DefinitionError, match="nobody"):
        Definition.from_document(document)  # type: ignore[arg-type]


def test_options_are_written_only_where_they_differ() -> None:
    assert write_options(Options()) == {}
    everything = Options(
        resources=Resources(2, "1GiB", 1, {"licences": 1}),
        retry=Retry(3, "10s", 3, (Fault.USER,)),
        timeout=60.0,
        env={"A": "1"},
        secrets=("KEY",),
        fresh=86400.0,
        effect="once",
        version="3",
        strict=True,
        priority=-1,
        backend="inline",
        files=("model.R",),
        packages=("numpy",),
        reuse=False,
        limit="database",
    )
    document = json.loads(json.dumps(write_options(everything)))
    assert read_options(document) == everything
    assert set(document) == set(Options.__slots__)
    step = {"name": "a", "kind": "function", "call": "m:f", "options": document}
    whole = {"headwater": "definition/1", "name": "p", "parameters": [], "steps": [step], "output": {"const": None}}
    jsonschema.validate(whole, SCHEMA, cls=jsonschema.Draft202012Validator)


def test_a_nodes_line_is_no_part_of_it() -> None:
    one, other = (Node("a", "function", "m:f", outputs=(Output("result", "json"),), line=line) for line in "xy")
    assert one == other
