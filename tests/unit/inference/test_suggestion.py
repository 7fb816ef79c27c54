"""What the champion would answer to a task of the portal."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from loupe.domain.errors import DomainError, ModelNotRunning, ProjectNotFound
from loupe.domain.label_values import Box, Boxes, OneLabel, SeveralLabels, check_value
from loupe.domain.labeling.starting import JobNotFound
from loupe.domain.labeling.suggestion import NoSuggestion, SuggestionsOff, SuggestLabels
from loupe.domain.projects import HostingKind, ProjectConfig, TaskType, Trainer
from loupe.domain.serving.prediction import AskChampion, NoModelYet
from loupe.ports.images import ImageRecord
from loupe.ports.loops import Champion, ServedModel
from tests.fakes.loops import FakeLoops
from tests.unit.ingest.pictures import png
from tests.unit.labeling.conftest import PROJECT, Loop

TASK = "000000"
LABELS = ("ok", "scratch", "dent")
IMAGE = png(64, 48)


@dataclass
class Endpoints:
    """Implements `loupe.ports.models.InvokesEndpoints`; `error` is raised instead of the answer."""

    answer: list[dict[str, Any]] = field(default_factory=list)
    error: DomainError | None = None
    asked: list[bytes] = field(default_factory=list)

    def invoke(self, model: ServedModel, image: bytes, content_type: str) -> list[dict[str, Any]]:
        self.asked.append(image)
        if self.error is not None:
            raise self.error
        return self.answer


class World:
    """A project whose job is open, and whose model answers what the test says."""

    def __init__(self) -> None:
        self.loop, self.loops, self.endpoints = Loop(), FakeLoops(), Endpoints()
        self.suggest = SuggestLabels(
            projects=self.loop.projects,
            jobs=self.loop.jobs,
            tasks=self.loop.tasks,
            loops=self.loops,
            raw_data=self.loop.raw_data,
            ask=AskChampion(self.loops, self.endpoints, self.loop.clock),
        )

    def open_job(self, task: TaskType = "image-classification", *, suggest: bool = True) -> str:
        """A job with an image of 64 by 48 pixels."""
        self.loop.configure(task=task, suggest=suggest, batch_size=1)
        image = ImageRecord(
            "0" * 64, f"{PROJECT}/a.png", None, "e", len(IMAGE), 64, 48, "png", "0" * 64, self.loop.clock()
        )
        self.loop.images.restore(PROJECT, [image])
        self.loop.raw_data.write(image.key, IMAGE)
        self.loop.start(PROJECT)
        return self.loop.open_job().job

    def promote(self, task: TaskType = "image-classification", trainer: Trainer = "script") -> None:
        hosting: HostingKind = "rekognition" if trainer == "rekognition" else "serverless"
        model = ServedModel(hosting, trainer, task, LABELS, "loupe-digits")
        at = datetime(2026, 11, 21, tzinfo=UTC)
        self.loops.save_champion(PROJECT, Champion("0007", 0.9, model, "c", "arn:p", at))


@pytest.fixture
def world() -> World:
    return World()


def found(label: str, confidence: float, **more: Any) -> dict[str, Any]:
    return {"label": label, "confidence": confidence, **more}


def box(label: str, confidence: float, *sides: float) -> dict[str, Any]:
    return found(label, confidence, box=dict(zip(("left", "top", "width", "height"), sides, strict=True)))


def test_the_best_label_is_suggested(world: World) -> None:
    job = world.open_job()
    world.promote()
    world.endpoints.answer = [found("dent", 0.4), found("ok", 0.35), found("scratch", 0.25)]
    suggestion = world.suggest(PROJECT, job, TASK)
    assert (suggestion.model_version, suggestion.value) == ("0007", OneLabel("dent"))
    assert suggestion.confidences == (0.4,)
    assert world.endpoints.asked == [IMAGE]


def test_labels_that_reach_their_thresholds_are_suggested(world: World) -> None:
    job = world.open_job("multi-label-classification")
    world.promote("multi-label-classification")
    world.endpoints.answer = [
        found("scratch", 0.6, threshold=0.7),
        found("dent", 0.4, threshold=0.4),
        found("ok", 0.1, threshold=0.5),
    ]
    suggestion = world.suggest(PROJECT, job, TASK)
    assert (suggestion.value, suggestion.confidences) == (SeveralLabels(("dent",)), (0.4,))
    world.endpoints.answer = []
    assert world.suggest(PROJECT, job, TASK).value == SeveralLabels(())


def test_boxes_are_cut_off_at_the_edges_so_that_they_are_answers(world: World) -> None:
    job = world.open_job("bounding-box")
    world.promote("bounding-box")
    world.endpoints.answer = [
        box("dent", 0.9, -3.3, 40.123, 30.7, 20.0),
        box("ok", 0.31, 60.1, 1.1, 3.91, 5.3),
        box("ok", 0.3, 64.5, 1, 5, 5),
        box("rust", 0.3, 1, 1, 5, 5),
    ]
    suggestion = world.suggest(PROJECT, job, TASK)
    assert isinstance(suggestion.value, Boxes)
    cut, whole = suggestion.value.boxes
    assert cut == Box("dent", 0.0, 40.125, 27.375, 7.875)
    assert (whole.label, whole.left + whole.width) == ("ok", 64.0)
    assert suggestion.confidences == (0.9, 0.31)
    check_value(suggestion.value, LABELS, (64, 48))


@pytest.mark.parametrize(("trainer", "suggested"), [("builtin", 1), ("script", 2), ("rekognition", 2)])
def test_built_in_boxes_need_a_confidence_as_they_have_no_threshold(
    world: World, trainer: Trainer, suggested: int
) -> None:
    job = world.open_job("bounding-box")
    world.promote("bounding-box", trainer)
    world.endpoints.answer = [box("dent", 0.5, 1, 1, 9, 9), box("dent", 0.4, 20, 1, 9, 9)]
    assert len(world.suggest(PROJECT, job, TASK).confidences) == suggested


def test_a_model_that_says_none_of_the_jobs_labels_suggests_nothing(world: World) -> None:
    job = world.open_job()
    world.promote()
    world.endpoints.answer = [found("rust", 0.9)]
    with pytest.raises(NoSuggestion, match="none of the labels"):
        world.suggest(PROJECT, job, TASK)
    world.promote("bounding-box")
    with pytest.raises(NoSuggestion, match="bounding-box"):
        world.suggest(PROJECT, job, TASK)


def test_without_a_model_it_is_said_what_is_missing(world: World) -> None:
    job = world.open_job()
    with pytest.raises(NoModelYet, match="no labeling job of it has finished"):
        world.suggest(PROJECT, job, TASK)


def test_a_model_that_is_stopped_is_told_and_one_that_runs_is_noted_as_called(world: World) -> None:
    job = world.open_job()
    world.promote(trainer="rekognition")
    world.endpoints.error = ModelNotRunning("the project version does not run")
    with pytest.raises(ModelNotRunning, match="loupe model start digits"):
        world.suggest(PROJECT, job, TASK)
    assert world.loops.loop(PROJECT).last_called_at is None
    world.endpoints.error, world.endpoints.answer = None, [found("ok", 0.9)]
    world.suggest(PROJECT, job, TASK)
    assert world.loops.loop(PROJECT).last_called_at == world.loop.clock()


def test_a_project_that_wants_none_has_none(world: World) -> None:
    job = world.open_job(suggest=False)
    world.promote()
    with pytest.raises(SuggestionsOff, match=r"labeling\.suggest"):
        world.suggest(PROJECT, job, TASK)
    assert world.endpoints.asked == []


def test_what_is_not_there(world: World) -> None:
    job = world.open_job()
    world.promote()
    with pytest.raises(ProjectNotFound):
        world.suggest("screws", job, TASK)
    with pytest.raises(JobNotFound, match="digits-x"):
        world.suggest(PROJECT, "digits-x", TASK)
    with pytest.raises(JobNotFound, match="000009"):
        world.suggest(PROJECT, job, "000009")


def test_only_the_portals_page_can_show_suggestions() -> None:
    with pytest.raises(ValueError, match="suggest: only the portal"):
        ProjectConfig.model_validate(
            {
                "task": "image-classification",
                "labels": ["a", "b"],
                "labeling": {"provider": "ground-truth", "suggest": True},
            }
        )
