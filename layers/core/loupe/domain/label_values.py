"""What a label or an annotation says of an image: one label, several labels, or labeled boxes.

As JSON, everywhere where Loupe's own files and APIs hold one:

    image-classification         {"label": "scratch"}
    multi-label-classification   {"labels": ["scratch", "dent"]}         none of them: []
    bounding-box                 {"boxes": [{"label": "bolt", "left": 4, "top": 8, "width": 9, "height": 7}]}
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from loupe.domain.errors import DomainError
from loupe.domain.projects import LABEL_ATTRIBUTES, TaskType


class InvalidLabel(DomainError):
    """A label that the task does not take; the message says what is wrong with it."""

    status, slug, title = 422, "invalid-label", "That is no label of this task"


class UnknownLabel(DomainError):
    """A label that the project or the job doesn't have."""

    status, slug, title = 422, "unknown-label", "The project has no such label"


@dataclass(frozen=True, slots=True)
class Box:
    """A labeled rectangle in pixels of the image as stored, from its top-left corner."""

    label: str
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class OneLabel:
    """Of image-classification."""

    task: ClassVar[TaskType] = "image-classification"
    label: str

    @property
    def names(self) -> tuple[str, ...]:
        """The label of each part, in the order of its parts."""
        return (self.label,)

    def to_json(self) -> dict[str, Any]:
        return {"label": self.label}


@dataclass(frozen=True, slots=True)
class SeveralLabels:
    """Of multi-label-classification: each at most once, possibly none."""

    task: ClassVar[TaskType] = "multi-label-classification"
    labels: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The label of each part, in the order of its parts."""
        return self.labels

    def to_json(self) -> dict[str, Any]:
        return {"labels": list(self.labels)}


@dataclass(frozen=True, slots=True)
class Boxes:
    """Of bounding-box: possibly none."""

    task: ClassVar[TaskType] = "bounding-box"
    boxes: tuple[Box, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The label of each part, in the order of its parts."""
        return tuple(box.label for box in self.boxes)

    def to_json(self) -> dict[str, Any]:
        return {
            "boxes": [
                {"label": b.label, "left": b.left, "top": b.top, "width": b.width, "height": b.height}
                for b in self.boxes
            ]
        }


_NUMBERS = frozenset((int, float))
"""Types of a JSON number; a truth value is none, though it is an `int` to Python."""

LabelValue = OneLabel | SeveralLabels | Boxes


def read_value(task: TaskType, document: Mapping[str, Any]) -> LabelValue:
    """The value in a JSON object; other members are passed over. Raises `InvalidLabel`."""
    member = LABEL_ATTRIBUTES[task]
    match task, document.get(member):
        case "image-classification", str(label):
            return OneLabel(label)
        case "multi-label-classification", [*labels] if all(isinstance(label, str) for label in labels):
            _check_distinct(labels)
            return SeveralLabels(tuple(labels))
        case "bounding-box", [*boxes]:
            return Boxes(tuple(_read_box(number, box) for number, box in enumerate(boxes)))
    expected = {
        "image-classification": '{"label": "<label>"}',
        "multi-label-classification": '{"labels": ["<label>", ...]}',
        "bounding-box": '{"boxes": [{"label", "left", "top", "width", "height"}, ...]}',
    }
    raise InvalidLabel(f"{task} takes {expected[task]}, not {member}: {document.get(member)!r}")


def read_any(document: Mapping[str, Any]) -> LabelValue | None:
    """The value in a JSON object, of whatever task; None if it has none. Raises `InvalidLabel`."""
    for task, member in LABEL_ATTRIBUTES.items():
        if member in document:
            return read_value(task, document)
    return None


def check_value(value: LabelValue, labels: tuple[str, ...], size: tuple[int, int] | None = None) -> None:
    """Raises `UnknownLabel` for a label that is not among `labels`, and `InvalidLabel` for one that stands
    twice, or a box that is empty or not within an image of that width and height in pixels."""
    known = frozenset(labels)
    for name in value.names:
        if name not in known:
            raise UnknownLabel(f"{name!r} is not a label of the project; it has: {', '.join(labels)}")
    if isinstance(value, SeveralLabels):
        _check_distinct(value.labels)
    if isinstance(value, Boxes):
        for number, box in enumerate(value.boxes):
            _check_box(number, box, size)


def _check_distinct(labels: Sequence[str]) -> None:
    repeated = [label for label in labels if labels.count(label) > 1]
    if repeated:
        raise InvalidLabel(f"labels: {repeated[0]!r} stands more than once")


def _read_box(number: int, box: Any) -> Box:
    match box:
        case {"label": str(label), "left": left, "top": top, "width": width, "height": height}:
            if _NUMBERS.issuperset(map(type, (left, top, width, height))):
                return Box(label, left, top, width, height)
    raise InvalidLabel(f"boxes[{number}] must have label, left, top, width and height, the last four numbers")


def _check_box(number: int, box: Box, size: tuple[int, int] | None) -> None:
    # Written so that a NaN fails, too.
    if not (box.width > 0 and box.height > 0):
        raise InvalidLabel(f"boxes[{number}] is empty: it is {box.width} by {box.height} pixels")
    width, height = size or (float("inf"), float("inf"))
    if not (
        box.left >= 0 and box.top >= 0 and box.left + box.width <= width and box.top + box.height <= height
    ):
        raise InvalidLabel(
            f"boxes[{number}] reaches beyond the image"
            + (f", which has {width} by {height} pixels" if size else "")
        )
