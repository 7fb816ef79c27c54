"""From finished jobs to a dataset version."""

import json
from collections import Counter
from hashlib import sha256

import pytest

from loupe.domain.correlation import id_of_turn
from loupe.domain.errors import InvalidProject
from loupe.domain.training.turns import Result, TurnBegun
from tests.unit.training.world import FIRST, NAMES, PROJECT, World, execution

SECOND = execution("second")


def label_both(world: World, job: str = "digits-1", images: int = 20) -> None:
    digests = {world.upload(f"{job}/{number}"): "ab"[number % 2] for number in range(images)}
    world.finish(job, digests)


def built(version: str, correlation_id: str = "digits-1") -> TurnBegun:
    return TurnBegun("built", version, correlation_id=correlation_id)


def test_labels_become_three_manifests_of_70_15_15_for_each_label(world: World) -> None:
    label_both(world, images=40)
    assert world.build() == built("0001")
    assert world.card("0001").counts == {
        "train": {"a": 14, "b": 14},
        "validation": {"a": 3, "b": 3},
        "test": {"a": 3, "b": 3},
    }
    assert world.loops.loop(PROJECT).dataset_version == "0001"


def test_a_row_is_ground_truths_own_with_class_indexes_in_the_projects_order(world: World) -> None:
    world.configure(labels=("b", "a"))
    label_both(world)
    world.build()
    row = world.rows("0001", "train")[0]
    assert row["source-ref"].startswith("s3://raw/digits/digits-1/")
    assert row["label"] == ["b", "a"].index(row["label-metadata"]["class-name"])
    assert row["label-metadata"] == {
        "class-name": row["label-metadata"]["class-name"],
        "confidence": 0.0,
        "type": "groundtruth/image-classification",
        "job-name": "labeling-job/digits-1",
        "human-annotated": "yes",
        "creation-date": "2026-11-21T10:16:00.000000",
    }


def test_the_same_labels_give_the_same_bytes() -> None:
    def objects() -> dict[str, bytes]:
        world = World()
        label_both(world, images=50)
        world.build()
        return world.workspace.content

    assert objects() == objects()


def test_labels_are_accepted_into_the_index_and_into_s3(world: World) -> None:
    labeled, refused = world.upload("a"), world.upload("b")
    world.finish("digits-1", {labeled: "a", refused: None})
    world.build()
    assert world.projects.counts(PROJECT).labeled == 1
    assert world.projects.counts(PROJECT).rejected == 1
    lines = [json.loads(line) for line in world.workspace.lines(NAMES.labels("digits-1"))]
    assert [line["sha256"] for line in lines] == [labeled, refused]
    assert lines[0]["label"] == "a"
    assert lines[1]["failure_reason"] == "skipped by ann: blurred"
    assert "label" not in lines[1]


def test_a_label_counts_even_if_the_index_lost_its_image(world: World) -> None:
    label_both(world)
    world.finish("digits-2", {"f" * 64: "a"})
    world.build()
    assert world.card("0001").left_out == {"object is gone or was replaced": 1}


def test_of_several_labels_of_an_image_the_latest_wins(world: World) -> None:
    label_both(world)
    digest = world.upload("twice")
    world.finish("digits-3", {digest: "a"})
    world.finish("digits-2", {digest: "b"})  # later, though its name is not
    world.build()
    rows = [row for split in ("train", "validation", "test") for row in world.rows("0001", split)]
    assert [row["label"] for row in rows if row["image-sha256"] == digest] == [1]


def test_an_image_that_is_gone_or_replaced_is_left_out(world: World) -> None:
    label_both(world)
    gone, replaced = world.label("digits-2", "a", ["gone", "replaced"])
    world.raw.delete(f"{PROJECT}/gone")
    world.raw.write(f"{PROJECT}/replaced", b"something else")
    world.build()
    assert not {gone, replaced} & set(world.split("0001"))
    assert world.card("0001").left_out == {"object is gone or was replaced": 2}


def test_an_image_that_moved_to_another_key_is_found_there(world: World) -> None:
    label_both(world)
    (digest,) = world.label("digits-2", "a", ["old"])
    world.move(digest, "new")
    world.build()
    rows = [row for split in ("train", "validation", "test") for row in world.rows("0001", split)]
    assert [row["source-ref"] for row in rows if row["image-sha256"] == digest] == ["s3://raw/digits/new"]


def test_a_label_that_left_project_yaml_is_left_out_and_counted(world: World) -> None:
    label_both(world)
    world.label("digits-2", "c", ["1", "2", "3"])
    world.build()
    card = world.card("0001")
    assert card.left_out == {"label is not in project.yaml any more": 3}
    assert card.labels == ("a", "b")


def test_an_image_that_was_in_test_stays_there_and_others_never_join(world: World) -> None:
    label_both(world)
    world.turn()
    label_both(world, "digits-2", 60)
    world.turn(SECOND)
    first, second = world.split("0001"), world.split("0002")
    assert {first[digest] == second[digest] for digest in first} == {True}
    assert Counter(second.values()) == {"train": 56, "validation": 12, "test": 12}


def test_near_duplicates_are_in_one_split_together(world: World) -> None:
    label_both(world)
    burst = {world.upload(f"burst/{number}", phash=3 << number): "a" for number in range(30)}
    world.finish("digits-2", burst)
    world.build()
    assert len({world.split("0001")[digest] for digest in burst}) == 1


def test_a_new_near_duplicate_of_a_test_image_joins_test(world: World) -> None:
    label_both(world)
    world.turn()
    tested = next(row["image-sha256"] for row in world.rows("0001", "test"))
    twin = world.upload("twin", phash=int(tested, 16) ^ 1)
    world.finish("digits-2", {twin: "a"})
    world.turn(SECOND)
    assert world.split("0002")[twin] == "test"


def test_when_trained_and_test_images_turn_out_to_look_alike_the_trained_ones_are_left_out(
    world: World,
) -> None:
    label_both(world)
    looks = [int.from_bytes(sha256(bytes([number])).digest()[1:]) << 8 for number in range(30)]
    pairs = [
        (world.upload(f"{number}/one", look), world.upload(f"{number}/other", look | 0xFF))
        for number, look in enumerate(looks)
    ]
    world.finish("digits-2", {digest: "a" for pair in pairs for digest in pair})
    world.turn()
    splits = world.split("0001")
    number, pair = next(
        (n, pair) for n, pair in enumerate(pairs) if {splits[each] for each in pair} == {"train", "test"}
    )
    between = world.upload("between", phash=looks[number] | 0x0F)  # four bits from each of the two
    world.finish("digits-3", {between: "a"})
    world.turn(SECOND)
    after = world.split("0002")
    assert after[between] == "test"
    assert [after.get(digest) for digest in pair] == [
        "test" if splits[digest] == "test" else None for digest in pair
    ]
    assert world.card("0002").left_out == {"near-duplicate of a test image": 1}


def test_fewer_new_labels_than_wanted_wait(world: World) -> None:
    world.configure(training={"min_new_labels": 30})
    label_both(world, images=20)
    assert world.build() == TurnBegun("nothing_new", reason="20 of 30 new labels")
    assert list(world.versions()) == []
    assert world.loops.loop(PROJECT).training is None
    assert world.loops.loop(PROJECT).waiting_for == "20 of 30 new labels"
    label_both(world, "digits-2", 10)
    assert world.build() == built("0001", "digits-2")
    assert world.loops.loop(PROJECT).waiting_for is None


def test_a_label_without_images_is_waited_for_and_named(world: World) -> None:
    world.label("digits-1", "a", ["1", "2", "3"])
    begun = world.build()
    assert begun.outcome == "nothing_new"
    assert "no image to train on is labeled 'b'" in begun.reason


def test_the_same_event_again_finds_nothing_new(world: World) -> None:
    label_both(world)
    assert world.turn() == "0001"
    assert world.build(SECOND).outcome == "nothing_new"
    assert list(world.versions()) == ["0001"]


def test_after_a_failed_training_the_same_dataset_is_trained_on_again(world: World) -> None:
    label_both(world)
    world.plan(world.build().version or "")
    world.conclude(Result(PROJECT, FIRST, "failed", "0001", failure={"Error": "E", "Cause": "no disk"}))
    assert world.build(SECOND) == built("0001")
    assert world.plan("0001", SECOND).version == "0001-2"


def test_a_retried_call_of_the_same_execution_gives_the_same_version(world: World) -> None:
    label_both(world)
    assert world.build() == world.build() == built("0001")


def test_while_one_execution_works_another_is_told_that_it_is_covered(world: World) -> None:
    label_both(world)
    world.executions.running.add(FIRST)
    world.build()
    assert world.build(SECOND) == TurnBegun("covered")


def test_a_lock_whose_execution_is_lost_is_taken_over_and_its_training_settled(world: World) -> None:
    label_both(world)
    world.build()
    world.plan("0001")
    assert world.build(SECOND) == built("0001")
    last = world.loops.loop(PROJECT).last_training
    assert last is not None
    assert (last.status, last.version) == ("failed", "0001")
    assert "stopped or lost" in last.reason
    assert json.loads(world.workspace.read(NAMES.outcome("0001")))["outcome"] == "failed"


def test_a_version_that_was_never_finished_keeps_its_number_for_itself(world: World) -> None:
    label_both(world)
    world.workspace.write(NAMES.split("0001", "train"), b"half a version")
    assert world.build() == built("0002")
    assert world.card("0002").previous_version is None


def test_a_project_whose_yaml_is_not_valid_says_so(world: World) -> None:
    world.projects.save_config(PROJECT, None, "labels: is missing", "etag")
    with pytest.raises(InvalidProject, match="labels: is missing"):
        world.build()


def test_only_so_many_trainings_begin_in_a_day_and_one_covers_what_waited(world: World) -> None:
    world.configure(training={"max_per_day": 2})
    world.label("digits-1", "a", [f"a/{at}" for at in range(10)])
    world.label("digits-2", "b", [f"b/{at}" for at in range(10)])
    world.plan(world.build().version or "")
    world.conclude(Result(PROJECT, FIRST, "failed", "0001", "no disk"))
    assert world.turn(SECOND) == "0001-2"
    for job in ("digits-3", "digits-4"):
        world.label(job, "a", [job])
        begun = world.build(execution(job))
        reason = "2 trainings began in 24 hours, and training.max_per_day is 2"
        assert begun == TurnBegun("nothing_new", reason=reason)
    loop = world.loops.loop(PROJECT)
    assert (loop.training, loop.waiting_for) == (None, reason)
    world.clock.advance(hours=24)
    assert world.turn(execution("later")) == "0002"
    assert {"digits-3", "digits-4"} <= set(world.card("0002").jobs)


def test_a_turn_goes_by_the_newest_of_the_jobs_that_it_is_the_first_to_cover(world: World) -> None:
    label_both(world, "digits-1")
    label_both(world, "digits-2")
    assert world.turn() == "0001"
    assert world.card("0001").correlation_id == "digits-2"
    label_both(world, "digits-3")
    assert world.build(SECOND) == built("0002", "digits-3")


@pytest.mark.parametrize(
    ("jobs", "found"),
    [
        (["digits-20261121t101500-1a2b", "digits-20261121t101501-0a2b"], "digits-20261121t101501-0a2b"),
        (["digits-20261121t10-1a2b", "digits-20261122t10-1a2b-corrections"], "digits-20261121t10-1a2b"),
        (["digits-20261122t101500-1a2b-corrections"], "digits-20261122t101500-1a2b-corrections"),
        ([], None),
    ],
)
def test_corrections_give_a_turn_its_id_only_without_a_job(jobs: list[str], found: str | None) -> None:
    """They are put together when the version is built: nothing before it goes by their name."""
    assert id_of_turn(jobs) == found
