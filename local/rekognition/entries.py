"""Manifest lines as Rekognition Custom Labels reads them, with its codes for what is wrong.

The codes and limits are those of the Custom Labels guide: "Debugging a failed model training", JSON line
errors, and "Validation rules for manifest files".
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image, UnidentifiedImageError

from local.sagemaker.platform import split_uri

IMAGE_LEVEL, BOXES = "groundtruth/image-classification", "groundtruth/object-detection"

MAX_IMAGE_BYTES = 15 * 1024 * 1024
_MIN_SIDE, _MAX_SIDE = 64, 4096
_MAX_RATIO = 20
_MAX_BOXES = 50
_REDUCED_SIDE = 1280


class EntryError(Exception):
    """A line that can't be used; the text is the code."""


@dataclass(frozen=True)
class Box:
    """Pixels of the image, from its top-left corner."""

    label: str
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class Entry:
    """One line of a manifest. It has `labels` or `boxes` by its `kind`, which is the type of its attributes;
    `warning` is the code of a line that is valid but not trained on, `error` that of a broken one."""

    text: str
    bucket: str = ""
    key: str = ""
    kind: str | None = None
    labels: tuple[str, ...] = ()
    boxes: tuple[Box, ...] = ()
    warning: str | None = None
    error: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """All labels that stand in it."""
        return self.labels + tuple(box.label for box in self.boxes)

    @property
    def is_usable(self) -> bool:
        """Whether a model can be trained or tested with it."""
        return self.error is None and self.warning is None


def read_entry(line: str) -> Entry:
    """A line; one that is broken comes with its error."""
    try:
        row = json.loads(line)
    except ValueError:
        return Entry(line, error="ERROR_INVALID_JSON_LINE")
    if not isinstance(row, dict):
        return Entry(line, error="ERROR_INVALID_JSON_LINE")
    try:
        bucket, key = _source(row)
        return _annotated(Entry(line, bucket, key), row)
    except EntryError as error:
        return Entry(line, error=str(error))


def check_image(entry: Entry, content: bytes) -> Entry:
    """The entry, with an error if its image or its boxes in it are not as they have to be."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            (width, height), kind = image.size, image.format
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        return replace(entry, error="ERROR_INVALID_IMAGE")
    sides = sorted((width, height))
    fits = sides[0] >= _MIN_SIDE and sides[1] <= _MAX_SIDE and sides[1] <= _MAX_RATIO * sides[0]
    if kind not in ("JPEG", "PNG") or not fits or len(content) > MAX_IMAGE_BYTES:
        return replace(entry, error="ERROR_INVALID_IMAGE")
    reduction = min(1.0, _REDUCED_SIDE / sides[1])
    for box in entry.boxes:
        if box.left + box.width > width or box.top + box.height > height:
            return replace(entry, error="ERROR_INVALID_BOUNDING_BOX")
        if box.width * reduction <= 1 or box.height * reduction <= 1:
            return replace(entry, error="ERROR_BOUNDING_BOX_TOO_SMALL")
    return entry


def _source(row: Mapping[str, Any]) -> tuple[str, str]:
    uri = row.get("source-ref")
    if uri is None:
        raise EntryError("ERROR_MISSING_SOURCE_REF")
    bucket, key = split_uri(str(uri))
    if not str(uri).startswith("s3://") or not bucket or not key:
        raise EntryError("ERROR_INVALID_SOURCE_REF_FORMAT")
    return bucket, key


def _annotated(entry: Entry, row: Mapping[str, Any]) -> Entry:
    attributes = list(_attributes(row))
    kinds = {str(metadata.get("type")) for _, _, metadata in attributes}
    if not attributes:
        if any(name != "source-ref" for name in row):
            raise EntryError("ERROR_NO_LABEL_ATTRIBUTES")
        return replace(entry, warning="WARNING_UNANNOTATED_RECORD")
    if not kinds & {IMAGE_LEVEL, BOXES}:
        raise EntryError("ERROR_NO_VALID_LABEL_ATTRIBUTES")
    labels: list[str] = []
    boxes: list[Box] = []
    for _, value, metadata in attributes:
        if metadata.get("type") == IMAGE_LEVEL:
            labels += _image_level(value, metadata)
        elif metadata.get("type") == BOXES:
            boxes += _boxes(value, metadata)
    if len(boxes) > _MAX_BOXES:
        raise EntryError("ERROR_TOO_MANY_BOUNDING_BOXES")
    kind = BOXES if BOXES in kinds else IMAGE_LEVEL
    warning = None if labels or boxes else "WARNING_NO_ANNOTATIONS"
    return replace(entry, kind=kind, labels=tuple(labels), boxes=tuple(boxes), warning=warning)


def _attributes(row: Mapping[str, Any]) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    for name, value in row.items():
        metadata = row.get(f"{name}-metadata")
        if metadata is None:
            continue
        if not isinstance(metadata, dict):
            raise EntryError("ERROR_INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT")
        yield name, value, metadata


def _image_level(value: Any, metadata: Mapping[str, Any]) -> list[str]:
    name, confidence = metadata.get("class-name"), metadata.get("confidence")
    if not isinstance(name, str) or not isinstance(confidence, int | float):
        raise EntryError("ERROR_INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT")
    if not isinstance(value, int | str):
        raise EntryError("ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT")
    return [name]


def _boxes(value: Any, metadata: Mapping[str, Any]) -> list[Box]:
    classes, objects = metadata.get("class-map"), metadata.get("objects")
    if not isinstance(classes, dict) or not isinstance(objects, list):
        raise EntryError("ERROR_INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT")
    try:
        sizes, annotations = value["image_size"], value["annotations"]
        sides = [[float(each[side]) for side in ("left", "top", "width", "height")] for each in annotations]
        ids = [str(each["class_id"]) for each in annotations]
        [(float(size["width"]), float(size["height"])) for size in sizes]
    except (KeyError, TypeError, ValueError) as error:
        raise EntryError("ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT") from error
    if len(objects) < len(ids) or not all("confidence" in each for each in objects[: len(ids)]):
        raise EntryError("ERROR_MISSING_BOUNDING_BOX_CONFIDENCE")
    if not all(each in classes for each in ids):
        raise EntryError("ERROR_MISSING_CLASS_MAP_ID")
    if any(min(left, top) < 0 or min(width, height) <= 0 for left, top, width, height in sides):
        raise EntryError("ERROR_INVALID_BOUNDING_BOX")
    return [Box(str(classes[each]), *box) for each, box in zip(ids, sides, strict=True)]
