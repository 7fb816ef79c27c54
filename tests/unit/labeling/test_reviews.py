"""Labels that are looked at again, and what becomes of them."""

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from loupe.domain.datasets.labels import AcceptLabels
from loupe.domain.datasets.versions import DatasetCard
from loupe.domain.errors import BadRequest, Conflict, NotFound
from loupe.domain.events import LabelingJobFinished, LabelingJobStarted
from loupe.domain.label_attributes import Label, read_label, write_label
from loupe.domain.label_values import Box, Boxes, LabelValue, OneLabel, SeveralLabels
from loupe.domain.labeling.review import (
    NothingToReview,
    ReviewRequest,
    ReviewStarted,
    StartReview,
    verification_categories,
)
from loupe.domain.labeling.starting import LabelingRefused
from loupe.domain.manifests import Row, read_rows, write_rows
from loupe.domain.projects import LABEL_ATTRIBUTES, ProjectConfig, TaskType
from loupe.domain.workspace import Workspace
from loupe.ports.labeling import ProviderProgress, ReviewKind
from tests.unit.labeling.conftest import PROJECT, Loop

LABELS = ("ok", "scratch", "dent")
SPACE = Workspace(PROJECT)
BOLT = Box("scratch", 1.5, 2, 10, 8)


@dataclass
class Reviewed:
    """A project with a dataset version of three labeled images, and reviews of it."""

    loop: Loop
    task: TaskType

    def __post_init__(self) -> None:
        document = {"task": self.task, "labels": LABELS, "labeling": {"batch_size": 99}}
        self.loop.projects.save_config(PROJECT, ProjectConfig.model_validate(document), None, "etag")
        self.loop.register(3)
        images = list(self.loop.images.pending(PROJECT, 3))
        shas = [image.sha256 for image in images]
        self.loop.images.take(PROJECT, "digits-20261120t101500-0000", shas)
        self.loop.images.accept(PROJECT, "digits-20261120t101500-0000", shas, [])
        self.values = dict(zip(shas, VALUES[self.task], strict=True))
        rows = [self._row(image, self.values[image.sha256]) for image in images]
        for split, some in (("train", rows[:1]), ("validation", rows[1:2]), ("test", rows[2:])):
            self.loop.workspace.write_lines(SPACE.split("0001", split), write_rows(some))
        nothing = {"train": 0, "validation": 0, "test": 0}
        card = DatasetCard(
            version="0001",
            task=self.task,
            labels=LABELS,
            created_at=self.loop.clock(),
            previous_version=None,
            jobs=(),
            new_labels=3,
            images=nothing,  # type: ignore[arg-type]
            counts={"train": {}, "validation": {}, "test": {}},
            without=nothing,  # type: ignore[arg-type]
            left_out={},
            split_rule="",
        )
        self.loop.workspace.write(SPACE.dataset_card("0001"), card.to_json())
        self.start = StartReview(
            projects=self.loop.projects,
            jobs=self.loop.jobs,
            images=self.loop.images,
            workspace=self.loop.workspace,
            provider=self.loop.ground_truth,
            events=self.loop.events,
            clock=self.loop.clock,
            suffix=lambda: "1a2b",
        )

    def _row(self, image: Any, value: LabelValue) -> Row:
        confidences = (1.0,) * len(value.names)
        label = Label(value, confidences, self.loop.clock() - timedelta(days=1), True, "digits-0")
        return {
            "source-ref": f"s3://raw-data/{image.key}",
            "image-sha256": image.sha256,
            "image-width": image.width,
            "image-height": image.height,
        } | write_label(label, LABEL_ATTRIBUTES[self.task], self.task, LABELS, (image.width, image.height))

    def review(self, kind: ReviewKind = "adjustment", **request: Any) -> ReviewStarted:
        return self.start(
            ReviewRequest(
                **{"project": PROJECT, "version": None, "label": None, "limit": 9, "kind": kind} | request
            )
        )

    def rows(self, job: str) -> list[Row]:
        return list(read_rows(self.loop.workspace.lines(SPACE.input_manifest(job))))

    def answer(self, job: str, attribute: str, members: list[Row]) -> None:
        """Ground Truth ends the job with these members added to its rows."""
        rows = [row | each for row, each in zip(self.rows(job), members, strict=True)]
        self.loop.workspace.write_lines(SPACE.reviewed_manifest(job), write_rows(rows))
        labeled = sum(attribute in each for each in members)
        self.loop.ground_truth.jobs[job] = ProviderProgress("completed", labeled, len(rows) - labeled)
        self.loop.clock.advance(minutes=5)
        assert self.loop.conclude(PROJECT, job) == "finished"
        AcceptLabels(self.loop.images, self.loop.workspace, self.loop.raw_data.bucket, self.loop.clock)(
            self.loop.jobs.card(PROJECT, job)
        )

    def lines(self, job: str) -> dict[str, Any]:
        """Lines of the job's label file by image."""
        text = self.loop.workspace.lines(SPACE.labels(job))
        return {line["sha256"]: line for line in map(json.loads, text)}


VALUES: dict[TaskType, list[LabelValue]] = {
    "image-classification": [OneLabel("ok"), OneLabel("dent"), OneLabel("ok")],
    "multi-label-classification": [SeveralLabels(("ok",)), SeveralLabels(("dent", "ok")), SeveralLabels(())],
    "bounding-box": [Boxes((BOLT,)), Boxes(()), Boxes((replace(BOLT, label="dent"), BOLT))],
}


def verdict(index: int | str, name: str) -> Row:
    return {
        "boxes-verified": index,
        "boxes-verified-metadata": {
            "class-name": name,
            "confidence": 0.9,
            "type": "groundtruth/label-verification",
            "creation-date": "2026-11-21T10:18:00.000000",
        },
    }


def given(value: LabelValue, attribute: str, task: TaskType) -> Row:
    """The members that Ground Truth adds for an answer."""
    label = Label(value, (0.0,) * len(value.names), Loop().clock() + timedelta(minutes=2), True, "review")
    return write_label(label, attribute, task, LABELS, (64, 48))


@pytest.fixture
def boxes(loop: Loop) -> Reviewed:
    return Reviewed(loop, "bounding-box")


@pytest.fixture
def one(loop: Loop) -> Reviewed:
    return Reviewed(loop, "image-classification")


# Starting -------------------------------------------------------------------------------------------


def test_a_review_is_an_open_job_whose_images_keep_their_labels(boxes: Reviewed) -> None:
    started = boxes.review()
    job = boxes.loop.open_job()
    assert started == ReviewStarted(PROJECT, job.job, "0001", 3, 0)
    assert (job.state, job.tasks, job.provider) == ("open", 3, "ground-truth")
    assert boxes.loop.events.published == [LabelingJobStarted(PROJECT, job.job, 3)]
    assert boxes.loop.projects.counts(PROJECT).labeled == 3
    card = boxes.loop.jobs.card(PROJECT, job.job)
    assert (card.review, card.review_of, card.labels) == ("adjustment", "0001", LABELS)


def test_its_rows_have_the_label_of_now_for_ground_truth_and_for_the_page(boxes: Reviewed) -> None:
    for row in boxes.rows(boxes.review().job):
        value = boxes.values[row["image-sha256"]]
        assert row["current"] == value.to_json()
        assert row["classes"] == list(LABELS)
        label = read_label(row, "boxes", "bounding-box", LABELS)
        assert isinstance(label, Label)
        assert label.value == value


def test_a_verification_adds_its_verdicts_to_the_labels_that_it_is_about(boxes: Reviewed) -> None:
    job = boxes.review("verification").job
    categories = json.loads(boxes.loop.workspace.read(SPACE.label_categories(job)))
    assert [each["label"] for each in categories["labels"]] == [*LABELS, "right", "wrong"]


def test_categories_are_unique_whatever_labels_are_called() -> None:
    assert verification_categories(("wrong", "bolt")) == ("wrong", "bolt", "right")


def test_a_verification_has_no_more_categories_than_ground_truth_takes() -> None:
    most = tuple(f"part {number}" for number in range(48))
    assert len(verification_categories(most)) == 50
    with pytest.raises(LabelingRefused, match=r"at most 50.*48 labels.*not 49"):
        verification_categories((*most, "part 49"))


def test_labels_can_be_chosen(boxes: Reviewed) -> None:
    assert boxes.review(label="dent").images == 1
    [row] = boxes.rows(boxes.loop.open_job().job)
    assert {box["label"] for box in row["current"]["boxes"]} == {"scratch", "dent"}


def test_of_many_labels_a_sample_is_taken(boxes: Reviewed) -> None:
    assert boxes.review(limit=2).images == 2


def test_more_boxes_than_a_manifest_takes_are_left_out(boxes: Reviewed) -> None:
    [row] = read_rows(boxes.loop.workspace.lines(SPACE.split("0001", "train")))
    row["boxes"]["annotations"] *= 400
    boxes.loop.workspace.write_lines(SPACE.split("0001", "train"), write_rows([row]))
    started = boxes.review()
    assert (started.images, started.left_out) == (2, 1)


def test_what_cannot_be_reviewed_is_refused_in_words(boxes: Reviewed) -> None:
    with pytest.raises(NotFound, match="no dataset version '0007'"):
        boxes.review(version="0007")
    with pytest.raises(
        BadRequest, match="'rust' is not a label of version 0001, which has: ok, scratch, dent"
    ):
        boxes.review(label="rust")
    with pytest.raises(NothingToReview):
        boxes.review(label="ok")
    assert boxes.loop.jobs.jobs(PROJECT, 9) == []


def test_there_is_no_verification_of_classes(one: Reviewed) -> None:
    with pytest.raises(LabelingRefused, match="--kind adjustment"):
        one.review("verification")
    assert one.loop.jobs.jobs(PROJECT, 9) == []


def test_a_project_has_one_open_job_a_review_or_another(boxes: Reviewed) -> None:
    boxes.review()
    boxes.loop.clock.advance(seconds=1)
    with pytest.raises(Conflict, match="has an open labeling job"):
        boxes.review()


def test_a_refused_review_fails_and_holds_nothing_back(boxes: Reviewed) -> None:
    boxes.loop.ground_truth.error = LabelingRefused("the workteam is gone")
    with pytest.raises(LabelingRefused):
        boxes.review()
    [job] = boxes.loop.jobs.jobs(PROJECT, 9)
    assert (job.state, job.reason) == ("failed", "the workteam is gone")
    assert boxes.loop.projects.counts(PROJECT).labeled == 3
    boxes.loop.configure(batch_size=1)
    boxes.loop.register(1)
    boxes.loop.clock.advance(seconds=1)
    boxes.loop.start(PROJECT)
    assert boxes.loop.open_job().tasks == 1


def test_a_review_that_died_before_its_manifest_fails(boxes: Reviewed) -> None:
    card = boxes.loop.jobs.card(PROJECT, boxes.review().job)
    job = boxes.loop.open_job().job
    boxes.loop.jobs.fail(PROJECT, job, "", boxes.loop.clock())
    died = replace(card, job=job.replace("1a2b", "ffff"))
    boxes.loop.jobs.claim(died)
    boxes.loop.clock.advance(minutes=1)
    boxes.loop.start(PROJECT)
    found = boxes.loop.jobs.job(PROJECT, died.job)
    assert found is not None
    assert found.state == "failed"
    assert "start it again" in (found.reason or "")


# Concluding -----------------------------------------------------------------------------------------


def test_corrected_boxes_are_new_labels_and_the_others_stand(boxes: Reviewed) -> None:
    job = boxes.review().job
    moved = Box("scratch", 3, 2, 10, 8)
    members, corrected = [], ""
    for row in boxes.rows(job):
        value = boxes.values[row["image-sha256"]]
        assert isinstance(value, Boxes)
        if len(value.boxes) == 1:
            value, corrected = Boxes((moved,)), row["image-sha256"]
        elif len(value.boxes) == 2:
            value = Boxes(tuple(replace(box, left=2) for box in reversed(value.boxes)))
        members.append(given(value, "boxes-adjusted", "bounding-box"))
    boxes.answer(job, "boxes-adjusted", members)
    [line] = boxes.lines(job).values()
    assert line["sha256"] == corrected
    assert line["boxes"] == [{"label": "scratch", "left": 3, "top": 2, "width": 10, "height": 8}]
    assert boxes.loop.projects.counts(PROJECT).labeled == 3
    assert boxes.loop.events.published[-1] == LabelingJobFinished(PROJECT, job)


def test_wrong_boxes_are_withdrawn_and_their_images_wait_again(boxes: Reviewed) -> None:
    job = boxes.review("verification").job
    rows = boxes.rows(job)
    boxes.answer(job, "boxes-verified", [verdict("4", "wrong"), verdict(3, "right"), {}])
    [line] = boxes.lines(job).values()
    assert line["sha256"] == rows[0]["image-sha256"]
    assert line["withdrawn"] is True
    counts = boxes.loop.projects.counts(PROJECT)
    assert (counts.labeled, counts.pending) == (2, 1)
    ended = boxes.loop.jobs.job(PROJECT, job)
    assert ended is not None
    assert ended.reason == "Ground Truth labeled 2 of 3 images"


def test_a_verdict_without_a_name_is_the_category_of_its_index(boxes: Reviewed) -> None:
    job = boxes.review("verification").job
    rows = boxes.rows(job)
    nameless = [verdict(index, "") for index in ("4", 3, "0")]
    boxes.answer(job, "boxes-verified", nameless)
    assert set(boxes.lines(job)) == {rows[0]["image-sha256"]}


@pytest.mark.parametrize(
    ("task", "attribute", "corrected"),
    [
        ("image-classification", "label-reviewed", OneLabel("scratch")),
        ("multi-label-classification", "labels-reviewed", SeveralLabels(("scratch",))),
    ],
)
def test_classes_are_chosen_anew(loop: Loop, task: TaskType, attribute: str, corrected: LabelValue) -> None:
    reviewed = Reviewed(loop, task)
    job = reviewed.review().job
    first, *others = reviewed.rows(job)
    same = [reviewed.values[row["image-sha256"]] for row in others]
    if task == "multi-label-classification":
        same = [SeveralLabels(tuple(reversed(value.names))) for value in same]
    members = [given(value, attribute, task) for value in (corrected, *same)]
    reviewed.answer(job, attribute, members)
    [line] = reviewed.lines(job).values()
    assert line["sha256"] == first["image-sha256"]
    assert corrected.to_json().items() <= line.items()


def test_a_lost_review_comes_back_as_one(boxes: Reviewed) -> None:
    job = boxes.review().job
    remote = boxes.loop.ground_truth.jobs
    boxes.loop.lose_index()
    boxes.loop.ground_truth.jobs.update(remote)
    assert boxes.loop.restore(PROJECT, job)
    assert boxes.loop.jobs.card(PROJECT, job).review == "adjustment"
    assert boxes.loop.open_job().provider == "ground-truth"
