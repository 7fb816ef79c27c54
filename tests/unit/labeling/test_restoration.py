from dataclasses import replace

import pytest

from loupe.domain.label_values import OneLabel
from loupe.domain.labeling.starting import read_card, write_card
from loupe.domain.workspace import Workspace
from loupe.ports.labeling import Answer
from tests.unit.labeling.conftest import ADA, BEN, PROJECT, Loop


@pytest.fixture
def half(open_loop: Loop) -> Loop:
    """Two of three tasks have an answer."""
    job = open_loop.open_job().job
    open_loop.portal.annotate(PROJECT, job, "000000", ADA, value=OneLabel("dent"))
    open_loop.portal.annotate(PROJECT, job, "000001", BEN, skip="blurred")
    return open_loop


def answers(loop: Loop) -> list[Answer | None]:
    return [task.answer for task in loop.tasks.tasks(loop.open_job().job)]


def test_an_open_job_comes_back_with_every_answer(half: Loop) -> None:
    job, before, known = half.open_job(), answers(half), half.jobs.card(PROJECT, half.open_job().job)
    half.lose_index()
    assert half.restore(PROJECT, job.job)
    after = half.open_job()
    assert (after.state, after.tasks, after.answered, after.skipped) == ("open", 3, 2, 1)
    assert answers(half) == before
    assert half.jobs.card(PROJECT, job.job) == known


def test_labeling_goes_on_after_the_index_was_lost(half: Loop) -> None:
    job = half.open_job().job
    half.lose_index()
    half.restore(PROJECT, job)
    half.answer_all(BEN, "scratch")
    half.consolidate(PROJECT, job)
    assert [row.get("label") for row in half.output_rows(job)] == [2, None, 1]


def test_what_is_known_is_not_amiss(half: Loop) -> None:
    job = half.open_job().job
    assert not half.restore(PROJECT, job)
    half.lose_index()
    assert half.restore(PROJECT, job)
    assert not half.restore(PROJECT, job)


def test_an_acknowledged_answer_that_an_old_index_lacks_is_put_back(half: Loop) -> None:
    job = half.open_job().job
    old = dict(half.tasks.by_job[job]), half.open_job()
    half.clock.advance(seconds=1)
    half.portal.annotate(PROJECT, job, "000002", BEN, value=OneLabel("ok"))
    half.portal.annotate(PROJECT, job, "000000", ADA, value=OneLabel("scratch"))
    acknowledged = answers(half)
    half.tasks.by_job[job], half.jobs.records[PROJECT, job] = old
    assert half.restore(PROJECT, job)
    assert answers(half) == acknowledged
    assert (half.open_job().answered, half.open_job().skipped) == (3, 1)


def test_a_refused_answer_is_not_put_back(half: Loop) -> None:
    job = half.open_job().job
    key = Workspace(PROJECT).annotation(job, f"{2:064x}", ADA.id)
    half.workspace.write(key, b'{"refused": true}')
    assert not half.restore(PROJECT, job)
    assert half.open_job().answered == 2


def test_anothers_older_answer_does_not_replace_the_acknowledged_one(half: Loop) -> None:
    job = half.open_job().job
    annotation = half.workspace.read(Workspace(PROJECT).annotation(job, f"{0:064x}", ADA.id))
    forged = annotation.replace(b"1111", b"2222").replace(b"10:15:00", b"10:14:00").replace(b"dent", b"ok")
    half.workspace.write(Workspace(PROJECT).annotation(job, f"{0:064x}", BEN.id), forged)
    before = answers(half)
    assert not half.restore(PROJECT, job)
    half.lose_index()
    half.restore(PROJECT, job)
    assert answers(half) == before


def test_a_finished_job_comes_back_finished(half: Loop) -> None:
    job = half.open_job().job
    half.answer_all()
    half.consolidate(PROJECT, job)
    half.lose_index()
    assert half.restore(PROJECT, job)
    finished = half.jobs.job(PROJECT, job)
    assert finished is not None
    assert (finished.state, finished.tasks, finished.answered, finished.skipped) == ("finished", 3, 3, 1)
    assert half.jobs.open_job(PROJECT) is None
    assert not half.restore(PROJECT, job)


def test_a_job_that_an_old_index_takes_for_open_is_finished(half: Loop) -> None:
    job = half.open_job()
    half.answer_all()
    half.consolidate(PROJECT, job.job)
    half.jobs.records[PROJECT, job.job] = job
    half.jobs.open_names[PROJECT] = job.job
    assert half.restore(PROJECT, job.job)
    assert half.jobs.open_job(PROJECT) is None


def test_a_folder_without_a_manifest_or_without_images_is_no_job(loop: Loop) -> None:
    assert not loop.restore(PROJECT, "digits-x")
    loop.register(3)
    loop.start(PROJECT)
    job = loop.open_job().job
    loop.lose_index()
    loop.workspace.write(Workspace(PROJECT).input_manifest(job), b"")
    assert not loop.restore(PROJECT, job)
    loop.workspace.delete(Workspace(PROJECT).input_manifest(job))
    assert not loop.restore(PROJECT, job)
    assert loop.jobs.jobs(PROJECT, 20) == []


def test_an_import_that_is_not_whole_is_left_to_whoever_imports(half: Loop) -> None:
    job = half.open_job().job
    card = read_card(half.workspace, PROJECT, job)
    half.lose_index()
    write_card(half.workspace, replace(card, provider="import"))
    assert not half.restore(PROJECT, job)
    assert half.jobs.open_job(PROJECT) is None


def test_a_second_open_job_waits_for_the_first(half: Loop) -> None:
    first = half.open_job().job
    half.lose_index()
    half.configure()
    half.register(6)
    half.clock.advance(minutes=1)
    half.start_labeling(restore_job=lambda _project, _job: False)(PROJECT)
    second = half.open_job().job
    assert not half.restore(PROJECT, first)
    half.answer_all()
    half.consolidate(PROJECT, second)
    assert half.restore(PROJECT, first)
    assert half.open_job().answered == 2


def test_a_job_that_the_index_lost_comes_back_before_another_is_cut(half: Loop) -> None:
    job = half.open_job().job
    half.lose_index()
    half.configure()
    half.register(6)
    half.clock.advance(minutes=1)
    half.start(PROJECT)
    assert half.open_job().job == job
    assert half.open_job().answered == 2


def test_images_of_a_job_without_accepted_labels_go_into_no_other_one(half: Loop) -> None:
    job = half.open_job().job
    half.answer_all()
    half.consolidate(PROJECT, job)
    half.lose_index()
    half.restore(PROJECT, job)
    half.configure()
    half.register(6)
    half.clock.advance(minutes=1)
    half.start(PROJECT)
    second = half.open_job()
    assert (second.job != job, second.tasks) == (True, 3)
    old, new = ({row["image-sha256"] for row in half.input_rows(each)} for each in (job, second.job))
    assert not old & new
