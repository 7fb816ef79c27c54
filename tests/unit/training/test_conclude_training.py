"""What came of a turn: written down, told, and the next one asked for."""

import json

import pytest

from loupe.domain.datasets.labels import concluded_images
from loupe.domain.errors import StoreUnavailable
from loupe.domain.events import ModelPromoted, ModelRejected, TrainingFailed, TrainingRequested
from loupe.domain.failures import explain
from loupe.domain.training.loop_restoration import RestoreLoop
from loupe.domain.training.plans import TrainingPlan
from loupe.domain.training.turns import Result
from loupe.ports.loops import LoopRecord, ServedModel
from tests.fakes.loops import FakeLoops
from tests.unit.training.world import FIRST, NAMES, PROJECT, World, execution

SECOND = execution("second")
FAILURE = {"Error": "States.TaskFailed", "Cause": '{"FailureReason": "AlgorithmError: no memory"}'}


@pytest.fixture
def planned(world: World) -> World:
    """A turn that came as far as a plan."""
    digests = {world.upload(f"1/{number}"): "ab"[number % 2] for number in range(20)}
    world.finish("digits-1", digests)
    world.plan(world.build().version or "")
    return world


def promoted(version: str = "0001", by: str = FIRST) -> Result:
    return Result(PROJECT, by, "promoted", version, "good", 0.9, None, "arn:package")


def test_a_promoted_model_is_the_champion_and_it_is_told(planned: World) -> None:
    planned.clock.advance(minutes=5)
    assert planned.conclude(promoted()) == "good"
    loop = planned.loops.loop(PROJECT)
    assert loop.champion is not None
    release = TrainingPlan.read(planned.workspace, PROJECT, "0001").release
    assert release is not None
    assert (loop.champion.version, loop.champion.score, loop.champion.model) == (
        "0001",
        0.9,
        ServedModel("serverless", "script", "image-classification", ("a", "b"), release.endpoint),
    )
    assert loop.last_training is not None
    assert (loop.last_training.status, loop.last_training.ended_at) == ("promoted", planned.clock())
    assert loop.training is None
    assert planned.events.published == [ModelPromoted(PROJECT, "0001", "good", FIRST, score=0.9)]


def test_the_champion_goes_by_the_id_of_the_turn_that_it_came_from(planned: World) -> None:
    planned.conclude(promoted())
    assert json.loads(planned.workspace.read(NAMES.outcome("0001")))["correlation_id"] == "digits-1"
    champion = planned.loops.loop(PROJECT).champion
    assert champion is not None
    assert champion.correlation_id == "digits-1"
    planned.loops = FakeLoops()  # the index is lost
    RestoreLoop(planned.loops, planned.executions, planned.workspace)(PROJECT)
    assert planned.loops.loop(PROJECT).champion == champion


def test_a_rejected_model_leaves_the_champion(planned: World) -> None:
    planned.conclude(Result(PROJECT, FIRST, "rejected", "0001", "worse", 0.1, 0.9, "arn:package"))
    loop = planned.loops.loop(PROJECT)
    assert loop.champion is None
    assert loop.last_training is not None
    assert (loop.last_training.status, loop.last_training.reason) == ("rejected", "worse")
    assert planned.events.published == [ModelRejected(PROJECT, "0001", "worse", FIRST, score=0.1)]


def test_a_failure_is_told_in_words(planned: World) -> None:
    reason = planned.conclude(Result(PROJECT, FIRST, "failed", "0001", failure=FAILURE))
    assert reason == "AlgorithmError: no memory"
    assert planned.events.published == [TrainingFailed(PROJECT, "0001", reason, FIRST)]
    assert json.loads(planned.workspace.read(NAMES.outcome("0001")))["reason"] == reason


def test_a_failure_before_there_was_a_dataset_asks_for_no_other_turn(world: World) -> None:
    world.finish("digits-1", {world.upload("1"): "a"})
    world.conclude(Result(PROJECT, FIRST, "failed", failure=FAILURE))
    last = world.loops.loop(PROJECT).last_training
    assert last is not None
    assert (last.version, last.status) == (None, "failed")
    assert [type(event) for event in world.events.published] == [TrainingFailed]


def test_jobs_that_finished_meanwhile_get_another_turn(planned: World) -> None:
    planned.finish("digits-2", {planned.upload("2/1"): "a"})
    planned.conclude(promoted())
    assert planned.events.published[1:] == [
        TrainingRequested(PROJECT, "1 jobs finished while a model was being trained")
    ]
    assert planned.turn(SECOND) == "0002"
    assert planned.events.published[3:] == []


def test_concluding_again_changes_nothing(planned: World) -> None:
    planned.conclude(promoted())
    before = planned.loops.loop(PROJECT)
    planned.clock.advance(hours=1)
    planned.conclude(promoted())
    assert planned.loops.loop(PROJECT) == before


def test_when_the_event_bus_is_down_the_call_fails_and_may_be_repeated(planned: World) -> None:
    planned.events.is_down = True
    with pytest.raises(StoreUnavailable):
        planned.conclude(promoted())
    planned.events.is_down = False
    planned.conclude(promoted())
    assert [type(event) for event in planned.events.published] == [ModelPromoted]


def test_another_executions_lock_stays(planned: World) -> None:
    planned.conclude(Result(PROJECT, SECOND, "failed", failure=FAILURE))
    training = planned.loops.loop(PROJECT).training
    assert training is not None
    assert training.execution == FIRST


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (FAILURE, "AlgorithmError: no memory"),
        (
            {"Error": "InvalidManifest", "Cause": '{"errorMessage": "line 3 is not JSON"}'},
            "line 3 is not JSON",
        ),
        ({"Error": "States.Timeout", "Cause": ""}, "a step took longer than it may"),
        ({"Error": "E", "Cause": "plain words"}, "plain words"),
        ({"Error": "E", "Cause": '{"FailureReason": "cut o'}, '{"FailureReason": "cut o'),
        ({"Error": "E", "Cause": "[1]"}, "[1]"),
        ({"Error": "E"}, "E"),
        ({}, "an unknown error"),
    ],
)
def test_causes_are_put_in_words(failure: dict[str, str], words: str) -> None:
    assert explain(failure) == words


# A lost index -------------------------------------------------------------------------------------


def restored(world: World) -> LoopRecord:
    world.loops = FakeLoops()
    restore = RestoreLoop(world.loops, world.executions, world.workspace)
    assert restore(PROJECT)
    assert not restore(PROJECT)
    return world.loops.loop(PROJECT)


def test_a_lost_loop_is_rebuilt_from_what_s3_has(planned: World) -> None:
    planned.conclude(promoted())
    before = planned.loops.loop(PROJECT)
    assert restored(planned) == before


def test_the_newest_promoted_model_is_the_champion_again_though_a_later_one_was_rejected(
    planned: World,
) -> None:
    planned.conclude(promoted())
    champion = planned.loops.loop(PROJECT).champion
    planned.finish("digits-2", {planned.upload("2/1"): "a"})
    planned.plan(planned.build(SECOND).version or "", SECOND)
    planned.conclude(Result(PROJECT, SECOND, "rejected", "0002", "worse", 0.1, 0.9, "arn:package"))
    loop = restored(planned)
    assert loop.champion == champion
    assert loop.dataset_version == "0002"
    assert loop.last_training is not None
    assert (loop.last_training.version, loop.last_training.status) == ("0002", "rejected")


def test_an_execution_that_still_runs_has_its_lock_again(planned: World) -> None:
    planned.executions.running.add(FIRST)
    loop = restored(planned)
    assert loop.training is not None
    assert loop.training.execution == FIRST
    assert loop.last_training is not None
    assert loop.last_training.status == "running"


def test_a_project_without_models_has_nothing_to_restore(world: World) -> None:
    assert not RestoreLoop(world.loops, world.executions, world.workspace)(PROJECT)


def test_labeled_and_refused_images_are_restored_with_all_that_was_known(world: World) -> None:
    labeled, refused = world.upload("a"), world.upload("b")
    world.finish("digits-1", {labeled: "a", refused: None, "f" * 64: "a"})
    world.build()
    known = world.images.images(PROJECT, [labeled, refused])
    assert {image.sha256: image for image in concluded_images(PROJECT, world.workspace)} == known
