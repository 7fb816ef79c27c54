"""Label attributes of augmented manifests: between a manifest's row and what its label says.

The formats are those of Ground Truth's output manifests, one for each task. Class values come as numbers and
as text, confidences may be missing, and `job-name` stands with and without `labeling-job/`: all are accepted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from loupe.domain.label_values import Box, Boxes, InvalidLabel, LabelValue, OneLabel, SeveralLabels
from loupe.domain.manifests import InvalidManifest, Row
from loupe.domain.projects import TaskType

MANIFEST_TYPES: dict[TaskType, str] = {
    "image-classification": "groundtruth/image-classification",
    "multi-label-classification": "groundtruth/image-classification-multilabel",
    "bounding-box": "groundtruth/object-detection",
}
"""`type` in the label attribute's metadata, by task type."""


@dataclass(frozen=True)
class Label:
    """What a job concluded for an image. `confidences` are between 0 and 1, one for each part of the value;
    `labeled_at` is None where the manifest does not say; `job` has no `labeling-job/` before it."""

    value: LabelValue
    confidences: tuple[float, ...]
    labeled_at: datetime | None
    is_human: bool
    job: str | None


@dataclass(frozen=True)
class Unlabeled:
    """The job has no label for the image; `reason` is the manifest's `failure-reason`, if it has one."""

    reason: str | None


WITHDRAWN = "loupe-withdrawn"
"""Key of a label attribute's metadata that is there where a review found the image's label wrong."""


@dataclass(frozen=True)
class Withdrawn:
    """A review found the image's label wrong, and has none instead."""

    at: datetime


def has_label(row: Row, attribute: str) -> bool:
    """Whether the row has a label under the attribute, and not just the reason for which it has none."""
    metadata = row.get(f"{attribute}-metadata")
    return attribute in row and not (isinstance(metadata, dict) and "failure-reason" in metadata)


def read_label(
    row: Row, attribute: str, task: TaskType, categories: Sequence[str]
) -> Label | Unlabeled | Withdrawn:
    """What a row says under a label attribute. `categories` name the classes that the row itself does not
    name. Raises `InvalidManifest`."""
    metadata = row.get(f"{attribute}-metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    if WITHDRAWN in metadata:
        return Withdrawn(_utc(metadata["creation-date"]))
    if not has_label(row, attribute):
        reason = metadata.get("failure-reason")
        return Unlabeled(None if reason is None else str(reason))
    try:
        value, confidences = _READERS[task](row[attribute], metadata, categories)
        created = metadata.get("creation-date")
        labeled_at = None if created is None else _utc(created)
    except (InvalidLabel, KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise InvalidManifest(
            f"the row of {row['source-ref']}: {attribute} can't be read: {error}"
        ) from error
    job = metadata.get("job-name")
    return Label(
        value,
        confidences,
        labeled_at,
        metadata.get("human-annotated", "yes") == "yes",
        None if job is None else str(job).removeprefix("labeling-job/"),
    )


def write_label(
    label: Label, attribute: str, task: TaskType, categories: Sequence[str], size: tuple[int, int] | None
) -> Row:
    """The members of a row for a label: the attribute and its metadata. `size` is the image's width and
    height in pixels, which boxes need. Class indexes are positions in `categories`."""
    indexes = {name: index for index, name in enumerate(categories)}
    if label.labeled_at is None or label.job is None:
        raise ValueError("a label that is written has its time and its job")
    shared = _provenance(task, label.job, label.labeled_at, label.is_human)
    classes = [indexes[name] for name in label.value.names]
    used = {str(index): categories[index] for index in sorted(set(classes))}
    content: Any
    metadata: dict[str, Any]
    match label.value:
        case OneLabel(name):
            content, metadata = indexes[name], {"class-name": name, "confidence": label.confidences[0]}
        case SeveralLabels():
            content = classes
            confidences = {str(c): s for c, s in zip(classes, label.confidences, strict=True)}
            metadata = {"class-map": used, "confidence-map": confidences}
        case Boxes(boxes):
            if size is None:
                raise ValueError("boxes are written with the size of their image")
            content = {
                "image_size": [{"width": size[0], "height": size[1], "depth": 3}],
                "annotations": [
                    {"class_id": c, "left": b.left, "top": b.top, "width": b.width, "height": b.height}
                    for c, b in zip(classes, boxes, strict=True)
                ],
            }
            metadata = {"objects": [{"confidence": s} for s in label.confidences], "class-map": used}
    return {attribute: content, f"{attribute}-metadata": {**metadata, **shared}}


def write_failure(reason: str, attribute: str, task: TaskType, job: str, at: datetime) -> Row:
    """The members of a row for an image that the job gives no label: only metadata, which says why."""
    return {f"{attribute}-metadata": {"failure-reason": reason, **_provenance(task, job, at, True)}}


def write_withdrawal(attribute: str, task: TaskType, job: str, at: datetime) -> Row:
    """The members of a row for an image whose label a review found wrong: only metadata, which says so."""
    return {f"{attribute}-metadata": {WITHDRAWN: True, **_provenance(task, job, at, True)}}


def _provenance(task: TaskType, job: str, at: datetime, is_human: bool) -> Row:
    return {
        "type": MANIFEST_TYPES[task],
        "job-name": f"labeling-job/{job}",
        "human-annotated": "yes" if is_human else "no",
        "creation-date": at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds"),
    }


_Read = tuple[LabelValue, tuple[float, ...]]


def _one(content: Any, metadata: dict[str, Any], categories: Sequence[str]) -> _Read:
    name = metadata.get("class-name") or _category(content, {}, categories)
    return OneLabel(str(name)), (float(metadata.get("confidence", 0.0)),)


def _several(content: Any, metadata: dict[str, Any], categories: Sequence[str]) -> _Read:
    names, sure = metadata.get("class-map", {}), metadata.get("confidence-map", {})
    values = [content] if isinstance(content, int | str) else list(content)
    labels = tuple(_category(value, names, categories) for value in values)
    return SeveralLabels(labels), tuple(float(sure.get(str(value), 0.0)) for value in values)


def _boxes(content: Any, metadata: dict[str, Any], categories: Sequence[str]) -> _Read:
    names, objects = metadata.get("class-map", {}), metadata.get("objects", [])
    annotations = content["annotations"]
    boxes = tuple(
        Box(
            _category(found["class_id"], names, categories),
            *(_number(found[side]) for side in ("left", "top", "width", "height")),
        )
        for found in annotations
    )
    confidences = [float(each.get("confidence", 0.0)) for each in objects[: len(boxes)]]
    return Boxes(boxes), (*confidences, *[0.0] * (len(boxes) - len(confidences)))


_READERS = {"image-classification": _one, "multi-label-classification": _several, "bounding-box": _boxes}


def _category(value: Any, names: dict[str, Any], categories: Sequence[str]) -> str:
    """The label of a class index, which Ground Truth writes as a number or as text."""
    if str(value) in names:
        return str(names[str(value)])
    index = int(value)
    if not 0 <= index < len(categories):
        raise InvalidLabel(f"there is no class {value!r}")
    return categories[index]


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidLabel(f"{value!r} is not a number of pixels")
    return value


def _utc(text: str) -> datetime:
    """A manifest's times have no zone and are UTC."""
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
