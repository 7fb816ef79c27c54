"""Tasks of known answer, what they say about workers, and whose answers are asked again."""

import json
from typing import Any

import pytest

from loupe.domain.datasets.labels import AcceptLabels
from loupe.domain.errors import ProjectNotFound
from loupe.domain.label_values import OneLabel
from loupe.domain.labeling.annotation import Worker
from loupe.domain.labeling.checks import KNOWN, known_answers, with_checks
from loupe.domain.labeling.workers import MIN_CHECKS, ShowWorkers, WorkerCounts
from loupe.domain.manifests import Row
from loupe.domain.workspace import Workspace
from loupe.ports.labeling import JobCard, Task
from tests.fakes.clock import FakeClock
from tests.unit.labeling.conftest import ADA, BEN, PROJECT, Loop

CLEO = Worker("3333", "cleo")


def agreed_labels(loop: Loop, images: int, label: str = "ok") -> None:
    """So many images on whose label two workers agreed."""
    loop.configure(batch_size=images, workers_per_image=2)
    loop.register(images)
    turn(loop, {ADA: label, BEN: label})


def turn(loop: Loop, said: dict[Worker, str]) -> str:
    """A job from its cut to its labels; each worker says always the same."""
    loop.clock.advance(minutes=2)
    loop.start(PROJECT)
    job = loop.open_job().job
    for worker, label in said.items():
        loop.answer_all(worker, label)
    loop.consolidate(PROJECT, job)
    AcceptLabels(loop.images, loop.workspace, loop.raw_data.bucket, loop.clock)(loop.jobs.card(PROJECT, job))
    return job


def measured(images: int = 8, known: int = 4, **labeling: Any) -> Loop:
    """A job with known answers is open: every third task is one."""
    loop = Loop()
    agreed_labels(loop, known)
    loop.configure(batch_size=images, check_every=3, **labeling)
    loop.register(images)
    loop.clock.advance(minutes=2)
    loop.start(PROJECT)
    return loop


def tasks(loop: Loop) -> list[Task]:
    return list(loop.tasks.tasks(loop.open_job().job))


def answer_all(loop: Loop, worker: Worker, label: str, checks: str) -> None:
    """The worker says one thing of all images, and another of those whose label is known."""
    loop.clock.advance(minutes=11)
    for task in tasks(loop):
        if not task.is_done and task.answer_by(worker.id) is None:
            loop.clock.advance(seconds=2.04)
            said = OneLabel(checks if task.check else label)
            loop.portal.annotate(PROJECT, task.job, task.task, worker, value=said)


def shown(loop: Loop) -> dict[str, dict[str, Any]]:
    show = ShowWorkers(loop.projects, loop.jobs, loop.tasks, loop.workspace)
    return {each["name"]: each for each in show(PROJECT)["workers"]}


# Which images, and where ----------------------------------------------------------------------------


def test_every_so_many_tasks_one_has_a_known_answer_and_looks_like_any_other() -> None:
    loop = measured()
    found = tasks(loop)
    assert [task.task for task in found] == [f"{number:06d}" for number in range(len(found))]
    asked = {row["image-sha256"] for row in loop.input_rows(loop.open_job().job)}
    assert [task.sha256 in asked for task in found] == [not task.check for task in found]
    assert sum(not task.check for task in found) == 8
    assert [sum(task.check for task in found[at : at + 3]) for at in range(0, 12, 3)] == [1, 1, 1, 1]
    assert loop.open_job().tasks == len(found) == 12
    [leased] = loop.portal.lease(PROJECT, ADA, 1).tasks
    assert leased.url.startswith("https://raw-data.invalid/digits/")


def test_without_firm_labels_there_are_none() -> None:
    loop = Loop()
    loop.configure(batch_size=4)
    loop.register(4)
    turn(loop, {ADA: "ok"})  # nobody else has confirmed them
    loop.configure(batch_size=4, check_every=2)
    loop.register(4)
    loop.clock.advance(minutes=2)
    loop.start(PROJECT)
    assert [task.check for task in tasks(loop)] == [False] * 4


@pytest.mark.parametrize(
    ("change", "is_known"),
    [
        ({}, True),
        ({"agreement": 0.5}, False),
        ({"agreement": 0.5, "correction": "c1"}, True),
        ({"label": "rust"}, False),
        ({"etag": None}, False),
        ({"withdrawn": True, "label": None}, False),
    ],
    ids=repr,
)
def test_firm_labels_are_corrections_and_what_several_agreed_on(
    change: dict[str, Any], is_known: bool
) -> None:
    loop = Loop()
    agreed_labels(loop, 1)
    [stored] = loop.workspace.list(Workspace(PROJECT).all_labels)
    line = json.loads(loop.workspace.read(stored.key)) | change
    line = {name: value for name, value in line.items() if name != "label" or value is not None}
    loop.workspace.write(stored.key, json.dumps(line).encode() + b"\n")
    loop.configure(batch_size=4, check_every=2)
    loop.register(4)
    loop.clock.advance(minutes=2)
    loop.start(PROJECT)
    known = known_answers(loop.jobs.card(PROJECT, loop.open_job().job), loop.workspace)
    assert list(known.values()) == [OneLabel("ok")] * is_known


def card(every: int) -> JobCard:
    now = FakeClock()()
    return JobCard(
        PROJECT, "digits-1", "portal", "image-classification", ("ok",), "", 9, now, check_every=every
    )


@pytest.mark.parametrize(("rows", "checks"), [(0, 3), (1, 3), (18, 0), (57, 2), (95, 9)])
def test_all_rows_stay_in_their_order(rows: int, checks: int) -> None:
    given: list[Row] = [{"number": number} for number in range(rows)]
    known: list[Row] = [{"known": number} for number in range(checks)]
    found = list(with_checks(card(20), given, known))
    assert [row for row, is_check in found if not is_check] == given
    got = [row for row, is_check in found if is_check]
    assert got == known[: len(got)]
    assert rows // 19 <= len(got) <= rows // 19 + 1 or len(got) == checks


def test_a_lost_index_has_the_same_tasks_again() -> None:
    loop = measured()
    answer_all(loop, ADA, "dent", "ok")
    job, before = loop.open_job().job, tasks(loop)
    loop.lose_index()
    assert loop.restore(PROJECT, job)
    after = tasks(loop)
    assert [(each.task, each.sha256, each.check, each.answers) for each in after] == [
        (each.task, each.sha256, each.check, each.answers) for each in before
    ]


# What they say about workers ------------------------------------------------------------------------


def test_answers_to_known_images_change_no_label_and_measure_the_worker() -> None:
    loop = measured()
    job = loop.open_job().job
    answer_all(loop, ADA, "dent", "scratch")
    loop.consolidate(PROJECT, job)
    rows = loop.output_rows(job)
    assert [row["label"] for row in rows] == [2] * 8
    assert not any(KNOWN in row for row in rows)
    ada = shown(loop)["ada"]
    assert (ada["answers"], ada["checks"], ada["accuracy"]) == (4 + 12, 4, 0.0)
    assert ada["median_seconds"] == 2.0


def test_an_open_job_is_counted_too() -> None:
    loop = measured()
    answer_all(loop, BEN, "dent", "ok")
    ben = shown(loop)["ben"]
    assert (ben["answers"], ben["checks"], ben["accuracy"], ben["agreement"]) == (16, 4, 1.0, 1.0)
    assert shown(loop)["ada"]["checks"] == 0


def test_workers_of_an_unknown_project_are_not_found() -> None:
    loop = Loop()
    with pytest.raises(ProjectNotFound):
        shown(loop)


def test_jobs_that_counted_nobody_are_passed_over() -> None:
    loop = Loop()
    agreed_labels(loop, 3)
    [job] = loop.jobs.jobs(PROJECT, 9)
    loop.workspace.delete(Workspace(PROJECT).worker_counts(job.job))
    assert shown(loop) == {}


def test_a_run_that_comes_after_the_manifest_was_written_counts_as_well() -> None:
    loop = measured()
    job = loop.open_job().job
    answer_all(loop, ADA, "ok", "ok")
    loop.workspace.write(Workspace(PROJECT).output_manifest(job), b"written by an earlier run")
    loop.consolidate(PROJECT, job)
    assert shown(loop)["ada"]["checks"] == 4


@pytest.mark.parametrize(
    ("right", "checks", "min_accuracy", "is_below"),
    [
        (0, MIN_CHECKS - 1, 0.9, False),  # too few
        (3, 5, 0.8, False),  # bad luck will do
        (1, 5, 0.8, True),
        (75, 100, 0.8, False),
        (65, 100, 0.8, True),
        (80, 100, 0.8, False),
        (800, 1500, 0.8, True),
        (9, 10, 1.0, True),
        (0, 50, 0.0, False),
    ],
)
def test_who_is_below_is_so_by_more_than_bad_luck(
    right: int, checks: int, min_accuracy: float, is_below: bool
) -> None:
    counts = WorkerCounts("1", "ada", checks=checks, right=right)
    assert counts.is_below(min_accuracy) == is_below


def test_the_median_is_of_all_jobs_together() -> None:
    counts = WorkerCounts("1", "ada")
    assert counts.median_seconds is None
    counts.seconds.update([1.0, 1.0, 3.0])
    other = WorkerCounts("1", "ada")
    other.seconds.update([5.0, 5.0, 5.0, 9.0])
    counts.add(other)
    assert counts.median_seconds == 5.0


# Whose answers are asked again ----------------------------------------------------------------------


def test_answers_of_who_is_below_are_asked_again_from_others() -> None:
    loop = measured(images=12, known=6, min_accuracy=0.8)
    job = loop.open_job().job
    answer_all(loop, ADA, "dent", "scratch")
    loop.consolidate(PROJECT, job)
    assert (loop.open_job().state, loop.open_job().answered) == ("open", 6)
    assert shown(loop)["ada"]["below_min_accuracy"]
    assert loop.portal.lease(PROJECT, ADA, 20).tasks == []
    answer_all(loop, BEN, "ok", "ok")
    loop.consolidate(PROJECT, job)
    rows = loop.output_rows(job)
    assert [(row["label"], row["loupe-workers"]) for row in rows] == [(0, ["ben"])] * 12
    assert not shown(loop)["ben"]["below_min_accuracy"]


def test_what_a_worker_did_in_earlier_jobs_counts() -> None:
    loop = measured(images=12, known=6)
    answer_all(loop, ADA, "dent", "scratch")
    loop.consolidate(PROJECT, loop.open_job().job)
    loop.configure(batch_size=2, check_every=20, min_accuracy=0.8, workers_per_image=2)
    loop.register(2)
    loop.clock.advance(minutes=2)
    loop.start(PROJECT)
    job = loop.open_job().job
    answer_all(loop, ADA, "dent", "ok")
    answer_all(loop, BEN, "ok", "ok")
    loop.consolidate(PROJECT, job)
    assert loop.open_job().state == "open"
    answer_all(loop, CLEO, "ok", "ok")
    loop.consolidate(PROJECT, job)
    rows = loop.output_rows(job)
    assert [(row["label"], row["loupe-workers"]) for row in rows] == [(0, ["ben", "cleo"])] * 2
