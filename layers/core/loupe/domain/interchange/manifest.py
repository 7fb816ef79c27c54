"""Ground Truth's augmented manifests, of any job and any label attribute.

Read: all `.manifest` and `.jsonl` files, or the one that was named. Of several label attributes of a row that
fit the task the newest is read: the one with the latest `creation-date`; among equals, the one named last.
Written: `train.manifest`, `validation.manifest`, `test.manifest`, `label-categories.json`. Holds all tasks.
"""

import json
from collections.abc import Iterator
from typing import Any

from loupe.domain.datasets.splits import SPLITS
from loupe.domain.interchange.records import (
    Dataset,
    Files,
    Findings,
    ImageFile,
    Labeled,
    OutFile,
    Reading,
    Size,
    TextFile,
    UnreadableFile,
    at,
    file_names,
    label_paths,
    suffix,
    text_lines,
)
from loupe.domain.json_lines import NotJson, read_line
from loupe.domain.label_attributes import MANIFEST_TYPES, Unlabeled, Withdrawn, read_label
from loupe.domain.manifests import SHA256, InvalidManifest, Row, label_categories, write_rows
from loupe.domain.projects import TaskType

TASKS: tuple[TaskType, ...] = ("image-classification", "multi-label-classification", "bounding-box")

_METADATA = "-metadata"
_SUFFIXES = {".manifest", ".jsonl"}


def read(reading: Reading) -> Iterator[Labeled]:
    """Raises `UnreadableFile`."""
    files, task, findings = reading.files, reading.task, reading.findings
    paths = label_paths(files, _SUFFIXES)
    if not paths:
        raise UnreadableFile("There is no .manifest or .jsonl file; name the manifest itself.")
    fits, others = False, set[str]()
    for path in paths:
        for line, row in _rows(files, path, findings):
            attribute = reading.attribute or _newest_attribute(row, task)
            if attribute is None:
                others.update(_attributes(row))
                findings.left_out["rows without a label for the project's task"] += 1
                continue
            fits = True
            labeled = _labeled(row, attribute, path, line, reading)
            if labeled is not None:
                findings.notes[f"labels are those of the attribute {attribute!r}"] += 1
                yield labeled
    if not fits and reading.attribute is None:
        raise UnreadableFile(
            f"{', '.join(paths[:3])}: no row has a label attribute of type {MANIFEST_TYPES[task]!r}, which "
            f"the project's task asks for; it has {', '.join(sorted(others)) or 'none at all'}. "
            "Name one with --attribute if its type is wrong."
        )


def _rows(files: Files, path: str, findings: Findings) -> Iterator[tuple[int, Row]]:
    for line, text in text_lines(files, path):
        if not text.strip():
            continue
        row = _row(text)
        if isinstance(row, str):
            findings.fault(path, line, row)
        else:
            yield line, row


def _labeled(row: Row, attribute: str, path: str, line: int, reading: Reading) -> Labeled | None:
    findings = reading.findings
    try:
        label = read_label(row, attribute, reading.task, reading.classes or ())
    except InvalidManifest as error:
        findings.fault(path, line, error.detail)
        return None
    if isinstance(label, Withdrawn):
        findings.left_out["labels that a review found wrong"] += 1
        return None
    if isinstance(label, Unlabeled):
        findings.left_out[_why_unlabeled(label, attribute)] += 1
        return None
    return Labeled(
        row["source-ref"],
        label.value,
        path,
        line,
        size=_size(row, attribute),
        confidences=label.confidences,
        labeled_at=label.labeled_at,
        is_human=label.is_human,
        job=label.job,
        sha256=row.get(SHA256),
    )


def write(dataset: Dataset) -> Iterator[OutFile]:
    """Rows are the version's own, so they name the images in S3."""
    for split in SPLITS:
        yield TextFile(f"{split}.manifest", write_rows(each.row for each in dataset.images(split)))
    yield TextFile("label-categories.json", [label_categories(dataset.labels)])
    if dataset.with_images:
        names = file_names(dataset)
        for split in SPLITS:
            for image in dataset.images(split):
                yield ImageFile(f"images/{names[image.source]}", image)


def _row(text: str) -> Row | str:
    """The row, or what is wrong with it."""
    try:
        row = read_line(text)
    except NotJson as error:
        return f"not JSON: {error}"
    if not isinstance(row, dict) or not isinstance(row.get("source-ref"), str):
        return "not an object with a source-ref"
    return row


def _newest_attribute(row: Row, task: TaskType) -> str | None:
    """The row's newest attribute for the task; one whose job failed is taken if there is no other."""
    newest, best = None, (False, "")
    for attribute, metadata in _metadata(row):
        if _fits(row.get(attribute), metadata, task):
            rank = ("failure-reason" not in metadata, str(metadata.get("creation-date", "")))
            # Of equals the later in the row counts.
            if rank >= best:
                newest, best = attribute, rank
    return newest


def _metadata(row: Row) -> Iterator[tuple[str, Row]]:
    """The row's label attributes, each with its metadata."""
    for key, metadata in row.items():
        if key.endswith(_METADATA) and isinstance(metadata, dict):
            yield key.removesuffix(_METADATA), metadata


def _attributes(row: Row) -> Iterator[str]:
    """The row's label attributes with their types, for people."""
    return (f"{name} ({metadata.get('type', 'without type')})" for name, metadata in _metadata(row))


def _fits(value: Any, metadata: Row, task: TaskType) -> bool:
    kind = metadata.get("type")
    if kind is not None:
        return bool(kind == MANIFEST_TYPES[task])
    match task:
        case "image-classification":
            return isinstance(value, int | str) and "class-name" in metadata
        case "multi-label-classification":
            return isinstance(value, list)
        case "bounding-box":
            return isinstance(value, dict) and "annotations" in value


def _why_unlabeled(label: Unlabeled, attribute: str) -> str:
    if label.reason is None:
        return f"rows without a label under {attribute!r}"
    return f"rows that failed in their labeling job: {label.reason[:120]}"


def _size(row: Row, attribute: str) -> Size | None:
    match row.get(attribute):
        case {"image_size": [{"width": int(width), "height": int(height)}, *_]}:
            return width, height
    return None


def read_categories(files: Files, path: str) -> tuple[str, ...]:
    """Names of classes: a Ground Truth label category file, a JSON list, or a name a line.

    Raises `UnreadableFile`.
    """
    lines = [line for _, line in text_lines(files, path)]
    if suffix(path) != ".json":
        return tuple(line.strip() for line in lines if line.strip())
    try:
        document = json.loads("\n".join(lines))
        found = document["labels"] if isinstance(document, dict) else document
        names = tuple(each["label"] if isinstance(each, dict) else each for each in found)
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise UnreadableFile(f"{at(path, None)}: not a label category file: {error}") from error
    if not all(isinstance(name, str) for name in names):
        raise UnreadableFile(f"{path}: names of classes must be text")
    return names
