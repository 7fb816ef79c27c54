"""Labeling jobs and the portal's tasks in the index.

    pk                  sk
    PROJECT#<project>   LOOP         open_job: the job that is not finished; other attributes are training's
    PROJECT#<project>   JOB#<job>    state and progress: small, since each answer changes it
    PROJECT#<project>   CARD#<job>   what the job was cut with: written once
    TASKS#<job>         <task>       image, lease and answer of a task

An open task is in gsi1 under `<job>#open`, sorted by the moment from which it is free: one query finds what
was never leased and what ran out, however many tasks there are. A leased one is in gsi2 under
`<job>#<worker>`. Both are a little behind, so that every change is conditional on the task itself.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial

from loupe.adapters.table import (
    MAX_TRANSACTION,
    Action,
    ConditionFailed,
    Delete,
    IndexTable,
    Item,
    Put,
    Update,
)
from loupe.domain.batches import batches, in_parallel
from loupe.domain.label_values import Boxes, LabelValue, OneLabel, SeveralLabels, read_any
from loupe.domain.labeling import JobNotFound
from loupe.ports import Answer, JobCard, LabelingJob, NewTask, Task

_MAX_TRANSACTION_BYTES = 3_000_000
"""DynamoDB takes 4 MB; besides what was said there is little in an answer."""
_DISCARDED = "discarded"
"""State of a job that is forgotten. Its item stays, so that a run that still works on it gets no images."""
_ENDED = frozenset({"finished", "failed"})
_NEVER_LEASED = "0000"
"""Sorts before every moment."""
_AFTER_ALL = "~"
"""Sorts after every task of the same moment."""
_LEASE = (
    "SET #holder = :worker, #lease_until = :until, #gsi1sk = :free_from, #gsi2pk = :hands, #gsi2sk = :task"
)
_NO_LEASE = "#holder, #lease_until, #gsi2pk, #gsi2sk"
_UNANSWERED = "attribute_exists(#pk) AND attribute_not_exists(#answered_at)"
_RELEASE = "REMOVE #open_job"
_IS_OPEN_JOB = "#open_job = :job"


class LabelingJobIndex:
    """Implements `loupe.ports.KeepsLabelingJobs`."""

    def __init__(self, table: IndexTable) -> None:
        self._table = table

    def claim(self, card: JobCard) -> bool:
        claimed = Update(
            _project(card.project),
            "LOOP",
            "SET #open_job = :job",
            {"job": card.job},
            condition="attribute_not_exists(#open_job)",
        )
        preparing = LabelingJob(
            card.project, card.job, "preparing", card.created_at, card.created_at, provider=card.provider
        )
        fresh = Put(_job_item(preparing), "attribute_not_exists(#pk)")
        return not self._table.transact([claimed, fresh, Put(_card_item(card))])

    def open_job(self, project: str) -> LabelingJob | None:
        return self.open_jobs([project]).get(project)

    def open_jobs(self, projects: Iterable[str]) -> dict[str, LabelingJob]:
        loops = self._table.batch_get((_project(project), "LOOP") for project in projects)
        keys = [(loop["pk"], f"JOB#{loop['open_job']}") for loop in loops if "open_job" in loop]
        jobs = [_read_job(item) for item in self._table.batch_get(keys)]
        return {job.project: job for job in jobs if job.state not in _ENDED}

    def job(self, project: str, job: str) -> LabelingJob | None:
        item = self._table.get(_project(project), f"JOB#{job}")
        return _read_job(item) if item and item["state"] != _DISCARDED else None

    def jobs(self, project: str, limit: int) -> list[LabelingJob]:
        items = self._table.query(_project(project), begins_with="JOB#", descending=True, limit=limit)
        return [_read_job(item) for item in items if item["state"] != _DISCARDED]

    def card(self, project: str, job: str) -> JobCard:
        item = self._table.get(_project(project), f"CARD#{job}")
        if item is None:
            raise JobNotFound(f"project {project!r} has no labeling job {job!r}")
        return _read_card(item)

    def open(self, project: str, job: str, tasks: int, at: datetime) -> bool:
        return self._change(
            project,
            job,
            "SET #state = :open, #tasks = :tasks, #changed_at = :at",
            {"open": "open", "tasks": tasks, "at": _text(at), "preparing": "preparing"},
            condition="#state = :preparing",
        )

    def discard(self, project: str, job: str) -> bool:
        discarded = Update(
            _project(project),
            f"JOB#{job}",
            "SET #state = :discarded",
            {"discarded": _DISCARDED, "consolidating": "consolidating", "none": 0},
            condition="#state = :consolidating AND #tasks = :none",
        )
        return self._release_with(project, job, [discarded, Delete(_project(project), f"CARD#{job}")])

    def consolidate(self, project: str, job: str, at: datetime) -> bool:
        return self._change(
            project,
            job,
            "SET #state = :consolidating, #changed_at = :at",
            {"consolidating": "consolidating", "at": _text(at), "open": "open"},
            condition="#state = :open AND #answered >= #tasks",
        )

    def progress(self, project: str, job: str, answered: int, skipped: int, at: datetime) -> bool:
        return self._change(
            project,
            job,
            "SET #answered = :answered, #skipped = :skipped, #changed_at = :at",
            {"answered": answered, "skipped": skipped, "at": _text(at), "open": "open"},
            condition="#state = :open AND #answered <= :answered",
        )

    def end(self, project: str, job: str, reason: str | None, at: datetime) -> bool:
        values = {"consolidating": "consolidating", "at": _text(at), "open": "open", "reason": reason}
        return self._change(
            project,
            job,
            "SET #state = :consolidating, #changed_at = :at, #reason = :reason",
            values,
            condition="#state = :open",
        )

    def fail(self, project: str, job: str, reason: str, at: datetime) -> bool:
        failed = Update(
            _project(project),
            f"JOB#{job}",
            "SET #state = :failed, #reason = :reason, #finished_at = :at, #changed_at = :at",
            {
                "failed": "failed",
                "reason": reason,
                "at": _text(at),
                "preparing": "preparing",
                "open": "open",
                "consolidating": "consolidating",
            },
            condition="#state IN (:preparing, :open, :consolidating)",
        )
        return self._release_with(project, job, [failed])

    def finish(self, project: str, job: str, at: datetime) -> bool:
        finished = Update(
            _project(project),
            f"JOB#{job}",
            "SET #state = :finished, #finished_at = :at, #changed_at = :at",
            {"finished": "finished", "at": _text(at), "consolidating": "consolidating"},
            condition="#state = :consolidating",
        )
        return self._release_with(project, job, [finished])

    def announce(self, project: str, job: str) -> None:
        self._change(project, job, "SET #announced = :yes", {"yes": True}, condition="attribute_exists(#pk)")

    def restore_finished(self, card: JobCard, tasks: int, skipped: int, at: datetime) -> None:
        job = LabelingJob(
            card.project,
            card.job,
            "finished",
            created_at=card.created_at,
            changed_at=at,
            tasks=tasks,
            answered=tasks,
            skipped=skipped,
            finished_at=at,
            provider=card.provider,
        )
        unless_finished = "attribute_not_exists(#pk) OR #state <> :finished"
        item = Put(_job_item(job), unless_finished, {"finished": "finished"})
        self._release_with(card.project, card.job, [item, Put(_card_item(card))])

    def restore_failed(self, card: JobCard, reason: str, at: datetime) -> None:
        job = LabelingJob(
            card.project,
            card.job,
            "failed",
            created_at=card.created_at,
            changed_at=at,
            finished_at=at,
            announced=True,
            provider=card.provider,
            reason=reason,
        )
        unless_ended = "attribute_not_exists(#pk) OR NOT #state IN (:finished, :failed)"
        item = Put(_job_item(job), unless_ended, {"finished": "finished", "failed": "failed"})
        self._release_with(card.project, card.job, [item, Put(_card_item(card))])

    def _change(
        self, project: str, job: str, change: str, values: Mapping[str, object], *, condition: str
    ) -> bool:
        try:
            self._table.update(_project(project), f"JOB#{job}", change, values, condition)
        except ConditionFailed:
            return False
        return True

    def _release_with(self, project: str, job: str, actions: list[Action]) -> bool:
        """Do the actions, and release the project's open job if it is this one."""
        release = Update(_project(project), "LOOP", _RELEASE, {"job": job}, condition=_IS_OPEN_JOB)
        failed = self._table.transact([*actions, release])
        if failed == {len(actions)}:
            failed = self._table.transact(actions)
        return not failed


class TaskIndex:
    """Implements `loupe.ports.KeepsTasks`. New tasks are added by so many `writers` at once."""

    def __init__(self, table: IndexTable, writers: int = 8) -> None:
        self._table = table
        self._writers = writers

    def add(self, job: str, tasks: Iterable[NewTask]) -> int:
        return sum(in_parallel(partial(self._add, job), batches(tasks, MAX_TRANSACTION), self._writers))

    def _add(self, job: str, tasks: list[NewTask]) -> int:
        left = [Put(_task_item(job, task), "attribute_not_exists(#pk)") for task in tasks]
        while left and (there := self._table.transact(left)):
            left = [put for at, put in enumerate(left) if at not in there]
        return len(tasks)

    def task(self, project: str, job: str, task: str) -> tuple[LabelingJob | None, Task | None]:
        keys = [(_project(project), f"JOB#{job}"), (f"TASKS#{job}", task)]
        items = {item["pk"]: item for item in self._table.batch_get(keys)}
        found_job, found_task = items.get(keys[0][0]), items.get(keys[1][0])
        return _read_job(found_job) if found_job else None, _read_task(found_task) if found_task else None

    def tasks(self, job: str) -> Iterator[Task]:
        return map(_read_task, self._table.query(f"TASKS#{job}"))

    def free(self, job: str, now: datetime, limit: int) -> list[str]:
        until_now = f"{_text(now)}#{_AFTER_ALL}"
        found = self._table.query(f"{job}#open", index="gsi1", at_most=until_now, limit=limit)
        return [item["sk"] for item in found]

    def held(self, job: str, worker: str) -> list[str]:
        return [item["sk"] for item in self._table.query(f"{job}#{worker}", index="gsi2")]

    def lease(self, job: str, task: str, worker: str, now: datetime, until: datetime) -> Task | None:
        is_free = "(attribute_not_exists(#lease_until) OR #lease_until <= :now)"
        return self._lease(job, task, worker, until, {"now": _text(now)}, f"{_UNANSWERED} AND {is_free}")

    def renew(self, job: str, task: str, worker: str, until: datetime) -> Task | None:
        return self._lease(job, task, worker, until, {}, f"{_UNANSWERED} AND #holder = :worker")

    def _lease(
        self, job: str, task: str, worker: str, until: datetime, values: dict[str, str], condition: str
    ) -> Task | None:
        values = values | {
            "worker": worker,
            "until": _text(until),
            "free_from": f"{_text(until)}#{task}",
            "hands": f"{job}#{worker}",
            "task": task,
        }
        try:
            return _read_task(self._table.update(f"TASKS#{job}", task, _LEASE, values, condition))
        except ConditionFailed:
            return None

    def give_back(self, job: str, task: str, worker: str) -> None:
        try:
            self._table.update(
                f"TASKS#{job}",
                task,
                f"SET #gsi1sk = :free_from REMOVE {_NO_LEASE}",
                {"free_from": f"{_NEVER_LEASED}#{task}", "worker": worker},
                f"{_UNANSWERED} AND #holder = :worker",
            )
        except ConditionFailed:
            return

    def answer(self, project: str, job: str, task: Task, answer: Answer) -> bool:
        before = task.answer
        if before is None:
            own_or_free = (
                "(attribute_not_exists(#lease_until) OR #lease_until <= :answered_at OR #holder = :worker)"
            )
            update = _answer(job, task.task, answer, f"{_UNANSWERED} AND {own_or_free}")
        else:
            seen = {"before": before.worker, "seen": _text(before.answered_at)}
            update = _answer(job, task.task, answer, "#worker = :before AND #answered_at = :seen", seen)
        skipped = (answer.skip is not None) - (before is not None and before.skip is not None)
        counted = _count(project, job, int(before is None), skipped, answer.answered_at)
        return not self._table.transact([update, counted])

    def answer_many(self, project: str, job: str, answers: Iterable[tuple[str, Answer]]) -> int:
        set_answers = 0
        for batch in _transactions(answers):
            left = batch
            while left:
                updates = [_answer(job, task, answer, _UNANSWERED) for task, answer in left]
                skipped = sum(answer.skip is not None for _, answer in left)
                at = max(answer.answered_at for _, answer in left)
                failed = self._table.transact([*updates, _count(project, job, len(left), skipped, at)])
                if len(left) in failed:
                    return set_answers
                if not failed:
                    set_answers += len(left)
                    break
                left = [each for place, each in enumerate(left) if place not in failed]
        return set_answers


def _transactions(answers: Iterable[tuple[str, Answer]]) -> Iterator[list[tuple[str, Answer]]]:
    """The answers, as many at a time as go into a transaction beside their count."""
    batch: list[tuple[str, Answer]] = []
    size = 0
    for task, answer in answers:
        added = len(str(_said(answer)).encode())
        if batch and (len(batch) == MAX_TRANSACTION - 1 or size + added > _MAX_TRANSACTION_BYTES):
            yield batch
            batch, size = [], 0
        batch.append((task, answer))
        size += added
    if batch:
        yield batch


def _answer(
    job: str, task: str, answer: Answer, condition: str, values: dict[str, str] | None = None
) -> Update:
    given, said = _said(answer)
    others = ", ".join(f"#{name}" for name in _SAID if name != given)
    return Update(
        f"TASKS#{job}",
        task,
        "SET #worker = :worker, #worker_name = :worker_name, #answered_at = :answered_at, "
        f"#{given} = :said REMOVE {others}, #gsi1pk, #gsi1sk, {_NO_LEASE}",
        {
            "worker": answer.worker,
            "worker_name": answer.worker_name,
            "answered_at": _text(answer.answered_at),
            "said": said,
            **(values or {}),
        },
        condition,
    )


def _count(project: str, job: str, answered: int, skipped: int, at: datetime) -> Update:
    return Update(
        _project(project),
        f"JOB#{job}",
        "SET #changed_at = :at ADD #answered :answered, #skipped :skipped",
        {"answered": answered, "skipped": skipped, "at": _text(at), "open": "open"},
        "#state = :open",
    )


# Records and items ----------------------------------------------------------------------------------


def _project(project: str) -> str:
    return f"PROJECT#{project}"


def _text(at: datetime) -> str:
    """Moments as text that sorts as they do: UTC, always with microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _job_item(job: LabelingJob) -> Item:
    item: Item = {
        "pk": _project(job.project),
        "sk": f"JOB#{job.job}",
        "state": job.state,
        "created_at": _text(job.created_at),
        "changed_at": _text(job.changed_at),
        "tasks": job.tasks,
        "answered": job.answered,
        "skipped": job.skipped,
        "announced": job.announced,
        "provider": job.provider,
    }
    if job.finished_at is not None:
        item["finished_at"] = _text(job.finished_at)
    if job.reason is not None:
        item["reason"] = job.reason
    return item


def _read_job(item: Item) -> LabelingJob:
    finished_at = item.get("finished_at")
    return LabelingJob(
        project=item["pk"].removeprefix("PROJECT#"),
        job=item["sk"].removeprefix("JOB#"),
        state=item["state"],
        created_at=datetime.fromisoformat(item["created_at"]),
        changed_at=datetime.fromisoformat(item["changed_at"]),
        tasks=item["tasks"],
        answered=item["answered"],
        skipped=item["skipped"],
        finished_at=datetime.fromisoformat(finished_at) if finished_at else None,
        announced=item["announced"],
        provider=item.get("provider", "portal"),
        reason=item.get("reason"),
    )


def _card_item(card: JobCard) -> Item:
    return {
        "pk": _project(card.project),
        "sk": f"CARD#{card.job}",
        "provider": card.provider,
        "task": card.task,
        "labels": list(card.labels),
        "instructions": card.instructions,
        "batch_size": card.batch_size,
        "created_at": _text(card.created_at),
        "split": card.split,
        "review_of": card.review_of,
        "review": card.review,
        "config_etag": card.config_etag,
    }


def _read_card(item: Item) -> JobCard:
    return JobCard(
        project=item["pk"].removeprefix("PROJECT#"),
        job=item["sk"].removeprefix("CARD#"),
        provider=item["provider"],
        task=item["task"],
        labels=tuple(item["labels"]),
        instructions=item["instructions"],
        batch_size=item["batch_size"],
        created_at=datetime.fromisoformat(item["created_at"]),
        split=item.get("split"),
        review_of=item.get("review_of"),
        review=item.get("review"),
        config_etag=item.get("config_etag"),
    )


def _task_item(job: str, task: NewTask) -> Item:
    item: Item = {
        "pk": f"TASKS#{job}",
        "sk": task.task,
        "sha256": task.sha256,
        "key": task.key,
        "width": task.width,
        "height": task.height,
        "gsi1pk": f"{job}#open",
        "gsi1sk": f"{_NEVER_LEASED}#{task.task}",
    }
    if task.version_id is not None:
        item["version_id"] = task.version_id
    return item


def _read_task(item: Item) -> Task:
    lease_until = item.get("lease_until")
    return Task(
        task=item["sk"],
        sha256=item["sha256"],
        key=item["key"],
        version_id=item.get("version_id"),
        width=item["width"],
        height=item["height"],
        job=item["pk"].removeprefix("TASKS#"),
        holder=item.get("holder"),
        lease_until=datetime.fromisoformat(lease_until) if lease_until else None,
        answer=_read_answer(item) if "answered_at" in item else None,
    )


def _read_answer(item: Item) -> Answer:
    return Answer(
        worker=item["worker"],
        worker_name=item["worker_name"],
        answered_at=datetime.fromisoformat(item["answered_at"]),
        value=_read_value(item),
        skip=item.get("skip"),
    )


_SAID = ("label", "labels", "boxes", "skip")
"""Attributes of a task, one of which says what the answer was."""


def _said(answer: Answer) -> tuple[str, object]:
    """The attribute and its content. Boxes are JSON: as a mapping each, they would be thrice as large."""
    match answer.value:
        case None:
            return "skip", answer.skip
        case OneLabel(label):
            return "label", label
        case SeveralLabels(labels):
            return "labels", list(labels)
        case Boxes():
            return "boxes", json.dumps(answer.value.to_json()["boxes"], ensure_ascii=False)


def _read_value(item: Item) -> LabelValue | None:
    if "boxes" in item:
        return read_any({"boxes": json.loads(item["boxes"])})
    return read_any(item)
