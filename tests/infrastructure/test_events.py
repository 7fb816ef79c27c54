"""The events in the code, in docs/events.md and in events/ are the same ones."""

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from jsonschema import ValidationError as JsonSchemaError

from loupe.domain import events
from loupe.domain.events import SOURCE, event_types
from tests.infrastructure.event_schemas import SCHEMAS, schema_file, schema_of


def test_each_event_has_an_example_from_which_it_can_be_built(root: Path) -> None:
    for event_type in event_types():
        example = json.loads((root / f"events/{event_type.__name__}.json").read_text())
        assert example["source"] == SOURCE
        assert example["detail-type"] == event_type.__name__
        event = event_type(**example["detail"])
        assert event.detail == example["detail"]


def test_each_event_has_a_schema_that_its_example_keeps_to() -> None:
    written = {path.name for path in SCHEMAS.glob("*.json")}
    assert written == {schema_file(event_type).name for event_type in event_types()}
    for event_type in event_types():
        schema = json.loads(schema_file(event_type).read_text())
        assert schema == schema_of(event_type), "run scripts/event-schemas"
        example = json.loads((SCHEMAS.parent / schema_file(event_type).name).read_text())
        Draft202012Validator.check_schema(schema)
        Draft202012Validator(schema).validate(example)


@pytest.mark.parametrize("damage", ["source", "detail-type", "detail", "detail.project", "detail.version"])
def test_a_schema_refuses_an_event_that_lacks_something(damage: str) -> None:
    example = json.loads((SCHEMAS.parent / "ModelPromoted.json").read_text())
    *way, last = damage.split(".")
    del (example[way[0]] if way else example)[last]
    schema = json.loads((SCHEMAS / "ModelPromoted.json").read_text())
    with pytest.raises(JsonSchemaError):
        Draft202012Validator(schema).validate(example)


def test_the_documentation_lists_each_event_with_its_fields(root: Path) -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", (root / "docs/events.md").read_text(), re.MULTILINE)
    documented = {name: set(re.findall(r"`(\w+)`", columns)) for name, columns in rows}
    assert documented == {
        event_type.__name__: {field.name for field in fields(event_type)} for event_type in event_types()
    }


def test_rules_listen_to_events_that_exist(root: Path) -> None:
    known = {event_type.__name__ for event_type in event_types()}
    patterns = re.findall(r"detail-type: \[([^\]]+)\]", (root / "template.yaml").read_text())
    listened = {name.strip() for pattern in patterns for name in pattern.split(",")}
    assert listened - known == {
        "Object Created",
        "Object Deleted",
        "SageMaker Endpoint State Change",
        "SageMaker Ground Truth Labeling Job State Change",
        "SageMaker Model Package State Change",
        "Step Functions Execution Status Change",
    }
    assert events.SOURCE == "loupe"
