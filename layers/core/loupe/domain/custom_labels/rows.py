"""Rekognition Custom Labels' rules for a row of a manifest: its image and its label attributes."""

import json
from collections.abc import Iterator
from typing import Any

from loupe.domain.custom_labels.codes import scope
from loupe.domain.manifests import MAX_LINE_CHARACTERS, Row

MIN_SIDE, MAX_SIDE, MAX_ASPECT = 64, 4_096, 20
MAX_BOXES = 50
MAX_LABEL_CHARACTERS = 256

CLASSIFICATION, DETECTION = "groundtruth/image-classification", "groundtruth/object-detection"
"""Types of label attributes, in their metadata."""

_TRAINED_SIDE = 1_280
"""Pixels to which training reduces an image's longest side."""
_NUMBER = (int, float)

Problem = tuple[str, str]
"""A code, and what is wrong in words."""


def is_bad(problems: list[Problem]) -> bool:
    """Whether Rekognition drops the row."""
    return any(scope(code) == "row" for code, _ in problems)


def read_row(line: str) -> Row | str:
    """The row, or what is wrong with the line."""
    if len(line) > MAX_LINE_CHARACTERS:
        return f"the line has {len(line):,} characters"
    if not line.strip():
        return "the line is blank"
    try:
        row = json.loads(line)
    except ValueError as error:
        return f"the line is not JSON: {error}"
    return row if isinstance(row, dict) else "the line is not an object"


def labels_of(row: Row) -> Iterator[str]:
    """Labels that a row names, as far as it can be read."""
    for name, metadata in row.items():
        if not name.endswith("-metadata") or not isinstance(metadata, dict):
            continue
        if isinstance(metadata.get("class-name"), str):
            yield metadata["class-name"]
        if isinstance(metadata.get("class-map"), dict):
            yield from map(str, metadata["class-map"].values())


def check_size(row: Row, expected: str) -> Iterator[Problem]:
    """What is wrong with the size that Loupe's own row says the image has, for labels of that type."""
    width, height = row.get("image-width"), row.get("image-height")
    if not isinstance(width, int) or not isinstance(height, int):
        return
    short, long = sorted((width, height))
    if short < MIN_SIDE or long > MAX_SIDE:
        code = "ERROR_INVALID_IMAGE_DIMENSION" if expected == DETECTION else "ERROR_INVALID_IMAGE"
        yield code, f"the image has {width} by {height} pixels"
    elif long > MAX_ASPECT * short:
        yield "ERROR_INVALID_IMAGE", f"the image has {width} by {height} pixels, more than 20:1"


def check_attributes(row: Row, expected: str) -> Iterator[Problem]:
    """What is wrong with the label attributes of a row, which have to be of the type `expected`."""
    names = {name.removesuffix("-metadata") for name in row if name != "source-ref"}
    if not names:
        yield "WARNING_UNANNOTATED_RECORD", "the image has no label"
        return
    supported = False
    for name in sorted(names):
        content, metadata = row.get(name), row.get(f"{name}-metadata")
        if content is None or metadata is None:
            lacking = name if content is None else f"{name}-metadata"
            yield "ERROR_NO_LABEL_ATTRIBUTES", f"{lacking} is missing"
            return
        fault = _metadata_fault(metadata)
        if fault:
            yield "ERROR_INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT", f"{name}-metadata: {fault}"
            return
        kind = metadata["type"]
        if kind != expected:
            yield "ERROR_UNSUPPORTED_USE_CASE_TYPE", f"{name}-metadata: type is {kind}, not {expected}"
            continue
        supported = True
        check = _check_boxes if kind == DETECTION else _check_class
        yield from check(name, content, metadata)
    if not supported:
        yield "ERROR_NO_VALID_LABEL_ATTRIBUTES", f"no attribute is of the type {expected}"


def _metadata_fault(metadata: Any) -> str | None:
    """What all metadata has, of whatever type."""
    if not isinstance(metadata, dict):
        return "it is not an object"
    if not isinstance(metadata.get("type"), str):
        return "type is missing"
    if metadata.get("human-annotated") not in ("yes", "no"):
        return "human-annotated is neither yes nor no"
    if not isinstance(metadata.get("creation-date"), str):
        return "creation-date is missing"
    return None


def _check_class(name: str, content: Any, metadata: Row) -> Iterator[Problem]:
    if isinstance(content, bool) or not (isinstance(content, int) or _is_digits(content)):
        yield "ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT", f"{name} is {content!r}, not the number of a class"
    label, confidence = metadata.get("class-name"), metadata.get("confidence")
    if not isinstance(label, str) or not label:
        yield "ERROR_INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT", f"{name}-metadata: class-name is missing"
    elif len(label) > MAX_LABEL_CHARACTERS:
        yield "ERROR_INVALID_LABEL_NAME_LENGTH", f"{label[:40]!r}... has {len(label)} characters"
    if not _is_confidence(confidence):
        yield (
            "ERROR_INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT",
            f"{name}-metadata: confidence is {confidence!r}, not between 0 and 1",
        )


def _check_boxes(name: str, content: Any, metadata: Row) -> Iterator[Problem]:
    size, boxes = _boxes_in(content)
    if size is None or boxes is None:
        yield (
            "ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT",
            f"{name} has no image_size or annotations that can be read",
        )
        return
    objects, names = metadata.get("objects"), metadata.get("class-map")
    if not isinstance(objects, list) or not isinstance(names, dict):
        yield (
            "ERROR_INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT",
            f"{name}-metadata: objects or class-map is missing",
        )
        return
    if not boxes:
        yield "WARNING_NO_ATTRIBUTE_ANNOTATIONS", f"{name} has no box"
        if metadata["human-annotated"] == "yes":
            yield "WARNING_NO_ANNOTATIONS", "the image has no box"
        return
    sure = [each for each in objects if isinstance(each, dict) and _is_confidence(each.get("confidence"))]
    if len(sure) < len(boxes):
        yield (
            "ERROR_MISSING_BOUNDING_BOX_CONFIDENCE",
            f"{len(sure)} confidences for {len(boxes)} boxes of {name}",
        )
    unnamed = sorted({str(box["class_id"]) for box in boxes} - set(names))
    if unnamed:
        yield "ERROR_MISSING_CLASS_MAP_ID", f"{name}-metadata: class-map lacks class {', '.join(unnamed)}"
    long = [label for label in map(str, names.values()) if len(label) > MAX_LABEL_CHARACTERS]
    if long:
        yield "ERROR_INVALID_LABEL_NAME_LENGTH", f"{long[0][:40]!r}... has {len(long[0])} characters"
    if len(boxes) > MAX_BOXES:
        yield "ERROR_TOO_MANY_BOUNDING_BOXES", f"{name} has {len(boxes)} boxes"
    yield from _check_each_box(boxes, size)


def _check_each_box(boxes: list[Row], size: tuple[float, float]) -> Iterator[Problem]:
    width, height = size
    scale = min(1.0, _TRAINED_SIDE / max(width, height))
    wrong = 0
    for number, box in enumerate(boxes):
        left, top, wide, high = box["left"], box["top"], box["width"], box["height"]
        if min(left, top, wide, high) < 0 or left + wide > width or top + high > height:
            wrong += 1
            yield (
                "ERROR_INVALID_BOUNDING_BOX",
                f"annotations[{number}] reaches beyond {width:g} by {height:g} pixels",
            )
        elif min(wide, high) * scale <= 1:
            wrong += 1
            yield (
                "ERROR_BOUNDING_BOX_TOO_SMALL",
                f"annotations[{number}] has {wide:g} by {high:g} pixels",
            )
    if wrong == len(boxes):
        yield "ERROR_NO_VALID_ANNOTATIONS", "no box of the image is valid"


def _boxes_in(content: Any) -> tuple[tuple[float, float] | None, list[Row] | None]:
    """The size of the image and its boxes; None for what can't be read."""
    match content:
        case {
            "image_size": [{"width": int() | float() as width, "height": int() | float() as height}, *_]
        } if width > 0 and height > 0:
            size = float(width), float(height)
        case _:
            return None, None
    boxes = content.get("annotations")
    if not isinstance(boxes, list) or not all(map(_is_box, boxes)):
        return size, None
    return size, boxes


def _is_box(box: Any) -> bool:
    return (
        isinstance(box, dict)
        and (isinstance(box.get("class_id"), int) or _is_digits(box.get("class_id")))
        and isinstance(box.get("left"), _NUMBER)
        and isinstance(box.get("top"), _NUMBER)
        and isinstance(box.get("width"), _NUMBER)
        and isinstance(box.get("height"), _NUMBER)
    )


def _is_digits(value: Any) -> bool:
    return isinstance(value, str) and value.isdecimal()


def _is_confidence(value: Any) -> bool:
    return isinstance(value, _NUMBER) and not isinstance(value, bool) and 0 <= value <= 1
