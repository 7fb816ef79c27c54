"""The events in the code, in docs/events.md and in events/ are the same ones."""

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from loupe.domain import events
from loupe.domain.events import SOURCE, Event, TrainingConcluded


def event_types(base: type[Event] = Event) -> Iterator[type[Event]]:
    for subclass in base.__subclasses__():
        if subclass is not TrainingConcluded:
            yield subclass
        yield from event_types(subclass)


def test_each_event_has_an_example_from_which_it_can_be_built(root: Path) -> None:
    for event_type in event_types():
        example = json.loads((root / f"events/{event_type.__name__}.json").read_text())
        assert example["source"] == SOURCE
        assert example["detail-type"] == event_type.__name__
        event = event_type(**example["detail"])
        assert event.detail == example["detail"]


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
        "SageMaker Ground Truth Labeling Job State Change",
        "Step Functions Execution Status Change",
    }
    assert events.SOURCE == "loupe"
