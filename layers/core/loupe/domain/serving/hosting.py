"""Models that cost by the hour while they run: started by people, stopped when nobody needs them."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from loupe.domain.errors import BadRequest, Conflict, DomainError, ObjectMissing
from loupe.domain.events import ModelStarted, ModelStopped
from loupe.domain.projects import Hosting, HostingKind, ProjectConfig, check_project_name
from loupe.domain.serving.releases import champions
from loupe.domain.training.plans import TrainingPlan, legal_name, model_versions
from loupe.ports.loops import Champion, HostingRecord, HostingState, KeepsLoops, LoopRecord
from loupe.ports.messages import Clock, PublishesEvents
from loupe.ports.models import HostedVersion, RunsModels
from loupe.ports.objects import StoresObjects
from loupe.ports.projects import KeepsProjects, ProjectRecord

UP = ("starting", "running")
"""States of a model that is paid for."""

LET_CALLS_END = timedelta(minutes=2)
"""For so long after a promotion functions may ask the model that answered before: they remember the champion
for a minute at most."""

IDLE, SUPERSEDED, ASKED = "nobody called it", "it is not the champion", "a person stopped it"


def cost(hosting: HostingRecord, now: datetime, unit_hour_price: float) -> tuple[float, float]:
    """What a model costs an hour, and has cost since it was started, at least: it may have scaled to more
    units. In US dollars."""
    if hosting.state not in UP:
        return 0.0, 0.0
    hourly = hosting.units * unit_hour_price
    return hourly, hourly * max(timedelta(), now - hosting.since) / timedelta(hours=1)


def idle_since(loop: LoopRecord, hosting: HostingRecord) -> datetime:
    """Since when nobody has called the champion."""
    return max(filter(None, (hosting.since, loop.last_called_at)))


@dataclass(frozen=True)
class ControlModel:
    """Starts and stops a project's champion, where that costs by the hour. `models` are those that do."""

    projects: KeepsProjects
    loops: KeepsLoops
    models: Mapping[HostingKind, RunsModels]
    events: PublishesEvents
    clock: Clock
    stack: str

    def do(self, project: str, action: str) -> HostingRecord:
        """What `action` names: start, stop or describe. Raises `BadRequest` for anything else, and what that
        raises."""
        actions = {"start": self.start, "stop": self.stop, "describe": self.describe}
        if action not in actions:
            raise BadRequest(f"action: must be one of {', '.join(actions)}, not {action!r}")
        return actions[action](project)

    def start(self, project: str) -> HostingRecord:
        """Begin to start it, which takes minutes. Raises `Conflict`, `StoreUnavailable`."""
        champion = self._champion(project)
        hosting = self.describe(project)
        if hosting.state in UP:
            return hosting
        self._check_no_release(project)
        asked = _hosting_of(self.projects.project(project), champion.model.hosting)
        self.models[champion.model.hosting].start(project, champion, asked)
        hosting = HostingRecord("starting", self.clock(), *asked.units)
        self.loops.save_hosting(project, hosting)
        self.events.publish(ModelStarted(project, champion.version, hosting.units))
        return hosting

    def stop(self, project: str) -> HostingRecord:
        """Begin to stop it. Raises `Conflict`, `StoreUnavailable`."""
        champion = self._champion(project)
        hosting = self.describe(project)
        if hosting.state not in UP:
            return hosting
        self._check_no_release(project)
        self.models[champion.model.hosting].stop(champion.model.endpoint)
        hosting = replace(hosting, state="stopping", since=self.clock())
        self.loops.save_hosting(project, hosting)
        self.events.publish(ModelStopped(project, champion.version, ASKED))
        return hosting

    def describe(self, project: str) -> HostingRecord:
        """Whether it runs, as its host has it now. Raises `Conflict`, `StoreUnavailable`."""
        champion = self._champion(project)
        hosting = champion.model.hosting
        versions = self.models[hosting].versions(legal_name(self.stack, project))
        found = next((each for each in versions if each.endpoint == champion.model.endpoint), None)
        if found is None and hosting == "rekognition":
            raise Conflict(
                f"Rekognition does not have the model {champion.version} of {project} any more "
                f"({champion.model.endpoint}): train a new one"
            )
        state = found.state if found else "stopped"
        known, asked = self.loops.loop(project).hosting, _hosting_of(self.projects.project(project), hosting)
        return noted(project, state, known, asked, self.loops, self.clock())

    def _check_no_release(self, project: str) -> None:
        if self.loops.loop(project).release:
            raise Conflict(
                f"a release is changing where {project!r} answers: try again when it is done, `loupe status "
                f"{project}` shows it"
            )

    def _champion(self, project: str) -> Champion:
        champion = self.loops.loop(check_project_name(project)).champion
        if champion is None:
            raise Conflict(f"project {project!r} has no model yet")
        if champion.model.hosting not in self.models:
            raise Conflict(
                f"the model of {project!r} is hosted {champion.model.hosting}: it needs no starting, and "
                "costs nothing while nobody calls it"
            )
        return champion


def noted(
    project: str,
    state: HostingState,
    known: HostingRecord | None,
    asked: Hosting,
    loops: KeepsLoops,
    now: datetime,
) -> HostingRecord:
    """What is known of a champion, put right where its host says that its state is another one."""
    if known and known.state == state:
        return known
    since = known.since if known and {known.state, state} == set(UP) else now
    units = known or HostingRecord(state, now, *asked.units)
    hosting = replace(units, state=state, since=since)
    loops.save_hosting(project, hosting)
    return hosting


@dataclass(frozen=True)
class Stopped:
    """A model that was stopped, and why."""

    project: str
    version: str
    reason: str


@dataclass(frozen=True)
class StopIdleModels:
    """Stops champions that nobody called for `hosting.stop_after_idle_minutes`, and whatever else is there
    without being a champion or about to become one."""

    projects: KeepsProjects
    loops: KeepsLoops
    models: Mapping[HostingKind, RunsModels]
    workspace: StoresObjects
    events: PublishesEvents
    clock: Clock
    stack: str

    def __call__(self) -> list[Stopped]:
        """Sees to all projects, and raises the first failure, if there was one, after that: what runs in one
        project must not go on because another one can't be looked at."""
        stopped: list[Stopped] = []
        failures: list[DomainError] = []
        for record in self.projects.projects():
            try:
                stopped.extend(self._look_after(record))
            except DomainError as error:
                failures.append(error)
        if failures:
            raise failures[0]
        return stopped

    def _look_after(self, record: ProjectRecord) -> Iterator[Stopped]:
        project = record.project
        loop = self.loops.loop(project)
        if not _may_have_models(record.config, loop):
            return
        for kind, models in self.models.items():
            found = models.versions(legal_name(self.stack, project))
            if loop.champion and loop.champion.model.hosting == kind:
                yield from self._look_after_champion(record, loop, loop.champion, found)
            yield from self._stop_others(project, models, found)

    def _stop_others(self, project: str, models: RunsModels, found: list[HostedVersion]) -> Iterator[Stopped]:
        """Stops what runs and answers nobody, but for models that are about to be released."""
        loop = self.loops.loop(project)  # again: what was found may be released since
        champion = loop.champion
        if loop.release or (champion and self.clock() - champion.promoted_at < LET_CALLS_END):
            return
        if champion is None and champions(project, self.workspace):
            return  # the index has lost it, and reconciliation brings it back
        needed = self._candidates(project, loop)
        for version in found:
            is_champion = champion is not None and version.endpoint == champion.model.endpoint
            if version.state in UP and not is_champion and version.name not in needed:
                with suppress(Conflict):  # it still starts: the next look stops it
                    models.stop(version.endpoint)
                    yield self._tell(project, self._version_of(project, version.name), SUPERSEDED)

    def _look_after_champion(
        self, record: ProjectRecord, loop: LoopRecord, champion: Champion, found: list[HostedVersion]
    ) -> Iterator[Stopped]:
        project, now, kind = record.project, self.clock(), champion.model.hosting
        states = {version.endpoint: version.state for version in found}
        asked = _hosting_of(record, kind)
        state = states.get(champion.model.endpoint, "stopped")
        hosting = noted(project, state, loop.hosting, asked, self.loops, now)
        limit = asked.stop_after_idle_minutes
        if hosting.state != "running" or limit == 0 or loop.release:
            return
        idle = now - idle_since(loop, hosting)
        if idle < timedelta(minutes=limit) or self.loops.loop(project).release:
            return
        with suppress(Conflict):  # SageMaker is at work on it: the next look stops it
            self.models[kind].stop(champion.model.endpoint)
            self.loops.save_hosting(project, replace(hosting, state="stopping", since=now))
            reason = f"{IDLE} for {idle / timedelta(minutes=1):.0f} minutes"
            yield self._tell(project, champion.version, reason)

    def _candidates(self, project: str, loop: LoopRecord) -> set[str]:
        """Names of the models that a turn is about to release."""
        last = loop.last_training
        if loop.training is None or last is None or last.version is None or last.status != "running":
            return set()
        return {TrainingPlan.read(self.workspace, project, last.version).model_name}

    def _version_of(self, project: str, name: str) -> str:
        """Of the model of that name; the name, if nothing is known of it."""
        for version in model_versions(project, self.workspace):
            with suppress(ObjectMissing):
                if TrainingPlan.read(self.workspace, project, version).model_name == name:
                    return version
        return name

    def _tell(self, project: str, version: str, reason: str) -> Stopped:
        self.events.publish(ModelStopped(project, version, reason))
        return Stopped(project, version, reason)


def _may_have_models(config: ProjectConfig | None, loop: LoopRecord) -> bool:
    """Whether anything of the project may run. Whatever project.yaml says by now, a training that was planned
    for what costs by the hour has left a hosting record."""
    return (
        loop.hosting is not None
        or loop.champion is not None
        or (config is not None and config.hosting.kind != "serverless")
    )


def _hosting_of(record: ProjectRecord | None, kind: HostingKind) -> Hosting:
    """What project.yaml says of hosting, and where it can't be used, or speaks of another kind than the
    model's, the defaults."""
    asked = record.config.hosting if record and record.config else Hosting()
    return asked.model_copy(update={"kind": kind})


def described(
    loop: LoopRecord, hosting: Hosting, now: datetime, unit_hour_price: float
) -> dict[str, Any] | None:
    """What the status tells of a champion that costs by the hour. `unit_hour_price` is that of Rekognition;
    instances have prices by their type, which are not told."""
    known = loop.hosting
    if known is None or loop.champion is None or loop.champion.model.hosting == "serverless":
        return None
    kind = loop.champion.model.hosting
    hourly, so_far = cost(known, now, unit_hour_price)
    is_priced = kind == "rekognition"
    limit = hosting.stop_after_idle_minutes
    stops_at = (
        idle_since(loop, known) + timedelta(minutes=limit) if limit and known.state == "running" else None
    )
    return {
        "kind": kind,
        "state": known.state,
        "since": known.since.isoformat(),
        "units": known.units,
        "max_units": known.max_units,
        "last_called_at": loop.last_called_at.isoformat() if loop.last_called_at else None,
        "stops_at": stops_at.isoformat() if stops_at else None,
        "cost_per_hour": round(hourly, 2) if is_priced else None,
        "cost_so_far": round(so_far, 2) if is_priced else None,
    }
