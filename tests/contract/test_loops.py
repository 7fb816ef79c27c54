"""What every keeper of loops does: the fake and the index alike."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from loupe.adapters.table import IndexTable
from loupe.adapters.training_index import LoopIndex
from loupe.ports.loops import (
    Champion,
    HostingRecord,
    KeepsLoops,
    LastTraining,
    LoopRecord,
    Pause,
    Reconciliation,
    ServedModel,
    TrainingLock,
    WantedRelease,
)
from tests.fakes.loops import FakeLoops

NOW = datetime(2026, 11, 21, 10, 15, 0, 123456, tzinfo=UTC)
MODEL = ServedModel("serverless", "script", "image-classification", ("a", "b"), "loupe-digits")
FIRST, SECOND, THIRD = (f"arn:aws:states:us-east-1:123456789012:execution:loupe:{name}" for name in "abc")


@pytest.fixture(params=["fake", "moto"])
def loops(request: pytest.FixtureRequest) -> KeepsLoops:
    if request.param == "fake":
        return FakeLoops()
    return LoopIndex(request.getfixturevalue("index_table"))


def test_a_loop_that_never_turned_is_empty(loops: KeepsLoops) -> None:
    assert loops.loop("digits") == LoopRecord()


def test_what_was_saved_comes_back_and_the_rest_stays(loops: KeepsLoops) -> None:
    champion = Champion("0001", 1.0, MODEL, "loupe-digits-0001", "arn:aws:sagemaker:...", NOW)
    running = LastTraining(
        "0002", "running", "a model is being trained", NOW, None, FIRST, ("attempt 1: no instance",)
    )
    loops.save_dataset_version("digits", "0002")
    measured = replace(champion, test_images=120, interval=(0.875, 1.0), correlation_id="digits-1")
    loops.save_champion("digits", measured)
    assert loops.loop("digits").champion == measured
    loops.save_champion("digits", champion)
    loops.save_last_training("digits", running)
    loops.save_waiting_for("digits", "3 of 10 new labels")
    assert loops.loop("digits") == LoopRecord(None, "0002", champion, running, "3 of 10 new labels")
    failed = LastTraining(None, "failed", "no disk", NOW, NOW + timedelta(hours=1), FIRST)
    loops.save_last_training("digits", failed)
    loops.save_waiting_for("digits", None)
    assert loops.loop("digits") == LoopRecord(None, "0002", champion, failed, None)
    assert loops.loop("other") == LoopRecord()


def test_a_champion_that_rekognition_hosts_has_no_endpoint_configuration(loops: KeepsLoops) -> None:
    model = ServedModel("rekognition", "rekognition", "bounding-box", ("bolt",), "arn:aws:rekognition:...")
    champion = Champion("0001", 0.5, model, None, None, NOW)
    loops.save_champion("parts", champion)
    assert loops.loop("parts").champion == champion


def test_the_last_reconciliation_comes_back(loops: KeepsLoops) -> None:
    loops.save_reconciliation("parts", Reconciliation(NOW, {"objects_gone": 0, "jobs_restored": 2}))
    loops.save_dataset_version("parts", "0001")
    later = Reconciliation(NOW + timedelta(hours=1), {"objects_gone": 0, "jobs_restored": 0})
    loops.save_reconciliation("parts", later)
    assert loops.loop("parts") == LoopRecord(dataset_version="0001", reconciliation=later)


def test_hosting_and_the_last_call_come_back(loops: KeepsLoops) -> None:
    starting = HostingRecord("starting", NOW, 2, 5)
    loops.save_hosting("parts", starting)
    loops.save_call("parts", NOW + timedelta(minutes=1))
    assert loops.loop("parts") == LoopRecord(hosting=starting, last_called_at=NOW + timedelta(minutes=1))
    loops.save_hosting("parts", HostingRecord("running", NOW, 1))
    assert loops.loop("parts").hosting == HostingRecord("running", NOW, 1, None)


def test_one_execution_has_the_lock(loops: KeepsLoops) -> None:
    assert loops.lock_training("digits", TrainingLock(FIRST, NOW))
    assert not loops.lock_training("digits", TrainingLock(SECOND, NOW))
    assert loops.lock_training("other", TrainingLock(SECOND, NOW))
    assert loops.loop("digits").training == TrainingLock(FIRST, NOW)


def test_the_holder_may_ask_again_and_keeps_its_time(loops: KeepsLoops) -> None:
    loops.lock_training("digits", TrainingLock(FIRST, NOW))
    assert loops.lock_training("digits", TrainingLock(FIRST, NOW + timedelta(minutes=1)))
    assert loops.loop("digits").training == TrainingLock(FIRST, NOW)


def test_the_lock_is_taken_over_from_the_holder_that_was_named_only(loops: KeepsLoops) -> None:
    loops.lock_training("digits", TrainingLock(FIRST, NOW))
    assert not loops.lock_training("digits", TrainingLock(THIRD, NOW), instead_of=SECOND)
    assert loops.lock_training("digits", TrainingLock(SECOND, NOW), instead_of=FIRST)
    assert not loops.lock_training("digits", TrainingLock(THIRD, NOW), instead_of=FIRST)
    assert loops.loop("digits").training == TrainingLock(SECOND, NOW)


def test_only_the_holder_gives_the_lock_back(loops: KeepsLoops) -> None:
    loops.lock_training("digits", TrainingLock(FIRST, NOW))
    loops.unlock_training("digits", SECOND)
    assert loops.loop("digits").training is not None
    loops.unlock_training("digits", FIRST)
    loops.unlock_training("digits", FIRST)
    assert loops.loop("digits").training is None
    assert loops.lock_training("digits", TrainingLock(SECOND, NOW))


def test_what_labeling_keeps_in_the_same_item_stays(index_table: IndexTable) -> None:
    index_table.put({"pk": "PROJECT#digits", "sk": "LOOP", "open_job": "digits-1"})
    loops = LoopIndex(index_table)
    loops.lock_training("digits", TrainingLock(FIRST, NOW))
    loops.unlock_training("digits", FIRST)
    item = index_table.get("PROJECT#digits", "LOOP")
    assert item is not None
    assert item["open_job"] == "digits-1"


def test_the_release_lock_is_one_of_its_own(loops: KeepsLoops) -> None:
    assert loops.lock_training("digits", TrainingLock(FIRST, NOW))
    assert loops.lock_release("digits", TrainingLock(SECOND, NOW))
    assert loops.lock_release("digits", TrainingLock(SECOND, NOW))
    assert not loops.lock_release("digits", TrainingLock(THIRD, NOW))
    assert not loops.lock_release("digits", TrainingLock(THIRD, NOW), instead_of=FIRST)
    assert loops.lock_release("digits", TrainingLock(THIRD, NOW), instead_of=SECOND)
    loops.unlock_release("digits", SECOND)
    assert loops.loop("digits").release == TrainingLock(THIRD, NOW)
    loops.unlock_release("digits", THIRD)
    assert loops.loop("digits") == LoopRecord(training=TrainingLock(FIRST, NOW))


def test_a_wanted_release_is_forgotten_only_by_its_name(loops: KeepsLoops) -> None:
    loops.drop_wanted("digits", "r-1")
    wanted = WantedRelease("r-2", "0001", "rollback", "ann", NOW)
    loops.save_wanted("digits", WantedRelease("r-1", "0002", "approval", "bob", NOW))
    loops.save_wanted("digits", wanted)
    loops.drop_wanted("digits", "r-1")
    loops.save_attempts("digits", "r-1", 2)
    assert loops.loop("digits").wanted == wanted
    loops.save_attempts("digits", "r-2", 2)
    assert loops.loop("digits").wanted == replace(wanted, attempts=2)
    loops.drop_wanted("digits", "r-2")
    assert loops.loop("digits").wanted is None


def test_a_pause_comes_back_until_it_ends(loops: KeepsLoops) -> None:
    pause = Pause(NOW, "ann", "rollback to 0001")
    loops.save_pause("digits", pause)
    assert loops.loop("digits").paused == pause
    loops.save_pause("digits", None)
    assert loops.loop("digits").paused is None
