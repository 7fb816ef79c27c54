"""How good a model's predictions are, from what it answered about labeled images.

`score`, between 0 and 1, is what candidates and champions are compared by: accuracy for
image-classification, macro F1 for multi-label-classification, mAP@0.5 for bounding-box. Average precision is
COCO's: detections matched best first, each with the free box of the same label that it overlaps most, 101
recall levels, at most 100 detections an image and label; [.5:.95] is the mean over ten overlaps.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from loupe.domain.label_values import Box, Boxes, LabelValue, OneLabel
from loupe.domain.projects import TaskType
from loupe.domain.serving.answers import Prediction

SCORES: dict[TaskType, str] = {
    "image-classification": "accuracy",
    "multi-label-classification": "macro F1",
    "bounding-box": "mAP@0.5",
}
"""What `score` is, in words."""

OF_A_LABEL: dict[TaskType, str] = {
    "image-classification": "f1",
    "multi-label-classification": "f1",
    "bounding-box": "ap_50",
}
"""By what one label is compared: a member of `per_label`."""

OVERLAPS = tuple((50 + 5 * step) / 100 for step in range(10))
"""From which overlap on a box counts as found: 0.5, 0.55, ... 0.95."""

_MAX_DETECTIONS = 100
_RECALL_LEVELS = tuple(step * 0.01 for step in range(101))  # rounded as by pycocotools


@dataclass(frozen=True)
class Answered:
    """An image's label, and what a model said of it: predictions as the API gives them, best first."""

    truth: LabelValue
    predictions: list[Prediction]


def measure(task: TaskType, labels: Sequence[str], answers: Sequence[Answered]) -> dict[str, Any]:
    """The metrics of a model. Labels are those of the dataset; a prediction of another label is wrong.

    A ratio of nothing is 0.0, with the support beside it; means leave out labels that no image has. Where
    that leaves none, `score` is None and a `note` says so.
    """
    measures = {
        "image-classification": _classification,
        "multi-label-classification": _several_labels,
        "bounding-box": _boxes,
    }
    return measures[task](labels, answers)


# One label ------------------------------------------------------------------------------------------


def _classification(labels: Sequence[str], answers: Sequence[Answered]) -> dict[str, Any]:
    pairs = Counter(
        (answer.truth.label, answer.predictions[0]["label"])
        for answer in answers
        if isinstance(answer.truth, OneLabel)
    )
    per_label = {
        label: _ratios(
            hits=pairs[label, label],
            predicted=sum(pairs[other, label] for other in labels),
            support=sum(count for (truth, _), count in pairs.items() if truth == label),
        )
        for label in labels
    }
    accuracy = _ratio(sum(pairs[label, label] for label in labels), pairs.total())
    return {
        **_scored(accuracy, pairs.total(), "no test image has a label"),
        "accuracy": accuracy,
        "macro_f1": _mean_f1(per_label),
        "per_label": per_label,
        "confusion_matrix": [[pairs[truth, predicted] for predicted in labels] for truth in labels],
        "other_predictions": sum(count for (_, said), count in pairs.items() if said not in labels),
    }


# Several labels -------------------------------------------------------------------------------------


def applying(predictions: Iterable[Prediction]) -> list[str]:
    """The labels that multi-label predictions give an image."""
    return [each["label"] for each in predictions if each["confidence"] >= each["threshold"]]


def _several_labels(labels: Sequence[str], answers: Sequence[Answered]) -> dict[str, Any]:
    hits: Counter[str] = Counter()
    predicted: Counter[str] = Counter()
    support: Counter[str] = Counter()
    exact = 0
    for answer in answers:
        said, truth = set(applying(answer.predictions)), set(answer.truth.names)
        hits.update(said & truth)
        predicted.update(said)
        support.update(truth)
        exact += said == truth
    per_label = {label: _ratios(hits[label], predicted[label], support[label]) for label in labels}
    macro_f1 = _mean_f1(per_label)
    return {
        **_scored(macro_f1, support.total(), "no test image has a label"),
        "macro_f1": macro_f1,
        "micro_f1": _ratio(2 * hits.total(), predicted.total() + support.total()),
        "exact_match": _ratio(exact, len(answers)),
        "per_label": per_label,
    }


# Boxes ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Detection:
    """`overlaps` are those with the image's boxes of the same label, by the boxes' position."""

    confidence: float
    overlaps: Sequence[float]


@dataclass(frozen=True, slots=True)
class Sighting:
    """A detection as it counts: whether it found a box that no better one found. `image` is its position
    among the answers."""

    image: int
    confidence: float
    is_hit: bool


@dataclass(frozen=True, slots=True)
class _Image:
    """What there is of one label in one image: how many boxes, and the detections, best first."""

    boxes: int
    detections: Sequence[_Detection]


def overlap(one: Box, other: Box) -> float:
    """Intersection over union, between 0 and 1."""
    width = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    height = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (one.width * one.height + other.width * other.height - shared)


def box_of(prediction: Prediction) -> Box:
    return Box(prediction["label"], **prediction["box"])


def _boxes(labels: Sequence[str], answers: Sequence[Answered]) -> dict[str, Any]:
    per_label = {label: _precision_of(label, answers) for label in labels}
    known = [metrics for metrics in per_label.values() if metrics["support"]]
    map_50 = _mean(metrics["ap_50"] for metrics in known)
    return {
        **_scored(map_50, len(known), "no test image has a box"),
        "map_50": map_50,
        "map_50_95": _mean(metrics["ap_50_95"] for metrics in known),
        "per_label": per_label,
    }


def _precision_of(label: str, answers: Sequence[Answered]) -> dict[str, Any]:
    images = [_of_label(label, answer) for answer in answers]
    at = [_average_precision(images, least) for least in OVERLAPS]
    return {"ap_50": at[0], "ap_50_95": _mean(at), "support": sum(image.boxes for image in images)}


def _of_label(label: str, answer: Answered) -> _Image:
    boxes = answer.truth.boxes if isinstance(answer.truth, Boxes) else ()
    truths = [box for box in boxes if box.label == label]
    found = [each for each in answer.predictions if each["label"] == label][:_MAX_DETECTIONS]
    return _Image(
        len(truths),
        [
            _Detection(each["confidence"], [overlap(box_of(each), truth) for truth in truths])
            for each in found
        ],
    )


def _average_precision(images: Sequence[_Image], least: float) -> float:
    sightings = _ranked(images, least)
    return average_precision([(1, each.is_hit) for each in sightings], sum(image.boxes for image in images))


def sightings_of(label: str, answers: Sequence[Answered], least: float) -> tuple[list[int], list[Sighting]]:
    """How many boxes of the label each image has, and all detections of it, best first."""
    images = [_of_label(label, answer) for answer in answers]
    return [image.boxes for image in images], _ranked(images, least)


def average_precision(sightings: Iterable[tuple[int, bool]], support: int) -> float:
    """Of detections, best first: how often each counts, and whether it hits one of `support` boxes."""
    if not support:
        return 0.0
    recalls, precisions, hits, number = [], [], 0, 0
    for weight, is_hit in sightings:
        if not weight:
            continue
        number += weight
        hits += weight * is_hit
        recalls.append(hits / support)
        precisions.append(hits / number)
    for at in range(len(precisions) - 1, 0, -1):  # what a lower confidence makes better counts for it, too
        precisions[at - 1] = max(precisions[at - 1], precisions[at])
    levels = (bisect_left(recalls, level) for level in _RECALL_LEVELS)
    return sum(precisions[at] for at in levels if at < len(precisions)) / len(_RECALL_LEVELS)


def _ranked(images: Sequence[_Image], least: float) -> list[Sighting]:
    found = [
        Sighting(at, confidence, is_hit)
        for at, image in enumerate(images)
        for confidence, is_hit in _judge(image, least)
    ]
    return sorted(found, key=lambda each: each.confidence, reverse=True)


def _judge(image: _Image, least: float) -> list[tuple[float, bool]]:
    """Confidence of each detection, and whether it found a box that no better one found."""
    free = set(range(image.boxes))
    judged = []
    for detection in image.detections:
        best = max(free, key=lambda at: (detection.overlaps[at], at), default=None)
        is_hit = best is not None and detection.overlaps[best] >= least
        if is_hit and best is not None:
            free.remove(best)
        judged.append((detection.confidence, is_hit))
    return judged


# Ratios ---------------------------------------------------------------------------------------------


def _scored(score: float, support: int, otherwise: str) -> dict[str, Any]:
    return {"score": score} if support else {"score": None, "note": otherwise}


def _ratios(hits: int, predicted: int, support: int) -> dict[str, Any]:
    precision, recall = _ratio(hits, predicted), _ratio(hits, support)
    return {
        "precision": precision,
        "recall": recall,
        "f1": _ratio(2 * hits, predicted + support),
        "support": support,
    }


def _mean_f1(per_label: dict[str, dict[str, Any]]) -> float:
    return _mean(metrics["f1"] for metrics in per_label.values() if metrics["support"])


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return _ratio(sum(found), len(found))
