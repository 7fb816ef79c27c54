"""From output manifests to label files and the index."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from loupe.domain.datasets.labels import AcceptLabels, concluded_images
from loupe.domain.label_attributes import write_withdrawal
from loupe.domain.label_values import Box, Boxes, LabelValue, OneLabel, SeveralLabels
from loupe.ports.images import ImageRecord
from loupe.ports.projects import ImageCounts
from tests.unit.training.world import NAMES, PROJECT, World

BOXES = Boxes((Box("bolt", 4, 8.5, 9, 7), Box("nut", 0, 0, 64, 64)))


def accept(world: World, job: str) -> list[dict[str, Any]]:
    """The job's label lines, accepted anew if they were before."""
    if world.workspace.exists(NAMES.labels(job)):
        world.workspace.delete(NAMES.labels(job))
    AcceptLabels(world.images, world.workspace, world.raw.bucket, world.clock)(world.jobs.card(PROJECT, job))
    return [json.loads(line) for line in world.workspace.lines(NAMES.labels(job))]


def image(world: World, digest: str) -> ImageRecord:
    found = world.images.image(PROJECT, digest)
    assert found is not None
    return found


def ground_truth_jobs(world: World, digest: str, count: int) -> Iterator[list[dict[str, Any]]]:
    """Lines of so many jobs, none of which gives the image a label."""
    for number in range(1, count + 1):
        world.finish(f"digits-{number}", {digest: None}, provider="ground-truth", failure=f"late {number}")
        yield accept(world, f"digits-{number}")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (OneLabel("bolt"), {"label": "bolt", "confidences": [0.0]}),
        (SeveralLabels(("nut", "bolt")), {"labels": ["nut", "bolt"], "confidences": [0.0, 0.0]}),
        (SeveralLabels(()), {"labels": [], "confidences": []}),
        (BOXES, {**BOXES.to_json(), "confidences": [0.0, 0.0]}),
        (Boxes(()), {"boxes": [], "confidences": []}),
    ],
    ids=repr,
)
def test_a_label_of_any_task_is_a_line_and_the_image_is_labeled(
    world: World, value: LabelValue, said: dict[str, Any]
) -> None:
    digest = world.upload("one")
    world.finish("digits-1", {digest: value})
    [line] = accept(world, "digits-1")
    record = image(world, digest)
    assert record.state == "labeled"
    assert line == {
        "sha256": digest,
        "key": record.key,
        "version_id": None,
        "etag": record.etag,
        "bytes": record.bytes,
        "width": 64,
        "height": 64,
        "format": "png",
        "phash": record.phash,
        "orientation": 6,
        "registered_at": record.registered_at.isoformat(),
        "job": "digits-1",
        "labeled_at": "2026-11-21T10:16:00+00:00",
        "human": True,
        **said,
    }


def test_images_of_a_job_for_the_test_set_and_their_origin_are_remembered(world: World) -> None:
    digest = world.upload("one")
    world.finish("digits-1", {digest: "a"}, provider="import", split="test")
    manifest = NAMES.output_manifest("digits-1")
    [row] = map(json.loads, world.workspace.lines(manifest))
    origin = {"format": "coco", "file": "instances.json", "line": 7}
    world.workspace.write(manifest, json.dumps(row | {"loupe-origin": origin}).encode())
    [line] = accept(world, "digits-1")
    assert (line["split"], line["origin"]) == ("test", origin)


def test_an_image_that_the_index_lost_keeps_what_the_manifest_says(world: World) -> None:
    world.finish("digits-1", {"f" * 64: "a"})
    [line] = accept(world, "digits-1")
    assert (line["key"], line["etag"], line["width"], line["height"]) == ("digits/lost", None, 64, 64)


def test_what_people_at_the_portal_refuse_is_refused_for_good(world: World) -> None:
    digest = world.upload("one")
    world.finish("digits-1", {digest: None})
    [line] = accept(world, "digits-1")
    assert line["failure_reason"] == "skipped by ann: blurred"
    assert image(world, digest).state == "rejected"


def test_what_ground_truth_leaves_unlabeled_waits_again_and_is_refused_after_three_jobs(world: World) -> None:
    digest = world.upload("one")
    jobs = ground_truth_jobs(world, digest, 3)
    for attempts in (1, 2):
        assert next(jobs) == []
        assert (image(world, digest).state, image(world, digest).attempts) == ("pending", attempts)
    [line] = next(jobs)
    assert line["failure_reason"] == "no label after 3 labeling jobs: late 3"
    assert image(world, digest).state == "rejected"
    assert image(world, digest).reason == line["failure_reason"]


def test_a_row_without_any_reason_counts_as_well(world: World) -> None:
    digest = world.upload("one")
    for number in range(1, 4):
        world.finish(f"digits-{number}", {digest: None}, provider="ground-truth", failure=None)
        lines = accept(world, f"digits-{number}")
    assert [line["failure_reason"] for line in lines] == [
        "no label after 3 labeling jobs: the last one gives no reason"
    ]


def test_a_run_that_died_before_its_lines_were_written_is_repeated_to_the_same_end(world: World) -> None:
    digest = world.upload("one")
    jobs = ground_truth_jobs(world, digest, 3)
    for attempts in (1, 2):
        assert next(jobs) == accept(world, f"digits-{attempts}") == []
        assert image(world, digest).attempts == attempts
    assert next(jobs) == accept(world, "digits-3")
    assert world.projects.counts(PROJECT) == ImageCounts(rejected=1)


def test_an_image_that_another_job_has_by_then_stays_there(world: World) -> None:
    digest = world.upload("one")
    world.finish("digits-1", {digest: None}, provider="ground-truth")
    accept(world, "digits-1")
    world.images.take(PROJECT, "digits-2", [digest])
    assert accept(world, "digits-1") == []
    assert (image(world, digest).state, image(world, digest).job) == ("labeling", "digits-2")


def test_what_an_import_has_no_label_for_is_passed_over(world: World) -> None:
    digest = world.upload("one")
    world.finish("digits-1", {digest: None}, provider="import")
    assert accept(world, "digits-1") == []
    assert (image(world, digest).state, image(world, digest).attempts) == ("pending", 0)


def test_a_label_that_a_review_found_wrong_is_withdrawn_and_the_image_waits_again(world: World) -> None:
    digest = world.upload("one")
    world.finish("digits-1", {digest: "a"})
    accept(world, "digits-1")
    world.finish("digits-2", {digest: None}, provider="ground-truth")
    manifest = NAMES.output_manifest("digits-2")
    [row] = map(json.loads, world.workspace.lines(manifest))
    withdrawal = write_withdrawal("label", "image-classification", "digits-2", world.clock())
    world.workspace.write(manifest, json.dumps(row | withdrawal).encode())
    for _ in range(2):
        [line] = accept(world, "digits-2")
        assert (line["withdrawn"], line["labeled_at"]) == (True, world.clock().isoformat())
        assert world.projects.counts(PROJECT) == ImageCounts(pending=1)
    assert image(world, digest).attempts == 0


# The index from the label files -----------------------------------------------------------------------


def test_a_lost_index_gets_every_conclusion_back(world: World) -> None:
    labeled, refused, tried = (world.upload(name) for name in ("one", "two", "three"))
    world.finish("digits-1", {labeled: SeveralLabels(()), refused: None})
    accept(world, "digits-1")
    world.finish("digits-2", {tried: None}, provider="ground-truth")
    accept(world, "digits-2")
    found = {record.sha256: record for record in concluded_images(PROJECT, world.workspace)}
    assert found == {digest: image(world, digest) for digest in (labeled, refused)}


def test_an_image_whose_label_was_withdrawn_comes_back_with_a_later_label_only(world: World) -> None:
    wrong, mended = world.upload("one"), world.upload("two")
    world.finish("digits-1", {wrong: "a", mended: "a"})
    lines = accept(world, "digits-1")
    world.clock.advance(minutes=1)
    at = world.clock().isoformat()
    said = ("label", "confidences", "labeled_at", "human")
    withdrawn = [{k: v for k, v in line.items() if k not in said} for line in lines]
    content = [
        json.dumps(line | {"withdrawn": True, "labeled_at": at}, separators=(",", ":")) for line in withdrawn
    ]
    world.workspace.write_lines(NAMES.labels("digits-2"), (line + "\n" for line in content))
    world.finish("digits-3", {mended: "b"})
    accept(world, "digits-3")
    found = [(record.sha256, record.job) for record in concluded_images(PROJECT, world.workspace)]
    assert found == [(mended, "digits-3")]
