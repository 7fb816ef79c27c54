"""From a dataset version's rows to rows as Rekognition Custom Labels reads them.

It knows two of Ground Truth's formats, one class an image and boxes. Several labels an image become several
attributes of one class each; boxes stay as they are; every other member of a row is left out.
"""

from collections.abc import Iterator
from typing import Any

from loupe.domain.label_attributes import MANIFEST_TYPES
from loupe.domain.manifests import Row
from loupe.domain.projects import LABEL_ATTRIBUTES, TaskType

_KEPT = ("job-name", "human-annotated", "creation-date")
"""What the labels of an image have in common."""


def custom_labels_row(row: Row, task: TaskType) -> Row:
    """The row for Rekognition: `source-ref` and what there is of the task's label.

    An image with none of several labels has `source-ref` alone. What is malformed stays malformed, to be
    found by the validation.
    """
    attribute = LABEL_ATTRIBUTES[task]
    members = {name: row[name] for name in (attribute, f"{attribute}-metadata") if name in row}
    if task == "multi-label-classification":
        members = _one_attribute_a_label(attribute, members)
    return {**({"source-ref": row["source-ref"]} if "source-ref" in row else {}), **members}


def _one_attribute_a_label(attribute: str, members: Row) -> Row:
    classes, metadata = members.get(attribute), members.get(f"{attribute}-metadata")
    if not isinstance(classes, list) or not isinstance(metadata, dict):
        return members
    return dict(_single_labels(attribute, classes, metadata))


def _single_labels(attribute: str, classes: list[Any], metadata: Row) -> Iterator[tuple[str, Any]]:
    names, sure = metadata.get("class-map"), metadata.get("confidence-map")
    names, sure = (each if isinstance(each, dict) else {} for each in (names, sure))
    shared = {name: metadata[name] for name in _KEPT if name in metadata}
    for value in classes:
        named = {"class-name": names[str(value)]} if str(value) in names else {}
        yield f"{attribute}-{value}", value
        yield (
            f"{attribute}-{value}-metadata",
            {
                **named,
                "confidence": sure.get(str(value), 0.0),
                "type": MANIFEST_TYPES["image-classification"],
                **shared,
            },
        )
