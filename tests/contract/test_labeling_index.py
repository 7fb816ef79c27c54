"""Labeling jobs and tasks: the same behaviour in memory and in DynamoDB."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from loupe.adapters.labeling_index import LabelingJobIndex, TaskIndex
from loupe.adapters.table import IndexTable
from loupe.domain.label_values import Box, Boxes, LabelValue, OneLabel, SeveralLabels
from loupe.domain.labeling.annotation import MAX_PARTS
from loupe.domain.labeling.starting import JobNotFound
from loupe.ports.labeling import (
    Answer,
    JobCard,
    KeepsLabelingJobs,
    KeepsTasks,
    LabelingJob,
    Lease,
    NewTask,
    Suggested,
    Task,
)
from tests.fakes.labeling import FakeLabelingJobs, FakeTasks

NOW = datetime(2026, 11, 21, 10, 15, tzinfo=UTC)
LATER = NOW + timedelta(minutes=10)
CARD = JobCard(
    project="digits",
    job="digits-20261121t101500-1a2b",
    provider="portal",
    task="image-classification",
    labels=("0", "7", "ü"),
    instructions="Look closely.",
    batch_size=3,
    created_at=NOW,
)
JOB = CARD.job
HERE = ("digits", JOB)


@dataclass
class Index:
    jobs: KeepsLabelingJobs
    tasks: KeepsTasks


@pytest.fixture(params=["fake", "moto"])
def index(request: pytest.FixtureRequest) -> Index:
    if request.param == "fake":
        jobs = FakeLabelingJobs()
        return Index(jobs, FakeTasks(jobs))
    table = request.getfixturevalue("index_table")
    return Index(LabelingJobIndex(table), TaskIndex(table, writers=1))  # moto has no threads


@pytest.fixture
def open_index(index: Index) -> Index:
    """A job with three tasks is open."""
    index.jobs.claim(CARD)
    index.tasks.add(JOB, new_tasks(3))
    index.jobs.open(*HERE, 3, NOW)
    return index


def new_tasks(count: int) -> list[NewTask]:
    key = 'digits/a "b" \n é🙂.png'
    return [
        NewTask(
            f"{number:06d}",
            f"{number:064x}",
            key,
            "v1" if number else None,
            64,
            48,
            orientation=number % 8 + 1,
        )
        for number in range(count)
    ]


def answer(worker: str = "ada", at: datetime = NOW, **said: Any) -> Answer:
    return Answer(worker, worker.title(), at, **(said or {"value": OneLabel("7")}))


def job(index: Index) -> LabelingJob:
    found = index.jobs.job(*HERE)
    assert found is not None
    return found


def task(index: Index, number: str) -> Task:
    found = index.tasks.task(*HERE, number)[1]
    assert found is not None
    return found


def lease(index: Index, number: str, worker: str, now: datetime, until: datetime) -> Task | None:
    return index.tasks.lease(task(index, number), worker, now, until)


def free(index: Index, now: datetime, limit: int, worker: str = "eve") -> list[str]:
    return [each.task for each in index.tasks.free(JOB, worker, now, limit)]


def held(index: Index, worker: str) -> list[str]:
    return [each.task for each in index.tasks.held(JOB, worker)]


# Jobs -----------------------------------------------------------------------------------------------


def test_a_claimed_job_is_preparing_and_is_the_projects_open_job(index: Index) -> None:
    assert index.jobs.claim(CARD)
    assert index.jobs.open_job("digits") == LabelingJob(*HERE, "preparing", NOW, NOW)
    assert index.jobs.card(*HERE) == CARD


def test_a_project_has_one_open_job(index: Index) -> None:
    assert index.jobs.claim(CARD)
    assert not index.jobs.claim(replace(CARD, job="digits-20261121t101501-ffff"))
    assert not index.jobs.claim(CARD)
    assert len(index.jobs.jobs("digits", 20)) == 1


def test_other_projects_have_their_own(index: Index) -> None:
    other = replace(CARD, project="bolts", job="bolts-20261121t101500-1a2b")
    assert index.jobs.claim(CARD)
    assert index.jobs.claim(other)
    found = index.jobs.open_jobs(["digits", "bolts", "nuts"])
    assert {project: each.job for project, each in found.items()} == {"digits": JOB, "bolts": other.job}


def test_what_is_not_there(index: Index) -> None:
    assert index.jobs.open_job("digits") is None
    assert index.jobs.job(*HERE) is None
    assert index.jobs.jobs("digits", 20) == []
    with pytest.raises(JobNotFound):
        index.jobs.card(*HERE)
    assert not index.jobs.open(*HERE, 3, NOW)
    assert not index.jobs.consolidate(*HERE, NOW)
    assert not index.jobs.finish(*HERE, NOW)
    assert not index.jobs.discard(*HERE)
    index.jobs.announce(*HERE)
    assert index.jobs.job(*HERE) is None


def test_a_job_opens_once(index: Index) -> None:
    index.jobs.claim(CARD)
    assert index.jobs.open(*HERE, 3, LATER)
    assert not index.jobs.open(*HERE, 4, LATER)
    assert (job(index).state, job(index).tasks, job(index).changed_at) == ("open", 3, LATER)


def test_a_job_is_consolidated_when_each_task_has_an_answer(open_index: Index) -> None:
    assert not open_index.jobs.consolidate(*HERE, NOW)
    for number in ("000000", "000001", "000002"):
        assert not job(open_index).all_answered
        assert open_index.tasks.answer(*HERE, task(open_index, number), answer())
    assert job(open_index).all_answered
    assert open_index.jobs.consolidate(*HERE, LATER)
    assert not open_index.jobs.consolidate(*HERE, LATER)
    assert job(open_index).state == "consolidating"


def test_a_finished_job_makes_room_for_the_next(open_index: Index) -> None:
    assert not open_index.jobs.finish(*HERE, NOW)
    open_index.tasks.answer_many(*HERE, [(f"{n:06d}", [answer()]) for n in range(3)])
    open_index.jobs.consolidate(*HERE, NOW)
    assert open_index.jobs.finish(*HERE, LATER)
    assert not open_index.jobs.finish(*HERE, LATER)
    assert job(open_index).finished_at == LATER
    assert open_index.jobs.open_job("digits") is None
    following = replace(CARD, job="digits-20261121t102500-1a2b")
    assert open_index.jobs.claim(following)
    assert [each.job for each in open_index.jobs.jobs("digits", 20)] == [following.job, JOB]
    assert [each.job for each in open_index.jobs.jobs("digits", 1)] == [following.job]


def test_it_is_remembered_that_the_finished_event_went_out(open_index: Index) -> None:
    assert not job(open_index).announced
    open_index.jobs.announce(*HERE)
    assert job(open_index).announced


def test_a_job_without_tasks_is_forgotten(index: Index) -> None:
    index.jobs.claim(CARD)
    index.jobs.open(*HERE, 0, NOW)
    assert not index.jobs.discard(*HERE)
    assert index.jobs.consolidate(*HERE, NOW)
    assert index.jobs.discard(*HERE)
    assert index.jobs.jobs("digits", 20) == []
    assert index.jobs.open_job("digits") is None


def test_a_job_with_tasks_is_not_forgotten(open_index: Index) -> None:
    open_index.tasks.answer_many(*HERE, [(f"{n:06d}", [answer()]) for n in range(3)])
    open_index.jobs.consolidate(*HERE, NOW)
    assert not open_index.jobs.discard(*HERE)


@pytest.mark.parametrize("known", ["nothing", "open", "another is open"])
def test_a_finished_job_is_restored(index: Index, known: str) -> None:
    if known == "open":
        index.jobs.claim(CARD)
    elif known == "another is open":
        index.jobs.claim(replace(CARD, job="digits-20261121t110000-1a2b"))
    index.jobs.restore_finished(CARD, tasks=3, skipped=1, at=LATER)
    found = job(index)
    assert (found.state, found.tasks, found.answered, found.skipped) == ("finished", 3, 3, 1)
    assert found.finished_at == LATER
    assert (index.jobs.open_job("digits") is None) == (known != "another is open")
    assert index.jobs.card(*HERE) == CARD


def test_a_job_known_as_finished_is_not_restored(index: Index) -> None:
    index.jobs.restore_finished(CARD, tasks=3, skipped=1, at=NOW)
    index.jobs.announce(*HERE)
    index.jobs.restore_finished(CARD, tasks=3, skipped=1, at=LATER)
    assert job(index).announced


# Tasks ----------------------------------------------------------------------------------------------


def test_tasks_come_back_in_the_manifests_order(index: Index) -> None:
    assert index.tasks.add(JOB, iter(new_tasks(101))) == 101
    found = list(index.tasks.tasks(JOB))
    assert [vars(each) for each in found[:3]] == [vars(Task(**vars(new), job=JOB)) for new in new_tasks(3)]
    assert [each.task for each in found] == [f"{number:06d}" for number in range(101)]


def test_adding_again_fills_up_and_changes_nothing_else(open_index: Index) -> None:
    lease(open_index, "000000", "ada", NOW, LATER)
    open_index.tasks.answer(*HERE, task(open_index, "000001"), answer())
    before = list(open_index.tasks.tasks(JOB))
    assert open_index.tasks.add(JOB, new_tasks(5)) == 5
    assert list(open_index.tasks.tasks(JOB))[:3] == before
    assert len(list(open_index.tasks.tasks(JOB))) == 5


def test_a_task_comes_with_its_job(open_index: Index) -> None:
    found_job, found = open_index.tasks.task(*HERE, "000002")
    assert found_job == job(open_index)
    assert found is not None
    assert found.sha256 == f"{2:064x}"
    assert open_index.tasks.task(*HERE, "000003") == (found_job, None)
    assert open_index.tasks.task("digits", "digits-x", "000000") == (None, None)


def test_a_leased_task_is_free_again_when_the_lease_ran_out(open_index: Index) -> None:
    assert free(open_index, NOW, 2) == ["000000", "000001"]
    leased = lease(open_index, "000000", "ada", NOW, LATER)
    assert leased is not None
    assert leased.leases == (Lease("ada", LATER),)
    assert free(open_index, NOW, 9) == ["000001", "000002"]
    assert free(open_index, LATER, 9) == ["000001", "000002", "000000"]
    assert lease(open_index, "000000", "ben", LATER, LATER + timedelta(minutes=10))
    assert held(open_index, "ada") == []
    assert held(open_index, "ben") == ["000000"]


@pytest.mark.parametrize("worker", ["ada", "ben"])
def test_a_task_is_leased_once(open_index: Index, worker: str) -> None:
    assert lease(open_index, "000000", "ada", NOW, LATER)
    assert lease(open_index, "000000", worker, NOW, LATER) is None


def test_a_lease_is_renewed_by_its_holder_only(open_index: Index) -> None:
    lease(open_index, "000000", "ada", NOW, LATER)
    until = LATER + timedelta(minutes=5)
    renewed = open_index.tasks.renew(task(open_index, "000000"), "ada", until)
    assert renewed is not None
    assert renewed.leases == (Lease("ada", until),)
    assert open_index.tasks.renew(task(open_index, "000000"), "ben", until) is None
    assert open_index.tasks.renew(task(open_index, "000001"), "ada", until) is None
    assert "000000" not in free(open_index, LATER, 9)


def test_a_task_given_back_is_free_at_once(open_index: Index) -> None:
    lease(open_index, "000000", "ada", NOW, LATER)
    open_index.tasks.give_back(task(open_index, "000000"), "ben")
    assert held(open_index, "ada") == ["000000"]
    open_index.tasks.give_back(task(open_index, "000000"), "ada")
    assert held(open_index, "ada") == []
    assert free(open_index, NOW, 1) == ["000000"]
    assert task(open_index, "000000").leases == ()


def test_a_task_that_is_not_there_is_not_leased(open_index: Index) -> None:
    ghost = replace(task(open_index, "000000"), task="000009")
    assert open_index.tasks.lease(ghost, "ada", NOW, LATER) is None
    assert open_index.tasks.renew(ghost, "ada", LATER) is None
    open_index.tasks.give_back(ghost, "ada")
    assert task(open_index, "000000").task == "000000"
    assert open_index.tasks.task(*HERE, "000009")[1] is None


@pytest.mark.parametrize("said", [{"value": OneLabel("ü")}, {"skip": "blurred"}])
def test_an_answer_is_stored_and_counted(open_index: Index, said: dict[str, Any]) -> None:
    lease(open_index, "000000", "ada", NOW, LATER)
    assert open_index.tasks.answer(*HERE, task(open_index, "000000"), answer(at=LATER, **said))
    found = task(open_index, "000000")
    assert found.answer == answer(at=LATER, **said)
    assert found.leases == ()
    assert (job(open_index).answered, job(open_index).skipped) == (1, int("skip" in said))
    assert job(open_index).changed_at == LATER
    assert free(open_index, LATER, 9) == ["000001", "000002"]
    assert held(open_index, "ada") == []
    assert lease(open_index, "000000", "ada", LATER, LATER) is None


def test_a_first_answer_counts_once(open_index: Index) -> None:
    seen = task(open_index, "000000")
    assert open_index.tasks.answer(*HERE, seen, answer())
    assert not open_index.tasks.answer(*HERE, seen, answer())
    assert not open_index.tasks.answer(*HERE, seen, answer("ben"))
    assert job(open_index).answered == 1


def test_an_answer_to_a_task_that_another_holds_is_refused(open_index: Index) -> None:
    lease(open_index, "000000", "ada", NOW, LATER)
    seen = task(open_index, "000000")
    assert not open_index.tasks.answer(*HERE, seen, answer("ben", at=LATER - timedelta(seconds=1)))
    assert job(open_index).answered == 0
    assert open_index.tasks.answer(*HERE, seen, answer("ben", at=LATER))


def test_a_correction_replaces_the_answer_it_saw(open_index: Index) -> None:
    open_index.tasks.answer(*HERE, task(open_index, "000000"), answer(skip="dark"))
    seen = task(open_index, "000000")
    corrected = answer(at=LATER, value=OneLabel("0"))
    assert open_index.tasks.answer(*HERE, seen, corrected)
    assert task(open_index, "000000").answer == corrected
    assert (job(open_index).answered, job(open_index).skipped) == (1, 0)
    assert not open_index.tasks.answer(*HERE, seen, answer(at=LATER, value=OneLabel("7")))


@pytest.mark.parametrize(
    "value",
    [
        OneLabel("ü"),
        SeveralLabels(("0", "ü")),
        SeveralLabels(()),
        Boxes((Box("ü", 0, 1.5, 2.0, 1e-3), Box("0", 3, 4, 5, 6))),
        Boxes(()),
    ],
    ids=repr,
)
def test_an_answer_of_any_task_comes_back_as_it_was_given(open_index: Index, value: LabelValue) -> None:
    assert open_index.tasks.answer(*HERE, task(open_index, "000000"), answer(skip="dark"))
    given = answer(at=LATER, value=value)
    assert open_index.tasks.answer(*HERE, task(open_index, "000000"), given)
    assert open_index.tasks.answer_many(*HERE, [("000001", [given])]) == 1
    for number in ("000000", "000001"):
        found = task(open_index, number).answer
        assert found == given
        assert repr(found) == repr(given)
    assert (job(open_index).answered, job(open_index).skipped) == (2, 0)


def test_what_came_of_a_suggestion_is_kept_with_the_answer(open_index: Index) -> None:
    given = answer(value=OneLabel("7"), suggestion=Suggested("0003", accepted=False))
    assert open_index.tasks.answer(*HERE, task(open_index, "000000"), given)
    assert open_index.tasks.answer_many(*HERE, [("000001", [given])]) == 1
    assert task(open_index, "000000").answers == task(open_index, "000001").answers == (given,)


def test_many_large_answers_fit_into_transactions(index: Index) -> None:
    index.jobs.claim(CARD)
    index.tasks.add(JOB, new_tasks(60))
    index.jobs.open(*HERE, 60, NOW)
    boxes = Boxes(tuple(Box("x" * 200, number, 0, 1, 1) for number in range(500)))
    said = [(f"{number:06d}", [answer(value=boxes)]) for number in range(60)]
    assert index.tasks.answer_many(*HERE, said) == 60
    assert task(index, "000059").answer == answer(value=boxes)


@pytest.mark.parametrize("state", ["preparing", "consolidating"])
def test_only_an_open_job_takes_answers(index: Index, state: str) -> None:
    index.jobs.claim(CARD)
    index.tasks.add(JOB, new_tasks(2))
    if state == "consolidating":
        index.jobs.open(*HERE, 0, NOW)
        index.jobs.consolidate(*HERE, NOW)
    assert not index.tasks.answer(*HERE, task(index, "000000"), answer())
    assert index.tasks.answer_many(*HERE, [("000000", [answer()])]) == 0
    assert task(index, "000000").answer is None
    assert job(index).answered == 0


def test_many_answers_at_once_are_counted_exactly(index: Index) -> None:
    index.jobs.claim(CARD)
    index.tasks.add(JOB, new_tasks(105))
    index.jobs.open(*HERE, 105, NOW)
    index.tasks.answer(*HERE, task(index, "000003"), answer("ben", value=OneLabel("0")))
    lease(index, "000004", "ben", NOW, LATER)
    said = [(f"{n:06d}", [answer(skip="dark") if n % 10 == 0 else answer()]) for n in range(105)]
    assert index.tasks.answer_many(*HERE, said) == 105
    assert (job(index).answered, job(index).skipped) == (105, 11)
    assert task(index, "000003").answers == (answer("ben", value=OneLabel("0")), answer())
    assert task(index, "000004").answers == (answer(),)
    assert task(index, "000004").leases == ()
    assert index.tasks.answer_many(*HERE, said) == 0
    assert job(index).answered == 105


# Tasks of several workers ---------------------------------------------------------------------------


@pytest.fixture
def shared(index: Index) -> Index:
    """A job with two tasks is open, each for two workers."""
    index.jobs.claim(replace(CARD, workers=2, max_workers=3, check_every=20, min_accuracy=0.75))
    index.tasks.add(JOB, [replace(new, workers=2) for new in new_tasks(2)])
    index.jobs.open(*HERE, 2, NOW)
    return index


def test_a_job_keeps_how_many_answer_its_tasks(shared: Index) -> None:
    card = shared.jobs.card(*HERE)
    assert (card.workers, card.max_workers, card.check_every, card.min_accuracy) == (2, 3, 20, 0.75)
    assert task(shared, "000000").workers == 2


def test_a_task_is_in_as_many_hands_as_it_needs(shared: Index) -> None:
    assert lease(shared, "000000", "ada", NOW, LATER)
    assert lease(shared, "000000", "ada", NOW, LATER) is None
    until = LATER + timedelta(minutes=1)
    both = lease(shared, "000000", "ben", NOW, until)
    assert both is not None
    assert both.leases == (Lease("ada", LATER), Lease("ben", until))
    assert lease(shared, "000000", "cleo", NOW, LATER) is None
    assert (free(shared, NOW, 9), free(shared, LATER, 9)) == (["000001"], ["000001", "000000"])
    assert (held(shared, "ada"), held(shared, "ben"), held(shared, "cleo")) == (["000000"], ["000000"], [])
    lease(shared, "000000", "cleo", LATER, until)
    assert (held(shared, "ada"), held(shared, "cleo")) == ([], ["000000"])
    shared.tasks.give_back(task(shared, "000000"), "ben")
    assert (held(shared, "ben"), held(shared, "cleo")) == ([], ["000000"])


def test_a_worker_is_not_offered_what_he_holds_or_answered(shared: Index) -> None:
    lease(shared, "000000", "ada", NOW, LATER)
    assert free(shared, NOW, 9, "ada") == ["000001"]
    assert free(shared, NOW, 1, "ben") == ["000000"]
    shared.tasks.answer(*HERE, task(shared, "000001"), answer("ada"))
    assert free(shared, NOW, 9, "ada") == []
    assert free(shared, NOW, 9, "ben") == ["000000", "000001"]
    assert lease(shared, "000001", "ada", LATER, LATER) is None


def test_free_tasks_are_found_behind_many_that_are_not_for_the_worker(index: Index) -> None:
    index.jobs.claim(CARD)
    index.tasks.add(JOB, [replace(new, workers=2) for new in new_tasks(7)])
    index.jobs.open(*HERE, 7, NOW)
    index.tasks.answer_many(*HERE, [(f"{n:06d}", [answer("ada")]) for n in range(5)])
    assert free(index, NOW, 2, "ada") == ["000005", "000006"]


def test_a_task_counts_with_the_last_answer_that_it_needs(shared: Index) -> None:
    assert shared.tasks.answer(*HERE, task(shared, "000000"), answer("ada", skip="dark"))
    assert (job(shared).answered, job(shared).skipped) == (0, 0)
    assert not shared.jobs.consolidate(*HERE, NOW)
    assert shared.tasks.answer(*HERE, task(shared, "000000"), answer("ben", skip="blurred"))
    assert (job(shared).answered, job(shared).skipped) == (1, 1)
    assert [each.worker for each in task(shared, "000000").answers] == ["ada", "ben"]
    assert not shared.tasks.answer(*HERE, task(shared, "000000"), answer("cleo"))
    assert shared.tasks.answer(*HERE, task(shared, "000000"), answer("ada", at=LATER))
    assert (job(shared).answered, job(shared).skipped) == (1, 0)
    assert task(shared, "000000").answers == (answer("ada", at=LATER), answer("ben", skip="blurred"))


def test_of_two_answers_to_the_same_state_of_a_task_one_is_taken(shared: Index) -> None:
    seen = task(shared, "000000")
    assert shared.tasks.answer(*HERE, seen, answer("ada"))
    assert not shared.tasks.answer(*HERE, seen, answer("ben"))
    assert shared.tasks.answer(*HERE, task(shared, "000000"), answer("ben"))
    assert job(shared).answered == 1


def test_a_task_that_is_asked_again_is_not_done(shared: Index) -> None:
    for number in ("000000", "000001"):
        for worker in ("ada", "ben"):
            shared.tasks.answer(*HERE, task(shared, number), answer(worker, skip="dark"))
    assert (job(shared).answered, job(shared).skipped) == (2, 2)
    assert shared.tasks.ask_more(*HERE, [("000000", 2), ("000001", 3)]) == 1
    assert (job(shared).answered, job(shared).skipped) == (1, 1)
    assert shared.tasks.ask_more(*HERE, [("000001", 3)]) == 0
    assert not shared.jobs.consolidate(*HERE, NOW)
    assert free(shared, NOW, 9, "ada") == []
    assert free(shared, NOW, 9, "cleo") == ["000001"]
    shared.tasks.answer(*HERE, task(shared, "000001"), answer("cleo"))
    assert (job(shared).answered, job(shared).skipped) == (2, 2)
    assert shared.jobs.consolidate(*HERE, NOW)
    assert shared.tasks.ask_more(*HERE, [("000001", 4)]) == 0
    assert job(shared).answered == 2


def test_many_answers_come_back_with_none_lost_and_none_twice(shared: Index) -> None:
    shared.tasks.answer(*HERE, task(shared, "000000"), answer("ada"))
    said = [answer("ada", at=LATER), answer("ben"), answer("cleo", skip="dark")]
    assert shared.tasks.answer_many(*HERE, [("000000", said), ("000001", said[:1])]) == 3
    assert task(shared, "000000").answers == (answer("ada"), *said[1:])
    assert (job(shared).answered, job(shared).skipped) == (1, 0)


def test_answers_of_nine_workers_with_all_boxes_that_an_answer_may_have(shared: Index) -> None:
    boxes = Boxes(tuple(Box("bolt", n / 7, n / 11, 1 + n / 13, 1 + n / 17) for n in range(MAX_PARTS)))
    shared.tasks.ask_more(*HERE, [("000000", 9)])
    for number in range(9):
        said = answer(f"worker {number}", value=boxes)
        assert shared.tasks.answer(*HERE, task(shared, "000000"), said)
    assert [each.value for each in task(shared, "000000").answers] == [boxes] * 9


def test_a_task_of_known_answer_says_so(index: Index) -> None:
    index.tasks.add(JOB, [replace(new_tasks(1)[0], check=True)])
    assert task(index, "000000").check
    lease(index, "000000", "ada", NOW, LATER)
    assert task(index, "000000").check


def test_what_tasks_had_before_there_were_several_workers_is_read(index_table: IndexTable) -> None:
    index = Index(LabelingJobIndex(index_table), TaskIndex(index_table, writers=1))
    index.jobs.claim(CARD)
    index.tasks.add(JOB, new_tasks(2))
    index.jobs.open(*HERE, 2, NOW)
    said = {"worker": "ada", "worker_name": "Ada", "answered_at": NOW.isoformat("T", "microseconds")}
    index_table.update(
        f"TASKS#{JOB}",
        "000000",
        "SET #worker = :worker, #worker_name = :worker_name, #answered_at = :answered_at, #label = :label "
        "REMOVE #gsi1pk, #gsi1sk",
        said | {"label": "7"},
    )
    leased = {"holder": "ben", "lease_until": LATER.isoformat("T", "microseconds")}
    index_table.update(
        f"TASKS#{JOB}",
        "000001",
        "SET #holder = :holder, #lease_until = :lease_until, #gsi2pk = :hands, #gsi2sk = :task",
        leased | {"hands": f"{JOB}#ben", "task": "000001"},
    )
    assert task(index, "000000").answers == (answer("ada"),)
    assert task(index, "000001").leases == (Lease("ben", LATER),)
    assert held(index, "ben") == ["000001"]
    assert index.tasks.answer(*HERE, task(index, "000001"), answer("ben"))
    assert (task(index, "000001").answers, task(index, "000001").leases) == ((answer("ben"),), ())
    assert index.tasks.ask_more(*HERE, [("000000", 2)]) == 1
    assert task(index, "000000").answers == (answer("ada"),)
    assert index.tasks.answer(*HERE, task(index, "000000"), answer("ben"))
    assert [each.worker for each in task(index, "000000").answers] == ["ada", "ben"]


# Jobs of other providers, and jobs that fail ---------------------------------------------------------


def test_a_job_tells_its_provider(index: Index) -> None:
    index.jobs.claim(replace(CARD, provider="ground-truth"))
    assert job(index).provider == "ground-truth"
    review = replace(CARD, project="bolts", review_of="v0001", review="adjustment", config_etag="e1")
    index.jobs.claim(review)
    assert index.jobs.card("bolts", JOB) == review


def test_progress_by_the_providers_count(open_index: Index) -> None:
    assert open_index.jobs.progress(*HERE, 2, 1, LATER)
    assert (job(open_index).answered, job(open_index).skipped) == (2, 1)
    assert job(open_index).changed_at == LATER
    assert not open_index.jobs.progress(*HERE, 1, 0, LATER)
    assert job(open_index).answered == 2
    open_index.jobs.end(*HERE, None, LATER)
    assert not open_index.jobs.progress(*HERE, 3, 1, LATER)


def test_a_provider_ends_a_job_whatever_is_answered(open_index: Index) -> None:
    assert open_index.jobs.end(*HERE, "it was stopped", NOW)
    assert not open_index.jobs.end(*HERE, "again", NOW)
    assert (job(open_index).state, job(open_index).reason) == ("consolidating", "it was stopped")
    assert open_index.jobs.finish(*HERE, LATER)
    assert job(open_index).reason == "it was stopped"
    without_reason = replace(CARD, job="digits-20261121t101501-ffff")
    open_index.jobs.claim(without_reason)
    open_index.jobs.open("digits", without_reason.job, 3, NOW)
    assert open_index.jobs.end("digits", without_reason.job, None, NOW)
    ended = open_index.jobs.job("digits", without_reason.job)
    assert ended is not None
    assert ended.reason is None


@pytest.mark.parametrize("state", ["preparing", "open", "consolidating"])
def test_a_failed_job_makes_room_for_the_next(index: Index, state: str) -> None:
    index.jobs.claim(CARD)
    if state != "preparing":
        index.jobs.open(*HERE, 3, NOW)
    if state == "consolidating":
        index.jobs.end(*HERE, None, NOW)
    assert index.jobs.fail(*HERE, "it was refused", LATER)
    assert not index.jobs.fail(*HERE, "again", LATER)
    failed = job(index)
    assert (failed.state, failed.reason, failed.finished_at) == ("failed", "it was refused", LATER)
    assert not failed.announced
    assert index.jobs.open_job("digits") is None
    assert index.jobs.jobs("digits", 1) == [failed]
    assert index.jobs.claim(replace(CARD, job="digits-20261121t102500-1a2b"))


def test_a_finished_job_does_not_fail(open_index: Index) -> None:
    open_index.jobs.end(*HERE, None, NOW)
    open_index.jobs.finish(*HERE, NOW)
    assert not open_index.jobs.fail(*HERE, "too late", LATER)
    assert job(open_index).state == "finished"


def test_a_job_that_was_never_there_does_not_fail(index: Index) -> None:
    assert not index.jobs.fail(*HERE, "why", NOW)
    assert index.jobs.job(*HERE) is None


def test_a_failed_job_is_restored_and_releases_the_project(open_index: Index) -> None:
    open_index.jobs.restore_failed(CARD, "it was refused", LATER)
    assert (job(open_index).state, job(open_index).reason) == ("failed", "it was refused")
    assert job(open_index).announced
    assert open_index.jobs.open_job("digits") is None
    open_index.jobs.restore_failed(CARD, "another reason", LATER)
    assert job(open_index).reason == "it was refused"


def test_a_finished_job_is_not_restored_as_failed(index: Index) -> None:
    index.jobs.restore_finished(CARD, 3, 0, NOW)
    index.jobs.restore_failed(CARD, "why", LATER)
    assert job(index).state == "finished"
