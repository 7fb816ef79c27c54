"""The life of a job that Ground Truth labels, from the cut to its end."""

import json
from dataclasses import replace

import pytest

from loupe.domain.datasets.labels import AcceptLabels
from loupe.domain.errors import StoreUnavailable
from loupe.domain.events import LabelingJobFailed, LabelingJobFinished, LabelingJobStarted
from loupe.domain.label_attributes import Label, write_label
from loupe.domain.label_values import Box, Boxes
from loupe.domain.labeling.job_ends import read_end
from loupe.domain.labeling.provided_labels import project_of_job
from loupe.domain.labeling.starting import LabelingRefused
from loupe.domain.manifests import write_rows
from loupe.domain.projects import ProjectConfig
from loupe.domain.workspace import Workspace
from loupe.ports.labeling import LabelingJob, ProviderProgress
from tests.unit.labeling.conftest import PROJECT, Loop

COMPLETED = ProviderProgress("completed", labeled=3, failed=0)


@pytest.fixture
def gt(loop: Loop) -> Loop:
    """A project that Ground Truth labels, with a batch of three pending."""
    loop.configure(provider="ground-truth")
    loop.register(3)
    return loop


@pytest.fixture
def open_gt(gt: Loop) -> Loop:
    """Its job is open."""
    gt.start(PROJECT)
    gt.events.published.clear()
    return gt


def answer(loop: Loop, job: str, labels: list[str | None]) -> None:
    """Ground Truth writes what the workers said of each image; None for no answer."""
    rows = [
        row
        if label is None
        else row
        | {
            "label": str(["ok", "scratch", "dent"].index(label)),
            "label-metadata": {
                "class-name": label,
                "confidence": 0,
                "type": "groundtruth/image-classification",
                "job-name": job,
                "human-annotated": "yes",
                "creation-date": "2026-11-21T10:20:00.000000",
            },
        }
        for row, label in zip(loop.input_rows(job), labels, strict=True)
    ]
    loop.workspace.write_lines(Workspace(PROJECT).output_manifest(job), write_rows(rows))


def newest(loop: Loop) -> LabelingJob:
    return loop.jobs.jobs(PROJECT, 1)[0]


def test_a_cut_job_is_started_and_opens(gt: Loop) -> None:
    gt.start(PROJECT)
    job = gt.open_job()
    assert (job.state, job.tasks, job.provider) == ("open", 3, "ground-truth")
    assert list(gt.ground_truth.jobs) == [job.job]
    assert list(gt.tasks.tasks(job.job)) == []
    assert gt.events.published == [LabelingJobStarted(PROJECT, job.job, 3)]


def test_a_completed_job_finishes_as_the_portals_do(open_gt: Loop) -> None:
    job = open_gt.open_job().job
    answer(open_gt, job, ["ok", "dent", "ok"])
    open_gt.ground_truth.jobs[job] = COMPLETED
    assert open_gt.conclude(PROJECT, job) == "finished"
    assert open_gt.events.published == [LabelingJobFinished(PROJECT, job)]
    ended = newest(open_gt)
    assert (ended.state, ended.answered, ended.skipped, ended.reason) == ("finished", 3, 0, None)
    assert open_gt.jobs.open_job(PROJECT) is None
    AcceptLabels(open_gt.images, open_gt.workspace, open_gt.raw_data.bucket, open_gt.clock)(
        open_gt.jobs.card(PROJECT, job)
    )
    assert open_gt.projects.counts(PROJECT).labeled == 3


def test_events_that_come_twice_or_too_early_change_nothing(open_gt: Loop) -> None:
    job = open_gt.open_job().job
    assert open_gt.conclude(PROJECT, job) == "open"
    answer(open_gt, job, ["ok", "dent", "ok"])
    open_gt.ground_truth.jobs[job] = COMPLETED
    for _ in range(3):
        assert open_gt.conclude(PROJECT, job) == "finished"
    assert open_gt.events.published == [LabelingJobFinished(PROJECT, job)]


def test_a_job_that_loupe_did_not_start_is_not_its_business(open_gt: Loop) -> None:
    assert project_of_job("boxes-03") is None
    assert project_of_job("a-b-20261121t101500-1a2b") == "a-b"
    assert open_gt.conclude("bolts", "bolts-20261121t101500-1a2b") is None
    assert open_gt.ground_truth.looks == 0


def test_the_portals_jobs_are_not_ground_truths(loop: Loop) -> None:
    loop.register(3)
    loop.start(PROJECT)
    assert loop.conclude(PROJECT, loop.open_job().job) is None
    assert loop.ground_truth.looks == 0


def test_a_stopped_job_keeps_its_labels_and_gives_the_other_images_back(open_gt: Loop) -> None:
    job = open_gt.open_job().job
    answer(open_gt, job, ["ok", None, None])
    open_gt.ground_truth.jobs[job] = ProviderProgress("stopped", labeled=1, failed=0)
    open_gt.conclude(PROJECT, job)
    ended = newest(open_gt)
    assert (ended.state, ended.tasks, ended.answered) == ("finished", 3, 1)
    assert ended.reason == "the Ground Truth job was stopped with 1 of 3 images labeled"
    AcceptLabels(open_gt.images, open_gt.workspace, open_gt.raw_data.bucket, open_gt.clock)(
        open_gt.jobs.card(PROJECT, job)
    )
    counts = open_gt.projects.counts(PROJECT)
    assert (counts.labeled, counts.pending, counts.labeling) == (1, 2, 0)


@pytest.mark.parametrize("state", ["stopped", "failed"])
def test_without_any_label_the_job_failed_and_its_images_wait_again(open_gt: Loop, state: str) -> None:
    job = open_gt.open_job().job
    progress = ProviderProgress("stopped", 0, 0, "ClientError: no images could be read")
    open_gt.ground_truth.jobs[job] = replace(progress, state=state)  # type: ignore[arg-type]
    answer(open_gt, job, [None, None, None])
    assert open_gt.conclude(PROJECT, job) == "failed"
    ended = newest(open_gt)
    assert ended.reason is not None
    assert "no images could be read" in ended.reason
    assert open_gt.events.published == [LabelingJobFailed(PROJECT, job, ended.reason)]
    assert open_gt.projects.counts(PROJECT).pending == 3
    assert {image.attempts for image in open_gt.images.pending(PROJECT, 9)} == {0}


def test_a_completed_job_without_manifest_failed(open_gt: Loop) -> None:
    job = open_gt.open_job().job
    open_gt.ground_truth.jobs[job] = ProviderProgress("completed", 0, 3)
    assert open_gt.conclude(PROJECT, job) == "failed"
    assert open_gt.projects.counts(PROJECT).pending == 3


def test_images_that_every_job_leaves_unlabeled_are_refused_in_the_end(gt: Loop) -> None:
    for _ in range(3):
        gt.start(PROJECT)
        job = gt.open_job().job
        answer(gt, job, [None, None, None])
        gt.ground_truth.jobs[job] = ProviderProgress("completed", 0, 3)
        assert gt.conclude(PROJECT, job) == "finished"
        AcceptLabels(gt.images, gt.workspace, gt.raw_data.bucket, gt.clock)(gt.jobs.card(PROJECT, job))
        gt.clock.advance(minutes=5)
    counts = gt.projects.counts(PROJECT)
    assert (counts.rejected, counts.pending) == (3, 0)


def test_boxes_of_a_turned_image_are_not_taken_for_boxes_of_the_stored_one(loop: Loop) -> None:
    labeling = {"provider": "ground-truth", "batch_size": 2}
    document = {"task": "bounding-box", "labels": ["bolt"], "labeling": labeling}
    loop.projects.save_config(PROJECT, ProjectConfig.model_validate(document), None, "etag")
    loop.register(2)
    loop.start(PROJECT)
    job = loop.open_job().job
    label = Label(Boxes((Box("bolt", 1, 2, 3, 4),)), (0.0,), loop.clock(), True, job)
    rows = [
        row | write_label(label, "boxes", "bounding-box", ["bolt"], size)
        for row, size in zip(loop.input_rows(job), [(64, 48), (48, 64)], strict=True)
    ]
    loop.workspace.write_lines(Workspace(PROJECT).output_manifest(job), write_rows(rows))
    loop.ground_truth.jobs[job] = ProviderProgress("completed", 2, 0)
    loop.conclude(PROJECT, job)
    AcceptLabels(loop.images, loop.workspace, loop.raw_data.bucket, loop.clock)(loop.jobs.card(PROJECT, job))
    assert loop.projects.counts(PROJECT).labeled == 1
    [rejected] = loop.images.rejected(PROJECT, 9).rejected
    assert "EXIF" in rejected.detail


# The minute schedule --------------------------------------------------------------------------------


def test_each_minute_shows_the_progress(open_gt: Loop) -> None:
    job = open_gt.open_job().job
    open_gt.ground_truth.jobs[job] = ProviderProgress("running", labeled=1, failed=1)
    open_gt.start(PROJECT)
    assert open_gt.ground_truth.looks == 0
    open_gt.clock.advance(minutes=1)
    for _ in range(3):
        open_gt.start(PROJECT)
    assert open_gt.ground_truth.looks == 1
    assert (open_gt.open_job().answered, open_gt.open_job().skipped) == (2, 1)


def test_a_job_whose_event_got_lost_is_concluded_all_the_same(open_gt: Loop) -> None:
    job = open_gt.open_job().job
    answer(open_gt, job, ["ok", "dent", "ok"])
    open_gt.ground_truth.jobs[job] = COMPLETED
    open_gt.clock.advance(minutes=1)
    open_gt.start.for_all()
    assert newest(open_gt).state == "finished"


def test_a_job_that_ground_truth_does_not_have_failed(open_gt: Loop) -> None:
    open_gt.ground_truth.jobs.clear()
    open_gt.clock.advance(minutes=1)
    open_gt.start(PROJECT)
    assert newest(open_gt).state == "failed"


def test_a_conclusion_that_died_goes_on(open_gt: Loop) -> None:
    job = open_gt.open_job().job
    answer(open_gt, job, ["ok", "dent", "ok"])
    open_gt.ground_truth.jobs[job] = COMPLETED
    open_gt.events.is_down = True
    with pytest.raises(StoreUnavailable):
        open_gt.conclude(PROJECT, job)
    open_gt.events.is_down = False
    open_gt.clock.advance(minutes=1)
    open_gt.start(PROJECT)
    assert open_gt.events.published == [LabelingJobFinished(PROJECT, job)]


def test_a_conclusion_that_died_before_its_end_goes_on(open_gt: Loop) -> None:
    job = open_gt.open_job().job
    answer(open_gt, job, ["ok", None, "ok"])
    open_gt.ground_truth.jobs[job] = ProviderProgress("stopped", labeled=2, failed=0)
    open_gt.jobs.end(PROJECT, job, "it was stopped", open_gt.clock())
    open_gt.clock.advance(minutes=1)
    open_gt.start(PROJECT)
    assert (newest(open_gt).state, newest(open_gt).reason) == ("finished", "it was stopped")


# Refusals -------------------------------------------------------------------------------------------


@pytest.fixture
def refused(gt: Loop) -> Loop:
    """Ground Truth refused the project's first job."""
    gt.ground_truth.error = LabelingRefused("the workteam is gone")
    gt.start(PROJECT)
    return gt


def test_a_refused_job_fails_with_the_reason_and_its_images_wait_again(refused: Loop) -> None:
    job = newest(refused)
    assert (job.state, job.reason) == ("failed", "the workteam is gone")
    assert refused.jobs.open_job(PROJECT) is None
    assert refused.projects.counts(PROJECT).pending == 3
    assert refused.events.published == [LabelingJobFailed(PROJECT, job.job, "the workteam is gone")]
    end = read_end(refused.workspace, PROJECT, job.job)
    assert end is not None
    assert (end.state, end.reason) == ("failed", "the workteam is gone")


def test_it_is_asked_again_ever_more_rarely(refused: Loop) -> None:
    starts = []
    for minute in range(3 * 24 * 60):
        before = refused.ground_truth.starts
        refused.start(PROJECT)
        if refused.ground_truth.starts > before:
            starts.append(minute)
        refused.clock.advance(minutes=1)
    assert starts == [10, 30, 70, 150, 310, 630, 1270, 2550, 3990]


def test_a_person_may_have_it_asked_again_at_once(refused: Loop) -> None:
    refused.ground_truth.error = None
    refused.clock.advance(seconds=1)
    refused.start(PROJECT)
    assert refused.jobs.open_job(PROJECT) is None
    refused.start(PROJECT, at_once=True)
    assert refused.open_job().state == "open"


def test_a_changed_project_yaml_is_tried_at_once(refused: Loop) -> None:
    refused.start(PROJECT)
    assert refused.ground_truth.starts == 1
    config = refused.projects.project(PROJECT)
    assert config is not None
    refused.projects.save_config(PROJECT, config.config, None, "another etag")
    refused.ground_truth.error = None
    refused.clock.advance(seconds=1)
    refused.start(PROJECT)
    assert refused.open_job().state == "open"


def test_the_next_job_gets_the_images_of_the_failed_one(refused: Loop) -> None:
    refused.ground_truth.error = None
    refused.clock.advance(minutes=10)
    refused.start(PROJECT)
    assert len(refused.input_rows(refused.open_job().job)) == 3


def test_what_may_pass_is_tried_again_with_the_same_job(gt: Loop) -> None:
    gt.ground_truth.error = StoreUnavailable("SageMaker is busy")
    with pytest.raises(StoreUnavailable):
        gt.start(PROJECT)
    job = gt.open_job().job
    gt.ground_truth.error = None
    gt.clock.advance(minutes=1)
    gt.start(PROJECT)
    assert (gt.open_job().job, gt.open_job().state) == (job, "open")


def test_a_failure_that_died_halfway_is_settled_by_the_next_run(gt: Loop) -> None:
    gt.ground_truth.error = LabelingRefused("no")
    gt.events.is_down = True
    with pytest.raises(StoreUnavailable):
        gt.start(PROJECT)
    gt.events.is_down = False
    gt.clock.advance(minutes=1)
    gt.start(PROJECT)
    job = newest(gt)
    assert gt.events.published == [LabelingJobFailed(PROJECT, job.job, "no")]
    assert job.announced
    assert gt.projects.counts(PROJECT).pending == 3


def test_automated_labeling_waits_for_a_whole_batch(loop: Loop) -> None:
    automated = {"automated_labeling": True}
    loop.configure(provider="ground-truth", batch_size=1_250, ground_truth=automated)
    loop.register(1_249)
    loop.clock.advance(days=2)
    loop.start(PROJECT)
    assert loop.jobs.open_job(PROJECT) is None
    loop.register(1)
    loop.start(PROJECT)
    assert loop.open_job().tasks == 1_250


# A lost index ---------------------------------------------------------------------------------------


def lose_index(loop: Loop) -> None:
    remote = loop.ground_truth.jobs
    loop.lose_index()
    loop.configure(provider="ground-truth")
    loop.ground_truth.jobs.update(remote)


def test_an_open_job_comes_back_as_ground_truths(open_gt: Loop) -> None:
    job = open_gt.open_job().job
    answer(open_gt, job, ["ok", None, None])  # Ground Truth writes its manifest while people work
    lose_index(open_gt)
    assert open_gt.restore(PROJECT, job)
    restored = open_gt.open_job()
    assert (restored.state, restored.tasks, restored.provider) == ("open", 3, "ground-truth")
    assert list(open_gt.tasks.tasks(job)) == []
    assert not open_gt.restore(PROJECT, job)


def test_a_finished_job_comes_back_finished(open_gt: Loop) -> None:
    job = open_gt.open_job().job
    answer(open_gt, job, ["ok", None, "dent"])
    open_gt.ground_truth.jobs[job] = COMPLETED
    open_gt.conclude(PROJECT, job)
    lose_index(open_gt)
    assert open_gt.restore(PROJECT, job)
    assert (newest(open_gt).state, newest(open_gt).skipped) == ("finished", 1)
    assert not open_gt.restore(PROJECT, job)


def test_a_failed_job_comes_back_failed(refused: Loop) -> None:
    job = newest(refused).job
    lose_index(refused)
    assert refused.restore(PROJECT, job)
    assert (newest(refused).state, newest(refused).reason) == ("failed", "the workteam is gone")
    assert refused.jobs.open_job(PROJECT) is None
    assert not refused.restore(PROJECT, job)


def test_a_lost_job_that_is_refused_now_fails(gt: Loop) -> None:
    gt.start(PROJECT)
    job = gt.open_job().job
    lose_index(gt)
    gt.ground_truth.error = LabelingRefused("closed")
    assert gt.restore(PROJECT, job)
    assert newest(gt).state == "failed"
    gt.clock.advance(minutes=1)
    gt.start(PROJECT)
    written = json.loads(gt.workspace.read(Workspace(PROJECT).end(job)))
    assert written["state"] == "failed"
