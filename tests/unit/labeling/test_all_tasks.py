"""Answers of all tasks at the portal, from the worker to the manifest and back from S3."""

import pytest

from loupe.domain.label_attributes import Label, read_label
from loupe.domain.label_values import (
    Box,
    Boxes,
    InvalidLabel,
    LabelValue,
    OneLabel,
    SeveralLabels,
    UnknownLabel,
)
from loupe.domain.projects import LABEL_ATTRIBUTES
from loupe.ports.labeling import NewTask
from tests.unit.labeling.conftest import ADA, BEN, PROJECT, Loop

BOXES = Boxes((Box("dent", 0, 0.5, 64, 47.5), Box("scratch", 1, 2, 3, 4), Box("dent", 1, 2, 3, 4)))


def open_for(loop: Loop, value: LabelValue, images: int = 1) -> str:
    """A job that takes such answers."""
    loop.configure(task=value.task, batch_size=images)
    loop.register(images)
    loop.start(PROJECT)
    return loop.open_job().job


@pytest.mark.parametrize(
    "value",
    [OneLabel("dent"), SeveralLabels(("dent", "ok")), SeveralLabels(()), BOXES, Boxes(())],
    ids=repr,
)
def test_an_answer_gets_into_the_manifest_as_it_was_given(loop: Loop, value: LabelValue) -> None:
    job = open_for(loop, value)
    loop.portal.annotate(PROJECT, job, "000000", ADA, value=value)
    loop.consolidate(PROJECT, job)
    [row] = loop.output_rows(job)
    label = read_label(row, LABEL_ATTRIBUTES[value.task], value.task, ("ok", "scratch", "dent"))
    assert label == Label(value, (0.0,) * len(value.names), loop.clock(), True, job)


@pytest.mark.parametrize("value", [SeveralLabels(()), SeveralLabels(("dent", "ok")), BOXES], ids=repr)
def test_an_answer_comes_back_when_the_index_is_lost(loop: Loop, value: LabelValue) -> None:
    job = open_for(loop, value, images=2)
    loop.portal.annotate(PROJECT, job, "000000", ADA, value=value)
    before = [task.answer for task in loop.tasks.tasks(job)]
    loop.lose_index()
    loop.restore(PROJECT, job)
    assert [task.answer for task in loop.tasks.tasks(job)] == before
    assert not loop.restore(PROJECT, job)


def test_another_set_of_labels_is_a_correction_and_the_same_one_is_not(loop: Loop) -> None:
    job = open_for(loop, SeveralLabels(()), images=2)
    none, dent = SeveralLabels(()), SeveralLabels(("dent",))
    for value in (none, none, dent, dent):
        work = loop.portal.annotate(PROJECT, job, "000000", ADA, value=value)
        assert work.job is not None
        assert work.job.answered == 1
    task = loop.tasks.task(PROJECT, job, "000000")[1]
    assert task is not None
    assert task.answer is not None
    assert task.answer.value == dent


@pytest.mark.parametrize(
    ("taken", "given", "message"),
    [
        (
            OneLabel("ok"),
            SeveralLabels(("ok",)),
            "is for image-classification and takes 'label', not 'labels'",
        ),
        (SeveralLabels(()), Boxes(()), "takes 'labels', not 'boxes'"),
        (SeveralLabels(()), SeveralLabels(("ok", "ok")), "'ok' stands more than once"),
        (
            Boxes(()),
            Boxes((Box("ok", 0, 0, 65, 48),)),
            r"boxes\[0\] reaches beyond the image, which has 64 by 48",
        ),
        (Boxes(()), Boxes((Box("ok", -1, 0, 5, 5),)), "reaches beyond"),
        (Boxes(()), Boxes((Box("ok", 0, 0, float("nan"), 5),)), "is empty"),
        (Boxes(()), Boxes((Box("ok", 0, 0, 0, 5),)), "is empty"),
    ],
)
def test_what_the_task_does_not_take_is_refused_and_changes_nothing(
    loop: Loop, taken: LabelValue, given: LabelValue, message: str
) -> None:
    job = open_for(loop, taken)
    with pytest.raises(InvalidLabel, match=message):
        loop.portal.annotate(PROJECT, job, "000000", ADA, value=given)
    assert loop.open_job().answered == 0


@pytest.mark.parametrize(
    "value", [SeveralLabels(("ok", "rust")), Boxes((Box("rust", 0, 0, 1, 1),))], ids=repr
)
def test_a_label_that_the_job_does_not_have(loop: Loop, value: LabelValue) -> None:
    job = open_for(loop, value)
    with pytest.raises(UnknownLabel, match="ok, scratch, dent"):
        loop.portal.annotate(PROJECT, job, "000000", ADA, value=value)


# Jobs of another provider -----------------------------------------------------------------------------


def test_a_job_at_ground_truth_is_no_open_work_here(loop: Loop) -> None:
    loop.configure(provider="ground-truth")
    loop.register(3)
    loop.start(PROJECT)
    assert loop.open_job().state == "open"
    [project] = loop.portal.projects()
    assert project.job is None
    assert loop.portal.lease(PROJECT, ADA, 3).tasks == []


def test_a_job_at_ground_truth_whose_tasks_are_here_is_answered_here_and_concluded_there(loop: Loop) -> None:
    loop.configure(provider="ground-truth", batch_size=1)
    loop.register(1)
    loop.start(PROJECT)
    job = loop.open_job().job
    loop.tasks.add(job, [NewTask("000000", f"{0:064x}", f"{PROJECT}/im age 0.png", "v0", 64, 48)])
    [project] = loop.portal.projects()
    assert project.job == loop.open_job()
    loop.answer_all(BEN)
    loop.consolidate(PROJECT, job)
    assert loop.open_job().state == "open"
    assert loop.open_job().answered == 1
