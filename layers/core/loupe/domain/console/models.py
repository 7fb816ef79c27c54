"""Models as the console shows them: all versions with what became of them, one with its figures, and the test
images behind a figure."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from loupe.domain.console.judgements import Judgements, behind_cell
from loupe.domain.datasets.test_split import frozen_rows
from loupe.domain.errors import BadRequest, NotFound, ObjectMissing, ProjectNotFound
from loupe.domain.images.places import key_of
from loupe.domain.label_values import read_value
from loupe.domain.manifests import HEIGHT, SHA256, VERSION_ID, WIDTH, Row
from loupe.domain.projects import check_project_name
from loupe.domain.serving.answers import believed, least_confidence
from loupe.domain.serving.releases import approval_of, choices, failed_releases
from loupe.domain.status import plain
from loupe.domain.training.metrics import SCORES
from loupe.domain.training.plans import TrainingPlan, model_versions
from loupe.domain.workspace import Workspace
from loupe.ports.loops import KeepsLoops, LoopRecord
from loupe.ports.objects import StoresObjects
from loupe.ports.projects import KeepsProjects

MODELS_SHOWN = 100
IMAGES_A_PAGE = 60
URL_SECONDS = 3600

_READS_AT_ONCE = 16
_VERSION = re.compile(r"\d{1,9}(-\d{1,9})?")

Json = dict[str, Any]


class ModelNotFound(NotFound):
    """The project has no model of that version."""

    slug, title = "model-not-found", "There is no such model"


class NoPredictions(NotFound):
    """Nobody kept what the model answered to each test image; the message says why."""

    slug, title = "no-predictions", "The model's answers to the test images are not known"


@dataclass(frozen=True)
class ShowModels:
    """Reads what training and release left in the workspace. A model's figures never change, so that what is
    told of one that is concluded holds for good."""

    projects: KeepsProjects
    loops: KeepsLoops
    raw_data: StoresObjects
    workspace: StoresObjects

    def models(self, project: str) -> Json:
        """The newest models, newest first, with the champion's version. Raises `ProjectNotFound`."""
        loop = self._loop(project)
        versions = list(reversed(model_versions(project, self.workspace)))
        with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
            failed = failed_releases(project, self.workspace)
            shown = versions[:MODELS_SHOWN]
            found = pool.map(lambda each: self._summary(project, each, loop, failed.get(each)), shown)
            models = [summary for summary in found if summary is not None]
        return {
            "models": models,
            "more": max(0, len(versions) - MODELS_SHOWN),
            "waiting_for": loop.waiting_for,
            **_standing(loop),
        }

    def model(self, project: str, version: str) -> Json:
        """One model with its figures, beside the champion's on the same test images.

        `evaluation` is None where it was not measured; `answers` tells whether there are answers to single
        images, and otherwise why not. Raises `ProjectNotFound`, `ModelNotFound`.
        """
        loop, plan = self._loop(project), self._plan(project, version)
        names = Workspace(project)
        outcome, failed = self._outcome(project, version), failed_releases(project, self.workspace)
        return {
            **_summary(plan, outcome, loop, failed.get(version)),
            "labels": list(plan.labels),
            "requested": _requested(plan),
            "evaluation": self._json(names.evaluation(version)),
            "answers": self._answers_known(plan),
            "report_url": self._url_if_there(names.dataset_report(plan.dataset_version)),
            **_standing(loop),
        }

    def judgements(self, project: str, version: str) -> Json:
        """Which labels the model mixes up, and precision and recall over the threshold. Raises
        `ProjectNotFound`, `ModelNotFound`, `NoPredictions`."""
        self._loop(project)
        plan = self._plan(project, version)
        judgements = Judgements(plan.task, plan.labels, _least(plan))
        for line in self._lines(plan):
            judgements.add(json.loads(line))
        return {
            "task": plan.task,
            "images": judgements.images,
            "confusion": judgements.confusion(),
            "curves": judgements.curves(),
        }

    def images(self, project: str, version: str, truth: str | None, said: str | None, after: int = 0) -> Json:
        """A page of the test images behind a cell of the confusion matrix, from the `after`-th on; None
        stands for nothing. Raises `ProjectNotFound`, `ModelNotFound`, `NoPredictions`, `BadRequest`."""
        if truth is None and said is None:
            raise BadRequest("give truth, predicted or both: labels, of which one may be left out")
        self._loop(project)
        plan = self._plan(project, version)
        numbers = behind_cell(plan.task, self._lines(plan), truth, said, _least(plan))
        shown = numbers[after : after + IMAGES_A_PAGE]
        places = {number: place for place, number in enumerate(shown)}
        lines: list[Json] = [{} for _ in shown]
        for number, text in enumerate(self._lines(plan)):
            if number in places:
                lines[places[number]] = json.loads(text)
        rows = self._rows(plan, {line[SHA256] for line in lines})
        end = after + len(shown)
        return {
            "task": plan.task,
            "labels": list(plan.labels),
            "dataset_version": plan.dataset_version,
            "total": len(numbers),
            "images": [self._image(plan, line, rows.get(line[SHA256], {})) for line in lines],
            "next": end if end < len(numbers) else None,
        }

    # What is read

    def _loop(self, project: str) -> LoopRecord:
        if self.projects.project(check_project_name(project)) is None:
            raise ProjectNotFound(f"there is no project {project!r}; `loupe project create` makes one")
        return self.loops.loop(project)

    def _plan(self, project: str, version: str) -> TrainingPlan:
        if _VERSION.fullmatch(version):
            with suppress(ObjectMissing):
                return TrainingPlan.read(self.workspace, project, version)
        raise ModelNotFound(f"project {project!r} has no model {version!r}")

    def _summary(self, project: str, version: str, loop: LoopRecord, failed: Json | None) -> Json | None:
        try:
            plan = TrainingPlan.read(self.workspace, project, version)
        except ObjectMissing:
            return None  # it is being planned
        return _summary(plan, self._outcome(project, version), loop, failed)

    def _outcome(self, project: str, version: str) -> Json | None:
        """What came of a model; of one that waited for a person, what that one decided."""
        outcome = self._json(Workspace(project).outcome(version))
        if outcome and outcome["outcome"] == "awaiting_approval":
            approval = approval_of(project, version, self.workspace)
            if approval:
                outcome |= {
                    "outcome": approval.decision,
                    "reason": f"{approval.by} {approval.decision} it; {outcome['reason']}",
                }
        return outcome

    def _json(self, key: str) -> Json | None:
        try:
            document: Json = json.loads(self.workspace.read(key))
        except ObjectMissing:
            return None
        return document

    def _answers_known(self, plan: TrainingPlan) -> Json:
        if self.workspace.exists(Workspace(plan.project).predictions(plan.version)):
            return {"known": True, "reason": None}
        return {"known": False, "reason": _why_no_answers(plan)}

    def _lines(self, plan: TrainingPlan) -> Iterator[str]:
        try:
            yield from self.workspace.lines(Workspace(plan.project).predictions(plan.version))
        except ObjectMissing as error:
            raise NoPredictions(_why_no_answers(plan)) from error

    def _rows(self, plan: TrainingPlan, digests: set[str]) -> Mapping[str, Row]:
        """Rows of the test split about those images."""
        return {row[SHA256]: row for row in frozen_rows(self.workspace, plan) if row[SHA256] in digests}

    def _url_if_there(self, key: str) -> str | None:
        return self.workspace.presigned_url(key, None, URL_SECONDS) if self.workspace.exists(key) else None

    def _image(self, plan: TrainingPlan, line: Json, row: Row) -> Json:
        key = key_of(line["source-ref"], self.raw_data.bucket)
        thumbnail = Workspace(plan.project).preview("thumbnail", line[SHA256])
        return {
            "sha256": line[SHA256],
            "name": key,
            "url": self.raw_data.presigned_url(key, row.get(VERSION_ID), URL_SECONDS),
            "thumbnail": self.workspace.presigned_url(thumbnail, None, URL_SECONDS),
            "width": row.get(WIDTH),
            "height": row.get(HEIGHT),
            "truth": read_value(plan.task, line).to_json(),
            "predicted": _worth_showing(plan, line["predicted"]),
            **{name: line[name] for name in ("confidence", "confidences") if name in line},
        }


def _standing(loop: LoopRecord) -> Json:
    """Which model answers, which one is being released, and whether promotion is stopped."""
    return {
        "champion": loop.champion.version if loop.champion else None,
        "releasing": plain(loop.wanted, "version", "kind", "by", "at"),
        "promotion_paused": plain(loop.paused, "since", "by", "reason"),
    }


def _summary(
    plan: TrainingPlan,
    outcome: Json | None,
    loop: LoopRecord,
    failed_release: Json | None,
) -> Json:
    """What the list has of a model. `outcome` is promoted, awaiting_approval, approved, rejected or failed;
    running while it is trained or compared; lost where nobody works on it and nobody wrote down what came of
    it. `release_failed` is why the last release of it that people asked for failed, None if it did not.
    `compared_with` is the champion of then, and `choices` what a person can decide of the model."""
    last = loop.last_training
    told = outcome or {
        "outcome": "running"
        if last and last.version == plan.version and last.status == "running"
        else "lost",
        "reason": last.reason if last and last.version == plan.version else "",
    }
    return {
        "version": plan.version,
        "dataset_version": plan.dataset_version,
        "task": plan.task,
        "trainer": plan.trainer,
        "hosting": plan.hosting,
        "measure": "macro F1" if plan.trainer == "rekognition" else SCORES[plan.task],
        "started_at": plan.started_at,
        "is_champion": bool(loop.champion and loop.champion.version == plan.version),
        "outcome": told["outcome"],
        "reason": told["reason"],
        "release_failed": failed_release["reason"] if failed_release else None,
        "compared_with": (told.get("decision") or {}).get("champion"),
        "choices": list(choices(plan, outcome, loop, has_failed_release=failed_release is not None)),
        **{name: told.get(name) for name in ("score", "champion_score", "ended_at")},
    }


def _least(plan: TrainingPlan) -> float:
    return least_confidence(plan.trainer, plan.task)


def _worth_showing(plan: TrainingPlan, predicted: Any) -> Any:
    """What a model said of an image, as it is shown: without boxes that it hardly believes in."""
    return believed(predicted, _least(plan)) if plan.task == "bounding-box" else predicted


def _requested(plan: TrainingPlan) -> Json:
    """What the training was asked for that is not in its evaluation."""
    job = plan.training_job or {}
    return {
        "instance_type": job.get("ResourceConfig", {}).get("InstanceType"),
        "hyperparameters": _shown(job.get("HyperParameters", {}).items()),
    }


def _shown(hyperparameters: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Those that people set, without those by which SageMaker finds the program."""
    return {name: value for name, value in hyperparameters if not name.startswith("sagemaker_")}


def _why_no_answers(plan: TrainingPlan) -> str:
    if plan.trainer == "rekognition":
        return (
            "Rekognition Custom Labels measures its models itself and tells figures for each label, not its "
            "answers to single images: there are no confusion matrix and no curves"
        )
    return "the training left no answers to the test images"
