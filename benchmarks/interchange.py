"""`loupe export` and `loupe import` of 100,000 images with two boxes each: seconds and peak memory by format.

Each runs in a process of its own. Label files are written to a folder and read from there; the stack is made
up as it is asked: images lie in the raw-data bucket and are registered, and what is written to the workspace
bucket is counted and thrown away. So what is measured is the command's own work; making up the manifests is
not counted. A row has the stack's own: an import is checked and taken over, and its labels accepted. The
last has what no code of Loupe's can better: as many files as YOLO and VOC have, made and written by three
calls of the system each.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, cast

from cli.export import SplitFiles, write_export
from cli.importing import ImportRequest, carry_out, prepare
from cli.session import Connection, Session
from cli.stack import Json, KnownImages, Stack, StoredObject
from loupe.domain.datasets.labels import AcceptLabels
from loupe.domain.datasets.splits import SPLITS
from loupe.domain.datasets.versions import DatasetCard
from loupe.domain.interchange import FORMATS
from loupe.domain.interchange.versions import dataset
from loupe.domain.label_attributes import Label, write_label
from loupe.domain.label_values import Box, Boxes
from loupe.domain.labeling.import_labels import ImportLabels
from loupe.domain.labeling.starting import write_card
from loupe.domain.manifests import HEIGHT, SHA256, WIDTH
from loupe.ports.images import ImageRecord
from loupe.ports.labeling import JobCard
from tests.fakes.events import FakeEvents
from tests.fakes.images import FakeImages
from tests.fakes.ingest_queue import FakeIngestQueue
from tests.fakes.labeling import FakeLabelingJobs
from tests.fakes.objects import FakeObjects
from tests.fakes.projects import FakeProjects

_IMAGES = 100_000
_PROJECT = "bolts"
_STACKS_PART = "take-over"
_FILES_ALONE = "files"
_LABELS = ("bolt", "nut", "washer")
_NOW = datetime(2026, 11, 21, 10, 15, tzinfo=UTC)
_WIDTH, _HEIGHT = 1280, 960
_SHARES = {"train": range(70_000), "validation": range(70_000, 85_000), "test": range(85_000, _IMAGES)}


def _key(number: int) -> str:
    return f"{_PROJECT}/line-{number % 7}/{number:06d}.jpg"


def _digest(number: int) -> str:
    return sha256(_key(number).encode()).hexdigest()


def _row(number: int) -> str:
    boxes = tuple(
        Box(_LABELS[(number + part) % 3], number % 1000 + part, 10 + part, 20 + number % 200, 40)
        for part in range(2)
    )
    label = Label(Boxes(boxes), (0.0, 0.0), _NOW, True, "bolts-20261121t101500-1a2b")
    row = {
        "source-ref": f"s3://raw/{_key(number)}",
        SHA256: _digest(number),
        WIDTH: _WIDTH,
        HEIGHT: _HEIGHT,
        **write_label(label, "boxes", "bounding-box", _LABELS, (_WIDTH, _HEIGHT)),
    }
    return json.dumps(row)


class _Times(NamedTuple):
    """Seconds on the clock, and of the processor: the process's own and what the system took for it."""

    clock: float
    own: float
    system: float

    @classmethod
    def now(cls) -> "_Times":
        used = os.times()
        return cls(time.monotonic(), used.user, used.system)


class GeneratedWorkspace(FakeObjects):
    """Holds a dataset version of so many images, and counts the bytes that are written."""

    def __init__(self) -> None:
        super().__init__("workspace")
        self.written: dict[str, int] = {}

    def lines(self, key: str) -> Iterator[str]:
        return map(_row, _SHARES[key.rpartition("/")[2].removesuffix(".manifest")])

    def write(self, key: str, content: bytes, content_type: str = "") -> None:
        self.written[key] = len(content)

    def write_lines(self, key: str, lines: Iterable[str]) -> None:
        self.written[key] = sum(len(line.encode()) for line in lines)

    def write_lines_once(self, key: str, lines: Iterable[str]) -> None:
        self.write_lines(key, lines)


class GeneratedStack:
    """What import and export ask of a stack."""

    raw_data_bucket = "raw"

    def __init__(self) -> None:
        self.workspace = GeneratedWorkspace()

    def read_configuration(self, project: str) -> str:
        return json.dumps({"task": "bounding-box", "labels": _LABELS})

    def list_objects(self, prefix: str) -> Iterator[StoredObject]:
        return (StoredObject(_key(number), 4000, f"{number:032x}") for number in range(_IMAGES))

    def known_images(self, project: str, keys: Sequence[str], sha256s: Sequence[str]) -> KnownImages:
        numbers = [int(key[-10:-4]) for key in keys]
        return {
            "objects": {_key(number): {"sha256": _digest(number)} for number in numbers},
            "images": {
                _digest(number): {
                    "key": _key(number),
                    "version_id": "3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY",
                    "width": _WIDTH,
                    "height": _HEIGHT,
                    "state": "pending",
                    "job": None,
                    "reason": None,
                    "registered_at": "2026-11-21T12:00:00+00:00",
                }
                for number in numbers
            },
        }

    def finish_import(self, project: str, job: str) -> Json:
        return {"job": job, "images": _IMAGES}


class ImportedWorkspace(GeneratedWorkspace):
    """Holds an import: both its manifests have the lines of a file."""

    def __init__(self, manifest: Path) -> None:
        super().__init__()
        self._manifest = manifest

    def lines(self, key: str) -> Iterator[str]:
        with self._manifest.open(encoding="utf-8") as file:
            yield from file


class GeneratedIndex(FakeImages):
    """Knows each image that it is asked about, and counts those that get a label."""

    def __init__(self) -> None:
        super().__init__(FakeProjects())
        self.accepted = 0

    def images(self, project: str, sha256s: Iterable[str]) -> dict[str, ImageRecord]:
        return {digest: replace(_REGISTERED, sha256=digest) for digest in sha256s}

    def accept(
        self, project: str, job: str, labeled: Iterable[str], refused: Iterable[tuple[str, str]]
    ) -> None:
        self.accepted += len(list(labeled))


def _write_files(folder: Path) -> _Times:
    """As many label files as YOLO's, in as many folders."""
    for line in range(7):
        (folder / f"line-{line}").mkdir()
    content = b"0 0.123456789012 0.0208333333333 0.0157 0.0416666666667\n" * 2
    begin = _Times.now()
    for number in range(_IMAGES):
        path = f"{folder}/line-{number % 7}/{number:06d}.txt"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        os.write(file, content)
        os.close(file)
    return begin


def _export(session: Session, name: str, folder: Path) -> _Times:
    """Returns when it began."""
    card = DatasetCard.from_json(_CARD)
    with tempfile.TemporaryDirectory() as manifests:
        files = SplitFiles(_PROJECT, card, session.stack, Path(manifests))
        begin = _Times.now()
        version = dataset(_PROJECT, card, files.lines, with_images=False)
        write_export(session, FORMATS[name], version, folder, 8)
        return begin


def _import(session: Session, name: str, folder: Path) -> _Times:
    begin = _Times.now()
    request = ImportRequest(_PROJECT, FORMATS[name], str(folder), parallel=8)
    prepared = prepare(session, request)
    assert not prepared.is_blocked, prepared.findings.faults
    assert carry_out(session, request, prepared).images == _IMAGES
    return begin


def _take_over(folder: Path) -> _Times:
    """What the stack does with an import: the function of the command, and then the dataset's."""
    manifest = folder / "import.manifest"
    with manifest.open("w", encoding="utf-8") as file:
        file.writelines(f"{_row(number)}\n" for number in range(_IMAGES))
    workspace, images = ImportedWorkspace(manifest), GeneratedIndex()
    job = JobCard(
        _PROJECT, f"{_PROJECT}-20261121t101500-1a2b", "import", "bounding-box", _LABELS, "", _IMAGES, _NOW
    )
    FakeObjects.write(workspace, *_card_of(job))
    begin = _Times.now()
    queue, events = FakeIngestQueue(), FakeEvents()
    finish = ImportLabels(images, FakeLabelingJobs(), workspace, queue, events, lambda: _NOW).finish
    assert finish(_PROJECT, job.job)["images"] == _IMAGES
    AcceptLabels(images, workspace, "raw", lambda: _NOW)(job)
    assert images.accepted == _IMAGES
    return begin


def _card_of(job: JobCard) -> tuple[str, bytes]:
    """Key and content of a job's card."""
    kept = FakeObjects("workspace")
    write_card(kept, job)
    [stored] = kept.list("")
    return stored.key, kept.read(stored.key)


_REGISTERED = ImageRecord(
    sha256="",
    key=_key(0),
    version_id="3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY",
    etag="0" * 32,
    bytes=4000,
    width=_WIDTH,
    height=_HEIGHT,
    format="jpeg",
    phash="0" * 64,
    registered_at=_NOW,
)
_CARD = json.dumps(
    {
        "version": "0001",
        "task": "bounding-box",
        "labels": _LABELS,
        "created_at": _NOW.isoformat(),
        "previous_version": None,
        "jobs": [],
        "new_labels": _IMAGES,
        "splits": {split: {"images": 0, "labels": {}} for split in SPLITS},
        "left_out": {},
        "split_rule": "",
    }
).encode()


def _measure(what: str, name: str, folder: Path) -> None:
    stack = cast("Stack", GeneratedStack())
    session = Session(lambda: Connection(stack), folder, 4566)
    if what == _STACKS_PART:
        begin = _take_over(folder)
    elif what == _FILES_ALONE:
        begin = _write_files(folder)
    else:
        begin = {"export": _export, "import": _import}[what](session, name, folder)
    end = _Times.now()
    found = {
        "seconds": end.clock - begin.clock,
        "own": end.own - begin.own,
        "system": end.system - begin.system,
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(found))


def run() -> Iterator[tuple[str, str, str]]:
    """Rows of the table: what, measured, to reach."""
    for name in FORMATS:
        with tempfile.TemporaryDirectory() as folder:
            for what in ("export", "import"):
                yield _row_of(f"{what} of {_IMAGES:,} images with 2 boxes, {name}", what, name, folder)
    with tempfile.TemporaryDirectory() as folder:
        title = f"an import of {_IMAGES:,} images with 2 boxes taken over by the stack"
        yield _row_of(title, _STACKS_PART, "", folder)
    with tempfile.TemporaryDirectory() as folder:
        yield _row_of(f"{_IMAGES:,} small files and nothing else", _FILES_ALONE, "", folder, "")


def _row_of(
    title: str, what: str, name: str, folder: str, to_reach: str = "20 s, 400 MB"
) -> tuple[str, str, str]:
    command = [sys.executable, "-m", "benchmarks.interchange", what, name, folder]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    measured = (
        f"{found['seconds']:.1f} s, processor {found['own']:.1f} s and the system's {found['system']:.1f} s, "
        f"peak {found['megabytes']:.0f} MB"
    )
    return title, measured, to_reach


if __name__ == "__main__":
    _measure(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
