"""The last look at a candidate before it counts as released: its endpoint answers test images as agreed."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from loupe.domain.datasets.test_split import as_labeled, frozen_rows
from loupe.domain.errors import DomainError, ModelError, ObjectMissing
from loupe.domain.images.inspection import ImageRejected
from loupe.domain.manifests import HEIGHT, SHA256, WIDTH
from loupe.domain.serving.answers import Prediction
from loupe.domain.serving.asking import ask
from loupe.domain.training.metrics import box_of, overlap
from loupe.domain.training.plans import TrainingPlan
from loupe.domain.workspace import Workspace
from loupe.ports.loops import ServedModel
from loupe.ports.models import InvokesEndpoints
from loupe.ports.objects import StoresObjects

_IMAGES = 3

_NEAR = 0.05
"""Confidences this near may change places between the training's processor and the endpoint's."""
_SURE = 0.5
"""Boxes from this confidence on have to be seen by the endpoint, too..."""
_SAME_BOX = 0.5
"""... overlapping by this much."""
_ROUNDING = 1.0
"""Pixels by which a box may leave its image."""


class SmokeTestFailed(DomainError):
    """The new endpoint does not answer as it should; the message says how."""

    slug, title = "smoke-test-failed", "The new endpoint did not pass its smoke test"


@dataclass(frozen=True)
class SmokeTestEndpoint:
    """Asks the endpoint about a few test images, and compares with what its model said of them when it was
    measured."""

    endpoints: InvokesEndpoints
    raw_data: StoresObjects
    workspace: StoresObjects

    def __call__(self, project: str, version: str, endpoint: str | None = None) -> int:
        """The number of images asked about. `endpoint` is where the model answers if that was not known
        when its training was planned. Raises `SmokeTestFailed`, `StoreUnavailable`."""
        plan = TrainingPlan.read(self.workspace, project, version)
        model = plan.served_at(endpoint)
        asked = dict(islice(self._answers(plan, model), _IMAGES))
        if not asked:
            raise SmokeTestFailed(
                f"no test image of dataset version {plan.dataset_version} is there to ask about"
            )
        expected = self._expected(Workspace(project), plan, set(asked))
        for digest, answer in asked.items():
            if digest in expected:
                _compare(answer, model, expected[digest], digest)
        return len(asked)

    def _answers(self, plan: TrainingPlan, model: ServedModel) -> Iterator[tuple[str, list[Prediction]]]:
        """Checked answers, with their images' SHA-256s, about test images that still are what was labeled."""
        for row in frozen_rows(self.workspace, plan):
            image, where = as_labeled(self.raw_data, row), row["source-ref"]
            if image is None:
                continue
            try:
                answer = ask(self.endpoints, model, image)
            except ImageRejected:
                continue
            except ModelError as error:
                raise SmokeTestFailed(f"{model.endpoint} failed on {where}: {error}") from error
            _check(answer, model, (row.get(WIDTH, math.inf), row.get(HEIGHT, math.inf)), where)
            yield row[SHA256], answer

    def _expected(self, names: Workspace, plan: TrainingPlan, digests: set[str]) -> dict[str, Any]:
        """What the model predicted when it was measured, by image, of boxes those that it was sure of; empty
        if no predictions were kept."""
        try:
            lines = [json.loads(line) for line in self.workspace.lines(names.predictions(plan.version))]
        except ObjectMissing:
            return {}
        expected = {line[SHA256]: line["predicted"] for line in lines if line[SHA256] in digests}
        if plan.task != "bounding-box":
            return expected
        thresholds = self._thresholds(names, plan)
        return {
            digest: [box for box in boxes if box["confidence"] >= max(_SURE, thresholds[box["label"]])]
            for digest, boxes in expected.items()
        }

    def _thresholds(self, names: Workspace, plan: TrainingPlan) -> dict[str, float]:
        """The confidence by label from which on a box is shown for certain."""
        evaluation = json.loads(self.workspace.read(names.evaluation(plan.version)))
        per_label = evaluation["candidate"].get("per_label", {})
        return {label: (per_label.get(label, {}).get("threshold") or 0) + _NEAR for label in plan.labels}


def _check(answer: list[Prediction], model: ServedModel, size: tuple[float, float], where: str) -> None:
    """Predictions as `loupe.ports.models.InvokesEndpoints` has them."""
    found = [prediction["label"] for prediction in answer]
    # Boxes are those that the model sees, and Rekognition leaves out what it does not mean to apply.
    is_complete = model.task != "bounding-box" and model.hosting != "rekognition"
    if set(found) - set(model.labels) or (is_complete and sorted(found) != sorted(model.labels)):
        raise SmokeTestFailed(f"the answer to {where} has the labels {found}, not {list(model.labels)}")
    numbers = [prediction["confidence"] for prediction in answer]
    if model.task == "multi-label-classification" and is_complete:
        numbers += [prediction.get("threshold") for prediction in answer]
    if not all(isinstance(c, int | float) and math.isfinite(c) and 0 <= c <= 1 for c in numbers):
        raise SmokeTestFailed(
            f"the answer to {where} has confidences or thresholds that are not between 0 and 1"
        )
    confidences = [prediction["confidence"] for prediction in answer]
    if confidences != sorted(confidences, reverse=True):
        raise SmokeTestFailed(f"the answer to {where} is not sorted, best first")
    if model.task == "bounding-box":
        for prediction in answer:
            _check_box(prediction.get("box"), size, where)


def _check_box(box: Any, size: tuple[float, float], where: str) -> None:
    """Within the image, but for rounding."""
    match box:
        case {"left": left, "top": top, "width": width, "height": height}:
            is_within = left + width <= size[0] + _ROUNDING and top + height <= size[1] + _ROUNDING
            if min(left, top) >= -_ROUNDING and min(width, height) > 0 and is_within:
                return
    raise SmokeTestFailed(
        f"the answer to {where} has a box that is not within its {size[0]} by {size[1]} pixels: {box}"
    )


# Like the trained model -----------------------------------------------------------------------------


def _compare(answer: list[Prediction], model: ServedModel, expected: Any, digest: str) -> None:
    """The endpoint must see what the trained model saw, but for images that it wavers about."""
    match model.task:
        case "image-classification":
            told = _compare_label(answer, expected)
        case "multi-label-classification":
            told = _compare_labels(answer, expected)
        case "bounding-box":
            told = _compare_boxes(answer, expected)
    if told:
        raise SmokeTestFailed(f"for image {digest}, {told}")


def _compare_label(answer: list[Prediction], expected: str) -> str | None:
    confidences = {each["label"]: each["confidence"] for each in answer}
    best = answer[0]["label"] if answer else None
    if best == expected or confidences.get(best, 0) - confidences.get(expected, 0) <= _NEAR:
        return None
    return f"the endpoint says {best!r}, but the trained model said {expected!r}"


def _compare_labels(answer: list[Prediction], expected: list[str]) -> str | None:
    sure = [each for each in answer if abs(each["confidence"] - each.get("threshold", 0)) > _NEAR]
    for each in sure:
        applies = each["confidence"] >= each.get("threshold", 0)
        if applies != (each["label"] in expected):
            verb = "gives" if applies else "does not give"
            return f"the endpoint {verb} the label {each['label']!r}, unlike the trained model"
    return None


def _compare_boxes(answer: list[Prediction], expected: list[Prediction]) -> str | None:
    for each in expected:
        seen = (box_of(other) for other in answer if other["label"] == each["label"])
        if all(overlap(box_of(each), other) < _SAME_BOX for other in seen):
            return (
                f"the endpoint does not see the {each['label']!r} that the trained model saw at {each['box']}"
            )
    return None
