"""Reads a dataset version: manifests into rows, and rows into images checked against their SHA-256."""

import hashlib
import json
import os
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from errors import TrainingError
from pixels import Frame, UnreadableImageError, image_size, to_square
from task import InvalidTargetError, Task
from tasks import TASKS

SPLITS = ("train", "validation", "test")
LEFT_OUT_REASONS = ("missing", "changed", "undecodable")
MAX_LEFT_OUT = 0.10
_SIZE_SAMPLE = 500
_MIN_SIDE, _SIDE_STEP = 32, 32
_WORKERS = min(8, os.cpu_count() or 1)

Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class DatasetCard:
    """What the trainer reads of dataset.json; a class's index is its label's position in `labels`."""

    task: Task
    version: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One labeled image of a manifest; `line` counts from 1, `target` is what the task reads in it."""

    line: int
    source_ref: str
    sha256: str
    target: Any


def bucket_digest(bucket: str) -> str:
    """What a channel's name tells of its bucket."""
    return hashlib.sha256(bucket.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class ImageFolders:
    """Where a training's images lie: by key, or by SHA-256 where the key cannot be a file's path. Buckets of
    `referred`, by `bucket_digest`, have folders of their own; all others share `images`."""

    images: Path | None
    copies: Path | None
    referred: Mapping[str, Path] = field(default_factory=dict)

    def find(self, row: Row) -> Path | None:
        """The row's file, or None if it is in none of the folders."""
        if self.copies is not None and _is_file(self.copies / row.sha256):
            return self.copies / row.sha256
        bucket, _, key = row.source_ref.removeprefix("s3://").partition("/")
        folder = self.referred.get(bucket_digest(bucket), self.images) if self.referred else self.images
        # A key is not a path: "a/../b" and "/a" would lead elsewhere, and can't have been copied by key.
        is_path = not {"", ".", ".."} & set(key.split("/"))
        if folder is not None and is_path and _is_file(folder / key):
            return folder / key
        return None


class Split(Dataset[Batch]):
    """The usable images of one split. `rows`, `files` and `frames` go together; `left_out` counts the others
    by reason.

    `pixels` are all images, (N, 3, side, side) uint8, or None where they don't fit in memory and are decoded
    whenever they are asked for. `targets` are the rows' targets as the task encodes them.
    """

    def __init__(
        self,
        card: DatasetCard,
        images: Sequence["_Image"],
        side: int,
        pixels: torch.Tensor | None,
        left_out: dict[str, int],
    ) -> None:
        self.rows = tuple(image.row for image in images)
        self.files = tuple(image.file for image in images)
        self.frames = tuple(image.frame for image in images)
        self.side = side
        self.pixels = pixels
        self.left_out = left_out
        self.targets = card.task.encode([row.target for row in self.rows], self.frames, len(card.labels))
        self._letterboxed = card.task.letterboxed

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __getitems__(self, indices: list[int]) -> Batch:
        """Pixels (N, 3, side, side) uint8 and targets (N, ...): DataLoader asks for a whole batch at once."""
        if self.pixels is not None:
            return self.pixels[indices], self.targets[indices]
        decoded = [self._decode(self.files[index]) for index in indices]
        return torch.stack(decoded), self.targets[indices]

    def batches(self, indices: Iterable[list[int]]) -> Iterator[Batch]:
        """The images of each list of indices; decoded by worker processes where they aren't in memory."""
        workers = 0 if self.pixels is not None else _WORKERS
        return iter(DataLoader(self, batch_sampler=indices, collate_fn=_unchanged, num_workers=workers))

    def _decode(self, file: Path) -> torch.Tensor:
        pixels, _ = to_square(file.read_bytes(), self.side, letterboxed=self._letterboxed)
        return pixels


def read_card(folder: Path) -> DatasetCard:
    """Read dataset.json; TrainingError if it is not a card of a task that this trainer knows."""
    document = _read_json(folder / "dataset.json")
    name, labels = document.get("task"), document.get("labels")
    task = TASKS.get(str(name))
    if task is None:
        raise TrainingError(f"dataset.json: task is {name!r}; this trainer knows {', '.join(TASKS)}")
    fewest = task.fewest_labels
    if (
        not isinstance(labels, list)
        or len(labels) < fewest
        or not all(isinstance(label, str) for label in labels)
    ):
        at_least = "two names" if fewest == 2 else "one name"
        raise TrainingError(f"dataset.json: labels must be a list of at least {at_least}")
    if len(set(labels)) != len(labels):
        raise TrainingError("dataset.json: a label appears twice")
    return DatasetCard(task=task, version=str(document.get("version", "")), labels=tuple(labels))


def read_manifest(path: Path, card: DatasetCard) -> list[Row]:
    """Read an augmented manifest; TrainingError names file and line of a row that is not a labeled image."""
    if not path.is_file():
        raise TrainingError(f"the dataset has no {path.name}")
    with path.open(encoding="utf-8") as lines:
        return [_row(path.name, number, line, card) for number, line in enumerate(lines, 1) if line.strip()]


def choose_side(rows: Sequence[Row], folders: ImageFolders, task: Task) -> int:
    """The side to resize images to: the median of their sides, to a multiple of 32, from 32 to the task's
    largest. Letterboxed images count with their longer sides."""
    sides: list[int] = []
    for row in rows[:: max(1, len(rows) // _SIZE_SAMPLE)]:
        file = folders.find(row)
        try:
            size = image_size(file.read_bytes()) if file else ()
        except UnreadableImageError:
            continue  # counted where the image itself is needed
        sides.extend([max(size)] if task.letterboxed and size else size)
    median = statistics.median(sides) if sides else _MIN_SIDE
    return min(task.largest_side, max(_MIN_SIDE, round(median / _SIDE_STEP) * _SIDE_STEP))


def load_split(
    name: str, rows: Sequence[Row], folders: ImageFolders, card: DatasetCard, side: int, *, in_memory: bool
) -> Split:
    """Check every image of a split (there, unchanged, decodable) and keep the good ones.

    Each image left out is told on standard output; TrainingError when they are more than a tenth.
    """
    pixels = torch.empty(len(rows) if in_memory else 0, 3, side, side, dtype=torch.uint8)
    kept: list[_Image] = []
    left_out = dict.fromkeys(LEFT_OUT_REASONS, 0)
    with ThreadPoolExecutor(_WORKERS) as pool:
        checked = pool.map(lambda row: _check(row, folders, card.task, side), rows)
        for row, outcome in zip(rows, checked, strict=True):
            if isinstance(outcome, _LeftOut):
                left_out[outcome.reason] += 1
                where = json.dumps(row.source_ref, ensure_ascii=False)
                print(
                    f"left out: {name}.manifest line {row.line}, {where}: {outcome.reason}, {outcome.detail}",
                    flush=True,
                )
                continue
            image, content = outcome
            if in_memory:
                pixels[len(kept)] = content
            kept.append(image)
    _refuse_many_left_out(name, len(rows), left_out)
    return Split(card, kept, side, pixels[: len(kept)] if in_memory else None, left_out)


def require_every_label(train: Split, card: DatasetCard) -> None:
    """TrainingError when a label has no training image: the network could never answer with it."""
    present = {index for row in train.rows for index in card.task.labels_in(row.target)}
    absent = [label for index, label in enumerate(card.labels) if index not in present]
    if absent:
        raise TrainingError(
            f"no training images for: {', '.join(absent)}; label some, or take the label out of the project"
        )


@dataclass(frozen=True)
class _LeftOut:
    reason: str
    detail: str


@dataclass(frozen=True)
class _Image:
    row: Row
    file: Path
    frame: Frame


def _check(row: Row, folders: ImageFolders, task: Task, side: int) -> tuple[_Image, torch.Tensor] | _LeftOut:
    file = folders.find(row)
    if file is None:
        return _LeftOut("missing", "no such file in the channels")
    data = file.read_bytes()
    if hashlib.sha256(data).hexdigest() != row.sha256:
        return _LeftOut("changed", "its bytes are not those that were labeled")
    try:
        pixels, frame = to_square(data, side, letterboxed=task.letterboxed)
    except UnreadableImageError as error:
        return _LeftOut("undecodable", str(error))
    return _Image(row, file, frame), pixels


def _refuse_many_left_out(name: str, rows: int, left_out: dict[str, int]) -> None:
    count = sum(left_out.values())
    if count > MAX_LEFT_OUT * rows:
        reasons = ", ".join(f"{number} {reason}" for reason, number in left_out.items() if number)
        raise TrainingError(
            f"{count} of {rows} images of {name}.manifest cannot be used ({reasons}); at most a tenth may be"
        )


def _row(name: str, number: int, line: str, card: DatasetCard) -> Row:
    where = f"{name} line {number}"
    try:
        document = json.loads(line)
    except json.JSONDecodeError as error:
        raise TrainingError(f"{where}: not JSON: {error}") from error
    if not isinstance(document, dict):
        raise TrainingError(f"{where}: not a JSON object")
    source_ref, sha256 = document.get("source-ref"), document.get("image-sha256")
    if not isinstance(source_ref, str) or not source_ref.startswith("s3://"):
        raise TrainingError(f"{where}: source-ref is {source_ref!r}, not an s3:// URI")
    if not isinstance(sha256, str) or len(sha256) != 64:
        raise TrainingError(f"{where}: image-sha256 is {sha256!r}, not 64 hexadecimal digits")
    metadata = document.get(f"{card.task.attribute}-metadata")
    try:
        target = card.task.read(
            document.get(card.task.attribute), metadata if isinstance(metadata, dict) else {}, card.labels
        )
    except InvalidTargetError as error:
        raise TrainingError(f"{where}: {error}") from error
    return Row(number, source_ref, sha256, target)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise TrainingError(f"the dataset has no {path.name}") from error
    except json.JSONDecodeError as error:
        raise TrainingError(f"{path.name}: not JSON: {error}") from error
    if not isinstance(document, dict):
        raise TrainingError(f"{path.name}: not a JSON object")
    return document


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name longer than the file system's limit
        return False


def _unchanged(batch: Any) -> Any:
    return batch
