"""build_dataset on generated storage: processor seconds and peak memory at 10,000 and 100,000 images.

Each size runs in a process of its own. Its label files lie on disk, written before the clock begins, and the
raw-data bucket is made as it is listed, so that the peak is that of Loupe's own code and not of a bucket. The
report is part of it; the console's gallery, which the function writes after it, has its own benchmark. Hashes
are random; one image in 100 has a near-duplicate. With several labels an image has up to 4, with boxes up to
8.
"""

import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from loupe.domain.datasets.report import report
from loupe.domain.datasets.versions import DatasetDraft, latest_card, next_version
from loupe.domain.images.inspection import NEAR_DUPLICATE_DISTANCE
from loupe.domain.label_values import Box, Boxes, LabelValue, OneLabel, SeveralLabels
from loupe.domain.projects import ProjectConfig, TaskType
from loupe.ports.objects import StoredObject
from tests.fakes.images import FakeImages
from tests.fakes.objects import FakeObjects
from tests.fakes.projects import FakeProjects

_RUNS: tuple[tuple[TaskType, int], ...] = (
    ("image-classification", 10_000),
    ("image-classification", 100_000),
    ("multi-label-classification", 100_000),
    ("bounding-box", 100_000),
)
_JOB_SIZE = 10_000
_NOW = datetime(2026, 11, 21, tzinfo=UTC)
_LABELS = tuple(str(digit) for digit in range(10))
_PROJECT = "digits"


class GeneratedRawData(FakeObjects):
    """A bucket with so many images; only their names exist."""

    def __init__(self, images: int) -> None:
        super().__init__("raw")
        self._images = images

    def list(self, prefix: str) -> Iterator[StoredObject]:
        for number in range(self._images):
            yield StoredObject(f"{prefix}{number}.png", f"{number:032x}", 4000, _NOW)


class GeneratedWorkspace(FakeObjects):
    """A bucket whose label files lie in `folder`, and which counts what is written."""

    def __init__(self, task: TaskType, images: int, folder: Path) -> None:
        super().__init__("workspace")
        self._folder = folder
        self.written: dict[str, int] = {}
        for first in range(0, images, _JOB_SIZE):
            with (folder / f"{first:06d}.jsonl").open("w", encoding="utf-8") as file:
                for number in range(first, min(first + _JOB_SIZE, images)):
                    file.write(json.dumps(label_line(task, number)) + "\n")

    def lines(self, key: str) -> Iterator[str]:
        if not key.endswith(".jsonl") or "/labels/" not in key:
            yield from super().lines(key)
            return
        with (self._folder / key.rpartition("-")[2]).open(encoding="utf-8") as file:
            for line in file:
                yield line.rstrip("\n")

    def write_lines_once(self, key: str, lines: Iterable[str]) -> None:
        self.written[key] = sum(len(line.encode()) for line in lines)


def _value(task: TaskType, number: int) -> LabelValue:
    match task:
        case "image-classification":
            return OneLabel(_LABELS[number % 10])
        case "multi-label-classification":
            return SeveralLabels(tuple(_LABELS[(number + n * n) % 10] for n in range(number % 5)))
        case "bounding-box":
            return Boxes(
                tuple(Box(_LABELS[(number + n) % 10], n, 2.5 * n, 20, 17.5) for n in range(number % 9))
            )


def label_line(task: TaskType, number: int) -> dict[str, object]:
    original = number - 1 if number % 100 == 1 else number
    looks = random.Random(original).getrandbits(256) ^ (number - original)  # noqa: S311 - not a secret
    value = _value(task, number)
    return {
        "sha256": sha256(b"%d" % number).hexdigest(),
        "key": f"{_PROJECT}/{number}.png",
        "version_id": "3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY",
        "etag": f"{number:032x}",
        "bytes": 4000,
        "width": 64,
        "height": 64,
        "format": "png",
        "phash": f"{looks:064x}",
        "registered_at": "2026-11-21T10:15:00.000000+00:00",
        "job": f"{_PROJECT}-20261121t101500-1a2b",
        **value.to_json(),
        "confidences": [0.0] * len(value.names),
        "labeled_at": "2026-11-21T10:15:00.123456+00:00",
        "human": True,
    }


def _measure(task: TaskType, images: int) -> None:
    config = ProjectConfig(task=task, labels=_LABELS)
    jobs = tuple(f"{_PROJECT}-{first:06d}" for first in range(0, images, _JOB_SIZE))
    with TemporaryDirectory() as folder:
        workspace = GeneratedWorkspace(task, images, Path(folder))
        begin = time.process_time()
        draft = DatasetDraft(_PROJECT, config, latest_card(_PROJECT, workspace), jobs, workspace)
        draft.compare_with(GeneratedRawData(images), FakeImages(FakeProjects()))
        draft.split(NEAR_DUPLICATE_DISTANCE)
        card = draft.write(next_version(_PROJECT, workspace), "raw", _NOW, report)
        seconds = time.process_time() - begin
    assert sum(card.images.values()) == images
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "megabytes": megabytes}))


def run() -> Iterator[tuple[str, str, str]]:
    """Rows of the table: what, measured, to reach."""
    for task, images in _RUNS:
        command = [sys.executable, "-m", "benchmarks.datasets", task, str(images)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        yield (
            f"build_dataset, {task}, {images:,} images, all new",
            f"{found['seconds']:.1f} s, peak {found['megabytes']:.0f} MB",
            "20 s, 300 MB at 100,000" if images == 100_000 else "",
        )


if __name__ == "__main__":
    _measure(next(task for task, _ in _RUNS if task == sys.argv[1]), int(sys.argv[2]))
