import pytest

from loupe.domain.errors import NotFound, StoreUnavailable
from loupe.domain.events import AnnotationsCompleted, LabelingJobFinished
from loupe.domain.label_values import OneLabel
from loupe.domain.labeling.consolidation import InconsistentJob
from loupe.domain.workspace import Workspace
from tests.unit.labeling.conftest import ADA, BEN, PROJECT, Loop


@pytest.fixture
def answered(open_loop: Loop) -> Loop:
    """Each task has an answer; the middle one was skipped."""
    job = open_loop.open_job().job
    open_loop.portal.annotate(PROJECT, job, "000000", ADA, value=OneLabel("dent"))
    open_loop.portal.annotate(PROJECT, job, "000001", BEN, skip="blurred")
    open_loop.clock.advance(seconds=1.5)
    open_loop.portal.annotate(PROJECT, job, "000002", ADA, value=OneLabel("ok"))
    open_loop.events.published.clear()
    return open_loop


def test_the_output_manifest_is_ground_truths(answered: Loop) -> None:
    job = answered.open_job().job
    inputs = answered.input_rows(job)
    answered.consolidate(PROJECT, job)
    provenance = {
        "type": "groundtruth/image-classification",
        "job-name": f"labeling-job/{job}",
        "human-annotated": "yes",
        "creation-date": "2026-11-21T10:15:00.000000",
    }
    assert answered.output_rows(job) == [
        inputs[0]
        | {
            "loupe-workers": ["ada"],
            "label": 2,
            "label-metadata": {"class-name": "dent", "confidence": 0.0, **provenance},
        },
        inputs[1]
        | {
            "loupe-workers": ["ben"],
            "label-metadata": {"failure-reason": "skipped by ben: blurred", **provenance},
        },
        inputs[2]
        | {
            "loupe-workers": ["ada"],
            "label": 0,
            "label-metadata": {
                "class-name": "ok",
                "confidence": 0.0,
                **provenance,
                "creation-date": "2026-11-21T10:15:01.500000",
            },
        },
    ]


def test_the_job_is_finished_and_told_once_however_often_it_is_asked(answered: Loop) -> None:
    job = answered.open_job().job
    for _ in range(3):
        answered.consolidate(PROJECT, job)
    finished = answered.jobs.job(PROJECT, job)
    assert finished is not None
    assert (finished.state, finished.announced) == ("finished", True)
    assert answered.jobs.open_job(PROJECT) is None
    assert answered.events.published == [LabelingJobFinished(PROJECT, job)]


def test_a_job_that_lacks_answers_stays_open(open_loop: Loop) -> None:
    job = open_loop.open_job().job
    open_loop.consolidate(PROJECT, job)
    assert open_loop.open_job().state == "open"
    assert not open_loop.workspace.exists(Workspace(PROJECT).output_manifest(job))


def test_an_unknown_job_is_an_error(loop: Loop) -> None:
    with pytest.raises(NotFound):
        loop.consolidate(PROJECT, "digits-x")


def test_an_interrupted_run_is_gone_on_with(answered: Loop) -> None:
    job = answered.open_job().job
    answered.jobs.consolidate(PROJECT, job, answered.clock())
    answered.clock.advance(minutes=1)
    answered.start(PROJECT)
    assert answered.events.published == [AnnotationsCompleted(PROJECT, job)]
    answered.consolidate(PROJECT, job)
    assert answered.events.published[1:] == [LabelingJobFinished(PROJECT, job)]


def test_the_output_is_written_once(answered: Loop) -> None:
    job = answered.open_job().job
    output = Workspace(PROJECT).output_manifest(job)
    answered.workspace.write(output, b"written by an earlier run")
    answered.consolidate(PROJECT, job)
    assert answered.workspace.read(output) == b"written by an earlier run"


def test_an_event_that_was_not_accepted_is_told_by_a_later_run(answered: Loop) -> None:
    job = answered.open_job().job
    answered.events.is_down = True
    with pytest.raises(StoreUnavailable):
        answered.consolidate(PROJECT, job)
    answered.events.is_down = False
    answered.consolidate(PROJECT, job)
    assert answered.events.published == []
    answered.clock.advance(minutes=1)
    answered.consolidate(PROJECT, job)
    answered.consolidate(PROJECT, job)
    assert answered.events.published == [LabelingJobFinished(PROJECT, job)]


def test_images_that_are_not_in_the_manifest_wait_again(answered: Loop) -> None:
    job = answered.open_job().job
    answered.register(2)
    strays = [image.sha256 for image in answered.images.pending(PROJECT, 9)]
    assert answered.images.take(PROJECT, job, strays) == set(strays)
    answered.consolidate(PROJECT, job)
    assert [image.sha256 for image in answered.images.pending(PROJECT, 9)] == strays
    assert answered.images.take(PROJECT, job, strays) == set()


def test_a_job_whose_tasks_are_lost_is_not_concluded(answered: Loop) -> None:
    job = answered.open_job().job
    answered.tasks.by_job.clear()
    with pytest.raises(InconsistentJob, match="reconcile"):
        answered.consolidate(PROJECT, job)
    assert not answered.workspace.exists(Workspace(PROJECT).output_manifest(job))
