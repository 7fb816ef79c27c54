"""Manifest lines as the local Rekognition reads them: what is wrong with each, by Rekognition's code."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from PIL import Image

from local.rekognition.entries import check_image, read_entry

IMAGE_LEVEL = {
    "class-name": "dent",
    "confidence": 0.9,
    "human-annotated": "yes",
    "creation-date": "2026-05-04T09:12:33",
    "type": "groundtruth/image-classification",
}
BOX = {"class_id": 1, "left": 40, "top": 88, "width": 210, "height": 96}
BOXES = {
    "objects": [{"confidence": 0.8}],
    "class-map": {"1": "bolt"},
    "human-annotated": "yes",
    "creation-date": "2026-05-04T09:12:33",
    "type": "groundtruth/object-detection",
}


def image_level(**metadata: Any) -> str:
    return line(label=1, **{"label-metadata": IMAGE_LEVEL | metadata})


def boxes(*found: dict[str, Any], **metadata: Any) -> str:
    value = {"image_size": [{"width": 640, "height": 480, "depth": 3}], "annotations": list(found)}
    return line(boxes=value, **{"boxes-metadata": BOXES | metadata})


def line(**members: Any) -> str:
    return json.dumps({"source-ref": "s3://bucket/a.jpg", **members})


def jpeg(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (width, height)).save(buffer, "JPEG")
    return buffer.getvalue()


def test_good_lines_have_their_labels() -> None:
    assert read_entry(image_level()).labels == ("dent",)
    entry = read_entry(boxes(BOX))
    assert (entry.names, entry.boxes[0].left, entry.error) == (("bolt",), 40, None)
    several = line(
        a=1,
        b=1,
        **{"a-metadata": IMAGE_LEVEL | {"class-name": "a"}, "b-metadata": IMAGE_LEVEL | {"class-name": "b"}},
    )
    assert read_entry(several).labels == ("a", "b")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "ERROR_INVALID_JSON_LINE"),
        ("[]", "ERROR_INVALID_JSON_LINE"),
        ('{"label": 1}', "ERROR_MISSING_SOURCE_REF"),
        ('{"source-ref": "https://bucket/a.jpg"}', "ERROR_INVALID_SOURCE_REF_FORMAT"),
        ('{"source-ref": "s3://bucket"}', "ERROR_INVALID_SOURCE_REF_FORMAT"),
        (line(label=1), "ERROR_NO_LABEL_ATTRIBUTES"),
        (line(label=1, **{"label-metadata": "x"}), "ERROR_INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT"),
        (image_level(type="groundtruth/semantic-segmentation"), "ERROR_NO_VALID_LABEL_ATTRIBUTES"),
        (image_level(confidence=None), "ERROR_INVALID_LABEL_ATTRIBUTE_METADATA_FORMAT"),
        (line(boxes=7, **{"boxes-metadata": BOXES}), "ERROR_INVALID_LABEL_ATTRIBUTE_FORMAT"),
        (boxes(BOX, BOX), "ERROR_MISSING_BOUNDING_BOX_CONFIDENCE"),
        (boxes(BOX, objects=[{}]), "ERROR_MISSING_BOUNDING_BOX_CONFIDENCE"),
        (boxes(BOX, **{"class-map": {"2": "nut"}}), "ERROR_MISSING_CLASS_MAP_ID"),
        (boxes(BOX | {"left": -1}), "ERROR_INVALID_BOUNDING_BOX"),
        (boxes(*[BOX] * 51, objects=[{"confidence": 1}] * 51), "ERROR_TOO_MANY_BOUNDING_BOXES"),
    ],
)
def test_broken_lines_have_their_code(text: str, code: str) -> None:
    assert read_entry(text).error == code


def test_lines_without_annotations_are_warned_of() -> None:
    assert read_entry(line()).warning == "WARNING_UNANNOTATED_RECORD"
    assert read_entry(boxes(objects=[])).warning == "WARNING_NO_ANNOTATIONS"


@pytest.mark.parametrize(
    ("text", "content", "code"),
    [
        (image_level(), jpeg(64, 64), None),
        (image_level(), jpeg(63, 64), "ERROR_INVALID_IMAGE"),
        (image_level(), jpeg(4097, 300), "ERROR_INVALID_IMAGE"),
        (image_level(), jpeg(64, 1300), "ERROR_INVALID_IMAGE"),
        (image_level(), b"no image", "ERROR_INVALID_IMAGE"),
        (boxes(BOX), jpeg(640, 480), None),
        (boxes(BOX), jpeg(200, 480), "ERROR_INVALID_BOUNDING_BOX"),
        (boxes(BOX | {"width": 1}), jpeg(640, 480), "ERROR_BOUNDING_BOX_TOO_SMALL"),
        (boxes(BOX | {"width": 2, "height": 2}), jpeg(2600, 480), "ERROR_BOUNDING_BOX_TOO_SMALL"),
    ],
)
def test_images_and_boxes_are_measured(text: str, content: bytes, code: str | None) -> None:
    assert check_image(read_entry(text), content).error == code
