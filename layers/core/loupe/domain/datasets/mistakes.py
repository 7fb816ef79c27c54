"""Labels that are likely mistakes: the champion, asked about an image that it never learned from, firmly says
something else."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from loupe.domain.datasets.gallery_index import value_hash
from loupe.domain.json_lines import read_line
from loupe.domain.label_values import Boxes, LabelValue, OneLabel, SeveralLabels, read_value
from loupe.domain.manifests import SHA256
from loupe.domain.projects import TaskType
from loupe.domain.serving.answers import believed
from loupe.domain.training.metrics import box_of, overlap

FIRM = 0.8
"""From this confidence on a model is firm that a label applies, and up to its complement that it does not."""
SAME_PLACE = 0.5
"""Boxes that overlap so much are about the same thing."""


@dataclass(frozen=True)
class Verdict:
    """What a model answered for a test image. `label_hash` tells the label that it was measured against;
    `disagreement` is how firmly it contradicts that label, 0 if it does not; `about` names the labels that
    it is about."""

    answer: Mapping[str, Any]
    label_hash: bytes
    disagreement: float
    about: tuple[str, ...]

    def says(self, label: str) -> bool:
        """Whether the answer has that label; of the empty one, whether it has none."""
        answer = self.answer
        names = [answer["label"]] if "label" in answer else answer.get("labels")
        if names is None:
            names = [box["label"] for box in answer["boxes"]]
        return label in names if label else not names


@dataclass(frozen=True)
class Verdicts:
    """What the model of that version answered for the images that it was tested with, by SHA-256; nothing
    where there is no model, or none that tells its answers."""

    model: str | None = None
    by_image: Mapping[bytes, Verdict] = field(default_factory=dict)


def read_verdicts(model: str, task: TaskType, lines: Iterable[str], least: float = 0.0) -> Verdicts:
    """From the lines of a model's predictions.jsonl. Images that the model refused are passed over, and so
    are boxes of a confidence below `least`. Raises `InvalidLabel`."""
    read = (read_line(text) for text in lines)
    return Verdicts(
        model,
        {
            bytes.fromhex(line[SHA256]): _verdict(task, line, least)
            for line in read
            if line.get("predicted") is not None
        },
    )


def _verdict(task: TaskType, line: Mapping[str, Any], least: float) -> Verdict:
    value = read_value(task, line)
    disagreements = list(_disagreements(value, line))
    return Verdict(
        _answer(task, line, least),
        value_hash(value),
        max((confidence for confidence, _ in disagreements), default=0.0),
        tuple(dict.fromkeys(label for _, label in disagreements)),
    )


def _answer(task: TaskType, line: Mapping[str, Any], least: float) -> dict[str, Any]:
    """The answer in the form of a label, with its confidences."""
    match task:
        case "image-classification":
            return {"label": line["predicted"], "confidences": [line["confidence"]]}
        case "multi-label-classification":
            confidences = line["confidences"]
            return {
                "labels": line["predicted"],
                "confidences": [confidences.get(label) for label in line["predicted"]],
            }
        case "bounding-box":
            boxes = believed(line["predicted"], least)
            return {
                "boxes": [{"label": each["label"], **each["box"]} for each in boxes],
                "confidences": [each["confidence"] for each in boxes],
            }


def _disagreements(value: LabelValue, line: Mapping[str, Any]) -> Iterator[tuple[float, str]]:
    """How firmly, and about which label, the answer contradicts the label."""
    match value:
        case OneLabel(label):
            if line["predicted"] != label and line["confidence"] >= FIRM:
                yield line["confidence"], line["predicted"]
        case SeveralLabels(labels):
            for label, confidence in line["confidences"].items():
                firmness = 1 - confidence if label in labels else confidence
                if firmness >= FIRM:
                    yield firmness, label
        case Boxes(boxes):
            for each in line["predicted"]:
                answered = box_of(each)
                same = (box for box in boxes if box.label == answered.label)
                if each["confidence"] >= FIRM and not any(overlap(answered, b) >= SAME_PLACE for b in same):
                    yield each["confidence"], answered.label
