"""What the console needs of a dataset version to show any page of it fast, as two objects of the workspace.

`galleries/<version>/rows.jsonl` has a line an image, train first, then validation and test, in the order of
their manifests:

    {"sha256", "key", "version_id", "width", "height", "split", "label" | "labels" | "boxes", "confidences",
     "job", "human", "labeled_at", "workers"?, "agreement"?, "correction"?, "earlier"?}

`earlier` is what other jobs and corrections said of the image, oldest first.
`galleries/<version>/index` has one column for each thing that images are found by, and where each one's line
begins: some 80 bytes an image, so that a page of 100,000 images is found without reading 100,000 lines.

Both follow from the version and its label files, which never change: writing them again writes the same.
docs/decisions/gallery.md says why they are.
"""

import hashlib
import json
import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from loupe.domain.datasets.corrections import compacted_corrections
from loupe.domain.datasets.labels import label_lines
from loupe.domain.datasets.splits import SPLITS
from loupe.domain.datasets.versions import DatasetCard
from loupe.domain.images.places import key_of
from loupe.domain.json_lines import read_line, write_lines
from loupe.domain.label_attributes import Label, read_label
from loupe.domain.label_values import Boxes, LabelValue, SeveralLabels
from loupe.domain.manifests import HEIGHT, SHA256, VERSION_ID, WIDTH, InvalidManifest, Row, read_rows
from loupe.domain.projects import LABEL_ATTRIBUTES
from loupe.domain.workspace import Workspace
from loupe.ports.objects import StoresObjects

FORMAT = 1
"""Of both objects; an index of another format is written anew."""
DIGEST_BYTES = 32
VALUE_BYTES = 8
BOX_SIDES = (16, 32, 64, 128, 256, 512)
"""Pixels between the classes of box sizes, by the square root of the area."""
MOST_DIMENSIONS = 12
"""So many of the most frequent image sizes are told one by one."""

_COLUMNS = {
    "offset": "Q",
    "label_set": "I",
    "worker_set": "I",
    "job": "I",
    "split": "B",
    "human": "B",
    "confidence": "f",
    "agreement": "f",
    "labeled_at": "d",
}
_PASSED_ON = ("workers", "agreement", "correction")
"""Members of a label file's line that a row has, too, where they are."""


@dataclass
class GalleryIndex:
    """A version's images by column; a position is that of the image's line in rows.jsonl.

    `offset` has one entry more than images: the end of the last line. `label_set` and `worker_set` are
    positions in the lists of that name, `job` in `jobs`; `confidence` is the lowest of an image's parts, and
    `agreement` that of its workers, both NaN where there is none; `digests` are the images' SHA-256,
    `values` a hash of what each label says, boxes to the pixel. `corrections` are those that the version has
    and the one before it had not.
    """

    labels: list[str]
    statistics: dict[str, Any] = field(default_factory=dict)
    label_sets: list[list[int]] = field(default_factory=list)
    worker_sets: list[list[str]] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    corrections: list[str] = field(default_factory=list)
    digests: bytes = b""
    values: bytes = b""
    offset: "array[int]" = field(default_factory=lambda: array("Q", [0]))
    label_set: "array[int]" = field(default_factory=lambda: array("I"))
    worker_set: "array[int]" = field(default_factory=lambda: array("I"))
    job: "array[int]" = field(default_factory=lambda: array("I"))
    split: "array[int]" = field(default_factory=lambda: array("B"))
    human: "array[int]" = field(default_factory=lambda: array("B"))
    confidence: "array[float]" = field(default_factory=lambda: array("f"))
    agreement: "array[float]" = field(default_factory=lambda: array("f"))
    labeled_at: "array[float]" = field(default_factory=lambda: array("d"))

    def __len__(self) -> int:
        return len(self.split)

    def digest(self, position: int) -> bytes:
        return self.digests[position * DIGEST_BYTES : (position + 1) * DIGEST_BYTES]

    def value(self, position: int) -> bytes:
        return self.values[position * VALUE_BYTES : (position + 1) * VALUE_BYTES]

    def find(self, digest: bytes) -> int | None:
        """The position of the image of that SHA-256."""
        at = self.digests.find(digest)
        while at >= 0 and at % DIGEST_BYTES:
            at = self.digests.find(digest, at + 1)
        return None if at < 0 else at // DIGEST_BYTES

    def to_bytes(self) -> bytes:
        columns = {name: getattr(self, name).tobytes() for name in _COLUMNS}
        columns |= {"digests": self.digests, "values": self.values}
        header = {
            "format": FORMAT,
            "labels": self.labels,
            "statistics": self.statistics,
            "label_sets": self.label_sets,
            "worker_sets": self.worker_sets,
            "jobs": self.jobs,
            "corrections": self.corrections,
            "columns": {name: len(content) for name, content in columns.items()},
        }
        return json.dumps(header, ensure_ascii=False).encode() + b"\n" + b"".join(columns.values())

    @classmethod
    def from_bytes(cls, content: bytes) -> "GalleryIndex | None":
        """None for an index of another format."""
        end = content.index(b"\n")
        header = json.loads(content[:end])
        if header.pop("format") != FORMAT:
            return None
        sizes: dict[str, int] = header.pop("columns")
        index, at = cls(**header), end + 1
        for name, size in sizes.items():
            column = content[at : at + size]
            at += size
            if name in _COLUMNS:
                column = array(_COLUMNS[name], column)  # type: ignore[assignment]
            setattr(index, name, column)
        return index


# Writing --------------------------------------------------------------------------------------------


def write_gallery(
    project: str, card: DatasetCard, store: StoresObjects, raw_data_bucket: str
) -> GalleryIndex:
    """Write both objects of a version; memory grows by a few hundred bytes a label. Raises
    `InvalidManifest`."""
    names = Workspace(project)
    builder = _Builder(card, _told(project, card, store), raw_data_bucket)
    rows = (row for split in SPLITS for row in _rows(names.split(card.version, split), store))
    store.write_lines(names.gallery_rows(card.version), builder.lines(rows))
    index = builder.finish(_corrections_before(project, card, store))
    store.write(names.gallery_index(card.version), index.to_bytes())
    return index


def _rows(manifest: str, store: StoresObjects) -> Iterator[tuple[str, Row]]:
    split = manifest.rpartition("/")[2].partition(".")[0]
    return ((split, row) for row in read_rows(store.lines(manifest)))


def _told(project: str, card: DatasetCard, store: StoresObjects) -> dict[bytes, list[str]]:
    """What the version's jobs and corrections said of each image, in the order of their files, as JSON."""
    said: dict[bytes, list[str]] = {}
    attribute = LABEL_ATTRIBUTES[card.task]
    kept = (attribute, "confidences", "withdrawn", "failure_reason", "labeled_at", "human", *_PASSED_ON)
    for text in label_lines(project, card.jobs, store):
        line = read_line(text)
        short = {"job": line["job"], **{name: line[name] for name in kept if name in line}}
        said.setdefault(bytes.fromhex(line["sha256"]), []).append(next(write_lines([short])))
    return said


def _corrections_before(project: str, card: DatasetCard, store: StoresObjects) -> frozenset[str]:
    """Corrections that the version before this one had."""
    if card.previous_version is None:
        return frozenset()
    previous = DatasetCard.from_json(store.read(Workspace(project).dataset_card(card.previous_version)))
    return frozenset(compacted_corrections(project, previous.jobs, store))


class _Builder:
    """Fills the columns while the rows go by."""

    def __init__(self, card: DatasetCard, said: Mapping[bytes, list[str]], raw_data_bucket: str) -> None:
        self._card = card
        self._raw_data_bucket = raw_data_bucket
        self._said = said
        self._index = GalleryIndex(list(card.labels))
        self._digests, self._values = bytearray(), bytearray()
        self._numbers = {label: number for number, label in enumerate(card.labels)}
        self._label_sets: dict[tuple[int, ...], int] = {}
        self._worker_sets: dict[tuple[str, ...], int] = {}
        self._jobs: dict[str, int] = {}
        self._statistics = _Statistics()

    def lines(self, rows: Iterable[tuple[str, Row]]) -> Iterator[str]:
        offset = self._index.offset
        for line in write_lines(self._row(split, row) for split, row in rows):
            offset.append(offset[-1] + len(line.encode()))
            yield line

    def finish(self, corrections_before: frozenset[str]) -> GalleryIndex:
        index = self._index
        index.digests, index.values = bytes(self._digests), bytes(self._values)
        index.label_sets = [list(found) for found in self._label_sets]
        index.worker_sets = [list(found) for found in self._worker_sets]
        index.jobs = list(self._jobs)
        index.statistics = self._statistics.to_json()
        lines = (read_line(text) for told in self._said.values() for text in told if '"correction"' in text)
        index.corrections = sorted(
            line["correction"] for line in lines if line["correction"] not in corrections_before
        )
        return index

    def _row(self, split: str, row: Row) -> dict[str, Any]:
        card, index = self._card, self._index
        label = read_label(row, LABEL_ATTRIBUTES[card.task], card.task, card.labels)
        if not isinstance(label, Label) or label.labeled_at is None or label.job is None:
            raise InvalidManifest(f"the row of {row['source-ref']} has no label with its time and job")
        digest = bytes.fromhex(row[SHA256])
        current, earlier = _history(self._said.get(digest, ()), label)
        found = tuple(sorted({self._numbers[name] for name in label.value.names}))
        workers = tuple(current.get("workers", ()))
        self._digests += digest
        self._values += value_hash(label.value)
        index.label_set.append(self._label_sets.setdefault(found, len(self._label_sets)))
        index.worker_set.append(self._worker_sets.setdefault(workers, len(self._worker_sets)))
        index.job.append(self._jobs.setdefault(label.job, len(self._jobs)))
        index.split.append(SPLITS.index(split))
        index.human.append(label.is_human)
        index.confidence.append(min(label.confidences, default=math.nan))
        index.agreement.append(current.get("agreement", math.nan))
        index.labeled_at.append(label.labeled_at.timestamp())
        self._statistics.add(split, label.value, (row[WIDTH], row[HEIGHT]))
        return {
            "sha256": row[SHA256],
            "key": key_of(row["source-ref"], self._raw_data_bucket),
            "version_id": row.get(VERSION_ID),
            "width": row[WIDTH],
            "height": row[HEIGHT],
            "split": split,
            **label.value.to_json(),
            "confidences": label.confidences,
            "job": label.job,
            "human": label.is_human,
            "labeled_at": label.labeled_at.isoformat(),
            **{name: current[name] for name in _PASSED_ON if name in current},
            **({"earlier": earlier} if earlier else {}),
        }


def _history(said: Iterable[str], label: Label) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The line that the version took the label from, and all others."""
    current: dict[str, Any] = {}
    earlier: list[dict[str, Any]] = []
    for line in map(read_line, said):
        at = line.get("labeled_at")
        if line["job"] == label.job and at and _utc(at) == label.labeled_at:
            current = line
        else:
            earlier.append(line)
    # What refused the image has no time: it came before any label, or the image had none.
    return current, sorted(earlier, key=lambda line: str(line.get("labeled_at", "")))


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def value_hash(value: LabelValue) -> bytes:
    """The same for labels that say the same, in whatever order; boxes to the pixel, as people see them."""
    parts: list[Any]
    if isinstance(value, Boxes):
        parts = sorted((b.label, *map(round, (b.left, b.top, b.width, b.height))) for b in value.boxes)
    else:
        parts = sorted(value.names)
    return hashlib.blake2b(_dumps(parts).encode(), digest_size=VALUE_BYTES).digest()


class _Statistics:
    """Counts over a version's images, as they go by."""

    def __init__(self) -> None:
        self._dimensions: Counter[tuple[int, int]] = Counter()
        self._parts: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
        self._box_sizes: Counter[int] = Counter()
        self._parts_an_image: Counter[int] = Counter()
        self._has_parts = False

    def add(self, split: str, value: LabelValue, size: tuple[int, int]) -> None:
        self._dimensions[size] += 1
        self._parts[split].update(value.names)
        if isinstance(value, Boxes | SeveralLabels):
            self._has_parts = True
            self._parts_an_image[len(value.names)] += 1
        if isinstance(value, Boxes):
            for box in value.boxes:
                side = math.sqrt(box.width * box.height)
                self._box_sizes[sum(side >= limit for limit in BOX_SIDES)] += 1

    def to_json(self) -> dict[str, Any]:
        often = self._dimensions.most_common(MOST_DIMENSIONS)
        widths, heights = zip(*self._dimensions, strict=True) if self._dimensions else ((0,), (0,))
        return {
            "dimensions": [{"width": w, "height": h, "images": images} for (w, h), images in often],
            "other_dimensions": self._dimensions.total() - sum(images for _, images in often),
            "widths": [min(widths), max(widths)],
            "heights": [min(heights), max(heights)],
            "parts": self._parts,
            "parts_an_image": {
                str(parts): self._parts_an_image[parts] for parts in sorted(self._parts_an_image)
            },
            "box_sizes": [
                {"from": least, "to": most, "boxes": self._box_sizes[number]}
                for number, (least, most) in enumerate(zip((0, *BOX_SIDES), (*BOX_SIDES, None), strict=True))
            ]
            if self._box_sizes
            else [],
        }


_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
