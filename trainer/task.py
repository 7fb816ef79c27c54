"""What a task type does in its own way: the interface that its module implements (see tasks.py).

Everything else, from reading a dataset version to the files that a training leaves, is shared.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import nn

from networks import MadeForSides, Pretrained
from pixels import Frame
from plans import Plan, Schedule

Prediction = dict[str, Any]
"""One member of an endpoint's answer: label, confidence, and what else the task has."""

Augments = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""Changes a float batch (N, 3, S, S) with values 0 to 1, and its targets with it."""

Outputs = Iterable[tuple[torch.Tensor, torch.Tensor]]
"""What a network says, batch by batch, and the targets: both on the CPU, the first dimension is the image."""


class InvalidTargetError(ValueError):
    """A manifest's row has no label that the task can read; the message says what is wrong."""


@dataclass(frozen=True)
class Validation:
    """How good an epoch is: the loss decides which is best, the figures are told. None without images."""

    loss: float | None
    figures: Mapping[str, float | None]


@dataclass(frozen=True)
class Calibration:
    """What makes outputs into answers: logits are divided by `temperature` and, those of boxes, shifted by
    `shift`; `thresholds` are by label."""

    temperature: float = 1.0
    thresholds: Mapping[str, float] = field(default_factory=dict)
    shift: float = 0.0


class Tally(Protocol):
    """Takes a model's answers to the test images one by one, and measures them."""

    def add(self, target: Any, answer: Sequence[Prediction] | None) -> dict[str, Any]:
        """Count an answer, None if the model refused the image; what predictions.jsonl has of it."""

    def measure(self) -> dict[str, Any]:
        """The metrics as evaluation.json has them; `score` is None without test images."""


class Task(Protocol):
    """One task type. A target is what a manifest's row says; only the task's own module knows its form."""

    name: str
    attribute: str  # of the label in manifests
    fewest_labels: int
    figures: tuple[str, ...]  # of each epoch
    headline: Mapping[str, str]  # metrics told at the end: name in the log to name in evaluation.json
    letterboxed: bool  # images keep their aspect ratio; otherwise they are squeezed into the square
    largest_side: int  # chosen for images without being asked
    schedule: Schedule
    answers_min_confidence: float | None  # with which a model answers to be measured; None: its own

    def read(self, value: Any, metadata: Mapping[str, Any], labels: Sequence[str]) -> Any:
        """The target in a row's label attribute; InvalidTargetError."""

    def labels_in(self, target: Any) -> Iterable[int]:
        """Indices of the labels that an image with this target is an example of."""

    def encode(self, targets: Sequence[Any], frames: Sequence[Frame], labels: int) -> torch.Tensor:
        """Targets as one tensor, the first dimension of which is the image."""

    def options(self, width: int, side: int) -> dict[str, Any]:
        """The options of the small network for images of this side."""

    def build(self, backbone: str, classes: int, options: Mapping[str, Any]) -> nn.Module:
        """The network that options describe, with fresh weights; BackboneError."""

    def load_pretrained(self, backbone: str, source: str, classes: int) -> Pretrained[MadeForSides]:
        """A network on a pretrained backbone; BackboneError."""

    def augmentation(self, plan: Plan, generator: torch.Generator) -> Augments: ...

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor, plan: Plan) -> torch.Tensor: ...

    def validate(self, outputs: Outputs) -> Validation: ...

    def calibrate(self, outputs: Outputs, labels: Sequence[str]) -> Calibration:
        """From the validation split; with nothing to go on, answers stay as they are."""

    def tally(self, labels: Sequence[str], calibration: Calibration, temperature: float | None) -> Tally: ...
