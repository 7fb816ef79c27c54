"""How good a candidate of Rekognition Custom Labels is, and the champion on the same images.

Rekognition measures a candidate itself, on the TEST dataset, and tells F1 for each label at the threshold
that it chose. The score is the mean of those over the labels that have test images. The champion's score
counts as it was measured if its own test set was the very same; otherwise the champion is asked about the
test images, if it answers, and measured in the same way. See docs/decisions/rekognition-scores.md.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from loupe.domain.datasets.test_split import FrozenImage, as_labeled, frozen_images, frozen_rows
from loupe.domain.errors import DomainError, ModelError, ModelNotRunning, ObjectMissing, StoreUnavailable
from loupe.domain.images.inspection import ImageRejected
from loupe.domain.label_values import Boxes, LabelValue
from loupe.domain.serving.answers import Prediction
from loupe.domain.serving.asking import ask
from loupe.domain.training.metrics import box_of, overlap
from loupe.domain.training.plans import TrainingPlan
from loupe.domain.workspace import Workspace
from loupe.ports.loops import Champion, KeepsLoops, ServedModel
from loupe.ports.models import InvokesEndpoints
from loupe.ports.objects import StoresObjects

MAX_ASKED = 500
"""Test images that a champion is asked about: a model with one inference unit answers a few a second."""

_AT_ONCE = 4
_OVERLAP = 0.5
"""From which overlap on a box counts as found."""


class InvalidSummary(DomainError):
    """Rekognition's evaluation summary can't be used; the message says what is wrong with it."""

    slug, title = "invalid-summary", "Rekognition's evaluation can't be used"


@dataclass(frozen=True)
class MeasureCustomLabels:
    """Writes evaluation.json for a candidate that Rekognition trained."""

    loops: KeepsLoops
    endpoints: InvokesEndpoints
    raw_data: StoresObjects
    workspace: StoresObjects

    def __call__(self, project: str, version: str, summary: str) -> float:
        """The candidate's score. `summary` is the key of Rekognition's evaluation summary in the workspace.
        Raises `InvalidSummary`, `ObjectMissing`, `StoreUnavailable`."""
        names = Workspace(project)
        plan = TrainingPlan.read(self.workspace, project, version)
        candidate = summary_metrics(self.workspace.read(summary))
        champion = self.loops.loop(project).champion
        evaluation = {
            "task": plan.task,
            "dataset_version": plan.dataset_version,
            "test_images": sum(1 for _ in frozen_rows(self.workspace, plan)) if _test_set(plan) else None,
            "left_out": {},
            "test_set": _test_set(plan),
            "measure": "macro F1",
            "candidate": candidate,
            "champion": self._champion(plan, champion) if champion else None,
        }
        content = json.dumps(evaluation, ensure_ascii=False, indent=1).encode()
        self.workspace.write(names.evaluation(version), content, "application/json")
        return float(candidate["score"])

    def _champion(self, plan: TrainingPlan, champion: Champion) -> dict[str, Any]:
        """Its metrics, or `error`: why there are none on this test set."""
        if champion.model.task != plan.task:
            return {"error": f"the champion does {champion.model.task}"}
        if _test_set(plan) is None:
            return {"error": "Rekognition picked the candidate's test images itself"}
        measured = self._measured_before(plan, champion)
        if measured is not None:
            return measured
        try:
            return self._ask(plan, champion.model)
        except ModelNotRunning:
            return {"error": "the champion is stopped"}
        except ModelError as error:
            return {"error": str(error)}

    def _measured_before(self, plan: TrainingPlan, champion: Champion) -> dict[str, Any] | None:
        """What was measured of the champion, if that was on the same images with the same labels."""
        with suppress(ObjectMissing):
            evaluation = json.loads(self.workspace.read(Workspace(plan.project).evaluation(champion.version)))
            if evaluation.get("test_set") == _test_set(plan):
                return dict(evaluation["candidate"])
        return None

    def _ask(self, plan: TrainingPlan, champion: ServedModel) -> dict[str, Any]:
        counts = Counts()
        images = self._by_hash(plan)[:MAX_ASKED]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            answers = pool.map(lambda image: self._answer(image, champion), images)
            for image, said in zip(images, answers, strict=True):
                if said is not None:
                    counts.add(image.truth, said)
        if counts.images == 0:
            return {"error": "no test image is there any more to ask about"}
        return counts.metrics(plan.labels) | {"asked": counts.images}

    def _by_hash(self, plan: TrainingPlan) -> list[FrozenImage]:
        """Test images in the order of their hashes, which is the same each time and favours none."""
        return sorted(frozen_images(self.workspace, plan), key=lambda image: image.sha256)

    def _answer(self, image: FrozenImage, champion: ServedModel) -> list[Prediction] | None:
        """What the champion says of the image; None where that is gone, replaced or can't be reduced.

        Raises `ModelError` also if the endpoint is busy or gone: a candidate that is paid for must not fail.
        """
        content = as_labeled(self.raw_data, image.row)
        if content is None:
            return None
        try:
            return applied(ask(self.endpoints, champion, content), champion)
        except ImageRejected:
            return None
        except StoreUnavailable as error:
            raise ModelError(f"the champion can't be asked: {error}") from error


@dataclass(frozen=True)
class MeasuredByRekognition:
    """What `MeasureCustomLabels` has written."""

    workspace: StoresObjects

    def measure(self, plan: TrainingPlan, failures: Mapping[str, str]) -> dict[str, Any]:  # noqa: ARG002
        """Behind `loupe.domain.training.promotion.MeasuresCandidate`. Raises `ObjectMissing`."""
        content = self.workspace.read(Workspace(plan.project).evaluation(plan.version))
        evaluation: dict[str, Any] = json.loads(content)
        return evaluation


def _test_set(plan: TrainingPlan) -> str | None:
    return plan.custom_labels["test_set"] if plan.custom_labels else None


def summary_metrics(content: bytes) -> dict[str, Any]:
    """Metrics in Loupe's form from Rekognition's evaluation summary. Raises `InvalidSummary`."""
    try:
        document = json.loads(content)
        overall = document["AggregatedEvaluationResults"]
        per_label = {found["Label"]: _label_metrics(found) for found in document["LabelEvaluationResults"]}
        metrics = {
            "score": _mean_f1(per_label),
            "f1": float(overall["F1Score"]),
            "precision": float(overall["Precision"]),
            "recall": float(overall["Recall"]),
            "per_label": per_label,
        }
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidSummary(f"Rekognition's evaluation summary can't be read: {error!r}") from error
    if not per_label:
        raise InvalidSummary("Rekognition's evaluation summary has no labels")
    return metrics


def _label_metrics(found: Mapping[str, Any]) -> dict[str, Any]:
    metrics = found["Metrics"]
    told = {
        "precision": float(metrics["Precision"]),
        "recall": float(metrics["Recall"]),
        "f1": float(metrics["F1Score"]),
        "threshold": float(metrics["Threshold"]),
    }
    images = found.get("NumberOfTestingImages")
    return told if images is None else {**told, "support": int(images)}


def _mean_f1(per_label: Mapping[str, Mapping[str, Any]]) -> float:
    """Over labels that have test images; support is not always told."""
    known = [metrics["f1"] for metrics in per_label.values() if metrics.get("support", 1)]
    return sum(known) / len(known) if known else 0.0


def applied(predictions: Iterable[dict[str, Any]], model: ServedModel) -> list[dict[str, Any]]:
    """The predictions by which a model says that a label is there."""
    found = list(predictions)
    if model.hosting == "rekognition":
        return found  # labels below their threshold are not answered
    if model.task == "image-classification":
        return found[:1]
    return [each for each in found if each["confidence"] >= each.get("threshold", 0.0)]


class Counts:
    """Hits and misses by label, as Rekognition counts them: images, or boxes that overlap by half."""

    def __init__(self) -> None:
        self.images = 0
        self._hits: Counter[str] = Counter()
        self._said: Counter[str] = Counter()
        self._truth: Counter[str] = Counter()

    def add(self, truth: LabelValue, said: list[dict[str, Any]]) -> None:
        """One image: its label, and the predictions that apply, best first."""
        self.images += 1
        self._truth.update(truth.names)
        self._said.update(each["label"] for each in said)
        if not isinstance(truth, Boxes):
            self._hits.update(set(truth.names) & {each["label"] for each in said})
            return
        free = list(truth.boxes)
        for prediction in said:
            box = box_of(prediction)
            near = [each for each in free if each.label == box.label and overlap(each, box) >= _OVERLAP]
            if near:
                free.remove(max(near, key=lambda each: overlap(each, box)))
                self._hits[box.label] += 1

    def metrics(self, labels: Iterable[str]) -> dict[str, Any]:
        """In the form of `summary_metrics`, without thresholds."""
        per_label = {label: self._of(label) for label in labels}
        return {"score": _mean_f1(per_label), "per_label": per_label}

    def _of(self, label: str) -> dict[str, Any]:
        hits, said, truth = self._hits[label], self._said[label], self._truth[label]
        return {
            "precision": hits / said if said else 0.0,
            "recall": hits / truth if truth else 0.0,
            "f1": 2 * hits / (said + truth) if said + truth else 0.0,
            "support": truth,
        }
