"""Dataset versions of images with several labels and with boxes, and those with a designated test set."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from loupe.domain.datasets.versions import DESIGNATED_SPLIT_RULE
from loupe.domain.label_values import Box, Boxes, LabelValue, OneLabel, SeveralLabels
from loupe.domain.training.turns import TurnBegun
from tests.unit.training.world import NAMES, PROJECT, World, execution

LABELS = ("a", "b", "c")
SECOND = execution("second")


def several(labels: str) -> SeveralLabels:
    return SeveralLabels(tuple(labels))


def boxes(labels: str) -> Boxes:
    return Boxes(tuple(Box(label, 4 * at, 2, 8, 16.5) for at, label in enumerate(labels)))


def finish(world: World, job: str, answers: Sequence[LabelValue], **card: Any) -> list[str]:
    """New images, one an answer; returns their SHA-256s."""
    digests = [world.upload(f"{job}/{number}") for number in range(len(answers))]
    world.finish(job, dict(zip(digests, answers, strict=True)), **card)
    return digests


def rows(world: World, version: str) -> dict[str, dict[str, Any]]:
    found = (row for split in ("train", "validation", "test") for row in world.rows(version, split))
    return {row["image-sha256"]: row for row in found}


# Rows and counts ------------------------------------------------------------------------------------


@pytest.fixture
def multi(world: World) -> World:
    world.configure(task="multi-label-classification", labels=LABELS)
    return world


@pytest.fixture
def boxed(world: World) -> World:
    world.configure(task="bounding-box", labels=LABELS)
    return world


def test_a_row_of_several_labels_is_ground_truths_own(multi: World) -> None:
    *_, several_labels, none = finish(
        multi, "digits-1", [several("b")] * 8 + [several("ca")] * 8 + [several("")]
    )
    multi.build()
    row = rows(multi, "0001")[several_labels]
    assert row == {
        "source-ref": "s3://raw/digits/digits-1/15",
        "image-sha256": several_labels,
        "image-width": 64,
        "image-height": 64,
        "labels": [2, 0],
        "labels-metadata": {
            "class-map": {"0": "a", "2": "c"},
            "confidence-map": {"0": 0.0, "2": 0.0},
            "type": "groundtruth/image-classification-multilabel",
            "job-name": "labeling-job/digits-1",
            "human-annotated": "yes",
            "creation-date": "2026-11-21T10:16:00.000000",
        },
    }
    assert rows(multi, "0001")[none]["labels"] == []


def test_a_row_of_boxes_is_ground_truths_own(boxed: World) -> None:
    *_, two, none = finish(boxed, "digits-1", [boxes("b")] * 8 + [boxes("ca")] * 8 + [boxes("")])
    boxed.build()
    row = rows(boxed, "0001")[two]
    assert row["boxes"] == {
        "image_size": [{"width": 64, "height": 64, "depth": 3}],
        "annotations": [
            {"class_id": 2, "left": 0, "top": 2, "width": 8, "height": 16.5},
            {"class_id": 0, "left": 4, "top": 2, "width": 8, "height": 16.5},
        ],
    }
    assert row["boxes-metadata"] == {
        "objects": [{"confidence": 0.0}, {"confidence": 0.0}],
        "class-map": {"0": "a", "2": "c"},
        "type": "groundtruth/object-detection",
        "job-name": "labeling-job/digits-1",
        "human-annotated": "yes",
        "creation-date": "2026-11-21T10:16:00.000000",
    }
    assert rows(boxed, "0001")[none]["boxes"]["annotations"] == []


@pytest.mark.parametrize("make", [several, boxes])
def test_an_image_counts_for_each_of_its_labels_and_those_without_are_counted_apart(
    world: World, make: Any
) -> None:
    value: LabelValue = make("a")
    world.configure(task=value.task, labels=LABELS)
    labels = ["a"] * 40 + ["ab"] * 20 + ["abc"] * 20 + [""] * 20
    finish(world, "digits-1", [make(each) for each in labels])
    world.build()
    card = world.card("0001")
    assert card.images == {"train": 70, "validation": 15, "test": 15}
    assert card.without == {"train": 14, "validation": 3, "test": 3}
    # Spread by the rarest label of each image, so that all of them are in each split in proportion.
    assert card.counts == {
        "train": {"a": 56, "b": 28, "c": 14},
        "validation": {"a": 12, "b": 6, "c": 3},
        "test": {"a": 12, "b": 6, "c": 3},
    }


def test_two_boxes_of_a_label_are_one_image_of_it(boxed: World) -> None:
    finish(boxed, "digits-1", [boxes("abccc")] * 10)
    boxed.build()
    assert boxed.card("0001").counts["train"] == {"a": 6, "b": 6, "c": 6}


def test_labels_that_left_project_yaml_are_left_out_of_the_label_and_not_the_image(multi: World) -> None:
    digest, *_ = finish(multi, "digits-1", [several("bx")] + [several("abc")] * 20)
    multi.build()
    assert multi.card("0001").left_out == {}
    assert rows(multi, "0001")[digest]["labels"] == [1]
    assert rows(multi, "0001")[digest]["labels-metadata"]["confidence-map"] == {"1": 0.0}


def test_labels_of_another_task_are_left_out_and_counted(multi: World) -> None:
    finish(multi, "digits-1", [OneLabel("a")] * 5)
    finish(multi, "digits-2", [several("abc")] * 20)
    multi.build()
    assert multi.card("0001").left_out == {"label is not in project.yaml any more": 5}


def test_a_label_that_nobody_saw_is_waited_for(multi: World) -> None:
    finish(multi, "digits-1", [several("ab"), several("")] * 20)
    begun = multi.build()
    assert begun == TurnBegun(
        "nothing_new",
        reason="no image to train on is labeled 'c': label some, or take the label out of project.yaml",
    )


# A designated test set --------------------------------------------------------------------------------


def test_the_test_set_is_what_a_job_was_for_and_the_rest_is_split_85_15(world: World) -> None:
    tested = finish(world, "digits-1", [OneLabel("a"), OneLabel("b")] * 4, provider="import", split="test")
    finish(world, "digits-2", [OneLabel("a"), OneLabel("b")] * 20)
    world.build()
    assert {digest for digest, split in world.split("0001").items() if split == "test"} == set(tested)
    assert world.card("0001").counts == {
        "train": {"a": 17, "b": 17},
        "validation": {"a": 3, "b": 3},
        "test": {"a": 4, "b": 4},
    }
    assert world.card("0001").split_rule == DESIGNATED_SPLIT_RULE


def test_what_was_in_test_before_stays_there_and_nothing_else_joins(world: World) -> None:
    finish(world, "digits-1", [OneLabel("a"), OneLabel("b")] * 20)
    world.turn()
    before = {digest for digest, split in world.split("0001").items() if split == "test"}
    tested = finish(world, "digits-2", [OneLabel("a")] * 5, provider="import", split="test")
    world.turn(SECOND)
    finish(world, "digits-3", [OneLabel("a"), OneLabel("b")] * 20)
    world.turn(execution("third"))
    assert {d for d, split in world.split("0003").items() if split == "test"} == before | set(tested)


def test_a_designated_image_that_was_learned_from_is_left_out_with_its_reason(world: World) -> None:
    finish(world, "digits-1", [OneLabel("a"), OneLabel("b")] * 20)
    world.turn()
    splits = world.split("0001")
    world.finish("digits-2", dict.fromkeys(splits, "a"), provider="import", split="test")
    again = finish(world, "digits-3", [OneLabel("a"), OneLabel("b")] * 20)
    world.turn(SECOND)
    learned = {digest for digest, split in splits.items() if split != "test"}
    assert not learned & world.split("0002").keys()
    assert world.card("0002").left_out == {
        "meant for the test set, but an earlier version trained or validated on it": len(learned)
    }
    assert Counter(world.split("0002")[digest] for digest in again) == {"train": 34, "validation": 6}


def test_new_images_that_look_like_a_learned_one_which_was_meant_for_test_are_learned_from(
    world: World,
) -> None:
    finish(world, "digits-1", [OneLabel("a"), OneLabel("b")] * 20)
    world.turn()
    trained = next(row["image-sha256"] for row in world.rows("0001", "train"))
    twin = world.upload("twin", phash=int(trained, 16) ^ 1)
    world.finish("digits-2", {trained: "a"}, provider="import", split="test")
    world.finish("digits-3", {twin: "a"})
    world.turn(SECOND)
    assert world.split("0002").get(trained) is None
    assert world.split("0002")[twin] == "train"


def test_a_new_image_that_looks_like_a_designated_one_is_on_no_side(world: World) -> None:
    finish(world, "digits-1", [OneLabel("a"), OneLabel("b")] * 20)
    tested, twin = world.upload("tested", phash=7), world.upload("twin", phash=3)
    world.finish("digits-2", {tested: "a"}, provider="import", split="test")
    world.finish("digits-3", {twin: "a"})
    world.build()
    assert world.split("0001")[tested] == "test"
    assert twin not in world.split("0001")
    assert world.card("0001").left_out == {"near-duplicate of a test image": 1}


def test_a_later_label_of_a_designated_image_keeps_it_in_test(world: World) -> None:
    tested = finish(world, "digits-1", [OneLabel("a")] * 5, provider="import", split="test")
    finish(world, "digits-2", [OneLabel("a"), OneLabel("b")] * 20)
    world.finish("digits-3", dict.fromkeys(tested, "b"))
    world.build()
    assert world.card("0001").counts["test"] == {"a": 0, "b": 5}


# Reviews ----------------------------------------------------------------------------------------------


def test_an_image_whose_label_was_withdrawn_is_in_no_version_until_it_has_another(world: World) -> None:
    wrong, *_ = finish(world, "digits-1", [OneLabel("a"), OneLabel("b")] * 20)
    world.build()
    [line] = [line for line in world.workspace.lines(NAMES.labels("digits-1")) if wrong in line]
    world.clock.advance(minutes=1)
    withdrawal = line.replace('"label":"a"', '"withdrawn":true').replace("10:16", "10:17")
    world.workspace.write(NAMES.labels("digits-2"), withdrawal.encode())
    world.images.withdraw(PROJECT, "digits-2", [wrong])
    finish(world, "digits-3", [OneLabel("a")])
    world.turn(SECOND)
    assert wrong not in world.split("0002")
    world.finish("digits-4", {wrong: "b"})
    world.turn(execution("third"))
    assert rows(world, "0003")[wrong]["label-metadata"]["class-name"] == "b"
