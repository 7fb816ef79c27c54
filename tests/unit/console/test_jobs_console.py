"""What the console is told of jobs, and what people can have done."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from loupe.domain.console.jobs import ShowJobs
from loupe.domain.errors import Conflict, ProjectNotFound
from loupe.domain.events import Event, LabelingRequested, ReconciliationRequested, TrainingRequested
from loupe.domain.status import DescribeProject
from loupe.ports.labeling import JobCard
from loupe.ports.loops import Reconciliation, TrainingLock, WantedRelease
from tests.unit.training.world import FIRST, NAMES, PROJECT, World

ASKED = "maria asked for it in the console"


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def show(world: World) -> ShowJobs:
    describe = DescribeProject(world.projects, world.images, world.jobs, world.loops, world.clock, 4.0)
    return ShowJobs(
        describe, world.projects, world.jobs, world.loops, world.workspace, world.events, world.clock
    )


def open_job(world: World) -> None:
    card = JobCard(PROJECT, "digits-1", "portal", "image-classification", ("a", "b"), "", 100, world.clock())
    assert world.jobs.claim(card)


def test_the_status_comes_with_the_rules_of_labeling_and_the_last_reconciliation(
    world: World, show: ShowJobs
) -> None:
    world.configure(labeling={"batch_size": 7, "max_wait_minutes": 5})
    world.upload("a.png")
    assert show.show(PROJECT)["reconciliation"] is None
    world.loops.save_reconciliation(PROJECT, Reconciliation(world.clock(), {"jobs_restored": 2}))
    told = show.show(PROJECT)
    assert told["images"]["pending"] == 1
    assert told["labeling"] == {"provider": "portal", "batch_size": 7, "max_wait_minutes": 5}
    assert told["reconciliation"] == {"at": world.clock().isoformat(), "mended": {"jobs_restored": 2}}


def test_a_project_that_is_not_valid_is_told_without_rules(world: World, show: ShowJobs) -> None:
    world.projects.save_config(PROJECT, None, "labels: is missing", "etag")
    told = show.show(PROJECT)
    assert (told["config_error"], told["labeling"]) == ("labels: is missing", None)


def test_how_many_tasks_need_another_worker_is_told(world: World, show: ShowJobs) -> None:
    digests = [world.upload(f"{number}.png") for number in range(3)]
    card = JobCard(PROJECT, "digits-1", "portal", "image-classification", ("a", "b"), "", 100, world.clock())
    assert world.jobs.claim(replace(card, workers=2, max_workers=3, min_accuracy=0.5))
    assert show.show(PROJECT)["several_workers"] is None
    assert world.jobs.open(PROJECT, "digits-1", len(digests), world.clock())
    wanted = {"job": "digits-1", "waiting": 3, "workers": 2, "max_workers": 3, "min_accuracy": 0.5}
    assert show.show(PROJECT)["several_workers"] == wanted


def test_a_job_that_takes_one_answer_an_image_waits_for_nobody_else(world: World, show: ShowJobs) -> None:
    world.upload("a.png")
    open_job(world)
    assert world.jobs.open(PROJECT, "digits-1", 1, world.clock())
    assert show.show(PROJECT)["several_workers"] is None


def fail_release(world: World) -> None:
    record = {
        "version": "0002",
        "kind": "approval",
        "outcome": "failed",
        "reason": "wrong",
        "ended_at": world.clock().isoformat(),
    }
    world.workspace.write(NAMES.release("20260101t000000-aaaa"), json.dumps(record).encode())


def test_the_last_release_is_told_if_it_failed(world: World, show: ShowJobs) -> None:
    world.upload("a.png")
    assert show.show(PROJECT)["failed_release"] is None
    fail_release(world)
    failed = {"version": "0002", "kind": "approval", "reason": "wrong", "ended_at": world.clock().isoformat()}
    assert show.show(PROJECT)["failed_release"] == failed
    wanted = WantedRelease("20260102t000000-bbbb", "0002", "approval", "ann", world.clock())
    world.loops.save_wanted(PROJECT, wanted)
    told = show.show(PROJECT)
    assert told["failed_release"] is None
    releasing = {"version": "0002", "kind": "approval", "by": "ann", "at": world.clock().isoformat()}
    assert told["releasing"] == releasing


def test_a_failed_release_is_over_when_a_model_began_to_answer_since(world: World, show: ShowJobs) -> None:
    digests = [world.upload(f"{number}.png") for number in range(20)]
    fail_release(world)
    world.clock.advance(minutes=1)
    world.finish("digits-1", {digest: "ab"[number % 2] for number, digest in enumerate(digests)})
    assert world.turn()
    assert show.show(PROJECT)["failed_release"] is None


@pytest.mark.parametrize(
    ("ask", "event"),
    [
        (ShowJobs.label_now, LabelingRequested(PROJECT, ASKED)),
        (ShowJobs.train_now, TrainingRequested(PROJECT, ASKED)),
        (ShowJobs.reconcile, ReconciliationRequested(PROJECT, ASKED)),
    ],
)
def test_what_a_person_asks_for_goes_out_as_an_event(
    world: World, show: ShowJobs, ask: Callable[[ShowJobs, str, str], dict[str, Any]], event: Event
) -> None:
    world.upload("a.png")
    assert ask(show, PROJECT, "maria") == {"requested_at": world.clock().isoformat()}
    assert world.events.published == [event]


@pytest.mark.parametrize("ask", [ShowJobs.label_now, ShowJobs.train_now, ShowJobs.reconcile])
def test_nothing_is_asked_for_where_it_would_be_passed_over(
    world: World, show: ShowJobs, ask: Callable[[ShowJobs, str, str], dict[str, Any]]
) -> None:
    with pytest.raises(ProjectNotFound):
        ask(show, "nobodys", "maria")
    world.projects.save_config(PROJECT, None, "labels: is missing", "etag")
    with pytest.raises(Conflict, match="labels: is missing"):
        ask(show, PROJECT, "maria")
    assert world.events.published == []


def test_no_job_is_cut_while_one_is_open_or_nothing_waits(world: World, show: ShowJobs) -> None:
    with pytest.raises(Conflict, match="no image is pending"):
        show.label_now(PROJECT, "maria")
    world.upload("a.png")
    open_job(world)
    with pytest.raises(Conflict, match="digits-1 is open"):
        show.label_now(PROJECT, "maria")


def test_ground_truth_that_labels_by_itself_gets_whole_batches_only(world: World, show: ShowJobs) -> None:
    labeling = {
        "provider": "ground-truth",
        "batch_size": 2000,
        "ground_truth": {"automated_labeling": True},
    }
    world.configure(labeling=labeling)
    world.upload("a.png")
    with pytest.raises(Conflict, match="batches of 2000"):
        show.label_now(PROJECT, "maria")


def test_no_training_is_begun_beside_another(world: World, show: ShowJobs) -> None:
    world.loops.lock_training(PROJECT, TrainingLock(FIRST, world.clock()))
    with pytest.raises(Conflict, match="under way"):
        show.train_now(PROJECT, "maria")
