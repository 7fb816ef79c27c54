"""Whether a candidate becomes the champion: both answered the same frozen test images."""

import json
import tarfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, BinaryIO, Protocol

from loupe.domain.configuration import valid_config
from loupe.domain.errors import DomainError, ObjectMissing
from loupe.domain.failures import explain
from loupe.domain.projects import Promotion, Trainer
from loupe.domain.training.intervals import Interval, says_little, score_interval
from loupe.domain.training.metrics import OF_A_LABEL, SCORES
from loupe.domain.training.plans import TrainingPlan
from loupe.domain.training.transforms import CANDIDATE, CHAMPION, TransformAnswers
from loupe.domain.workspace import Workspace
from loupe.ports.loops import Champion, KeepsLoops
from loupe.ports.objects import StoresObjects
from loupe.ports.projects import KeepsProjects

EVALUATION = "evaluation.json"
PREDICTIONS = "predictions.jsonl"

_MAX_FILE_BYTES = 256 * 1024 * 1024
_TOLERANCE = 1e-9
"""Scores are fractions; the difference of two of them carries a rounding error."""


class InvalidEvaluation(DomainError):
    """The trainer's output can't be used; the message says what is wrong with it."""

    slug, title = "invalid-evaluation", "The training's evaluation can't be used"


@dataclass(frozen=True)
class LabelChange:
    """One label's F1, or average precision of boxes, of the candidate and of the champion."""

    label: str
    candidate: float
    champion: float


@dataclass(frozen=True)
class Decision:
    """`reason` says it in words. Scores are between 0 and 1; `champion_score` is None without a champion, and
    so is `champion`, its version. `interval` is the candidate's score's, where its answers are known; labels
    are compared where the champion was measured on the same images."""

    promote: bool
    reason: str
    score: float
    champion_score: float | None
    champion: str | None = None
    test_images: int | None = None
    interval: Interval | None = None
    labels: tuple[LabelChange, ...] = ()


def decide(
    evaluation: Mapping[str, Any],
    champion: Champion | None,
    rule: Promotion,
    interval: Interval | None = None,
) -> Decision:
    """Compare candidate and champion.

    The test set must have `min_test_images`. Without a champion, `min_score` decides. A champion that could
    not be loaded for the comparison keeps the score of its own promotion, and then no labels are compared.
    With `min_gain` 0 an equal candidate is promoted: it learned from more labels. Raises `InvalidEvaluation`.
    """
    score = _score(evaluation.get("candidate"), "candidate")
    images = evaluation.get("test_images")
    told = _told(evaluation, score, interval)
    decision = Decision(False, told, score, None, champion.version if champion else None, images, interval)
    if rule.min_test_images and (images is None or images < rule.min_test_images):
        known = "how many test images there were is not known" if images is None else told
        return replace(decision, reason=f"{known}, and promotion waits for {rule.min_test_images} of them")
    if score < rule.min_score:
        return replace(decision, reason=f"{told}, below min_score {rule.min_score:.4f}")
    if champion is None:
        return replace(decision, promote=True, reason=f"{told}; it is the first model")
    measured = evaluation.get("champion")
    if isinstance(measured, Mapping) and "error" not in measured:
        bar, where = _score(measured, "champion"), "on the same images"
        labels = _label_changes(evaluation)
    else:
        bar, where, labels = champion.score, "at its promotion (it could not be evaluated again)", ()
    told = f"{told}; the champion {champion.version} has {bar:.4f} {where}"
    decision = replace(decision, reason=told, champion_score=bar, labels=labels)
    if score - bar < rule.min_gain - _TOLERANCE:
        gain = f", and min_gain is {rule.min_gain:.4f}" if rule.min_gain else ""
        return replace(decision, reason=told + gain)
    dropped = _dropped(labels, rule.max_label_drop)
    if dropped:
        return replace(decision, reason=f"{told}; but {dropped}, and max_label_drop is {rule.max_label_drop}")
    return replace(decision, promote=True)


def _told(evaluation: Mapping[str, Any], score: float, interval: Interval | None) -> str:
    """The candidate's score in words, with what it is worth."""
    images = evaluation.get("test_images")
    measure = evaluation.get("measure") or SCORES.get(evaluation.get("task", "image-classification"), "score")
    told = f"{measure} {score:.4f} on {images or 'its own'} test images"
    notes = [f"95 % interval {interval[0]:.4f} to {interval[1]:.4f}"] if interval else []
    if says_little(images, interval):
        notes.append("too few images for it to say much")
    return f"{told} ({', '.join(notes)})" if notes else told


def _label_changes(evaluation: Mapping[str, Any]) -> tuple[LabelChange, ...]:
    """Of labels that test images have, where both models were measured; none if labels were not."""
    member = OF_A_LABEL[evaluation.get("task", "image-classification")]
    of_candidate, of_champion = (
        {
            label: metrics.get(member, metrics.get("f1"))  # Rekognition has F1 of boxes, too
            for label, metrics in (evaluation[whose].get("per_label") or {}).items()
            if metrics.get("support") != 0
        }
        for whose in (CANDIDATE, CHAMPION)
    )
    return tuple(
        LabelChange(label, of_candidate[label], of_champion[label])
        for label in of_candidate
        if None not in (of_candidate[label], of_champion.get(label))
    )


def _dropped(labels: Sequence[LabelChange], most: float | None) -> str | None:
    """In words, the label that fell furthest, if that is further than it may."""
    if most is None or not labels:
        return None
    worst = max(labels, key=lambda each: each.champion - each.candidate)
    if worst.champion - worst.candidate <= most + _TOLERANCE:
        return None
    return f"the label {worst.label!r} fell from {worst.champion:.4f} to {worst.candidate:.4f}"


class MeasuresCandidate(Protocol):
    """How a candidate of one trainer is measured, and the champion beside it."""

    def measure(self, plan: TrainingPlan, failures: Mapping[str, str]) -> dict[str, Any]:
        """The evaluation, which is kept beside the model, as the predictions are that it was made from.

        `failures` say why batch transforms of `candidate` or `champion` failed, if they did. Raises
        `InvalidEvaluation`, `NotMeasured`, `ObjectMissing`, `StoreUnavailable`.
        """
        ...


@dataclass(frozen=True)
class EvaluateCandidate:
    """Measures a candidate, decides, and keeps figures and decision beside the model."""

    projects: KeepsProjects
    loops: KeepsLoops
    workspace: StoresObjects
    measures: Mapping[Trainer, MeasuresCandidate]

    def __call__(
        self, project: str, version: str, transform_failures: Mapping[str, Mapping[str, str]]
    ) -> Decision:
        """`transform_failures` are, for `candidate` and `champion`, the Error and Cause that Step Functions
        caught when its batch transform failed. Raises the errors of `MeasuresCandidate`."""
        plan = TrainingPlan.read(self.workspace, project, version)
        failures = {whose: explain(caught) for whose, caught in transform_failures.items()}
        evaluation = self.measures[plan.trainer].measure(plan, failures)
        rule = valid_config(self.projects, project).promotion
        champion = self.loops.loop(project).champion
        if champion and champion.model.task != plan.task:
            champion = None  # it answers another question
        decision = decide(evaluation, champion, rule, self._interval(plan, evaluation))
        self._keep(plan, decision, rule)
        return decision

    def _interval(self, plan: TrainingPlan, evaluation: Mapping[str, Any]) -> Interval | None:
        """None where a model's answers are not kept: Rekognition tells only how good they were."""
        score = _score(evaluation.get("candidate"), "candidate")
        with suppress(ObjectMissing):
            lines = self.workspace.lines(Workspace(plan.project).predictions(plan.version))
            return score_interval(plan.task, plan.labels, lines, score)
        return None

    def _keep(self, plan: TrainingPlan, decision: Decision, rule: Promotion) -> None:
        content = {**asdict(decision), "rule": rule.model_dump()}
        key = Workspace(plan.project).decision(plan.version)
        self.workspace.write(
            key, json.dumps(content, ensure_ascii=False, indent=1).encode(), "application/json"
        )


@dataclass(frozen=True)
class MeasuredByTrainer:
    """Takes what Loupe's own trainer measured from the archive that it left beside the model.

    A champion that the trainer can't run was asked by batch transform.
    """

    workspace: StoresObjects
    transforms: TransformAnswers

    def measure(self, plan: TrainingPlan, failures: Mapping[str, str]) -> dict[str, Any]:
        """Behind `MeasuresCandidate`."""
        release = plan.release
        if release is None:
            raise InvalidEvaluation(f"model {plan.version} of {plan.project} was not trained by SageMaker")
        with self.workspace.open(release.output) as stream:
            found = _unpack(stream, {EVALUATION, PREDICTIONS})
        if EVALUATION not in found:
            raise InvalidEvaluation(f"the training left no {EVALUATION}")
        evaluation = _read(found[EVALUATION])
        if evaluation.get("dataset_version") != plan.dataset_version:
            raise InvalidEvaluation(
                f"{EVALUATION} is of dataset version {evaluation.get('dataset_version')!r}, "
                f"not {plan.dataset_version}"
            )
        if plan.transforms is not None:
            evaluation["champion"] = self.transforms.champion(plan, failures.get(CHAMPION))
        _keep(self.workspace, plan, evaluation, found.get(PREDICTIONS))
        return evaluation


@dataclass(frozen=True)
class MeasuredByTransform:
    """Computes the figures from what candidate and champion answered in batch transforms."""

    workspace: StoresObjects
    transforms: TransformAnswers

    def measure(self, plan: TrainingPlan, failures: Mapping[str, str]) -> dict[str, Any]:
        """Behind `MeasuresCandidate`."""
        evaluation, predictions = self.transforms.candidate(plan, failures.get(CANDIDATE))
        evaluation["champion"] = self.transforms.champion(plan, failures.get(CHAMPION))
        _keep(self.workspace, plan, evaluation, "".join(predictions).encode())
        return evaluation


def _keep(
    workspace: StoresObjects, plan: TrainingPlan, evaluation: Mapping[str, Any], predictions: bytes | None
) -> None:
    names = Workspace(plan.project)
    content = json.dumps(evaluation, ensure_ascii=False, indent=1).encode()
    workspace.write(names.evaluation(plan.version), content, "application/json")
    if predictions is not None:
        workspace.write(names.predictions(plan.version), predictions, "application/x-ndjson")


def _read(content: bytes) -> dict[str, Any]:
    try:
        evaluation = json.loads(content)
    except ValueError as error:
        raise InvalidEvaluation(f"{EVALUATION} is not JSON: {error}") from error
    if not isinstance(evaluation, dict):
        raise InvalidEvaluation(f"{EVALUATION} is no JSON object")
    return evaluation


def _score(metrics: Any, whose: str) -> float:
    score = metrics.get("score") if isinstance(metrics, Mapping) else None
    if not isinstance(score, int | float) or not 0 <= score <= 1:
        note = f": {metrics['note']}" if isinstance(metrics, Mapping) and metrics.get("note") else ""
        raise InvalidEvaluation(f"the {whose}'s score is {score!r}, not a number between 0 and 1{note}")
    return float(score)


def _unpack(stream: BinaryIO, names: set[str]) -> dict[str, bytes]:
    """Files of those names in a tar.gz, in whatever folder, read as a stream."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=stream, mode="r|gz") as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                if name in names and member.isfile() and member.size <= _MAX_FILE_BYTES:
                    content = archive.extractfile(member)
                    found[name] = content.read() if content else b""
    except (tarfile.TarError, EOFError, OSError) as error:
        raise InvalidEvaluation(f"the training's output can't be unpacked: {error}") from error
    return found
