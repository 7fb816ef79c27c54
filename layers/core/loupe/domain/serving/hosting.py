"""Models that cost by the hour while they run: started by people, stopped when nobody needs them."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from loupe.domain.custom_labels.plans import custom_labels_project
from loupe.domain.errors import BadRequest, Conflict, DomainError
from loupe.domain.events import ModelStarted, ModelStopped
from loupe.domain.projects import Hosting, ProjectConfig, check_project_name
from loupe.domain.training.plans import TrainingPlan
from loupe.ports.loops import Champion, HostingRecord, KeepsLoops, LoopRecord
from loupe.ports.messages import Clock, PublishesEvents
from loupe.ports.models import HostedVersion, RunsModels
from loupe.ports.objects import StoresObjects
from loupe.ports.projects import KeepsProjects, ProjectRecord

UP = ("starting", "running")
"""States of a model that is paid for."""

IDLE, SUPERSEDED, ASKED = "nobody called it", "it is not the champion", "a person stopped it"


def cost(hosting: HostingRecord, now: datetime, unit_hour_price: float) -> tuple[float, float]:
    """What a model costs an hour, and has cost since it was started, at least: it may have scaled to more
    units. In US dollars."""
    if hosting.state not in UP:
        return 0.0, 0.0
    hourly = hosting.inference_units * unit_hour_price
    return hourly, hourly * max(timedelta(), now - hosting.since) / timedelta(hours=1)


def idle_since(loop: LoopRecord, hosting: HostingRecord) -> datetime:
    """Since when nobody has called the champion."""
    return max(filter(None, (hosting.since, loop.last_called_at)))


@dataclass(frozen=True)
class ControlModel:
    """Starts and stops a project's champion, where Rekognition hosts it."""

    projects: KeepsProjects
    loops: KeepsLoops
    models: RunsModels
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
        asked = _hosting_of(self.projects.project(project))
        self.models.start(champion.model.endpoint, asked.inference_units, asked.max_inference_units)
        hosting = HostingRecord("starting", self.clock(), asked.inference_units, asked.max_inference_units)
        self.loops.save_hosting(project, hosting)
        self.events.publish(ModelStarted(project, champion.version, asked.inference_units))
        return hosting

    def stop(self, project: str) -> HostingRecord:
        """Begin to stop it. Raises `Conflict`, `StoreUnavailable`."""
        champion = self._champion(project)
        hosting = self.describe(project)
        if hosting.state not in UP:
            return hosting
        self.models.stop(champion.model.endpoint)
        hosting = replace(hosting, state="stopping", since=self.clock())
        self.loops.save_hosting(project, hosting)
        self.events.publish(ModelStopped(project, champion.version, ASKED))
        return hosting

    def describe(self, project: str) -> HostingRecord:
        """Whether it runs, as Rekognition has it now. Raises `Conflict`, `StoreUnavailable`."""
        champion = self._champion(project)
        versions = self.models.versions(custom_labels_project(self.stack, project))
        found = next((each for each in versions if each.endpoint == champion.model.endpoint), None)
        if found is None:
            raise Conflict(
                f"Rekognition does not have the model {champion.version} of {project} any more "
                f"({champion.model.endpoint}): train a new one"
            )
        known = self.loops.loop(project).hosting
        return noted(project, found, known, self.projects.project(project), self.loops, self.clock())

    def _champion(self, project: str) -> Champion:
        champion = self.loops.loop(check_project_name(project)).champion
        if champion is None:
            raise Conflict(f"project {project!r} has no model yet")
        if champion.model.hosting != "rekognition":
            raise Conflict(
                f"the model of {project!r} is hosted {champion.model.hosting}: it needs no starting, and "
                "costs nothing while nobody calls it"
            )
        return champion


def noted(
    project: str,
    found: HostedVersion,
    known: HostingRecord | None,
    record: ProjectRecord | None,
    loops: KeepsLoops,
    now: datetime,
) -> HostingRecord:
    """What is known of a champion, put right where Rekognition says otherwise."""
    if known and known.state == found.state:
        return known
    asked = _hosting_of(record)
    since = known.since if known and {known.state, found.state} == set(UP) else now
    units = known or HostingRecord(found.state, now, asked.inference_units, asked.max_inference_units)
    hosting = replace(units, state=found.state, since=since)
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
    """Stops champions that nobody called for `hosting.stop_after_idle_minutes`, and whatever runs without
    being a champion or about to become one."""

    projects: KeepsProjects
    loops: KeepsLoops
    models: RunsModels
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
        champion = loop.champion.model.endpoint if loop.champion else None
        for found in self.models.versions(custom_labels_project(self.stack, project)):
            if found.endpoint == champion:
                yield from self._look_after_champion(record, loop, found)
            elif found.state in UP and found.name != self._candidate(project, loop):
                with suppress(Conflict):  # it still starts: the next look stops it
                    self.models.stop(found.endpoint)
                    yield self._tell(project, found.name, SUPERSEDED)

    def _look_after_champion(
        self, record: ProjectRecord, loop: LoopRecord, found: HostedVersion
    ) -> Iterator[Stopped]:
        project, now = record.project, self.clock()
        hosting = noted(project, found, loop.hosting, record, self.loops, now)
        limit = _hosting_of(record).stop_after_idle_minutes
        if hosting.state != "running" or limit == 0:
            return
        idle = now - idle_since(loop, hosting)
        if idle < timedelta(minutes=limit):
            return
        self.models.stop(found.endpoint)
        self.loops.save_hosting(project, replace(hosting, state="stopping", since=now))
        version = loop.champion.version if loop.champion else found.name
        yield self._tell(project, version, f"{IDLE} for {idle / timedelta(minutes=1):.0f} minutes")

    def _candidate(self, project: str, loop: LoopRecord) -> str | None:
        """Name of the version that an execution is about to release."""
        last = loop.last_training
        if loop.training is None or last is None or last.version is None or last.status != "running":
            return None
        return TrainingPlan.read(self.workspace, project, last.version).model_name

    def _tell(self, project: str, version: str, reason: str) -> Stopped:
        self.events.publish(ModelStopped(project, version, reason))
        return Stopped(project, version, reason)


def _may_have_models(config: ProjectConfig | None, loop: LoopRecord) -> bool:
    """Whether the project has, or had, to do with Rekognition. Whatever project.yaml says by now, a training
    that was planned there has left a hosting record."""
    return (
        loop.hosting is not None
        or (config is not None and config.hosting.kind == "rekognition")
        or (loop.champion is not None and loop.champion.model.hosting == "rekognition")
    )


def _hosting_of(record: ProjectRecord | None) -> Hosting:
    """What project.yaml says of hosting; the defaults while it can't be used."""
    return record.config.hosting if record and record.config else Hosting()


def described(
    loop: LoopRecord, hosting: Hosting, now: datetime, unit_hour_price: float
) -> dict[str, Any] | None:
    """What the status tells of a champion that Rekognition hosts."""
    known = loop.hosting
    if known is None or loop.champion is None or loop.champion.model.hosting != "rekognition":
        return None
    hourly, so_far = cost(known, now, unit_hour_price)
    limit = hosting.stop_after_idle_minutes
    stops_at = (
        idle_since(loop, known) + timedelta(minutes=limit) if limit and known.state == "running" else None
    )
    return {
        "state": known.state,
        "since": known.since.isoformat(),
        "inference_units": known.inference_units,
        "max_inference_units": known.max_inference_units,
        "last_called_at": loop.last_called_at.isoformat() if loop.last_called_at else None,
        "stops_at": stops_at.isoformat() if stops_at else None,
        "cost_per_hour": round(hourly, 2),
        "cost_so_far": round(so_far, 2),
    }
