import json
from datetime import timedelta

import pytest

from loupe.domain.errors import StoreUnavailable
from loupe.domain.events import AnnotationsCompleted, LabelingJobFinished, LabelingJobStarted
from loupe.domain.workspace import Workspace
from tests.unit.labeling.conftest import ADA, PROJECT, Loop


def test_a_job_is_cut_when_a_batch_is_pending(loop: Loop) -> None:
    loop.register(2)
    loop.start(PROJECT)
    assert loop.jobs.open_job(PROJECT) is None
    loop.register(2)
    loop.start(PROJECT)
    job = loop.open_job()
    assert (job.state, job.tasks) == ("open", 3)
    assert loop.events.published == [LabelingJobStarted(PROJECT, job.job, 3)]
    assert loop.projects.counts(PROJECT).pending == 1
    assert loop.projects.counts(PROJECT).labeling == 3


def test_the_log_says_of_how_many_images_a_job_was_cut(loop: Loop) -> None:
    loop.register(2)
    loop.start(PROJECT)
    assert loop.log.lines == []
    loop.register(2)
    loop.start(PROJECT)
    job = loop.open_job().job
    of_the_job = {"project": PROJECT, "correlation_id": job, "provider": "portal"}
    manifest = Workspace(PROJECT).input_manifest(job)
    assert loop.log.lines == [
        {"message": "job cut", **of_the_job, "images": 3, "input_manifest": manifest},
        {"message": "job opened", **of_the_job, "tasks": 3},
    ]
    loop.start(PROJECT)
    assert len(loop.log.lines) == 2


def test_a_job_is_cut_when_the_oldest_has_waited_long_enough(loop: Loop) -> None:
    loop.register(1)
    loop.clock.advance(minutes=59)
    loop.register(1)
    loop.start(PROJECT)
    assert loop.jobs.open_job(PROJECT) is None
    loop.clock.advance(minutes=1, seconds=1)
    loop.start(PROJECT)
    assert loop.open_job().tasks == 2


def test_a_job_that_a_person_asked_for_is_cut_of_what_there_is(loop: Loop) -> None:
    loop.start(PROJECT, at_once=True)
    assert loop.jobs.open_job(PROJECT) is None
    loop.register(1)
    loop.start(PROJECT, at_once=True)
    assert loop.open_job().tasks == 1


def test_the_oldest_images_come_first(loop: Loop) -> None:
    loop.register(5)
    loop.start(PROJECT)
    rows = loop.input_rows(loop.open_job().job)
    assert rows[0] == {
        "source-ref": "s3://raw-data/digits/im age 0.png",
        "image-sha256": f"{0:064x}",
        "image-width": 64,
        "image-height": 48,
        "image-version-id": "v0",
    }
    assert [row["image-sha256"] for row in rows] == [f"{n:064x}" for n in range(3)]


def test_the_job_keeps_what_it_was_cut_with(loop: Loop) -> None:
    loop.register(3)
    loop.start(PROJECT)
    job = loop.open_job().job
    space = Workspace(PROJECT)
    categories = json.loads(loop.workspace.read(space.label_categories(job)))
    assert categories["labels"] == [{"label": "ok"}, {"label": "scratch"}, {"label": "dent"}]
    card = loop.jobs.card(PROJECT, job)
    assert (card.instructions, card.batch_size, card.provider) == ("Mark the worst defect.", 3, "portal")
    assert job == "digits-20261121t101500-0000"


def test_a_project_without_a_valid_configuration_waits(loop: Loop) -> None:
    loop.projects.save_config(PROJECT, None, "labels: is missing", None)
    loop.register(9)
    loop.start(PROJECT)
    loop.start("unheard-of")
    assert loop.jobs.open_job(PROJECT) is None
    loop.configure()
    loop.start(PROJECT)
    assert loop.open_job().tasks == 3


def test_a_project_has_one_open_job(loop: Loop) -> None:
    loop.register(9)
    loop.start(PROJECT)
    first = loop.open_job()
    loop.clock.advance(minutes=5)
    loop.start(PROJECT)
    assert loop.open_job() == first


def test_the_next_job_follows_the_finished_one(loop: Loop) -> None:
    loop.register(6)
    loop.start(PROJECT)
    first = loop.open_job().job
    loop.answer_all()
    loop.consolidate(PROJECT, first)
    loop.clock.advance(seconds=1)
    loop.start(PROJECT)
    second = loop.open_job().job
    assert second != first
    shas = [row["image-sha256"] for job in (first, second) for row in loop.input_rows(job)]
    assert len(set(shas)) == len(shas) == 6


def test_every_project_gets_its_turn_though_one_fails(loop: Loop) -> None:
    loop.configure("bolts")
    loop.configure("washers")
    for project in (PROJECT, "bolts", "washers"):
        loop.register(3, project)
    loop.events.is_down = True
    with pytest.raises(ExceptionGroup) as raised:
        loop.start.for_all()
    assert [type(error) for error in raised.value.exceptions] == [StoreUnavailable] * 3
    loop.events.is_down = False
    loop.clock.advance(minutes=1)
    loop.start.for_all()
    assert {loop.open_job(each).state for each in (PROJECT, "bolts", "washers")} == {"open"}


def test_a_job_that_somebody_may_be_preparing_is_left_alone_for_a_minute(loop: Loop) -> None:
    loop.register(3)
    loop.events.is_down = True
    with pytest.raises(StoreUnavailable):
        loop.start(PROJECT)
    loop.events.is_down = False
    loop.clock.advance(seconds=59)
    loop.start(PROJECT)
    assert loop.open_job().state == "preparing"
    loop.clock.advance(seconds=1)
    loop.start(PROJECT)
    assert (loop.open_job().state, loop.open_job().tasks) == ("open", 3)


def test_images_that_went_away_leave_no_empty_job(loop: Loop) -> None:
    loop.register(3)
    shas = [image.sha256 for image in loop.images.pending(PROJECT, 9)]
    loop.projects.count(PROJECT, {"pending": 3})
    loop.images.accept(PROJECT, "another", shas, [])
    loop.start(PROJECT)
    assert loop.jobs.jobs(PROJECT, 20) == []
    loop.register(3)
    loop.clock.advance(seconds=1)
    loop.start(PROJECT)
    assert loop.open_job().tasks == 3


def test_a_completion_that_nobody_heard_is_told_again(open_loop: Loop) -> None:
    open_loop.events.is_down = True
    open_loop.answer_all(ADA)
    open_loop.events.is_down = False
    job = open_loop.open_job().job
    open_loop.start(PROJECT)
    assert open_loop.events.published == []
    open_loop.clock.advance(minutes=1)
    open_loop.start(PROJECT)
    assert open_loop.events.published == [AnnotationsCompleted(PROJECT, job)]


def test_a_finished_job_that_nobody_heard_of_is_told_again(open_loop: Loop) -> None:
    open_loop.answer_all(ADA)
    job = open_loop.open_job().job
    open_loop.events.published.clear()
    open_loop.events.is_down = True
    with pytest.raises(StoreUnavailable):
        open_loop.consolidate(PROJECT, job)
    open_loop.events.is_down = False
    open_loop.start(PROJECT)
    assert open_loop.events.published == []
    for _ in range(3):
        open_loop.clock.advance(minutes=1)
        open_loop.start(PROJECT)
    assert open_loop.events.published == [LabelingJobFinished(PROJECT, job)]


def test_waiting_is_measured_from_registration(loop: Loop) -> None:
    loop.configure(max_wait_minutes=0.5)
    loop.register(1)
    loop.clock.now += timedelta(seconds=31)
    loop.start(PROJECT)
    assert loop.open_job().tasks == 1
