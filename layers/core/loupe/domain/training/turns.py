"""One turn of a project's loop: who may take it, how it begins, what came of it."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from loupe.domain.configuration import valid_config
from loupe.domain.datasets.corrections import AcceptCorrections
from loupe.domain.datasets.gallery_index import write_gallery
from loupe.domain.datasets.labels import AcceptLabels, accepted_jobs
from loupe.domain.datasets.report import report
from loupe.domain.datasets.versions import DatasetDraft, NotEnoughLabels, latest_card, next_version
from loupe.domain.errors import AlreadyWritten, ObjectMissing
from loupe.domain.events import (
    ApprovalWanted,
    ModelPromoted,
    ModelRejected,
    TrainingFailed,
    TrainingRequested,
)
from loupe.domain.failures import explain
from loupe.domain.projects import ProjectConfig
from loupe.domain.training.plans import FailedAttempt, TrainingPlan, model_versions
from loupe.domain.workspace import Workspace
from loupe.ports.images import KeepsImages
from loupe.ports.labeling import KeepsLabelingJobs
from loupe.ports.loops import (
    Champion,
    HostingRecord,
    KeepsLoops,
    LastTraining,
    ServedModel,
    TrainingLock,
    WatchesExecutions,
)
from loupe.ports.messages import Clock, PublishesEvents
from loupe.ports.objects import StoresObjects
from loupe.ports.projects import KeepsProjects

_ALL = 1_000_000
"""More jobs than a project has."""

MAX_PER_DAY = "training.max_per_day"
"""Stands in what a project waits for when it has had its trainings: time alone ends that."""

ABANDONED = "the execution that trained it was stopped or lost"


# How a turn begins ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class TurnBegun:
    """`built`: dataset version `version` is to be trained on. `covered`: another execution works on the
    project, and will see to what is new. `nothing_new`: `reason` says what is waited for. `correlation_id` is
    the dataset version's."""

    outcome: Literal["built", "covered", "nothing_new"]
    version: str | None = None
    reason: str = ""
    correlation_id: str | None = None


@dataclass(frozen=True)
class BuildDataset:
    """Takes the project's training lock, accepts labels of finished jobs, and builds a dataset version.

    Not if the project has had as many trainings as it may have in a day.
    """

    projects: KeepsProjects
    images: KeepsImages
    jobs: KeepsLabelingJobs
    loops: KeepsLoops
    executions: WatchesExecutions
    raw_data: StoresObjects
    workspace: StoresObjects
    clock: Clock
    near_duplicate_distance: int

    def __call__(self, project: str, execution: str) -> TurnBegun:
        """Raises `ProjectNotFound`, `InvalidProject`, `InvalidManifest`, `StoreUnavailable`."""
        while True:
            if not self._lock(project, execution):
                return TurnBegun("covered")
            config = valid_config(self.projects, project)
            finished = finished_jobs(project, self.jobs)
            self._accept(project, finished)
            begun = self._beyond_bounds(project, config) or self._build(project, config)
            self.loops.save_waiting_for(project, begun.reason or None)
            if begun.version is not None:
                self.loops.save_dataset_version(project, begun.version)
                return begun
            self.loops.unlock_training(project, execution)
            # A job that finished while the lock was held was told that it is covered: see to it.
            if finished.issuperset(finished_jobs(project, self.jobs)):
                return begun

    def _lock(self, project: str, execution: str) -> bool:
        lock = TrainingLock(execution, self.clock())
        if self.loops.lock_training(project, lock):
            return True
        loop = self.loops.loop(project)
        if loop.training is None:
            return self.loops.lock_training(project, lock)
        holder = loop.training.execution
        if self.executions.is_running(holder):
            return False
        if not self.loops.lock_training(project, lock, instead_of=holder):
            return False
        if loop.last_training and loop.last_training.execution == holder:
            abandon(project, loop.last_training, self.loops, self.workspace, self.clock())
        return True

    def _accept(self, project: str, finished: set[str]) -> None:
        accept = AcceptLabels(self.images, self.workspace, self.raw_data.bucket, self.clock)
        for job in sorted(finished.difference(accepted_jobs(project, self.workspace))):
            with suppress(AlreadyWritten):
                accept(self.jobs.card(project, job))
        AcceptCorrections(self.images, self.workspace, self.clock)(project)

    def _beyond_bounds(self, project: str, config: ProjectConfig) -> TurnBegun | None:
        """Why no training may begin now, if it may not. Those that failed count, too: they cost as much."""
        most = config.training.max_per_day
        if most is None:
            return None
        day_ago = self.clock() - timedelta(days=1)
        begun = 0
        for version in reversed(model_versions(project, self.workspace)):
            with suppress(ObjectMissing):
                plan = TrainingPlan.read(self.workspace, project, version)
                if datetime.fromisoformat(plan.started_at) <= day_ago:
                    break
                begun += 1
        if begun < most:
            return None
        return TurnBegun(
            "nothing_new", reason=f"{begun} trainings began in 24 hours, and {MAX_PER_DAY} is {most}"
        )

    def _build(self, project: str, config: ProjectConfig) -> TurnBegun:
        previous = latest_card(project, self.workspace)
        jobs = tuple(accepted_jobs(project, self.workspace))
        draft = DatasetDraft(project, config, previous, jobs, self.workspace)
        draft.compare_with(self.raw_data, self.images)
        least = config.training.min_new_labels
        if draft.new_labels < least and (previous is None or previous.labels == config.labels):
            if previous and not self._is_concluded(project, previous.version):
                return TurnBegun("built", previous.version, correlation_id=previous.correlation_id)
            return TurnBegun("nothing_new", reason=f"{draft.new_labels} of {least} new labels")
        try:
            draft.split(self.near_duplicate_distance)
        except NotEnoughLabels as error:
            return TurnBegun("nothing_new", reason=error.detail)
        version = next_version(project, self.workspace)
        card = draft.write(version, self.raw_data.bucket, self.clock(), report)
        write_gallery(project, card, self.workspace, self.raw_data.bucket)
        return TurnBegun("built", card.version, correlation_id=card.correlation_id)

    def _is_concluded(self, project: str, dataset_version: str) -> bool:
        """Whether a model of that dataset version was compared, and did not just fail."""
        return any(
            outcome["dataset_version"] == dataset_version and outcome["outcome"] != "failed"
            for outcome in outcomes(project, self.workspace)
        )


def finished_jobs(project: str, jobs: KeepsLabelingJobs) -> set[str]:
    """Names of the project's labeling jobs that are finished."""
    return {job.job for job in jobs.jobs(project, limit=_ALL) if job.state == "finished"}


# What came of it ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    """How an execution of train_and_deploy ended. `version` is None if no model was planned; `failure` is the
    Error and Cause that Step Functions caught; `endpoint` is where the model answers if that was not known
    when its training was planned."""

    project: str
    execution: str
    outcome: Literal["promoted", "awaiting_approval", "rejected", "failed"]
    version: str | None = None
    reason: str = ""
    score: float | None = None
    champion_score: float | None = None
    model_package_arn: str | None = None
    failure: dict[str, str] | None = None
    endpoint: str | None = None


@dataclass(frozen=True)
class ConcludeTraining:
    """Writes down what came of a turn, tells of it, and sees to jobs that finished meanwhile.

    The outcome in S3 is written once and decides: doing it again changes nothing but repeats the events.
    """

    jobs: KeepsLabelingJobs
    loops: KeepsLoops
    workspace: StoresObjects
    events: PublishesEvents
    clock: Clock

    def __call__(self, result: Result) -> str:
        """Returns the reason in words."""
        project, execution = result.project, result.execution
        if result.failure:
            result = replace(result, reason=explain(result.failure))
        loop = self.loops.loop(project)
        started_at = loop.training.started_at if loop.training else self.clock()
        training = LastTraining(
            result.version, result.outcome, result.reason, started_at, self.clock(), execution
        )
        if result.version is not None:
            plan = TrainingPlan.read(self.workspace, project, result.version)
            outcome = _record(self.workspace, plan, result, self.clock())
            training = last_training_of(outcome)
            if outcome["outcome"] == "promoted":
                crown(project, champion_of(outcome), self.loops)
                note_hosting(plan, self.loops, self.clock())
        self.loops.save_last_training(project, training)
        self.loops.unlock_release(project, execution)
        self.loops.unlock_training(project, execution)
        self._tell(result)
        self._go_on(result)
        return result.reason

    def _tell(self, result: Result) -> None:
        told = (result.project, result.version or "", result.reason, result.execution)
        match result.outcome:
            case "promoted":
                self.events.publish(ModelPromoted(*told, score=result.score))
            case "awaiting_approval":
                self.events.publish(ApprovalWanted(*told, score=result.score))
            case "rejected":
                self.events.publish(ModelRejected(*told, score=result.score))
            case "failed":
                self.events.publish(TrainingFailed(*told))

    def _go_on(self, result: Result) -> None:
        """Ask for another turn if jobs finished that were told that this one covers them.

        Not after a failure before there was a dataset: the next turn would fail in the same way, for ever.
        """
        if result.version is None:
            return
        card = latest_card(result.project, self.workspace)
        uncovered = finished_jobs(result.project, self.jobs).difference(card.jobs if card else ())
        if uncovered:
            reason = f"{len(uncovered)} jobs finished while a model was being trained"
            self.events.publish(TrainingRequested(result.project, reason))


def note_hosting(plan: TrainingPlan, loops: KeepsLoops, now: datetime) -> None:
    """A model that came into service runs by now: note it if that costs by the hour."""
    if plan.units is not None:
        loops.save_hosting(plan.project, HostingRecord("running", now, *plan.units))


def crown(project: str, champion: Champion, loops: KeepsLoops) -> None:
    """Make it the champion, unless another one became so later: a call may be repeated long after."""
    current = loops.loop(project).champion
    if current is None or current.promoted_at <= champion.promoted_at:
        loops.save_champion(project, champion)


def abandon(
    project: str, training: LastTraining, loops: KeepsLoops, workspace: StoresObjects, now: datetime
) -> None:
    """Write down that nobody will conclude a training any more: its execution was stopped or lost."""
    if training.status != "running":
        return
    settled = replace(training, status="failed", reason=ABANDONED, ended_at=now)
    if training.version is not None:
        with suppress(ObjectMissing):
            plan = TrainingPlan.read(workspace, project, training.version)
            failed = Result(project, training.execution, "failed", training.version, ABANDONED)
            outcome = _record(workspace, plan, failed, now)
            settled = last_training_of(outcome)
            if outcome["outcome"] == "promoted":  # it was written, and then the execution was lost
                crown(project, champion_of(outcome), loops)
    loops.save_last_training(project, settled)


# What S3 knows --------------------------------------------------------------------------------------


def outcomes(project: str, store: StoresObjects) -> Iterator[dict[str, Any]]:
    """What came of each model, oldest first; models that are still being trained have no outcome."""
    names = Workspace(project)
    for version in model_versions(project, store):
        with suppress(ObjectMissing):
            yield json.loads(store.read(names.outcome(version)))


def outcome_of(project: str, version: str, store: StoresObjects) -> dict[str, Any] | None:
    """What came of one model, if anything did."""
    try:
        outcome: dict[str, Any] = json.loads(store.read(Workspace(project).outcome(version)))
    except ObjectMissing:
        return None
    return outcome


def _record(store: StoresObjects, plan: TrainingPlan, result: Result, now: datetime) -> dict[str, Any]:
    """Write the outcome, once; returns what is written, also if an earlier call wrote it."""
    key = Workspace(plan.project).outcome(plan.version)
    outcome = {
        "project": plan.project,
        "version": plan.version,
        "dataset_version": plan.dataset_version,
        "outcome": result.outcome,
        "reason": result.reason,
        "score": result.score,
        "champion_score": result.champion_score,
        "started_at": plan.started_at,
        "ended_at": now.isoformat(),
        "execution": plan.execution,
        "correlation_id": plan.correlation_id,
        "model": asdict(plan.served_at(result.endpoint)) if result.outcome == "promoted" else None,
        "endpoint_config": plan.model_name if plan.release else None,
        "model_package_arn": result.model_package_arn,
        "model_data_url": plan.release.model_data_url if plan.release else None,
        "failure": result.failure,
        "failed_attempts": [asdict(attempt) for attempt in plan.failed_attempts],
        "decision": _decision(store, plan),
    }
    try:
        content = json.dumps(outcome, ensure_ascii=False, indent=1).encode()
        store.write_once(key, content, "application/json")
    except AlreadyWritten:
        outcome = json.loads(store.read(key))
    return outcome


def _decision(store: StoresObjects, plan: TrainingPlan) -> dict[str, Any] | None:
    """What was decided of the candidate, if it came that far."""
    try:
        decision: dict[str, Any] = json.loads(store.read(Workspace(plan.project).decision(plan.version)))
    except ObjectMissing:
        return None
    return decision


def champion_of(outcome: dict[str, Any]) -> Champion:
    """The champion that a promoted model, or one that was released later, became."""
    decision = outcome.get("decision") or {}
    interval = decision.get("interval")
    return Champion(
        version=outcome["version"],
        score=outcome["score"],
        model=ServedModel.from_json(outcome["model"]),
        endpoint_config=outcome["endpoint_config"],
        model_package_arn=outcome["model_package_arn"],
        promoted_at=datetime.fromisoformat(outcome["ended_at"]),
        test_images=decision.get("test_images"),
        interval=(interval[0], interval[1]) if interval else None,
        correlation_id=outcome.get("correlation_id"),
    )


def last_training_of(outcome: dict[str, Any]) -> LastTraining:
    """The turn of the loop that ended in that outcome."""
    status, reason = outcome["outcome"], outcome["reason"]
    if status == "failed" and (outcome.get("decision") or {}).get("promote"):
        status, reason = "release_failed", f"{reason}; the next finished job tries again"
    return LastTraining(
        version=outcome["version"],
        status=status,
        reason=reason,
        started_at=datetime.fromisoformat(outcome["started_at"]),
        ended_at=datetime.fromisoformat(outcome["ended_at"]),
        execution=outcome["execution"],
        failed_attempts=tuple(
            FailedAttempt(**attempt).in_words for attempt in outcome.get("failed_attempts", ())
        ),
    )
