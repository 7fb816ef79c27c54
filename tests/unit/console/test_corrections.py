"""Labels that people correct in the console, and what becomes of them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from loupe.domain.console.correcting import Corrected, ImageUnknown, Wish
from loupe.domain.console.datasets import NothingToUse
from loupe.domain.datasets.corrections import Correction
from loupe.domain.datasets.labels import accepted_jobs, concluded_images
from loupe.domain.errors import BadRequest, Conflict, NotFound
from loupe.domain.events import TrainingRequested
from loupe.domain.label_values import Box, Boxes, InvalidLabel, LabelValue, OneLabel, UnknownLabel
from loupe.domain.labeling.annotation import Worker
from loupe.ports.loops import TrainingLock
from tests.fakes.images import FakeImages
from tests.unit.console.console import console, correct, two_labels
from tests.unit.training.world import NAMES, PROJECT, World, execution

ANN, BEN = Worker("id-ann", "ann"), Worker("id-ben", "ben")
SECOND = execution("second")


def built() -> tuple[World, list[str], list[str]]:
    """A version of two labels, six images each, and its model."""
    world = World()
    a, b = two_labels(world)
    world.turn()
    world.events.published.clear()
    world.clock.advance(minutes=1)
    return world, a, b


def fix(
    world: World,
    sha256: str,
    value: str | LabelValue | None,
    worker: Worker = ANN,
    seen: str | None = None,
    version: str = "0001",
) -> Corrected:
    said = OneLabel(value) if isinstance(value, str) else value
    (corrected,) = correct(world)(PROJECT, version, worker, [Wish(sha256, said, seen)])
    world.clock.advance(minutes=1)
    return corrected


def labels(world: World, version: str) -> dict[str, Any]:
    return {
        row["image-sha256"]: row["label-metadata"]["class-name"]
        for split in ("train", "validation", "test")
        for row in world.rows(version, split)
    }


def image(world: World, sha256: str, version: str = "0001") -> dict[str, Any]:
    return console(world).image(PROJECT, version, sha256)


def test_the_next_version_has_the_corrected_label() -> None:
    world, a, _ = built()
    fix(world, a[0], "b")
    assert labels(world, "0001")[a[0]] == "a"
    assert world.build().version == "0002"
    assert labels(world, "0002")[a[0]] == "b"
    assert image(world, a[0], "0002")["workers"] == ["ann"]
    assert world.split("0002")[a[0]] == world.split("0001")[a[0]]


def test_a_correction_starts_no_training_by_itself() -> None:
    world, a, _ = built()
    fix(world, a[0], "b")
    assert world.events.published == []


def test_many_corrections_become_one_label_file() -> None:
    world, a, b = built()
    before = accepted_jobs(PROJECT, world.workspace)
    for sha256 in a[:3]:
        fix(world, sha256, "b")
    fix(world, b[0], "a", BEN)
    world.build()
    (added,) = set(accepted_jobs(PROJECT, world.workspace)).difference(before)
    assert added.endswith("-corrections")
    assert len(list(world.workspace.lines(NAMES.labels(added)))) == 4
    world.build()
    assert accepted_jobs(PROJECT, world.workspace) == [*before, added]


def test_corrections_wait_with_other_new_labels_until_they_are_enough() -> None:
    world, a, b = built()
    world.configure(labels=("a", "b"), training={"min_new_labels": 2})
    fix(world, a[0], "b")
    assert world.build().version is None
    assert console(world).versions(PROJECT)["corrected_images"] == 1
    fix(world, b[0], "a")
    assert world.build().version == "0002"
    assert (labels(world, "0002")[a[0]], labels(world, "0002")[b[0]]) == ("b", "a")
    assert console(world).versions(PROJECT)["corrected_images"] == 0


def test_history_keeps_every_label_with_who_when_and_which_job() -> None:
    world, a, _ = built()
    first = fix(world, a[0], "b")
    world.build()
    fix(world, a[0], "a", BEN, version="0002")
    said = image(world, a[0], "0002")["history"]
    assert [each["label"] for each in said] == ["a", "b", "a"]
    assert [each.get("workers") for each in said] == [["ben"], ["ann"], None]
    assert said[2]["job"] == "digits-20260101t000000-aaaa"
    assert first.correction
    assert said[1]["labeled_at"] == first.correction.at.isoformat()


def test_what_single_workers_answered_belongs_to_the_history() -> None:
    world, a, _ = built()
    content = b'{"job": "j", "worker_name": "eva", "label": "a", "answered_at": "2026-01-01T00:00:00"}'
    world.workspace.write(NAMES.annotation("digits-20260101t000000-aaaa", a[0], "x"), content)
    world.workspace.write(NAMES.annotation("digits-20260101t000000-aaaa", a[0], "y"), b'{"refused": true}')
    (answer,) = image(world, a[0])["answers"]
    assert (answer["worker_name"], answer["label"]) == ("eva", "a")


def test_a_corrected_image_shows_it_before_the_next_version() -> None:
    world, a, _ = built()
    made = fix(world, a[0], "b").correction
    assert made
    told = image(world, a[0])
    assert (told["label"], told["current"]["label"], told["seen"]) == ("a", "b", made.id)
    assert told["corrected"]["workers"] == ["ann"]


def test_repeating_a_correction_changes_nothing() -> None:
    world, a, _ = built()
    first = fix(world, a[0], "b")
    assert fix(world, a[0], "b") == first
    assert len(list(world.workspace.list(NAMES.all_corrections))) == 1


def test_the_label_that_an_image_has_is_no_correction() -> None:
    world, a, _ = built()
    assert fix(world, a[0], "a").correction is None
    assert list(world.workspace.list(NAMES.all_corrections)) == []


def test_a_correction_can_be_taken_back() -> None:
    world, a, _ = built()
    fix(world, a[0], "b")
    fix(world, a[0], "a")
    fix(world, a[1], "b")
    world.build()
    assert labels(world, "0002")[a[0]] == "a"


def test_of_two_people_the_newer_counts_and_the_second_is_told() -> None:
    world, a, _ = built()
    world.configure(labels=("a", "b", "c"))
    first = fix(world, a[0], "b")
    assert first.other is None
    second = fix(world, a[0], "c", BEN)
    assert second.other == first.correction
    assert len(list(world.workspace.list(NAMES.all_corrections))) == 2
    assert image(world, a[0])["current"]["label"] == "c"


def test_who_knew_of_the_other_correction_is_not_told() -> None:
    world, a, _ = built()
    first = fix(world, a[0], "b").correction
    assert first
    assert fix(world, a[0], "a", BEN, seen=first.id).other is None


def test_a_correction_is_newer_than_what_it_corrects_whatever_the_clock_says() -> None:
    world, a, _ = built()
    world.clock.advance(days=-30)
    fix(world, a[0], "b")
    fix(world, a[0], "a")
    fix(world, a[0], "b")
    world.build()
    assert labels(world, "0002")[a[0]] == "b"


def test_a_withdrawn_label_leaves_the_dataset_and_the_image_is_asked_about_again() -> None:
    world, a, _ = built()
    fix(world, a[0], None)
    new = world.label("digits-20260201t000000-cccc", "a", ["new.png"])
    world.build()
    assert a[0] not in world.split("0002")
    assert new[0] in world.split("0002")
    record = world.images.image(PROJECT, a[0])
    assert record is not None
    assert record.state == "pending"


def test_a_lost_index_learns_from_corrections_what_counts() -> None:
    world, a, _ = built()
    fix(world, a[0], None)
    fix(world, a[0], "b")
    fix(world, a[1], "b")
    fix(world, a[1], None)
    world.label("digits-20260201t000000-cccc", "a", ["new.png"])
    world.build()
    lost = FakeImages(world.projects)
    lost.restore(PROJECT, concluded_images(PROJECT, world.workspace))
    restored = {sha256: lost.image(PROJECT, sha256) for sha256 in a[:2]}
    assert restored[a[0]] is not None
    assert restored[a[1]] is None


def test_a_correction_of_an_old_version_is_of_what_counts_now() -> None:
    world, a, _ = built()
    fix(world, a[0], "b")
    world.build()
    assert fix(world, a[0], "b", version="0001").correction is None
    told = image(world, a[0], "0001")
    assert (told["label"], told["current"]["label"], told["latest_version"]) == ("a", "b", "0002")


def test_a_correction_that_came_while_a_version_was_built_is_not_lost() -> None:
    world, a, b = built()
    fix(world, a[0], "b")
    late = fix(world, b[0], "a").correction
    assert late
    key = NAMES.correction("0001", b[0], late.id)
    content = world.workspace.read(key)
    world.workspace.delete(key)
    world.build()
    world.workspace.write(key, content)
    assert console(world).versions(PROJECT)["corrected_images"] == 1
    assert image(world, b[0], "0002")["current"]["label"] == "a"
    world.build()
    assert labels(world, "0003")[b[0]] == "a"


def test_boxes_are_corrected() -> None:
    world = World()
    world.configure(task="bounding-box", labels=("a",))
    box = Box("a", 1, 2, 30, 40)
    digests = [world.upload(f"{number}.png") for number in range(6)]
    world.finish("digits-1", dict.fromkeys(digests, Boxes((box,))))
    world.build()
    world.clock.advance(minutes=1)
    fix(world, digests[0], Boxes((box, Box("a", 5, 5, 10.5, 10))))
    world.build()
    rows = [row for split in ("train", "validation", "test") for row in world.rows("0002", split)]
    (row,) = [row for row in rows if row["image-sha256"] == digests[0]]
    assert [each["width"] for each in row["boxes"]["annotations"]] == [30, 10.5]


def test_what_is_no_label_of_the_project_is_refused_and_nothing_is_written() -> None:
    world, a, _ = built()
    wishes = [Wish(a[0], OneLabel("b"), None), Wish(a[1], OneLabel("z"), None)]
    with pytest.raises(UnknownLabel, match="'z' is not a label"):
        correct(world)(PROJECT, "0001", ANN, wishes)
    with pytest.raises(InvalidLabel, match="takes 'label', not 'boxes'"):
        fix(world, a[0], Boxes(()))
    with pytest.raises(NotFound, match="has no image"):
        fix(world, "0" * 64, "a")
    assert list(world.workspace.list(NAMES.all_corrections)) == []


def test_an_image_that_the_index_has_lost_waits_for_reconciliation() -> None:
    world, a, _ = built()
    world.images = FakeImages(world.projects)
    with pytest.raises(ImageUnknown, match="run loupe reconcile"):
        fix(world, a[0], "b")


def test_a_person_has_the_corrections_used_at_once() -> None:
    world, a, _ = built()
    with pytest.raises(NothingToUse):
        console(world).request_version(PROJECT, ANN)
    fix(world, a[0], "b")
    assert console(world).request_version(PROJECT, ANN) == {"corrected_images": 1}
    assert world.events.published == [
        TrainingRequested(PROJECT, "ann asks for a version with 1 corrected images")
    ]


def test_a_version_is_not_asked_for_while_a_training_would_pass_it_over() -> None:
    world, a, _ = built()
    fix(world, a[0], "b")
    assert world.loops.lock_training(PROJECT, TrainingLock(SECOND, world.clock()))
    with pytest.raises(Conflict, match="is being trained"):
        console(world).request_version(PROJECT, ANN)
    assert world.events.published == []
    world.loops.unlock_training(PROJECT, SECOND)
    assert console(world).request_version(PROJECT, ANN) == {"corrected_images": 1}


def test_a_crash_after_the_label_file_repeats_no_correction() -> None:
    world, a, _ = built()
    fix(world, a[0], "b")
    world.configure(labels=("a", "b"), training={"min_new_labels": 1000})
    assert world.build().version is None
    files = accepted_jobs(PROJECT, world.workspace)
    world.clock.advance(minutes=5)
    assert world.build().version is None
    assert accepted_jobs(PROJECT, world.workspace) == files


def test_corrections_of_two_images_at_the_same_moment_are_told_apart() -> None:
    world, a, _ = built()
    at = world.clock()
    first, second = (Correction(sha256, OneLabel("b"), ANN.id, ANN.name, at) for sha256 in a[:2])
    assert first.id != second.id


@pytest.mark.parametrize("change", [str.upper, lambda sha256: f"{sha256[:8]} {sha256[8:]}"])
def test_an_image_has_one_name(change: Callable[[str], str]) -> None:
    world, a, _ = built()
    with pytest.raises(BadRequest, match="64 hexadecimal digits"):
        fix(world, change(a[0]), "b")
    with pytest.raises(BadRequest, match="64 hexadecimal digits"):
        image(world, change(a[0]))


def test_corrections_ascend_with_time() -> None:
    world, a, _ = built()
    first = fix(world, a[0], "b").correction
    second = fix(world, a[0], "a").correction
    assert first
    assert second
    assert first.id < second.id
    assert second.at - first.at >= timedelta(seconds=59)
