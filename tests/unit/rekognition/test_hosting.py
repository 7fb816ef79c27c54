"""Models that cost by the hour run while somebody needs them, and no longer."""

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from loupe.domain.errors import BadRequest, Conflict, ObjectMissing
from loupe.domain.events import ModelStarted, ModelStopped
from loupe.domain.projects import Hosting, HostingKind, ProjectConfig
from loupe.domain.serving.hosting import ControlModel, StopIdleModels, cost, described
from loupe.domain.workspace import Workspace
from loupe.ports.loops import Champion, HostingRecord, HostingState, LastTraining, ServedModel, TrainingLock
from loupe.ports.models import HostedVersion, RunsModels
from tests.fakes.clock import FakeClock
from tests.fakes.events import FakeEvents
from tests.fakes.hosting import FakeModels
from tests.fakes.loops import FakeLoops
from tests.fakes.objects import FakeObjects
from tests.fakes.projects import FakeProjects

HOST = "loupe-parts"
CHAMPION, OLD, CANDIDATE = "arn:champion", "arn:old", "arn:candidate"


@dataclass
class World:
    """The project `parts` with a champion that Rekognition hosts, promoted an hour ago, and started now."""

    clock: FakeClock = field(default_factory=FakeClock)
    projects: FakeProjects = field(default_factory=FakeProjects)
    loops: FakeLoops = field(default_factory=FakeLoops)
    models: FakeModels = field(default_factory=FakeModels)
    events: FakeEvents = field(default_factory=FakeEvents)
    workspace: FakeObjects = field(default_factory=FakeObjects)

    def __post_init__(self) -> None:
        self.configure(stop_after_idle_minutes=60)
        model = ServedModel("rekognition", "rekognition", "image-classification", ("a", "b"), CHAMPION)
        promoted_at = self.clock() - timedelta(hours=1)
        self.loops.save_champion("parts", Champion("0002", 0.9, model, None, None, promoted_at))
        self.loops.save_hosting("parts", HostingRecord("running", self.clock(), 1))
        self.models.hosts[HOST] = [HostedVersion(CHAMPION, "loupe-parts-0002-abcd", "running")]

    def configure(self, **hosting: Any) -> None:
        config = ProjectConfig.model_validate(
            {
                "task": "image-classification",
                "labels": ("a", "b"),
                "training": {"trainer": "rekognition"},
                "hosting": {"kind": "rekognition", **hosting},
            }
        )
        self.projects.save_config("parts", config, None, "etag")

    def has_version(self, endpoint: str, name: str, state: HostingState) -> None:
        self.models.hosts[HOST].append(HostedVersion(endpoint, name, state))

    @property
    def control(self) -> ControlModel:
        models: dict[HostingKind, RunsModels] = {"rekognition": self.models}
        return ControlModel(self.projects, self.loops, models, self.events, self.clock, "loupe")

    def stop_idle(self) -> list[str]:
        """Reasons of what was stopped."""
        models: dict[HostingKind, RunsModels] = {"rekognition": self.models}
        stop = StopIdleModels(
            self.projects, self.loops, models, self.workspace, self.events, self.clock, "loupe"
        )
        return [each.reason for each in stop()]

    def state(self) -> HostingState:
        """Of the champion, as the index has it."""
        return self.hosting.state

    @property
    def hosting(self) -> HostingRecord:
        hosting = self.loops.loop("parts").hosting
        assert hosting is not None
        return hosting


@pytest.fixture
def world() -> World:
    return World()


def test_what_is_done_is_named(world: World) -> None:
    assert world.control.do("parts", "describe") == world.control.describe("parts")
    assert world.control.do("parts", "stop").state == "stopping"
    with pytest.raises(BadRequest, match="one of start, stop, describe, not 'restart'"):
        world.control.do("parts", "restart")


def test_a_model_that_nobody_calls_is_stopped(world: World) -> None:
    world.clock.advance(minutes=59)
    assert world.stop_idle() == []
    world.clock.advance(minutes=1)
    assert world.stop_idle() == ["nobody called it for 60 minutes"]
    assert world.models.stopped == [CHAMPION]
    assert world.state() == "stopping"
    assert world.events.published == [ModelStopped("parts", "0002", "nobody called it for 60 minutes")]
    world.models.settle()
    assert world.stop_idle() == []
    assert world.state() == "stopped"


def test_a_call_keeps_a_model_running(world: World) -> None:
    world.clock.advance(minutes=50)
    world.loops.save_call("parts", world.clock())
    world.clock.advance(minutes=59)
    assert world.stop_idle() == []


def test_a_model_is_never_stopped_for_idleness_where_that_is_configured(world: World) -> None:
    world.configure(stop_after_idle_minutes=0)
    world.clock.advance(minutes=60 * 24 * 30)
    assert world.stop_idle() == []


def test_what_runs_without_being_the_champion_is_stopped(world: World) -> None:
    world.has_version(OLD, "loupe-parts-0001-abcd", "running")
    world.has_version("arn:older", "loupe-parts-0000-abcd", "stopped")
    assert world.stop_idle() == ["it is not the champion"]
    assert world.models.stopped == [OLD]
    assert world.hosting.state == "running"


def test_a_candidate_that_is_being_released_is_left_alone(world: World) -> None:
    plan = {
        "project": "parts",
        "version": "0003",
        "dataset_version": "0003",
        "execution": "arn:execution",
        "started_at": world.clock().isoformat(),
        "task": "image-classification",
        "labels": ["a", "b"],
        "trainer": "rekognition",
        "hosting": "rekognition",
        "model_name": "loupe-parts-0003-abcd",
        "evaluation_uri": "s3://workspace/evaluation.json",
        "tags": [],
    }
    world.workspace.write(Workspace("parts").plan("0003"), json.dumps(plan).encode())
    running = LastTraining("0003", "running", "", world.clock(), None, "arn:execution")
    world.loops.save_last_training("parts", running)
    world.loops.lock_training("parts", TrainingLock("arn:execution", world.clock()))
    world.has_version(CANDIDATE, "loupe-parts-0003-abcd", "running")
    assert world.stop_idle() == []
    world.loops.unlock_training("parts", "arn:execution")
    assert world.stop_idle() == ["it is not the champion"]


def test_a_stray_that_still_starts_is_stopped_once_it_runs(world: World) -> None:
    world.has_version(OLD, "loupe-parts-0001-abcd", "starting")
    assert world.stop_idle() == []
    world.models.settle()
    assert world.stop_idle() == ["it is not the champion"]


def test_that_a_champion_that_starts_can_not_be_stopped_yet_is_told(world: World) -> None:
    world.control.stop("parts")
    world.models.settle()
    world.control.start("parts")
    with pytest.raises(Conflict, match="is starting"):
        world.control.stop("parts")
    assert world.hosting.state == "starting"


def test_a_version_of_a_project_that_went_back_to_another_trainer_is_stopped(world: World) -> None:
    config = ProjectConfig.model_validate({"task": "image-classification", "labels": ("a", "b")})
    world.projects.save_config("parts", config, None, "etag")
    model = ServedModel("serverless", "script", "image-classification", ("a", "b"), "loupe-parts")
    world.loops.save_champion("parts", Champion("0003", 0.9, model, "config", "arn:package", world.clock()))
    world.clock.advance(minutes=2)
    assert world.stop_idle() == ["it is not the champion"]


def test_a_project_that_can_not_be_looked_at_keeps_no_other_from_being_stopped(world: World) -> None:
    """The first project's plan is lost, while a training is about to release its candidate."""
    config = world.projects.project("parts")
    assert config is not None
    world.projects.save_config("alpha", config.config, None, "etag")
    lost = LastTraining("0001", "running", "", world.clock(), None, "arn:execution")
    world.loops.save_last_training("alpha", lost)
    world.loops.lock_training("alpha", TrainingLock("arn:execution", world.clock()))
    world.models.hosts["loupe-alpha"] = [HostedVersion("arn:alpha", "loupe-alpha-0001-abcd", "running")]
    world.clock.advance(minutes=60)
    with pytest.raises(ObjectMissing):
        world.stop_idle()
    assert world.models.stopped == [CHAMPION]


def test_rekognition_is_not_asked_about_projects_that_never_used_it(world: World) -> None:
    world.loops = FakeLoops()
    config = ProjectConfig.model_validate({"task": "image-classification", "labels": ("a", "b")})
    world.projects.save_config("parts", config, None, "etag")
    assert world.stop_idle() == []


def test_a_lost_index_learns_from_rekognition_what_runs(world: World) -> None:
    loop = world.loops.loop("parts")
    world.loops = FakeLoops()
    assert loop.champion is not None
    world.loops.save_champion("parts", loop.champion)
    world.clock.advance(minutes=500)
    assert world.stop_idle() == []
    assert world.hosting == HostingRecord("running", world.clock(), 1)


def test_a_stopped_model_is_started_with_the_units_of_project_yaml(world: World) -> None:
    world.configure(inference_units=2, max_inference_units=4)
    world.control.stop("parts")
    world.models.settle()
    world.clock.advance(minutes=5)
    hosting = world.control.start("parts")
    assert hosting == HostingRecord("starting", world.clock(), 2, 4)
    assert world.models.started == [(CHAMPION, (2, 4))]
    assert world.events.published[-1] == ModelStarted("parts", "0002", 2)
    world.models.settle()
    assert world.control.describe("parts").state == "running"


def test_starting_what_runs_and_stopping_what_is_stopped_changes_nothing(world: World) -> None:
    assert world.control.start("parts").state == "running"
    assert world.models.started == []
    world.control.stop("parts")
    world.models.settle()
    assert world.control.stop("parts").state == "stopped"
    assert world.models.stopped == [CHAMPION]


def test_a_full_account_leaves_the_model_stopped(world: World) -> None:
    world.control.stop("parts")
    world.models.settle()
    world.models.quota_is_used_up = True
    with pytest.raises(Conflict, match="quota"):
        world.control.start("parts")
    assert world.control.describe("parts").state == "stopped"


def test_what_has_no_hours_to_pay_for_can_not_be_started(world: World) -> None:
    with pytest.raises(Conflict, match="has no model yet"):
        world.control.start("other")
    model = ServedModel("serverless", "script", "image-classification", ("a", "b"), "loupe-parts")
    world.loops.save_champion("parts", Champion("0003", 0.9, model, "config", "arn:package", world.clock()))
    with pytest.raises(Conflict, match="needs no starting"):
        world.control.start("parts")


def test_a_version_that_is_gone_from_rekognition_is_named(world: World) -> None:
    world.models.hosts.clear()
    with pytest.raises(Conflict, match="0002"):
        world.control.start("parts")


def test_costs_are_those_of_the_units_and_end_with_the_model(world: World) -> None:
    running = HostingRecord("running", world.clock(), 2, 5)
    later = world.clock() + timedelta(minutes=90)
    assert cost(running, later, 4.0) == (8.0, 12.0)
    assert cost(HostingRecord("stopped", world.clock(), 2), later, 4.0) == (0.0, 0.0)


def test_the_status_says_when_an_idle_model_is_stopped(world: World) -> None:
    told = described(world.loops.loop("parts"), Hosting(stop_after_idle_minutes=60), world.clock(), 4.0)
    assert told is not None
    assert told["state"] == "running"
    assert told["cost_per_hour"] == 4.0
    assert told["stops_at"] == (world.clock() + timedelta(minutes=60)).isoformat()
    unlimited = described(world.loops.loop("parts"), Hosting(stop_after_idle_minutes=0), world.clock(), 4.0)
    assert unlimited is not None
    assert unlimited["stops_at"] is None
    assert described(FakeLoops().loop("parts"), Hosting(), world.clock(), 4.0) is None
