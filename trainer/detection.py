"""bounding-box: any number of labeled boxes an image, found by the network of detector.py.

Learned are heatmaps that are 1 at the centres of objects and fall off around them, with a focal loss, and at
the centres the size and the exact place. Measured is average precision by COCO's definition; the score is
mAP@0.5. A box is answered where its confidence reaches its label's threshold: that with the best F1 on the
validation images.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from answers import BOXES
from augmentation import BoxAugmentation
from box_metrics import Matcher, Matches, mean_average_precisions
from classification import named_class
from detector import (
    GEOMETRY,
    STRIDE,
    build_detector,
    find_objects,
    load_pretrained_detector,
    small_detector_options,
)
from metrics import EMPTY, Reals, best_threshold, calibration, scores_of_counts
from networks import MadeForSides, Pretrained
from pixels import Frame
from plans import Plan, Schedule
from task import Augments, Calibration, InvalidTargetError, Outputs, Prediction, Validation
from temperature import fit_binary_scaling

NO_BOX = -1.0  # label of the rows that fill up an image's targets
_SPREAD = 0.09  # deviation of a heatmap's peak, as a share of the object's side
_MIN_SPREAD = 0.6  # in cells
_SMALLEST = 0.1  # side of an object, in cells
_HALF = 0  # place of the overlap 0.5 in OVERLAPS
_NEARLY_NONE = 1e-9
# Where validation has nothing to choose one by. Focal losses make for low confidences.
_DEFAULT_THRESHOLD = 0.3


@dataclass(frozen=True)
class TrueBox:
    """A box of a manifest's row: its label's index, and its sides in pixels of the image as stored."""

    label: int
    left: float
    top: float
    right: float
    bottom: float

    @property
    def corners(self) -> tuple[float, float, float, float]:
        return self.left, self.top, self.right, self.bottom


class Detection:
    """Behind `task.Task`; a target is a tuple of boxes."""

    name = BOXES
    attribute = "boxes"
    fewest_labels = 1
    figures: tuple[str, ...] = ("mAP",)
    headline: Mapping[str, str] = {"mAP": "map_50", "mAP_50_95": "map_50_95"}
    letterboxed = True
    largest_side = 512
    schedule = Schedule(
        scratch=(32, 3e-3), pretrained=(24, 2e-4), patience=15, batch_divisor=2, fewest_steps=16
    )
    # Average precision is about everything that the network says.
    answers_min_confidence: float | None = 0.0

    def read(self, value: Any, metadata: Mapping[str, Any], labels: Sequence[str]) -> tuple[TrueBox, ...]:
        names = metadata.get("class-map")
        annotations = value.get("annotations") if isinstance(value, dict) else None
        if not isinstance(annotations, list):
            raise InvalidTargetError("boxes has no list of annotations")
        return tuple(_box(each, names if isinstance(names, dict) else {}, labels) for each in annotations)

    def labels_in(self, target: tuple[TrueBox, ...]) -> Iterable[int]:
        return (box.label for box in target)

    def encode(
        self,
        targets: Sequence[tuple[TrueBox, ...]],
        frames: Sequence[Frame],
        labels: int,  # noqa: ARG002
    ) -> torch.Tensor:
        """(N, most boxes of an image, 5): label, left, top, right, bottom in the square; NO_BOX fills up."""
        most = max(map(len, targets), default=0)
        encoded = torch.full((len(targets), most, 5), NO_BOX)
        for row, target, frame in zip(encoded, targets, frames, strict=True):
            if target:
                corners = frame.clip(torch.from_numpy(_corners([box.corners for box in target])))
                # A box that is nowhere in its image has nothing to teach.
                seen = (corners[:, 2:] > corners[:, :2]).all(dim=1)
                labels_of = torch.tensor([float(box.label) for box in target])
                row[: len(target), 0] = torch.where(seen, labels_of, NO_BOX)
                row[: len(target), 1:] = frame.to_square(corners)
        return encoded

    def options(self, width: int, side: int) -> dict[str, Any]:
        return small_detector_options(width, side)

    def build(self, backbone: str, classes: int, options: Mapping[str, Any]) -> nn.Module:
        return build_detector(backbone, classes, options)

    def load_pretrained(self, backbone: str, source: str, classes: int) -> Pretrained[MadeForSides]:
        return load_pretrained_detector(backbone, source, classes)

    def augmentation(self, plan: Plan, generator: torch.Generator) -> Augments:
        return BoxAugmentation(plan.augmentation, plan.flip, generator)

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor, plan: Plan) -> torch.Tensor:  # noqa: ARG002
        return detection_loss(outputs.float(), targets)

    def validate(self, outputs: Outputs) -> Validation:
        losses, counts, matcher = [], [], None
        for said, targets in outputs:
            matcher = matcher or Matcher(said.shape[1] - GEOMETRY)
            losses.append(float(detection_loss(said, targets)))
            counts.append(len(said))
            _match(matcher, said, targets)
        means = mean_average_precisions(matcher.matches()) if matcher else None
        return Validation(float(np.average(losses, weights=counts)), {"mAP": means[0] if means else None})

    def calibrate(self, outputs: Outputs, labels: Sequence[str]) -> Calibration:
        matcher = Matcher(len(labels))
        for said, targets in outputs:
            _match(matcher, said, targets)
        matches = matcher.matches()
        logits = [_logits(each.scores) for each in matches]
        right = np.concatenate([each.hits[_HALF] for each in matches])
        temperature, shift = fit_binary_scaling(
            torch.from_numpy(np.concatenate(logits)), torch.from_numpy(right.astype(np.float64))
        )
        thresholds = {
            label: _threshold(1 / (1 + np.exp(-(logit / temperature + shift))), each)
            for label, logit, each in zip(labels, logits, matches, strict=True)
        }
        return Calibration(temperature, thresholds, shift)

    def tally(self, labels: Sequence[str], calibration: Calibration, temperature: float | None) -> "_Tally":
        return _Tally(labels, calibration.thresholds, temperature)


class _Tally:
    """Matches what a model found with what is there; its labels' thresholds decide what it would answer."""

    def __init__(
        self, labels: Sequence[str], thresholds: Mapping[str, float], temperature: float | None
    ) -> None:
        self._labels = labels
        self._thresholds = thresholds
        self._temperature = temperature
        self._matcher = Matcher(len(labels))
        self._images = 0
        self._without_box = 0
        self._other = 0

    def add(self, target: tuple[TrueBox, ...], answer: Sequence[Prediction] | None) -> dict[str, Any]:
        answered = [each for each in answer or () if each["confidence"] >= self._threshold(each["label"])]
        known = [each for each in answer or () if each["label"] in self._labels]
        self._images += 1
        self._without_box += not target
        self._other += sum(each["label"] not in self._labels for each in answered)
        self._matcher.add(
            np.array([box.label for box in target], np.float64),
            _corners([box.corners for box in target]),
            np.array([self._labels.index(each["label"]) for each in known], np.float64),
            np.array([each["confidence"] for each in known], np.float64),
            _corners([_sides(each["box"]) for each in known]),
        )
        return {"boxes": [self._as_json(box) for box in target], "predicted": answered}

    def measure(self) -> dict[str, Any]:
        matches = self._matcher.matches()
        answered = [
            each.scores >= self._threshold(label) for label, each in zip(self._labels, matches, strict=True)
        ]
        right = [each.hits[_HALF][passes] for each, passes in zip(matches, answered, strict=True)]
        precision, recall, f1 = scores_of_counts(
            np.array([hits.sum() for hits in right]),
            np.array([passes.sum() for passes in answered]),
            np.array([each.positives for each in matches]),
        )
        means = mean_average_precisions(matches)
        confidence = np.concatenate(
            [each.scores[passes] for each, passes in zip(matches, answered, strict=True)]
        )
        metrics: dict[str, Any] = {
            "score": means[0] if means else None,
            "map_50": means[0] if means else None,
            "map_50_95": means[1] if means else None,
            "per_label": {
                label: {
                    "ap_50": float(each.average_precisions[_HALF]),
                    "ap_50_95": float(each.average_precisions.mean()),
                    "precision": float(precision[index]),
                    "recall": float(recall[index]),
                    "f1": float(f1[index]),
                    "threshold": self._threshold(label),
                    "support": each.positives,
                }
                for index, (label, each) in enumerate(zip(self._labels, matches, strict=True))
            },
            "images_without_box": self._without_box,
            "other_predictions": self._other,
            "calibration": {
                **calibration(np.concatenate(right), confidence),
                "temperature": self._temperature,
            },
        }
        if means is None:
            metrics["note"] = "no test image has a box: there is no score" if self._images else EMPTY
        return metrics

    def _threshold(self, label: str) -> float:
        return float(self._thresholds.get(label, _DEFAULT_THRESHOLD))

    def _as_json(self, box: TrueBox) -> dict[str, Any]:
        return {
            "label": self._labels[box.label],
            "left": box.left,
            "top": box.top,
            "width": box.right - box.left,
            "height": box.bottom - box.top,
        }


def detection_loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Focal loss of the heatmaps and deviation of the geometry, by object, of a Detector's outputs."""
    classes = outputs.shape[1] - GEOMETRY
    rows, columns = outputs.shape[2:]
    there = targets[..., 0] >= 0
    corners = targets[..., 1:] / STRIDE
    centres = (corners[..., :2] + corners[..., 2:]) / 2
    sizes = (corners[..., 2:] - corners[..., :2]).clamp(min=_SMALLEST)
    cells = torch.minimum(centres.long().clamp(min=0), centres.new_tensor((columns, rows)).long() - 1)
    wanted_heat = heatmaps(targets[..., 0].long(), cells, sizes, (classes, rows, columns))
    places = (cells[..., 1] * columns + cells[..., 0]).unsqueeze(1).expand(-1, GEOMETRY, -1)
    said = outputs[:, classes:].flatten(2).gather(2, places).transpose(1, 2)
    wanted = torch.cat((sizes.log(), centres - cells), dim=2)
    deviation = ((said - wanted).abs().sum(dim=2) * there).sum()
    return (_focal(outputs[:, :classes], wanted_heat) + deviation) / there.sum().clamp(min=1)


def heatmaps(
    labels: torch.Tensor, cells: torch.Tensor, sizes: torch.Tensor, shape: tuple[int, int, int]
) -> torch.Tensor:
    """What the heatmaps (N, *shape) should be: at each object's cell (N, M, 2) 1, falling off as its size
    (N, M, 2) says, both x and y. `labels` (N, M) are negative where there is no object."""
    classes, rows, columns = shape
    count, most = labels.shape
    heat = sizes.new_zeros(count, classes, rows, columns)
    spread = 2 * (sizes * _SPREAD).clamp(min=_MIN_SPREAD) ** 2
    x, y = (torch.arange(length, device=sizes.device) for length in (columns, rows))
    across = torch.exp(-((x - cells[..., :1]) ** 2) / spread[..., :1])
    down = torch.exp(-((y - cells[..., 1:]) ** 2) / spread[..., 1:]) * (labels >= 0).unsqueeze(2)
    images = torch.arange(count, device=sizes.device)
    for number in range(most):
        label = labels[:, number].clamp(min=0)
        peak = down[:, number].unsqueeze(2) * across[:, number].unsqueeze(1)
        heat[images, label] = torch.maximum(heat[images, label], peak)
    return heat


def _focal(logits: torch.Tensor, heat: torch.Tensor) -> torch.Tensor:
    """Focal loss, summed: cells near a centre are forgiven the more, the nearer they are."""
    confidence = torch.sigmoid(logits)
    at_centre = (1 - confidence) ** 2 * functional.logsigmoid(logits)
    elsewhere = (1 - heat) ** 4 * confidence**2 * functional.logsigmoid(-logits)
    return -torch.where(heat == 1, at_centre, elsewhere).sum()


def _match(matcher: Matcher, outputs: torch.Tensor, targets: torch.Tensor) -> None:
    for found, rows in zip(find_objects(outputs), targets.double(), strict=True):
        there = rows[rows[:, 0] >= 0].numpy()
        said = found.numpy()
        matcher.add(there[:, 0], there[:, 1:], said[:, 0], said[:, 1], said[:, 2:])


def _threshold(scores: Reals, matches: Matches) -> float:
    if not matches.positives:
        return _DEFAULT_THRESHOLD
    threshold, _ = best_threshold(scores, matches.hits[_HALF], matches.positives)
    return threshold


def _logits(scores: Reals) -> Reals:
    safe = np.clip(scores, _NEARLY_NONE, 1 - _NEARLY_NONE)
    logits: Reals = np.log(safe / (1 - safe))
    return logits


def _box(annotation: Any, names: Mapping[str, Any], labels: Sequence[str]) -> TrueBox:
    match annotation:
        case {"class_id": value, "left": left, "top": top, "width": width, "height": height}:
            sides = (left, top, width, height)
            if all(isinstance(side, int | float) and not isinstance(side, bool) for side in sides):
                # Written so that what is no number fails, too.
                if not (width > 0 and height > 0 and all(map(math.isfinite, sides))):
                    raise InvalidTargetError(f"the box {annotation!r} is empty")
                return TrueBox(named_class(value, names, labels), left, top, left + width, top + height)
    raise InvalidTargetError(
        f"{annotation!r} is not a box of class_id, left, top, width and height in pixels"
    )


def _corners(rows: Sequence[tuple[float, float, float, float]]) -> Reals:
    return np.array(rows, np.float64).reshape(-1, 4)


def _sides(box: Mapping[str, float]) -> tuple[float, float, float, float]:
    return box["left"], box["top"], box["left"] + box["width"], box["top"] + box["height"]
