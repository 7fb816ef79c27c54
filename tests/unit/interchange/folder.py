"""A folder of files in memory, and what an export writes into one."""

import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from loupe.domain.interchange import FORMATS
from loupe.domain.interchange.records import (
    Dataset,
    Exported,
    Findings,
    Labeled,
    Reading,
    TextFile,
    UnreadableFile,
)
from loupe.domain.label_attributes import Label, write_label
from loupe.domain.label_values import LabelValue
from loupe.domain.manifests import SHA256
from loupe.domain.projects import LABEL_ATTRIBUTES, TaskType

NOW = datetime(2026, 11, 21, 10, 15, 0, 123456, tzinfo=UTC)


class Folder:
    """Implements `loupe.domain.interchange.records.Files`; text is kept as UTF-8."""

    def __init__(self, files: dict[str, str | bytes]) -> None:
        self.files = {
            path: content if isinstance(content, bytes) else content.encode()
            for path, content in files.items()
        }

    @property
    def paths(self) -> Sequence[str]:
        return sorted(self.files)

    def read(self, path: str) -> bytes:
        return self.open(path).read()

    def open(self, path: str) -> BinaryIO:
        if path not in self.files:
            raise UnreadableFile(f"there is no {path}")
        return io.BytesIO(self.files[path])


def read(
    name: str,
    task: TaskType,
    files: dict[str, str | bytes],
    attribute: str | None = None,
    classes: tuple[str, ...] | None = None,
) -> tuple[list[Labeled], Findings]:
    """All that a format reads in those files."""
    findings = Findings()
    reading = Reading(Folder(files), task, findings, attribute, classes)
    return list(FORMATS[name].read(reading)), findings


def written(name: str, dataset: Dataset) -> dict[str, str | bytes]:
    """What a format writes; images have the digest of their content as content."""
    files: dict[str, str | bytes] = {}
    for each in FORMATS[name].write(dataset):
        path = PurePosixPath(each.path)
        assert not path.is_absolute(), path
        assert ".." not in path.parts
        assert str(path) == each.path
        assert each.path not in files, f"{each.path} is written twice"
        if isinstance(each, TextFile):
            files[each.path] = "".join(each.content)
        else:
            files[each.path] = each.image.sha256.encode()
    return files


def exported(
    key: str, value: LabelValue, size: tuple[int, int], labels: tuple[str, ...], task: TaskType
) -> Exported:
    """An image of the project `parts` as an export reads it."""
    source, digest = f"s3://raw/parts/{key}", sha256(key.encode()).hexdigest()
    label = Label(value, (0.0,) * len(value.names), NOW, True, "parts-20261121t101500-1a2b")
    row: dict[str, Any] = {
        "source-ref": source,
        SHA256: digest,
        **write_label(label, LABEL_ATTRIBUTES[task], task, labels, size),
    }
    return Exported(key, source, digest, size, row, lambda _: value)


def dataset(
    task: TaskType, labels: tuple[str, ...], images: Iterable[Exported], *, with_images: bool
) -> Dataset:
    """A version whose images take turns in the splits."""
    splits: dict[str, list[Exported]] = {"train": [], "validation": [], "test": []}
    for number, image in enumerate(images):
        splits[("train", "validation", "test")[number % 3]].append(image)
    return Dataset(
        "parts", "0001", task, labels, NOW, lambda split: iter(splits[split]), with_images=with_images
    )
