"""Labeling jobs at the portal: images become tasks there, and answers become rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from local.sagemaker.labeling import Batch, Progress, WorkersAwayError, WorkersError
from local.sagemaker.workforce import PortalWorkers
from loupe.domain.errors import StoreUnavailable
from loupe.domain.label_values import Box, Boxes, LabelValue, OneLabel, SeveralLabels
from loupe.ports.labeling import Answer, JobCard, Task
from tests.fakes.labeling import FakeLabelingJobs, FakeTasks

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LABELS = ("ok", "dent")


def row(number: int, **members: Any) -> dict[str, Any]:
    return {
        "source-ref": f"s3://raw/parts/{number}.png",
        "image-sha256": f"{number:064x}",
        "image-width": 64,
        "image-height": 48,
        **members,
    }


def batch(task: str = "image-classification", images: int = 2, **changes: Any) -> Batch:
    given = {"project": "parts", "job": "parts-1", "labels": LABELS, "attribute": "label", **changes}
    return Batch(task=task, images=images, **given)


class Portal:
    def __init__(self) -> None:
        self.jobs = FakeLabelingJobs()
        self.tasks = FakeTasks(self.jobs)
        self.workers = PortalWorkers(self.tasks, "raw")

    def open(self, images: int = 2) -> None:
        """The job as the portal serves it, its tasks handed over."""
        self.workers.hand_over(batch(images=images), iter([row(number) for number in range(images)]))
        card = JobCard("parts", "parts-1", "ground-truth", "image-classification", LABELS, "", images, NOW)
        assert self.jobs.claim(card)
        assert self.jobs.open("parts", "parts-1", images, NOW)

    def answer(self, number: int, value: LabelValue | None) -> None:
        answer = Answer("w1", "ann", NOW, value=value, skip=None if value else "too dark")
        assert self.tasks.answer_many("parts", "parts-1", [(f"{number:06d}", [answer])]) == 1

    def label(self, given: Batch, *rows: dict[str, Any], failure: str | None = None) -> list[dict[str, Any]]:
        return list(self.workers.label(given, iter(rows), failure=failure))


@pytest.fixture
def portal() -> Portal:
    return Portal()


def test_each_row_becomes_a_task_and_keeps_its_answer_when_it_is_handed_over_again(portal: Portal) -> None:
    portal.open()
    portal.answer(1, OneLabel("dent"))
    portal.workers.hand_over(batch(), iter([row(0), row(1)]))
    first, second = portal.tasks.tasks("parts-1")
    assert (first.key, first.width, first.height, first.answer) == ("parts/0.png", 64, 48, None)
    assert second.answer is not None


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (row(0) | {"source-ref": "s3://other/0.png"}, "s3://other/0.png does not lie in raw"),
        ({"source-ref": "s3://raw/0.png", "image-sha256": "0"}, "has no image-width"),
    ],
)
def test_what_the_portal_can_not_show_is_named(portal: Portal, bad: dict[str, Any], said: str) -> None:
    with pytest.raises(WorkersError, match=said):
        portal.workers.hand_over(batch(), iter([bad]))


def test_progress_is_the_portal_s(portal: Portal) -> None:
    assert portal.workers.progress(batch()) is None
    portal.open()
    assert portal.workers.progress(batch()) == Progress()
    portal.answer(0, None)
    assert portal.workers.progress(batch()) == Progress(labeled=0, failed=1)
    portal.answer(1, OneLabel("ok"))
    assert portal.workers.progress(batch()) == Progress(labeled=1, failed=1)


def test_a_count_that_runs_ahead_ends_no_job(portal: Portal) -> None:
    portal.open()
    portal.answer(0, OneLabel("ok"))
    portal.jobs.progress("parts", "parts-1", answered=2, skipped=0, at=NOW)
    assert portal.workers.progress(batch()) == Progress(labeled=1, failed=0)


def test_answers_become_label_attributes(portal: Portal) -> None:
    portal.open()
    portal.answer(0, OneLabel("dent"))
    portal.answer(1, None)
    labeled, skipped = portal.label(batch(attribute="worst"), row(0, camera="7"), row(1))
    assert (labeled["worst"], labeled["camera"]) == (1, "7")
    assert labeled["worst-metadata"] == {
        "class-name": "dent",
        "confidence": 0.0,
        "type": "groundtruth/image-classification",
        "job-name": "labeling-job/parts-1",
        "human-annotated": "yes",
        "creation-date": "2026-11-21T12:00:00.000000",
    }
    assert "worst" not in skipped
    assert skipped["worst-metadata"]["failure-reason"] == "skipped by ann: too dark"


def test_rows_without_answer_stay_or_get_the_reason(portal: Portal) -> None:
    portal.open(images=1)
    assert portal.label(batch(images=1), row(0)) == [row(0)]
    [failed] = portal.label(batch(images=1), row(0), failure="expired")
    assert failed["label-metadata"]["failure-reason"] == "expired"


def test_several_labels_keep_their_order(portal: Portal) -> None:
    portal.open(images=1)
    portal.answer(0, SeveralLabels(("dent", "ok")))
    [labeled] = portal.label(batch("multi-label-classification", images=1), row(0))
    assert labeled["label"] == [1, 0]
    assert labeled["label-metadata"]["class-map"] == {"0": "ok", "1": "dent"}


def test_an_adjustment_says_whether_the_boxes_changed(portal: Portal) -> None:
    drawn = {
        "boxes": {
            "image_size": [{"width": 64, "height": 48, "depth": 3}],
            "annotations": [{"class_id": 1, "left": 1, "top": 2, "width": 3, "height": 4}],
        },
        "boxes-metadata": {"class-map": {"1": "dent"}, "objects": [{"confidence": 0.9}]},
    }
    unreadable = {"boxes": {"annotations": 7}, "boxes-metadata": {}}
    portal.open(images=3)
    same = Boxes((Box("dent", 1, 2, 3, 4),))
    for number, boxes in enumerate((same, Boxes(()), same)):
        portal.answer(number, boxes)
    given = batch("bounding-box", images=3, attribute="boxes-adjusted", audited="boxes")
    rows = portal.label(given, row(0, **drawn), row(1, **drawn), row(2, **unreadable))
    said = [each["boxes-adjusted-metadata"]["adjustment-status"] for each in rows]
    assert said == ["unadjusted", "adjusted", "adjusted"]


def test_images_of_buckets_that_the_stack_refers_to_are_shown_where_they_are(portal: Portal) -> None:
    workers = PortalWorkers(portal.tasks, "raw", frozenset({"archive"}))
    workers.hand_over(batch(), iter([row(0), row(1) | {"source-ref": "s3://archive/a//1.png"}]))
    assert [task.key for task in portal.tasks.tasks(batch().job)][1] == "s3://archive/a//1.png"
    with pytest.raises(WorkersError, match="does not lie in archive or raw"):
        workers.hand_over(batch(), iter([row(0) | {"source-ref": "s3://other/0.png"}]))


def test_an_index_that_does_not_answer_is_waited_for() -> None:
    class Away(FakeTasks):
        def task(self, project: str, job: str, task: str) -> Any:
            raise StoreUnavailable("DynamoDB is busy")

        def tasks(self, job: str) -> Iterator[Task]:
            raise StoreUnavailable("DynamoDB is busy")

    workers = PortalWorkers(Away(FakeLabelingJobs()), "raw")
    with pytest.raises(WorkersAwayError, match="busy"):
        workers.progress(batch())
    with pytest.raises(WorkersAwayError, match="busy"):
        list(workers.label(batch(), iter([row(0)]), failure=None))
