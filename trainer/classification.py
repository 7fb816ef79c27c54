"""image-classification: exactly one label an image. Softmax and cross-entropy; the score is accuracy."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from answers import CLASSIFICATION
from augmentation import Augmentation
from metrics import OTHER, measure
from networks import MadeForSides, Pretrained, build_network, load_pretrained, small_resnet_options
from pixels import Frame
from plans import Plan, Schedule
from task import Augments, Calibration, InvalidTargetError, Outputs, Prediction, Validation
from temperature import fit_temperature


class WholeImages:
    """What `task.Task` asks of tasks whose labels are those of a whole image, one or several."""

    letterboxed = False
    largest_side = 224
    answers_min_confidence: float | None = None

    def options(self, width: int, side: int) -> dict[str, Any]:
        return small_resnet_options(width, side)

    def build(self, backbone: str, classes: int, options: Mapping[str, Any]) -> nn.Module:
        return build_network(backbone, classes, options)

    def load_pretrained(self, backbone: str, source: str, classes: int) -> Pretrained[MadeForSides]:
        return load_pretrained(backbone, source, classes)

    def augmentation(self, plan: Plan, generator: torch.Generator) -> Augments:
        augment = Augmentation(plan.augmentation, plan.flip, generator)
        return lambda pixels, targets: (augment(pixels), targets)


class Classification(WholeImages):
    """Behind `task.Task`; a target is the index of a label."""

    name = CLASSIFICATION
    attribute = "label"
    fewest_labels = 2
    figures: tuple[str, ...] = ("accuracy",)
    headline: Mapping[str, str] = {"accuracy": "accuracy", "macro_f1": "macro_f1"}
    schedule = Schedule(
        scratch=(20, 2e-3), pretrained=(12, 1e-4), patience=6, batch_divisor=1, fewest_steps=8
    )

    def read(self, value: Any, metadata: Mapping[str, Any], labels: Sequence[str]) -> int:
        """By the metadata's class-name, which stays right when a label list was reordered."""
        name = metadata.get("class-name")
        if name is None:
            return class_index(value, labels)
        if name not in labels:
            raise InvalidTargetError(f"label {name!r} is not one of the dataset's labels")
        return labels.index(name)

    def labels_in(self, target: int) -> Iterable[int]:
        return (target,)

    def encode(self, targets: Sequence[int], frames: Sequence[Frame], labels: int) -> torch.Tensor:  # noqa: ARG002
        """(N,) indices."""
        return torch.tensor(targets, dtype=torch.int64)

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor, plan: Plan) -> torch.Tensor:
        return functional.cross_entropy(outputs, targets, label_smoothing=plan.label_smoothing)

    def validate(self, outputs: Outputs) -> Validation:
        logits, labels = whole(outputs, 0)
        right = logits.argmax(dim=1) == labels
        return Validation(
            float(functional.cross_entropy(logits, labels)), {"accuracy": float(right.float().mean())}
        )

    def calibrate(self, outputs: Outputs, labels: Sequence[str]) -> Calibration:
        return Calibration(fit_temperature(*whole(outputs, len(labels))))

    def tally(
        self,
        labels: Sequence[str],
        calibration: Calibration,  # noqa: ARG002
        temperature: float | None,
    ) -> "_Tally":
        return _Tally(labels, temperature)


class _Tally:
    """The best answer to each image counts. A champion may know other labels, or refuse an image: OTHER."""

    def __init__(self, labels: Sequence[str], temperature: float | None) -> None:
        self._labels = labels
        self._temperature = temperature
        self._truth: list[int] = []
        self._predicted: list[int] = []
        self._confidence: list[float] = []

    def add(self, target: int, answer: Sequence[Prediction] | None) -> dict[str, Any]:
        label, confidence = (answer[0]["label"], float(answer[0]["confidence"])) if answer else (None, 0.0)
        self._truth.append(target)
        self._predicted.append(self._labels.index(label) if label in self._labels else OTHER)
        self._confidence.append(confidence)
        return {"label": self._labels[target], "predicted": label, "confidence": confidence}

    def measure(self) -> dict[str, Any]:
        truth, predicted = np.array(self._truth, np.int64), np.array(self._predicted, np.int64)
        confidence = np.array(self._confidence, np.float64)
        return measure(truth, predicted, confidence, self._labels, self._temperature)


def class_index(value: Any, labels: Sequence[str]) -> int:
    """The index of a class as manifests have it: Ground Truth writes 3 and "3" alike."""
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < len(labels):
        raise InvalidTargetError(f"label is {value!r}, not the index of one of the {len(labels)} labels")
    return value


def named_class(value: Any, names: Mapping[str, Any], labels: Sequence[str]) -> int:
    """The same where a class-map may give its name, which stays right when a label list was reordered."""
    name = names.get(str(value))
    if name is None:
        return class_index(value, labels)
    if name not in labels:
        raise InvalidTargetError(f"label {name!r} is not one of the dataset's labels")
    return labels.index(name)


def whole(outputs: Outputs, labels: int) -> tuple[torch.Tensor, torch.Tensor]:
    """All batches in one; without any, both are (0, labels)."""
    batches = list(outputs)
    if not batches:
        return torch.empty(0, labels), torch.empty(0, labels)
    return torch.cat([said for said, _ in batches]), torch.cat([true for _, true in batches])
