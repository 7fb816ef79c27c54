"""JSON Schemas of Loupe's own events, as they come over the bus. Run by scripts/event-schemas."""

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from loupe.domain.events import SOURCE, Event, event_types

SCHEMAS = Path(__file__).parents[2] / "events" / "schemas"


def main() -> None:
    """Writes a schema for each event."""
    SCHEMAS.mkdir(exist_ok=True)
    for event_type in event_types():
        schema_file(event_type).write_text(json.dumps(schema_of(event_type), indent=1) + "\n")


def schema_file(event_type: type[Event]) -> Path:
    return SCHEMAS / f"{event_type.__name__}.json"


def schema_of(event_type: type[Event]) -> dict[str, Any]:
    """The whole EventBridge event. Members may be added to `detail` later; none is taken away."""
    detail = TypeAdapter(event_type).json_schema()
    detail.pop("title", None)
    for field in detail["properties"].values():
        field.pop("title", None)
    description = " ".join(str(detail.pop("description")).split())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": event_type.__name__,
        "description": description,
        "type": "object",
        "properties": {
            "source": {"const": SOURCE},
            "detail-type": {"const": event_type.__name__},
            "detail": detail,
        },
        "required": ["source", "detail-type", "detail"],
    }


if __name__ == "__main__":
    main()
