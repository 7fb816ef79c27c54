import json
import re
from datetime import datetime, timedelta
from typing import Any

import pytest

from loupe.domain.errors import InvalidProject, NotFound, ProjectNotFound
from loupe.domain.events import AnnotationsCompleted
from loupe.domain.label_values import OneLabel, UnknownLabel
from loupe.domain.labeling.annotation import JobFinished, LeaseLost, ShownExample, Worker, read_annotation
from loupe.domain.projects import parse_project_yaml
from loupe.domain.workspace import Workspace
from loupe.ports.labeling import Answer, Suggested, Task
from tests.fakes.labeling import FakeTasks
from tests.unit.labeling.conftest import ADA, BEN, PROJECT, Loop


def leased(loop: Loop, worker: Worker, count: int) -> list[str]:
    return [each.task.task for each in loop.portal.lease(PROJECT, worker, count).tasks]


def annotation(loop: Loop, task: str, worker: Worker) -> dict[str, Any]:
    job = loop.open_job().job
    known = loop.tasks.task(PROJECT, job, task)[1]
    assert known is not None
    key = Workspace(PROJECT).annotation(job, known.sha256, worker.id)
    content: dict[str, Any] = json.loads(loop.workspace.read(key))
    return content


# Projects -------------------------------------------------------------------------------------------


def test_projects_are_shown_with_their_open_jobs(open_loop: Loop) -> None:
    open_loop.configure("bolts")
    open_loop.projects.introduce("broken", "labels: is missing")
    bolts, digits = open_loop.portal.projects()
    assert (bolts.project, bolts.job, bolts.labels) == ("bolts", None, ("ok", "scratch", "dent"))
    assert (digits.project, digits.job) == (PROJECT, open_loop.open_job())


def test_an_open_job_keeps_its_labels_when_the_configuration_changes_or_breaks(open_loop: Loop) -> None:
    open_loop.projects.save_config(PROJECT, None, "labels: is missing", None)
    [project] = open_loop.portal.projects()
    assert project.labels == ("ok", "scratch", "dent")
    assert open_loop.answer_all(label="dent").job == open_loop.open_job()


def test_a_job_in_preparation_is_not_shown(loop: Loop) -> None:
    loop.register(3)
    loop.events.is_down = True
    with pytest.raises(Exception, match="event bus"):
        loop.start(PROJECT)
    assert loop.portal.projects()[0].job is None
    assert loop.portal.lease(PROJECT, ADA, 5).tasks == []


# Leases ---------------------------------------------------------------------------------------------


def test_a_lease_shows_the_image_as_it_was_registered(open_loop: Loop) -> None:
    work = open_loop.portal.lease(PROJECT, ADA, 1)
    [lease] = work.tasks
    assert lease.url == "https://raw-data.invalid/digits/im%20age%200.png?versionId=v0&X-Amz-Expires=3600"
    assert (lease.task.task, lease.task.width, lease.task.height) == ("000000", 64, 48)
    assert lease.expires_at == open_loop.clock() + timedelta(minutes=10)
    assert work.job == open_loop.open_job()


def test_two_workers_get_different_tasks(open_loop: Loop) -> None:
    assert leased(open_loop, ADA, 2) == ["000000", "000001"]
    assert leased(open_loop, BEN, 2) == ["000002"]


def test_asking_again_renews_what_the_worker_holds(open_loop: Loop) -> None:
    assert leased(open_loop, ADA, 2) == ["000000", "000001"]
    open_loop.clock.advance(minutes=9)
    assert leased(open_loop, ADA, 3) == ["000000", "000001", "000002"]
    open_loop.clock.advance(minutes=9)
    assert leased(open_loop, BEN, 3) == []
    assert leased(open_loop, ADA, 1) == ["000000"]


def test_a_lease_that_ran_out_comes_back_to_others(open_loop: Loop) -> None:
    leased(open_loop, ADA, 3)
    open_loop.clock.advance(minutes=10)
    assert leased(open_loop, BEN, 3) == ["000000", "000001", "000002"]
    assert leased(open_loop, ADA, 3) == []


def test_leaving_gives_the_tasks_back_at_once(open_loop: Loop) -> None:
    leased(open_loop, ADA, 3)
    open_loop.portal.give_back(PROJECT, BEN)
    assert leased(open_loop, BEN, 1) == []
    open_loop.portal.give_back(PROJECT, ADA)
    assert leased(open_loop, BEN, 3) == ["000000", "000001", "000002"]


def test_without_an_open_job_there_is_no_work(loop: Loop) -> None:
    work = loop.portal.lease(PROJECT, ADA, 5)
    assert (work.job, work.tasks) == (None, [])
    loop.portal.give_back(PROJECT, ADA)


def test_an_unknown_project_is_not_found(loop: Loop) -> None:
    with pytest.raises(ProjectNotFound):
        loop.portal.lease("nuts", ADA, 1)


class Racing(FakeTasks):
    """Somebody else leases each task just after it was listed as free."""

    raced = False

    def free(self, job: str, worker: str, now: datetime, limit: int) -> list[Task]:
        found = super().free(job, worker, now, limit)
        if not self.raced:
            self.raced = True
            self.lease(found[0], "another", now, now + timedelta(minutes=10))
        return found


def test_who_was_too_slow_for_one_task_gets_another(open_loop: Loop) -> None:
    open_loop.portal = open_loop.labeling_portal(Racing(open_loop.jobs, open_loop.tasks.by_job))
    got = leased(open_loop, ADA, 2)
    assert len(got) == 2
    assert "000000" not in got


# Answers --------------------------------------------------------------------------------------------


def test_an_answer_is_in_s3_and_counted(open_loop: Loop) -> None:
    [task] = leased(open_loop, ADA, 1)
    job = open_loop.open_job().job
    work = open_loop.portal.annotate(PROJECT, job, task, ADA, value=OneLabel("dent"), lease=1)
    assert work.job is not None
    assert (work.job.answered, work.job.skipped, work.job.tasks) == (1, 0, 3)
    assert [each.task.task for each in work.tasks] == ["000001"]
    assert annotation(open_loop, task, ADA) == {
        "project": PROJECT,
        "job": job,
        "task": "000000",
        "image-sha256": f"{0:064x}",
        "source-ref": "s3://raw-data/digits/im age 0.png",
        "worker": "1111",
        "worker_name": "ada",
        "label": "dent",
        "answered_at": "2026-11-21T10:15:00.000000+00:00",
    }


def test_a_skip_counts_as_answered(open_loop: Loop) -> None:
    [task] = leased(open_loop, ADA, 1)
    work = open_loop.portal.annotate(PROJECT, open_loop.open_job().job, task, ADA, skip="blurred")
    assert work.job is not None
    assert (work.job.answered, work.job.skipped) == (1, 1)
    assert annotation(open_loop, task, ADA)["skip"] == "blurred"


def test_the_same_answer_twice_is_counted_once(open_loop: Loop) -> None:
    [task] = leased(open_loop, ADA, 1)
    job = open_loop.open_job().job
    first = open_loop.portal.annotate(PROJECT, job, task, ADA, value=OneLabel("ok"))
    open_loop.clock.advance(seconds=5)
    assert open_loop.portal.annotate(PROJECT, job, task, ADA, value=OneLabel("ok")) == first


def test_a_worker_corrects_an_answer_while_the_job_is_open(open_loop: Loop) -> None:
    [task] = leased(open_loop, ADA, 1)
    job = open_loop.open_job().job
    open_loop.portal.annotate(PROJECT, job, task, ADA, skip="dark")
    open_loop.clock.advance(seconds=5)
    work = open_loop.portal.annotate(PROJECT, job, task, ADA, value=OneLabel("ok"))
    assert work.job is not None
    assert (work.job.answered, work.job.skipped) == (1, 0)
    assert annotation(open_loop, task, ADA)["label"] == "ok"


def test_nobody_overwrites_anothers_answer(open_loop: Loop) -> None:
    [task] = leased(open_loop, ADA, 1)
    job = open_loop.open_job().job
    open_loop.portal.annotate(PROJECT, job, task, ADA, value=OneLabel("ok"))
    with pytest.raises(LeaseLost, match="ada"):
        open_loop.portal.annotate(PROJECT, job, task, BEN, value=OneLabel("dent"))
    assert open_loop.open_job().answered == 1


def test_nobody_answers_what_another_holds(open_loop: Loop) -> None:
    [task] = leased(open_loop, ADA, 1)
    with pytest.raises(LeaseLost):
        open_loop.portal.annotate(PROJECT, open_loop.open_job().job, task, BEN, value=OneLabel("ok"))
    assert list(open_loop.workspace.list(Workspace(PROJECT).annotations(open_loop.open_job().job))) == []


def test_a_late_answer_counts_if_nobody_else_has_the_task(open_loop: Loop) -> None:
    [task] = leased(open_loop, ADA, 1)
    open_loop.clock.advance(hours=1)
    work = open_loop.portal.annotate(PROJECT, open_loop.open_job().job, task, ADA, value=OneLabel("ok"))
    assert work.job is not None
    assert work.job.answered == 1


def test_a_late_answer_is_refused_if_somebody_else_has_the_task(open_loop: Loop) -> None:
    [task] = leased(open_loop, ADA, 1)
    open_loop.clock.advance(minutes=10)
    assert task in leased(open_loop, BEN, 3)
    with pytest.raises(LeaseLost):
        open_loop.portal.annotate(PROJECT, open_loop.open_job().job, task, ADA, value=OneLabel("ok"))


def test_a_label_that_the_job_does_not_have(open_loop: Loop) -> None:
    [task] = leased(open_loop, ADA, 1)
    with pytest.raises(UnknownLabel, match="ok, scratch, dent"):
        open_loop.portal.annotate(PROJECT, open_loop.open_job().job, task, ADA, value=OneLabel("rust"))


def test_what_is_not_there_is_not_found(open_loop: Loop) -> None:
    job = open_loop.open_job().job
    for project, name, task in [
        (PROJECT, job, "000003"),
        (PROJECT, "digits-x", "000000"),
        ("nuts", job, "000000"),
    ]:
        with pytest.raises(NotFound):
            open_loop.portal.annotate(project, name, task, ADA, value=OneLabel("ok"))


def test_the_last_answer_completes_the_job(open_loop: Loop) -> None:
    work = open_loop.answer_all()
    assert work.job is not None
    assert (work.job.answered, work.job.tasks) == (3, 3)
    assert open_loop.events.published == [AnnotationsCompleted(PROJECT, work.job.job)]


def test_an_answer_is_kept_though_the_event_bus_is_down(open_loop: Loop) -> None:
    open_loop.events.is_down = True
    open_loop.answer_all()
    assert open_loop.open_job().answered == 3
    open_loop.events.is_down = False
    job = open_loop.open_job().job
    open_loop.portal.annotate(PROJECT, job, "000002", ADA, value=OneLabel("ok"))
    assert open_loop.events.published == [AnnotationsCompleted(PROJECT, job)]


def test_a_finished_job_takes_no_answers(open_loop: Loop) -> None:
    open_loop.answer_all()
    job = open_loop.open_job().job
    open_loop.consolidate(PROJECT, job)
    for worker in (ADA, BEN):
        with pytest.raises(JobFinished):
            open_loop.portal.annotate(PROJECT, job, "000000", worker, value=OneLabel("dent"))


def test_repeating_the_last_answer_to_a_finished_job_is_no_error(open_loop: Loop) -> None:
    open_loop.answer_all()
    job = open_loop.open_job().job
    open_loop.consolidate(PROJECT, job)
    work = open_loop.portal.annotate(PROJECT, job, "000002", ADA, value=OneLabel("ok"), lease=3)
    assert work.job is not None
    assert (work.job.answered, work.tasks) == (3, [])


class Overtaken(FakeTasks):
    """Between reading a task and answering it, `other` answers it."""

    other: Answer | None = None

    def answer(self, project: str, job: str, task: Task, answer: Answer) -> bool:
        if self.other is not None:
            other, self.other = self.other, None
            super().answer(project, job, task, other)
        return super().answer(project, job, task, answer)


def overtaken(loop: Loop, by: Answer) -> None:
    tasks = Overtaken(loop.jobs, loop.tasks.by_job)
    tasks.other = by
    loop.portal = loop.labeling_portal(tasks)


def test_a_refused_answer_does_not_pass_for_one(open_loop: Loop) -> None:
    """It was written to S3 before the index refused it."""
    overtaken(open_loop, by=Answer(BEN.id, BEN.name, open_loop.clock(), value=OneLabel("dent")))
    job = open_loop.open_job().job
    with pytest.raises(LeaseLost, match="ben"):
        open_loop.portal.annotate(PROJECT, job, "000000", ADA, value=OneLabel("ok"))
    assert annotation(open_loop, "000000", ADA) == {"refused": True}
    assert open_loop.open_job().answered == 1


def test_two_answers_of_one_worker_at_once_end_as_one(open_loop: Loop) -> None:
    overtaken(open_loop, by=Answer(ADA.id, ADA.name, open_loop.clock(), value=OneLabel("dent")))
    job = open_loop.open_job().job
    work = open_loop.portal.annotate(PROJECT, job, "000000", ADA, value=OneLabel("ok"))
    assert work.job is not None
    assert work.job.answered == 1
    assert annotation(open_loop, "000000", ADA)["label"] == "ok"
    task = open_loop.tasks.task(PROJECT, job, "000000")[1]
    assert task is not None
    assert task.answer is not None
    assert task.answer.value == OneLabel("ok")


# Suggestions ----------------------------------------------------------------------------------------


def test_what_came_of_a_suggestion_is_kept_with_the_answer(open_loop: Loop) -> None:
    portal, job = open_loop.portal, open_loop.open_job().job
    told = Suggested("0003", accepted=True)
    portal.annotate(PROJECT, job, "000000", ADA, value=OneLabel("ok"), suggestion=told)
    portal.annotate(PROJECT, job, "000001", ADA, value=OneLabel("ok"))
    said = annotation(open_loop, "000000", ADA)
    assert said["suggestion"] == {"model_version": "0003", "accepted": True}
    answer = read_annotation(json.dumps(said).encode())
    assert answer is not None
    assert (answer.suggestion, answer.value) == (told, OneLabel("ok"))
    assert "suggestion" not in annotation(open_loop, "000001", ADA)


def test_projects_show_the_examples_of_their_instructions(open_loop: Loop) -> None:
    config = parse_project_yaml(
        "task: image-classification\nlabels: [ok, dent]\n"
        "examples:\n- {file: a dent.jpg, label: dent}\n- {file: rims/ok.png, caption: Only the rim}\n"
    )
    open_loop.projects.save_config(PROJECT, config, None, "etag")
    [project] = open_loop.portal.projects()
    address = f"https://{open_loop.raw_data.bucket}.invalid/{PROJECT}/instructions"
    assert project.examples == (
        ShownExample("a dent.jpg", f"{address}/a%20dent.jpg?X-Amz-Expires=3600", "dent", ""),
        ShownExample("rims/ok.png", f"{address}/rims/ok.png?X-Amz-Expires=3600", None, "Only the rim"),
    )


@pytest.mark.parametrize(
    ("example", "words"),
    [
        ("{file: a.jpg, label: rust}", "examples.0.label: 'rust' is not among the labels"),
        ("{file: ../other/a.jpg}", "without . and .."),
        ("{file: /a.jpg}", "examples.0.file"),
        ("{file: a.gif}", "examples.0.file"),
        ("{caption: nothing}", "examples.0.file: is missing"),
    ],
)
def test_examples_that_can_not_be_shown_are_told(example: str, words: str) -> None:
    with pytest.raises(InvalidProject, match=re.escape(words)):
        parse_project_yaml(f"task: image-classification\nlabels: [ok, dent]\nexamples: [{example}]")


def test_projects_say_whether_the_page_shall_ask_the_model(open_loop: Loop) -> None:
    assert [project.suggest for project in open_loop.portal.projects()] == [False]
    open_loop.configure(suggest=True)
    assert [project.suggest for project in open_loop.portal.projects()] == [True]
