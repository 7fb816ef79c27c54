"""multi-label-classification: any number of labels an image, each decided for itself.

Sigmoid and binary cross-entropy. A label applies where its confidence reaches its threshold, which is the one
with the best F1 on the validation images. The score is macro F1 over the labels that the test images have.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from answers import MULTI_LABEL
from classification import WholeImages, named_class, whole
from metrics import (
    DEFAULT_THRESHOLD,
    EMPTY,
    average_precision,
    best_threshold,
    calibration,
    scores_of_counts,
)
from pixels import Frame
from plans import Plan, Schedule
from task import Calibration, InvalidTargetError, Outputs, Prediction, Validation
from temperature import fit_binary_temperature


class MultiLabel(WholeImages):
    """Behind `task.Task`; a target is the set of the labels' indices."""

    name = MULTI_LABEL
    attribute = "labels"
    fewest_labels = 1
    figures: tuple[str, ...] = ("accuracy", "macro_f1")
    headline: Mapping[str, str] = {"macro_f1": "macro_f1", "mAP": "mean_average_precision"}
    schedule = Schedule(
        scratch=(30, 2e-3), pretrained=(12, 1e-4), patience=8, batch_divisor=1, fewest_steps=8
    )

    def read(self, value: Any, metadata: Mapping[str, Any], labels: Sequence[str]) -> frozenset[int]:
        names = metadata.get("class-map")
        if not isinstance(value, list):
            raise InvalidTargetError(f"labels is {value!r}, not a list of classes")
        return frozenset(
            named_class(each, names if isinstance(names, dict) else {}, labels) for each in value
        )

    def labels_in(self, target: frozenset[int]) -> Iterable[int]:
        return target

    def encode(
        self,
        targets: Sequence[frozenset[int]],
        frames: Sequence[Frame],  # noqa: ARG002
        labels: int,
    ) -> torch.Tensor:
        """(N, labels) of 0.0 and 1.0."""
        encoded = torch.zeros(len(targets), labels)
        for row, target in zip(encoded, targets, strict=True):
            row[list(target)] = 1.0
        return encoded

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor, plan: Plan) -> torch.Tensor:
        smooth = targets * (1 - plan.label_smoothing) + plan.label_smoothing / 2
        return functional.binary_cross_entropy_with_logits(outputs, smooth)

    def validate(self, outputs: Outputs) -> Validation:
        """Accuracy is the share of right decisions; macro F1 is that of the best thresholds."""
        logits, targets = whole(outputs, 0)
        right = (logits > 0) == (targets > 0)
        chosen = _choose(torch.sigmoid(logits.double()), targets)
        f1 = [best for best in chosen if best is not None]
        figures = {
            "accuracy": float(right.float().mean()),
            "macro_f1": sum(best for _, best in f1) / len(f1) if f1 else None,
        }
        return Validation(float(functional.binary_cross_entropy_with_logits(logits, targets)), figures)

    def calibrate(self, outputs: Outputs, labels: Sequence[str]) -> Calibration:
        logits, targets = whole(outputs, len(labels))
        temperature = fit_binary_temperature(logits, targets)
        chosen = _choose(torch.sigmoid(logits.double() / temperature), targets)
        thresholds = [DEFAULT_THRESHOLD if best is None else best[0] for best in chosen]
        return Calibration(temperature, dict(zip(labels, thresholds, strict=True)))

    def tally(
        self,
        labels: Sequence[str],
        calibration: Calibration,  # noqa: ARG002 - answers bring their thresholds
        temperature: float | None,
    ) -> "_Tally":
        return _Tally(labels, temperature)


class _Tally:
    """Of each label: in how many images it is, how sure the model was of it there and elsewhere."""

    def __init__(self, labels: Sequence[str], temperature: float | None) -> None:
        self._labels = labels
        self._temperature = temperature
        self._truth: list[list[bool]] = []
        self._confidence: list[list[float]] = []
        self._predicted: list[list[bool]] = []
        self._thresholds: dict[str, float] = {}
        self._other = 0

    def add(self, target: frozenset[int], answer: Sequence[Prediction] | None) -> dict[str, Any]:
        said = {prediction["label"]: prediction for prediction in answer or ()}
        applies = [label for label, given in said.items() if given["confidence"] >= _threshold(given)]
        confidences = {label: float(given["confidence"]) for label, given in said.items()}
        self._thresholds |= {label: _threshold(given) for label, given in said.items()}
        self._truth.append([index in target for index in range(len(self._labels))])
        self._confidence.append([confidences.get(label, 0.0) for label in self._labels])
        self._predicted.append([label in applies for label in self._labels])
        self._other += len(set(applies) - set(self._labels))
        return {
            "labels": [self._labels[index] for index in sorted(target)],
            "predicted": applies,
            "confidences": confidences,
        }

    def measure(self) -> dict[str, Any]:
        shape = (len(self._truth), len(self._labels))
        truth = np.array(self._truth, np.bool_).reshape(shape)
        predicted = np.array(self._predicted, np.bool_).reshape(shape)
        confidence = np.array(self._confidence, np.float64).reshape(shape)
        support = truth.sum(axis=0)
        hits = (truth & predicted).sum(axis=0)
        precision, recall, f1 = scores_of_counts(hits, predicted.sum(axis=0), support)
        occurs = support > 0
        per_label = {
            label: {
                "precision": float(precision[index]),
                "recall": float(recall[index]),
                "f1": float(f1[index]),
                "average_precision": average_precision(confidence[:, index], truth[:, index]),
                "threshold": self._thresholds.get(label),
                "support": int(support[index]),
            }
            for index, label in enumerate(self._labels)
        }
        precisions = [each["average_precision"] or 0.0 for each in per_label.values() if each["support"]]
        macro_f1 = float(f1[occurs].mean()) if occurs.any() else None
        metrics: dict[str, Any] = {
            "score": macro_f1,
            "macro_f1": macro_f1,
            "mean_average_precision": float(np.mean(precisions)) if precisions else None,
            "exact_match": float((truth == predicted).all(axis=1).mean()) if len(truth) else None,
            "per_label": per_label,
            "images_without_label": int((~truth.any(axis=1)).sum()),
            "other_predictions": self._other,
            "calibration": {
                **calibration(truth.ravel(), confidence.ravel()),
                "temperature": self._temperature,
            },
        }
        if macro_f1 is None:
            metrics["note"] = EMPTY if not len(truth) else "no test image has a label: there is no score"
        return metrics


def _choose(confidence: torch.Tensor, targets: torch.Tensor) -> list[tuple[float, float] | None]:
    """Of each label the best threshold and its F1; None for a label that no image has."""
    scores, truth = confidence.numpy(), targets.numpy() > 0
    return [
        best_threshold(scores[:, index], truth[:, index], int(truth[:, index].sum()))
        if truth[:, index].any()
        else None
        for index in range(scores.shape[1])
    ]


def _threshold(prediction: Prediction) -> float:
    return float(prediction.get("threshold", DEFAULT_THRESHOLD))
