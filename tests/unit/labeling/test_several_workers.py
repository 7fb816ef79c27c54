"""Tasks that several workers answer, from the first lease to the output manifest."""

from typing import Any

import pytest

from loupe.domain.datasets.labels import AcceptLabels, label_lines
from loupe.domain.events import AnnotationsCompleted, LabelingJobFinished
from loupe.domain.label_values import Box, Boxes, LabelValue, OneLabel, SeveralLabels
from loupe.domain.labeling.annotation import JobFinished, LeaseLost, Worker, annotation_content
from loupe.domain.projects import TaskType
from loupe.domain.workspace import Workspace
from loupe.ports.labeling import Answer, Task
from tests.fakes.labeling import FakeTasks
from tests.unit.labeling.conftest import ADA, BEN, PROJECT, Loop

CLEO, DAN = Worker("3333", "cleo"), Worker("4444", "dan")
OK, DENT, SCRATCH = OneLabel("ok"), OneLabel("dent"), OneLabel("scratch")


def shared(images: int = 3, task: TaskType = "image-classification", **labeling: Any) -> Loop:
    """A job of so many tasks is open; two workers answer each."""
    loop = Loop()
    loop.configure(task=task, **{"workers_per_image": 2, "batch_size": images, **labeling})
    loop.register(images)
    loop.start(PROJECT)
    loop.events.published.clear()
    return loop


def leased(loop: Loop, worker: Worker, count: int = 20) -> set[str]:
    return {each.task.task for each in loop.portal.lease(PROJECT, worker, count).tasks}


def say(loop: Loop, worker: Worker, task: int, said: LabelValue | str) -> None:
    """The worker's answer; text is the reason for a skip."""
    given: dict[str, Any] = {"skip": said} if isinstance(said, str) else {"value": said}
    loop.portal.annotate(PROJECT, loop.open_job().job, f"{task:06d}", worker, **given)


def task(loop: Loop, number: int) -> Task:
    found = loop.tasks.task(PROJECT, loop.open_job().job, f"{number:06d}")[1]
    assert found is not None
    return found


def answered(loop: Loop) -> tuple[int, int]:
    return loop.open_job().answered, loop.open_job().skipped


def concluded(loop: Loop) -> list[dict[str, Any]]:
    """The output manifest's rows, once all is said."""
    job = loop.open_job().job
    loop.consolidate(PROJECT, job)
    return loop.output_rows(job)


# Leases and answers ---------------------------------------------------------------------------------


def test_each_task_goes_to_so_many_workers_and_to_none_of_them_twice() -> None:
    loop = shared()
    everything = {"000000", "000001", "000002"}
    assert leased(loop, ADA) == leased(loop, BEN) == everything
    assert leased(loop, CLEO) == set()
    for number in range(3):
        say(loop, ADA, number, OK)
    assert leased(loop, ADA) == set()
    loop.clock.advance(minutes=10)
    assert leased(loop, CLEO) == everything
    assert leased(loop, BEN) == set()


def test_a_task_counts_when_nobody_is_needed_any_more() -> None:
    loop = shared()
    say(loop, ADA, 0, "dark")
    assert answered(loop) == (0, 0)
    say(loop, BEN, 0, "blurred")
    assert answered(loop) == (1, 1)
    with pytest.raises(LeaseLost, match="answered already, by ada, ben"):
        say(loop, CLEO, 0, OK)


def test_a_worker_corrects_his_own_answer_as_long_as_the_job_is_open() -> None:
    loop = shared()
    say(loop, ADA, 0, OK)
    say(loop, BEN, 0, OK)
    say(loop, ADA, 0, DENT)
    assert [each.value for each in task(loop, 0).answers] == [DENT, OK]
    assert answered(loop) == (1, 0)


def test_who_comes_late_is_refused_only_where_others_fill_all_places() -> None:
    loop = shared(images=1)
    leased(loop, ADA)
    loop.clock.advance(minutes=10)
    leased(loop, BEN)
    say(loop, ADA, 0, OK)
    loop.clock.advance(minutes=10)
    leased(loop, CLEO)
    with pytest.raises(LeaseLost, match="somebody else has it"):
        say(loop, BEN, 0, OK)
    say(loop, CLEO, 0, OK)
    assert loop.events.published == [AnnotationsCompleted(PROJECT, loop.open_job().job)]


class Overtaken(FakeTasks):
    """Between reading a task and answering it, `other` answers it."""

    other: Answer | None = None

    def answer(self, project: str, job: str, task: Task, answer: Answer) -> bool:
        if self.other is not None:
            other, self.other = self.other, None
            super().answer(project, job, task, other)
        return super().answer(project, job, task, answer)


def test_answers_of_two_workers_at_once_are_both_taken() -> None:
    loop = shared()
    tasks = Overtaken(loop.jobs, loop.tasks.by_job)
    tasks.other = Answer(BEN.id, BEN.name, loop.clock(), value=DENT)
    loop.portal = loop.labeling_portal(tasks)
    say(loop, ADA, 0, OK)
    assert {each.worker for each in task(loop, 0).answers} == {ADA.id, BEN.id}
    assert answered(loop) == (1, 0)


# What follows from them -----------------------------------------------------------------------------


def test_what_several_say_goes_into_the_manifest_with_its_confidence() -> None:
    loop = shared()
    for worker in (ADA, BEN):
        say(loop, worker, 0, DENT)
        say(loop, worker, 1, "blurred")
    say(loop, ADA, 2, OK)
    loop.clock.advance(seconds=2)
    say(loop, BEN, 2, OK)
    dent, skipped, ok = concluded(loop)
    assert (dent["label"], dent["loupe-workers"], dent["loupe-agreement"]) == (2, ["ada", "ben"], 1.0)
    assert 0.5 < dent["label-metadata"]["confidence"] <= 1
    assert "label" not in skipped
    assert skipped["label-metadata"]["failure-reason"] == "skipped by ada: blurred; skipped by ben: blurred"
    assert ok["label-metadata"]["creation-date"] == "2026-11-21T10:15:02.000000"


def test_accepted_labels_tell_who_labeled_and_how_far_they_agree() -> None:
    loop = shared(workers_per_image=3)
    for worker, said in ((ADA, OK), (BEN, OK), (CLEO, DENT)):
        for number in range(3):
            say(loop, worker, number, said if number == 2 else OK)
    job = loop.open_job().job
    concluded(loop)
    AcceptLabels(loop.images, loop.workspace, loop.raw_data.bucket, loop.clock)(loop.jobs.card(PROJECT, job))
    lines = list(label_lines(PROJECT, [job], loop.workspace))
    assert '"agreement":0.6667' in lines[2]
    assert '"workers":["ada","ben","cleo"]' in lines[2]
    assert '"label":"ok"' in lines[2]


def test_labels_are_concluded_each_by_itself() -> None:
    loop = shared(task="multi-label-classification", workers_per_image=3, images=4)
    for number in range(4):
        say(loop, ADA, number, SeveralLabels(("ok", "dent")))
        say(loop, BEN, number, SeveralLabels(("dent", "ok")))
        say(loop, CLEO, number, SeveralLabels(("dent", "scratch") if number == 3 else ("ok", "dent")))
    assert [row["labels"] for row in concluded(loop)] == [[0, 2]] * 4


def test_boxes_of_the_same_object_are_averaged_and_what_one_alone_drew_is_left_out() -> None:
    loop = shared(task="bounding-box", workers_per_image=3, images=4)
    for number in range(4):
        say(loop, ADA, number, Boxes((Box("dent", 10, 10, 20, 20),)))
        say(loop, BEN, number, Boxes((Box("dent", 12, 10, 20, 20),)))
        odd = (Box("ok", 40, 2, 5, 5),) if number == 3 else ()
        say(loop, CLEO, number, Boxes((*odd, Box("dent", 11, 13, 20, 20))))
    for row in concluded(loop):
        [box] = row["boxes"]["annotations"]
        assert (box["class_id"], box["width"], box["height"]) == (2, 20, 20)
        assert box["left"] == pytest.approx(11, abs=0.1)
        assert box["top"] == pytest.approx(11, abs=0.1)
        [found] = row["boxes-metadata"]["objects"]
        assert 0.9 < found["confidence"] <= 1


def test_an_image_in_doubt_goes_to_one_more_worker() -> None:
    loop = shared(max_workers_per_image=4)
    for number in range(3):
        say(loop, ADA, number, OK)
        say(loop, BEN, number, DENT if number == 1 else OK)
    job = loop.open_job().job
    for _ in range(2):
        loop.consolidate(PROJECT, job)
        assert (loop.open_job().state, answered(loop)) == ("open", (2, 0))
    assert leased(loop, ADA) == leased(loop, BEN) == set()
    assert leased(loop, CLEO) == {"000001"}
    loop.events.published.clear()
    say(loop, CLEO, 1, OK)
    assert loop.events.published == [AnnotationsCompleted(PROJECT, job)]
    rows = concluded(loop)
    assert loop.events.published[1:] == [LabelingJobFinished(PROJECT, job)]
    assert rows[1]["label"] == 0
    assert rows[1]["loupe-workers"] == ["ada", "ben", "cleo"]


def test_an_image_that_stays_in_doubt_is_asked_about_only_so_often() -> None:
    loop = shared(images=1, max_workers_per_image=3)
    say(loop, ADA, 0, OK)
    say(loop, BEN, 0, DENT)
    loop.consolidate(PROJECT, loop.open_job().job)
    say(loop, CLEO, 0, SCRATCH)
    [row] = concluded(loop)
    assert "label" in row
    assert row["label-metadata"]["confidence"] < 0.9


def test_without_more_workers_to_have_doubt_changes_nothing() -> None:
    loop = shared(images=1)
    say(loop, ADA, 0, OK)
    say(loop, BEN, 0, DENT)
    assert len(concluded(loop)) == 1
    assert loop.jobs.open_job(PROJECT) is None


def test_a_finished_job_takes_no_answer_of_a_further_worker() -> None:
    loop = shared(images=1)
    say(loop, ADA, 0, OK)
    say(loop, BEN, 0, OK)
    job = loop.open_job().job
    concluded(loop)
    with pytest.raises(JobFinished):
        loop.portal.annotate(PROJECT, job, "000000", CLEO, value=OK)


# A lost index ---------------------------------------------------------------------------------------


def test_every_answer_comes_back_after_the_index_was_lost() -> None:
    loop = shared(max_workers_per_image=3)
    for number in range(3):
        say(loop, ADA, number, OK)
        loop.clock.advance(seconds=1)
        say(loop, BEN, number, DENT if number == 1 else "dark")
    job = loop.open_job().job
    loop.consolidate(PROJECT, job)
    say(loop, CLEO, 1, DENT)
    before = [task(loop, number).answers for number in range(3)]
    loop.lose_index()
    assert loop.restore(PROJECT, job)
    assert [task(loop, number).answers for number in range(3)] == before
    assert not loop.restore(PROJECT, job)
    assert loop.open_job().all_answered
    loop.consolidate(PROJECT, job)  # finds the same doubt again
    assert leased(loop, DAN) == {"000000", "000002"}


def test_acknowledged_answers_that_an_old_index_lacks_are_put_back() -> None:
    loop = shared()
    say(loop, ADA, 0, OK)
    job = loop.open_job().job
    old = dict(loop.tasks.by_job[job]), loop.open_job()
    loop.clock.advance(seconds=1)
    say(loop, BEN, 0, OK)
    say(loop, ADA, 0, DENT)
    say(loop, CLEO, 1, OK)
    acknowledged = [task(loop, number).answers for number in range(3)]
    loop.tasks.by_job[job], loop.jobs.records[PROJECT, job] = old
    assert loop.restore(PROJECT, job)
    assert [task(loop, number).answers for number in range(3)] == acknowledged
    assert answered(loop) == (1, 0)


def test_an_answer_beyond_those_that_were_asked_for_is_not_thrown_away() -> None:
    loop = shared(images=1)
    say(loop, ADA, 0, OK)
    job = loop.open_job().job
    one_more = Answer(CLEO.id, CLEO.name, loop.clock(), value=DENT)
    content = annotation_content(PROJECT, loop.raw_data.bucket, task(loop, 0), one_more)
    loop.workspace.write(Workspace(PROJECT).annotation(job, task(loop, 0).sha256, CLEO.id), content)
    say(loop, BEN, 0, OK)
    assert loop.restore(PROJECT, job)
    assert {each.worker_name for each in task(loop, 0).answers} == {"ada", "ben", "cleo"}
    assert answered(loop) == (1, 0)
