"""Who answers, when a person decides: candidates that wait for approval, and earlier models that come back.

A turn of the loop never waits for a person, who may take months: it ends, keeps the candidate, and lets go
of its lock. What a person decides is written down first (`models/<version>/approval.json`, once: the first
word counts), then `ReleaseRequested` starts an execution of its own. Whoever changes the endpoint holds the
project's release lock, so that a turn and a rollback don't race; a rollback need not wait for a training.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from operator import itemgetter
from typing import Any, Literal

from loupe.domain.configuration import valid_config
from loupe.domain.errors import AlreadyWritten, BadRequest, Conflict, NotFound, ObjectMissing
from loupe.domain.events import ModelPromoted, ModelRejected, ReleaseFailed, ReleaseRequested
from loupe.domain.failures import explain
from loupe.domain.manifests import S3Uri
from loupe.domain.projects import check_project_name
from loupe.domain.serving.endpoints import at_once
from loupe.domain.training.plans import EndpointRelease, TrainingPlan, model_versions
from loupe.domain.training.turns import Result, champion_of, crown, note_hosting, outcome_of, outcomes
from loupe.domain.workspace import Workspace
from loupe.ports.loops import (
    Approval,
    Champion,
    KeepsLoops,
    LastTraining,
    LoopRecord,
    Pause,
    TrainingLock,
    WantedRelease,
    WatchesExecutions,
)
from loupe.ports.messages import Clock, PublishesEvents
from loupe.ports.models import ApprovesPackages
from loupe.ports.objects import StoresObjects
from loupe.ports.projects import KeepsProjects

REGISTRY = "the model registry"
"""Who decided, where that is all that SageMaker's event tells."""

Json = dict[str, Any]


class ReleaseUnderWay(Conflict):
    """Another release is to be done first."""

    slug, title = "release-under-way", "Another release is under way"


class UnknownModel(NotFound):
    """The project has no such model, or it was never trained to the end."""

    slug, title = "unknown-model", "There is no such model"


# What a person decides ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Decided:
    """What came of a person's decision: `state` is requested, in_service, rejected or resumed."""

    state: Literal["requested", "in_service", "rejected", "resumed"]
    version: str | None
    told: str


Choice = Literal["approve", "reject", "rollback"]
"""What a person can decide of one model."""


def choices(
    plan: TrainingPlan, outcome: Json | None, loop: LoopRecord, *, has_failed_release: bool
) -> tuple[Choice, ...]:
    """What a person can decide of a model as things stand: nothing that `DecideOnModel` would refuse.

    `outcome` has what a person decided already as its `outcome`, approved or rejected. A candidate that can't
    be approved any more can be released by a rollback.
    """
    is_champion = loop.champion is not None and loop.champion.version == plan.version
    is_wanted = loop.wanted is not None and loop.wanted.version == plan.version
    if outcome is None or plan.release is None or is_champion or is_wanted:
        return ()
    compared = (outcome.get("decision") or {}).get("champion")
    can_be_approved = loop.wanted is None and _why_not_comparable(loop.champion, compared, plan) is None
    match outcome["outcome"]:
        case "awaiting_approval":
            return ("approve", "reject") if can_be_approved else ("reject", "rollback")
        case "approved" if has_failed_release and can_be_approved:
            return ("approve",)
        case "promoted" | "approved" | "rejected":
            return ("rollback",)
    return ()


@dataclass(frozen=True)
class DecideOnModel:
    """Approves and rejects candidates, brings earlier models back, and lets promotion go on after that.

    Everything may be said twice but a rollback that names no version. `suffix` makes names of releases
    distinct.
    """

    loops: KeepsLoops
    workspace: StoresObjects
    packages: ApprovesPackages
    events: PublishesEvents
    clock: Clock
    suffix: Callable[[], str]

    def do(self, project: str, action: str, version: str | None, by: str) -> Decided:
        """What `action` names: approve, reject, rollback or resume. Raises `BadRequest` for anything else,
        and what that raises."""
        check_project_name(project)
        match action, version:
            case "approve", str():
                return self.approve(project, version, by)
            case "reject", str():
                return self.reject(project, version, by)
            case "rollback", _:
                return self.roll_back(project, version, by)
            case "resume", None:
                return self.resume(project, by)
        raise BadRequest(
            f"action: approve and reject (each with a version), rollback and resume are known, not {action!r}"
        )

    def approve(self, project: str, version: str, by: str) -> Decided:
        """Have a candidate that waits for it released.

        The registry's events come late and repeatedly: of those only the one by which it is approved asks for
        a release, while a person may ask again. Raises `UnknownModel`, `ReleaseUnderWay` while another one is
        to be released, and `Conflict` if it does not wait, was rejected, or was compared with another model
        than the one that answers now.
        """
        outcome, loop = self._outcome(project, version), self.loops.loop(project)
        if loop.champion and loop.champion.version == version:
            return Decided("in_service", version, f"model {version} answers already")
        self._check_waits(outcome)
        known = approval_of(project, version, self.workspace)
        if by == REGISTRY and known and known.decision == "approved":
            return Decided("requested", version, "it was approved before")
        plan = TrainingPlan.read(self.workspace, project, version)
        _check_can_be_released(plan)
        _check_compared_with(loop.champion, outcome, plan)
        self._check_nothing_else_is_wanted(loop.wanted, version)
        is_first = self._write_approval(project, version, Approval("approved", by, self.clock())) is None
        if by == REGISTRY and not is_first:
            return Decided("requested", version, "it was approved before")
        return self._request(project, "approval", outcome, by)

    def reject(self, project: str, version: str, by: str) -> Decided:
        """Let a candidate that waits for approval go. Raises `UnknownModel`, `Conflict`."""
        outcome = self._outcome(project, version)
        self._check_waits(outcome)
        known = approval_of(project, version, self.workspace)
        rejection = Approval("rejected", by, self.clock())
        approval = self._write_approval(project, version, rejection) or rejection
        reason = f"{approval.by} rejected it"
        last = self.loops.loop(project).last_training
        if last and last.version == version:
            self.loops.save_last_training(project, replace(last, status="rejected", reason=reason))
        self._tell_registry(outcome, "Rejected", reason)
        if known is None:
            event = ModelRejected(project, version, reason, outcome["execution"], score=outcome["score"])
            self.events.publish(event)
        return Decided("rejected", version, reason)

    def roll_back(self, project: str, version: str | None, by: str) -> Decided:
        """Have an earlier model answer again, the champion's predecessor unless `version` says which, and
        stop automatic promotion. After a rollback a version has to be named: the predecessor is then the one
        that somebody went back from. Raises `UnknownModel`, `Conflict`."""
        loop = self.loops.loop(project)
        champion = loop.champion
        if version is None:
            if loop.paused:
                raise Conflict(f"{loop.paused.by}'s {loop.paused.reason} holds: name the version to go to")
            version = self._predecessor(project, champion)
        outcome = self._outcome(project, version)
        if champion and champion.version == version:
            if loop.wanted is None and loop.paused and loop.paused.reason == _rollback_to(version):
                return Decided("in_service", version, f"model {version} answers already")
            raise Conflict(f"model {version} is the one that answers")
        if outcome["outcome"] == "failed":
            raise Conflict(f"model {version} was never trained to the end: {outcome['reason']}")
        plan = TrainingPlan.read(self.workspace, project, version)
        stored = _check_can_be_released(plan).model_data_url
        if not self.workspace.exists(S3Uri.parse(stored).key):
            raise Conflict(f"model {version} is not stored any more: {stored} is gone")
        self._pause(project, Pause(self.clock(), by, _rollback_to(version)))
        return self._request(project, "rollback", outcome, by)

    def resume(self, project: str, by: str) -> Decided:
        """Let better candidates be promoted again."""
        self._note_pause(project, paused=False, by=by, reason="resumed")  # the index may have lost the pause
        self.loops.save_pause(project, None)
        return Decided("resumed", None, "better candidates are promoted by the project's rule again")

    # Steps

    def _outcome(self, project: str, version: str) -> Json:
        found = outcome_of(project, version, self.workspace)
        if found is None:
            raise UnknownModel(f"project {project!r} has no model {version!r} that is trained to the end")
        return found

    def _check_waits(self, outcome: Json) -> None:
        version, state = outcome["version"], outcome["outcome"]
        if state == "promoted":
            raise Conflict(f"model {version} was promoted when it was trained: nothing is to be decided")
        if state != "awaiting_approval":
            raise Conflict(
                f"model {version} does not wait for approval, it was {state}: {outcome['reason']}. `loupe "
                "model rollback` can release it all the same"
            )

    def _check_nothing_else_is_wanted(self, wanted: WantedRelease | None, version: str) -> None:
        if wanted and (wanted.version, wanted.kind) != (version, "approval"):
            raise ReleaseUnderWay(
                f"the release of model {wanted.version} that {wanted.by} asked for is not done yet: approve "
                f"model {version} after it"
            )

    def _write_approval(self, project: str, version: str, approval: Approval) -> Approval | None:
        """Write a decision; returns the earlier one if there is one that says the same. Raises `Conflict` if
        that was another one."""
        key = Workspace(project).approval(version)
        content = json.dumps(asdict(approval) | {"at": approval.at.isoformat()}, ensure_ascii=False)
        try:
            self.workspace.write_once(key, content.encode(), "application/json")
        except AlreadyWritten:
            first = approval_of(project, version, self.workspace)
            if first is None or first.decision != approval.decision:
                told = f"{first.by} {first.decision} it at {first.at.isoformat()}" if first else "it is gone"
                raise Conflict(
                    f"model {version} is decided on: {told}. `loupe model rollback` can release a model all "
                    "the same"
                ) from None
            return first
        return None

    def _request(
        self, project: str, kind: Literal["approval", "rollback"], outcome: Json, by: str
    ) -> Decided:
        version = outcome["version"]
        wanted = self.loops.loop(project).wanted
        if wanted is None or (wanted.version, wanted.kind) != (version, kind):
            now = self.clock()
            wanted = WantedRelease(f"{now:%Y%m%dt%H%M%S}-{self.suffix()}", version, kind, by, now)
            self.loops.save_wanted(project, wanted)
        self.events.publish(ReleaseRequested(project, version, wanted.request, kind, by))
        if kind == "approval":
            self._tell_registry(outcome, "Approved", f"{by} approved it")
        return Decided("requested", version, f"the release of model {version} has begun")

    def _tell_registry(self, outcome: Json, status: Literal["Approved", "Rejected"], reason: str) -> None:
        if outcome["model_package_arn"]:
            self.packages.set_approval(outcome["model_package_arn"], status, reason)

    def _predecessor(self, project: str, champion: Champion | None) -> str:
        for earlier in reversed(champions(project, self.workspace)):
            if champion is None or earlier.version != champion.version:
                return earlier.version
        raise UnknownModel(f"project {project!r} has no earlier model that answered: name a version")

    def _pause(self, project: str, pause: Pause) -> None:
        self._note_pause(project, paused=True, by=pause.by, reason=pause.reason)
        self.loops.save_pause(project, pause)

    def _note_pause(self, project: str, *, paused: bool, by: str, reason: str) -> None:
        now = self.clock()
        content = {"paused": paused, "by": by, "at": now.isoformat(), "reason": reason}
        key = Workspace(project).pause(f"{now:%Y%m%dt%H%M%S%f}-{self.suffix()}")
        self.workspace.write_once(key, json.dumps(content, ensure_ascii=False).encode(), "application/json")


def _rollback_to(version: str) -> str:
    """Why promotion is stopped."""
    return f"rollback to {version}"


def _check_can_be_released(plan: TrainingPlan) -> EndpointRelease:
    if plan.release is None:
        raise Conflict(
            f"model {plan.version} is hosted by Rekognition: a person can release only models that SageMaker "
            "hosts. `loupe model resume` lets the next better one be promoted again"
        )
    return plan.release


def _check_compared_with(champion: Champion | None, outcome: Json, plan: TrainingPlan) -> None:
    """A candidate that was better than another model may be worse than this one."""
    why = _why_not_comparable(champion, (outcome.get("decision") or {}).get("champion"), plan)
    if why is not None:
        raise Conflict(f"model {plan.version} was {why}")


def _why_not_comparable(champion: Champion | None, compared: str | None, plan: TrainingPlan) -> str | None:
    """Why the comparison says nothing about the model that answers now, and what works instead, if that is
    so. A champion of another task answers another question, and was not compared."""
    current = champion.version if champion else None
    if compared == current or (champion and champion.model.task != plan.task):
        return None
    return (
        f"compared with {compared or 'no other'}, and {current or 'none'} answers now: the next training "
        f"compares again, and `loupe model rollback {plan.project} {plan.version}` releases it all the same"
    )


# What SageMaker's registry says ---------------------------------------------------------------------


@dataclass(frozen=True)
class NoteApproval:
    """Takes an approval or rejection in SageMaker's model registry as what a person decided of the model."""

    decide: DecideOnModel

    def __call__(self, project: str, version: str, package: str, status: str, is_new: bool) -> str:
        """What came of it, in words. `is_new` for the event that tells that the package was made. An approval
        that can't be followed is taken back, with the reason: for good, or while another release is to be
        done. Raises `UnknownModel` while the turn that made the package is not concluded: try again."""
        outcome = outcome_of(project, version, self.decide.workspace)
        if outcome is None and is_new:
            return "its turn is not concluded"
        if outcome is None:
            raise UnknownModel(f"what came of model {version} of {project} is not written down yet")
        if outcome["model_package_arn"] != package:
            return "it is not the package of that model"
        if outcome["outcome"] == "promoted":
            return "it was promoted when it was trained"
        try:
            if status == "Approved":
                return self.decide.approve(project, version, REGISTRY).told
            if outcome["outcome"] == "awaiting_approval":
                return self.decide.reject(project, version, REGISTRY).told
        except ReleaseUnderWay as conflict:
            self.decide.packages.set_approval(package, "PendingManualApproval", conflict.detail)
            return conflict.detail
        except Conflict as conflict:
            if status == "Approved":
                self.decide.packages.set_approval(package, "Rejected", conflict.detail)
            return conflict.detail
        return "it was rejected already"


# What an execution does -----------------------------------------------------------------------------


@dataclass(frozen=True)
class ReleaseBegun:
    """`go`: the release lock is held, and `plan` is to be released. `busy`: somebody else changes the
    endpoint now. `wait`: the candidate waits for a person. `drop`: it is let go, since no approval could
    release it. `off`: nothing is to be done (any more). `is_asked` says whether apps ask the endpoint that
    the model will answer at."""

    outcome: Literal["go", "busy", "wait", "drop", "off"]
    reason: str
    plan: TrainingPlan | None = None
    score: float | None = None
    model_package_arn: str | None = None
    is_asked: bool = False


@dataclass(frozen=True)
class BeginRelease:
    """Takes the project's release lock for an execution, if its model is still to be released."""

    projects: KeepsProjects
    loops: KeepsLoops
    executions: WatchesExecutions
    workspace: StoresObjects
    clock: Clock

    def of_turn(self, project: str, version: str, execution: str) -> ReleaseBegun:
        """For a candidate that was better. Raises `InvalidProject`, `StoreUnavailable`."""
        if not self._lock(project, execution):
            return ReleaseBegun("busy", "another execution changes the endpoint")
        decision = json.loads(self.workspace.read(Workspace(project).decision(version)))
        loop, plan = self.loops.loop(project), TrainingPlan.read(self.workspace, project, version)
        why = _why_not_comparable(loop.champion, decision["champion"], plan)
        if why is not None:
            self.loops.unlock_release(project, execution)
            return ReleaseBegun("drop", f"{decision['reason']}; it was {why}")
        why = self._why_a_person_decides(project, loop)
        if why is None:
            return ReleaseBegun("go", decision["reason"], is_asked=_is_asked(loop.champion, plan))
        self.loops.unlock_release(project, execution)
        if plan.release is None:
            told = "only models that SageMaker hosts can wait for approval"
            return ReleaseBegun("drop", f"{decision['reason']}; {why}, and {told}")
        return ReleaseBegun(
            "wait", f"{decision['reason']}; {why}: `loupe model approve {project} {version}` releases it"
        )

    def of_request(self, project: str, version: str, execution: str, request: str) -> ReleaseBegun:
        """For what a person asked for. Raises `Conflict` if it can't be followed any more."""
        if not self._lock(project, execution):
            return ReleaseBegun("busy", "another execution changes the endpoint")
        loop = self.loops.loop(project)
        wanted = loop.wanted
        if wanted is None or (wanted.request, wanted.version) != (request, version):
            if not self.workspace.exists(Workspace(project).release(request)):
                raise Conflict(
                    f"nobody wants model {version} released any more: something else was asked for"
                )
            self.loops.unlock_release(project, execution)
            return ReleaseBegun("off", "it was done")
        outcome = outcome_of(project, version, self.workspace)
        if outcome is None:
            raise UnknownModel(f"project {project!r} has no model {version!r} that is trained to the end")
        plan = TrainingPlan.read(self.workspace, project, version)
        _check_can_be_released(plan)
        if wanted.kind == "approval":
            _check_compared_with(loop.champion, outcome, plan)
        verb = "approved" if wanted.kind == "approval" else "rolled back to"
        return ReleaseBegun(
            "go",
            f"{wanted.by} {verb} model {version}",
            _hurried(plan) if wanted.kind == "rollback" else plan,
            outcome["score"],
            outcome["model_package_arn"],
            _is_asked(loop.champion, plan),
        )

    def _why_a_person_decides(self, project: str, loop: LoopRecord) -> str | None:
        if loop.paused:
            return f"automatic promotion is stopped since {loop.paused.by}'s {loop.paused.reason}"
        if valid_config(self.projects, project).promotion.require == "approval":
            return "it waits for approval"
        return None

    def _lock(self, project: str, execution: str) -> bool:
        lock = TrainingLock(execution, self.clock())
        if self.loops.lock_release(project, lock):
            return True
        holder = self.loops.loop(project).release
        if holder is None or self.executions.is_running(holder.execution):
            return False
        return self.loops.lock_release(project, lock, instead_of=holder.execution)


@dataclass(frozen=True)
class ConcludeRelease:
    """Writes down what came of a release that a person asked for, and tells of it. Doing it again changes
    nothing but repeats the event."""

    loops: KeepsLoops
    workspace: StoresObjects
    events: PublishesEvents
    clock: Clock

    def __call__(self, request: str, result: Result) -> str:
        """Returns the reason in words."""
        project, version = result.project, result.version
        if version is None:
            raise ValueError("a release is of a model")
        if result.failure:
            result = replace(result, reason=explain(result.failure))
        record = self._record(request, version, result)
        last = self.loops.loop(project).last_training
        told = (project, version, record["reason"], record["execution"])
        if record["outcome"] == "released":
            crown(project, champion_of(record), self.loops)
            note_hosting(TrainingPlan.read(self.workspace, project, version), self.loops, self.clock())
            self.events.publish(ModelPromoted(*told, score=record["score"]))
        else:
            self.events.publish(ReleaseFailed(*told, kind=record["kind"]))
        if last and last.version == version:
            self.loops.save_last_training(project, after_release(last, record))
        self.loops.drop_wanted(project, request)
        self.loops.unlock_release(project, result.execution)
        return str(record["reason"])

    def _record(self, request: str, version: str, result: Result) -> Json:
        outcome = outcome_of(result.project, version, self.workspace) or {}
        is_released = result.outcome == "promoted"
        plan = TrainingPlan.read(self.workspace, result.project, version) if is_released else None
        record = {
            "project": result.project,
            "version": version,
            "request": request,
            "kind": self._kind(result.project, version, request),
            "outcome": "released" if is_released else "failed",
            "reason": result.reason,
            "score": outcome.get("score"),
            "ended_at": self.clock().isoformat(),
            "execution": result.execution,
            "correlation_id": outcome.get("correlation_id"),
            "model": asdict(plan.served_at(result.endpoint)) if plan else None,
            "endpoint_config": plan.model_name if plan else None,
            "model_package_arn": outcome.get("model_package_arn"),
            "failure": result.failure,
            "decision": outcome.get("decision"),
        }
        key = Workspace(result.project).release(request)
        try:
            content = json.dumps(record, ensure_ascii=False, indent=1).encode()
            self.workspace.write_once(key, content, "application/json")
        except AlreadyWritten:
            record = json.loads(self.workspace.read(key))
        return record

    def _kind(self, project: str, version: str, request: str) -> str:
        wanted = self.loops.loop(project).wanted
        if wanted and wanted.request == request:
            return wanted.kind
        approval = approval_of(project, version, self.workspace)  # something else was asked for since
        return "approval" if approval and approval.decision == "approved" else "rollback"


def after_release(training: LastTraining, record: Json) -> LastTraining:
    """The turn that a model came from, after a release of it: it waits for nobody any more if that came into
    service, or was to come by an approval."""
    if training.status not in ("awaiting_approval", "release_failed", "failed"):
        return training
    if record["outcome"] == "released":
        return replace(training, status="promoted", reason=record["reason"])
    if record.get("kind") != "approval":
        return training
    again = f"`loupe model approve {record['project']} {training.version}` tries again"
    return replace(training, status="release_failed", reason=f"{record['reason']}; {again}")


# What S3 knows --------------------------------------------------------------------------------------


def _is_asked(champion: Champion | None, plan: TrainingPlan) -> bool:
    """Whether apps ask the endpoint at which the model of that plan will answer, even if it is stopped."""
    return bool(champion and plan.release and champion.model.endpoint == plan.release.endpoint)


def _hurried(plan: TrainingPlan) -> TrainingPlan:
    """For who goes back from a model: the calls that a shift of traffic leaves to it for a while may fail."""
    if plan.release is None:
        return plan
    return replace(plan, release=replace(plan.release, update=at_once(plan.release.update)))


def approval_of(project: str, version: str, store: StoresObjects) -> Approval | None:
    """What a person decided of a candidate, if anything."""
    try:
        document = json.loads(store.read(Workspace(project).approval(version)))
    except ObjectMissing:
        return None
    return Approval(document["decision"], document["by"], datetime.fromisoformat(document["at"]))


def released(project: str, store: StoresObjects) -> Iterator[Json]:
    """What came of releases that people asked for, and of which a model answered."""
    return (record for record in _releases(project, store) if record["outcome"] == "released")


def releases_of(project: str, version: str, store: StoresObjects) -> list[Json]:
    """What came of the releases of one model that people asked for, in the order in which they ended."""
    found = (record for record in _releases(project, store) if record["version"] == version)
    return sorted(found, key=itemgetter("ended_at"))


def failed_releases(project: str, store: StoresObjects) -> dict[str, Json]:
    """Versions whose last release that people asked for failed, with what came of it."""
    newest = {each["version"]: each for each in sorted(_releases(project, store), key=itemgetter("ended_at"))}
    return {version: each for version, each in newest.items() if each["outcome"] == "failed"}


def failed_release(project: str, loop: LoopRecord, store: StoresObjects) -> Json | None:
    """What came of the last release that people asked for, if it failed, none is under way, and no model
    began to answer since."""
    newest = max((stored.key for stored in store.list(Workspace(project).releases)), default=None)
    if newest is None or loop.wanted:
        return None
    record: Json = json.loads(store.read(newest))
    ended_at = datetime.fromisoformat(record["ended_at"])
    if record["outcome"] == "released" or (loop.champion and loop.champion.promoted_at >= ended_at):
        return None
    return record


def _releases(project: str, store: StoresObjects) -> Iterator[Json]:
    """What came of all releases that people asked for."""
    for stored in store.list(Workspace(project).releases):
        with suppress(ObjectMissing):
            yield json.loads(store.read(stored.key))


def champions(project: str, store: StoresObjects) -> list[Champion]:
    """All models that ever answered, in the order in which they began to; one may be there more than once."""
    promoted = (outcome for outcome in outcomes(project, store) if outcome["outcome"] == "promoted")
    found = [champion_of(each) for each in (*promoted, *released(project, store))]
    return sorted(found, key=lambda champion: champion.promoted_at)


def pause_of(project: str, store: StoresObjects) -> Pause | None:
    """Since when automatic promotion is stopped, if it is."""
    newest = max((stored.key for stored in store.list(Workspace(project).pauses)), default=None)
    if newest is None:
        return None
    document = json.loads(store.read(newest))
    if not document["paused"]:
        return None
    return Pause(datetime.fromisoformat(document["at"]), document["by"], document["reason"])


def states(project: str, store: StoresObjects) -> Iterator[Json]:
    """All models of a project that were planned, oldest first, with what became of each: `state` is training,
    promoted, awaiting_approval, approved, rejected or failed; `answers` is true of the champion."""
    answered = champions(project, store)
    champion = answered[-1].version if answered else None
    for version in model_versions(project, store):
        with suppress(ObjectMissing):
            plan = TrainingPlan.read(store, project, version)
            yield _state(plan, store, champion)


def _state(plan: TrainingPlan, store: StoresObjects, champion: str | None) -> Json:
    outcome = outcome_of(plan.project, plan.version, store) or {}
    decision = outcome.get("decision") or {}
    state, reason = outcome.get("outcome", "training"), outcome.get("reason")
    approval = approval_of(plan.project, plan.version, store) if state == "awaiting_approval" else None
    if approval:
        state, reason = (
            approval.decision,
            f"{approval.by} {approval.decision} it at {approval.at.isoformat()}",
        )
    return {
        "version": plan.version,
        "state": state,
        "answers": plan.version == champion,
        "score": outcome.get("score"),
        "interval": decision.get("interval"),
        "test_images": decision.get("test_images"),
        "dataset_version": plan.dataset_version,
        "trainer": plan.trainer,
        "started_at": plan.started_at,
        "ended_at": outcome.get("ended_at"),
        "reason": reason,
        "compared_with": decision.get("champion"),
        "champion_score": outcome.get("champion_score"),
        "labels": decision.get("labels") or [],
        "registry": plan.registry,
        "correlation_id": plan.correlation_id,
        "model_package_arn": outcome.get("model_package_arn"),
        "model_data_url": outcome.get("model_data_url"),
        "failed_attempts": [attempt.in_words for attempt in plan.failed_attempts],
    }
