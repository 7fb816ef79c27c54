"""Rekognition's rules for manifests on 250,000 generated rows, the most that it takes: seconds and memory.

Each task runs in a process of its own, and its rows are made as they are read, so that the peak is that of
the validation. A row in twenty is bad.
"""

import json
import resource
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, get_args

from loupe.domain.custom_labels.datasets import MAX_ROWS
from loupe.domain.custom_labels.validation import Validation, unfit_images
from loupe.domain.label_attributes import MANIFEST_TYPES
from loupe.domain.projects import LABEL_ATTRIBUTES, TaskType

_TEST_ROWS = MAX_ROWS * 15 // 100
_LABELS = tuple(f"label {number}" for number in range(20))
_BOXES = 5


def _value(task: TaskType, number: int) -> tuple[Any, dict[str, Any]]:
    """A label and what its metadata has of its own."""
    first, second = number % 20, (number + 7) % 20
    if task == "image-classification":
        return first, {"class-name": _LABELS[first], "confidence": 0.0}
    if task == "multi-label-classification":
        names = {str(first): _LABELS[first], str(second): _LABELS[second]}
        return [first, second], {"class-map": names, "confidence-map": dict.fromkeys(names, 0.0)}
    box = {"class_id": first, "left": 10, "top": 20, "width": 300, "height": 200}
    return (
        {"image_size": [{"width": 1280, "height": 720, "depth": 3}], "annotations": [box] * _BOXES},
        {"objects": [{"confidence": 0.0}] * _BOXES, "class-map": {str(first): _LABELS[first]}},
    )


def _lines(task: TaskType, rows: range) -> Iterator[str]:
    attribute = LABEL_ATTRIBUTES[task]
    for number in rows:
        content, metadata = _value(task, number)
        row = {
            "source-ref": f"s3://raw/parts/camera-{number % 8}/{number:08d}.jpg",
            "image-sha256": sha256(b"%d" % number).hexdigest(),
            "image-width": 40 if number % 20 == 0 else 1280,
            "image-height": 720,
            attribute: content,
            f"{attribute}-metadata": {
                "type": MANIFEST_TYPES[task],
                "job-name": "labeling-job/parts-20261121t101500-1a2b",
                "human-annotated": "yes",
                "creation-date": "2026-11-21T10:15:00.123456",
                **metadata,
            },
        }
        yield json.dumps(row)


def _label_lines() -> Iterator[str]:
    for number in range(MAX_ROWS):
        yield json.dumps(
            {
                "sha256": sha256(b"%d" % number).hexdigest(),
                "key": f"parts/camera-{number % 8}/{number:08d}.jpg",
                "bytes": 400_000,
                "width": 1280,
                "height": 720,
                "format": "jpeg",
                "label": _LABELS[number % 20],
            }
        )


def _drain(lines: Iterator[str]) -> None:
    deque(lines, maxlen=0)


def _measure(task: TaskType) -> None:
    train, test = range(MAX_ROWS), range(MAX_ROWS, MAX_ROWS + _TEST_ROWS)
    begin = time.process_time()
    for lines in (_lines(task, train), _lines(task, test), _label_lines()):
        _drain(lines)
    generating = time.process_time() - begin
    begin = time.process_time()
    validation = Validation(task, "raw", unfit_images(_label_lines()))
    _drain(validation.usable("train", "train.manifest", _lines(task, train)))
    _drain(validation.usable("test", "test.manifest", _lines(task, test)))
    report = validation.report(distributed=False)
    seconds = time.process_time() - begin - generating
    assert report.ok
    assert report.datasets["train"].bad == MAX_ROWS // 20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "megabytes": peak}))


def run() -> Iterator[tuple[str, str, str]]:
    """Rows of the table: what, measured, to reach."""
    for task in get_args(TaskType):
        command = [sys.executable, "-m", "benchmarks.custom_labels_validation", task]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        yield (
            f"validation for Rekognition, {task}, {MAX_ROWS:,} rows and {_TEST_ROWS:,} of the test set",
            f"{found['seconds']:.1f} s, peak {found['megabytes']:.0f} MB",
            "30 s",
        )


if __name__ == "__main__":
    _measure(sys.argv[1])  # type: ignore[arg-type]
