"""Rows of dataset versions, as Loupe writes them."""

import json
from typing import Any

METADATA = {
    "type": "groundtruth/image-classification",
    "job-name": "labeling-job/parts-20261121t101500-1a2b",
    "human-annotated": "yes",
    "creation-date": "2026-11-21T10:15:00.123456",
}


def image(number: int = 0, width: int = 640, height: int = 480) -> dict[str, Any]:
    return {
        "source-ref": f"s3://raw/parts/{number}.png",
        "image-sha256": f"{number:064x}",
        "image-width": width,
        "image-height": height,
    }


def labeled(number: int = 0, label: str = "ok", index: int = 0, **size: int) -> dict[str, Any]:
    metadata = METADATA | {"class-name": label, "confidence": 0.0}
    return {**image(number, **size), "label": index, "label-metadata": metadata}


def several(number: int, **labels: int) -> dict[str, Any]:
    """Labels with their class indexes."""
    metadata = METADATA | {
        "type": "groundtruth/image-classification-multilabel",
        "class-map": {str(index): label for label, index in labels.items()},
        "confidence-map": {str(index): 0.75 for index in labels.values()},
    }
    return {**image(number), "labels": list(labels.values()), "labels-metadata": metadata}


def boxed(number: int, *boxes: tuple[float, float, float, float], **size: int) -> dict[str, Any]:
    """Boxes of the one class `bolt`: left, top, width, height."""
    found = image(number, **size)
    sides = ("left", "top", "width", "height")
    content = {
        "image_size": [{"width": found["image-width"], "height": found["image-height"], "depth": 3}],
        "annotations": [{"class_id": 0, **dict(zip(sides, box, strict=True))} for box in boxes],
    }
    metadata = METADATA | {
        "type": "groundtruth/object-detection",
        "class-map": {"0": "bolt"} if boxes else {},
        "objects": [{"confidence": 1.0} for _ in boxes],
    }
    return {**found, "boxes": content, "boxes-metadata": metadata}


def lines(*rows: dict[str, Any]) -> list[str]:
    return [json.dumps(row) for row in rows]
