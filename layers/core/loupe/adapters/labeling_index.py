"""Labeling jobs and the portal's tasks in the index.

    pk                  sk
    PROJECT#<project>   LOOP         open_job: the job that is not finished; other attributes are training's
    PROJECT#<project>   JOB#<job>    state and progress: small, since each answer changes it
    PROJECT#<project>   CARD#<job>   what the job was cut with: written once
    TASKS#<job>         <task>       image, leases and answers of a task

An open task is in gsi1 under `<job>#open`, sorted by the moment from which it is free: one query finds what
was never leased and what ran out, however many tasks there are. A leased one is in gsi2 under
`<job>#<worker>`, or under `<job>#several` while several workers hold it. Both are a little behind, so that
every change is conditional on the version of the task itself.
"""

import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from itertools import chain, islice
from typing import TypeVar

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
from loupe.domain.errors import StoreUnavailable
from loupe.domain.label_values import Boxes, LabelValue, OneLabel, SeveralLabels, read_any
from loupe.domain.labeling.starting import JobNotFound
from loupe.ports.labeling import Answer, JobCard, LabelingJob, Lease, NewTask, Suggested, Task

T = TypeVar("T")

_MAX_TRANSACTION_BYTES = 3_000_000
"""DynamoDB takes 4 MB; besides what was said there is little in an answer."""
_DISCARDED = "discarded"
"""State of a job that is forgotten. Its item stays, so that a run that still works on it gets no images."""
_ENDED = frozenset({"finished", "failed"})
_NEVER_LEASED = "0000"
"""Sorts before every moment."""
_AFTER_ALL = "~"
"""Sorts after every task of the same moment."""
_SEVERAL = "several"
"""In place of the worker in gsi2, where several hold a task. No worker's id is like that."""
_LONG_BOXES = 1_000
"""Boxes whose JSON has more characters are compressed: DynamoDB takes 400 KB for a task with all answers."""
_CHANGE_ATTEMPTS = 10
_RELEASE = "REMOVE #open_job"
_IS_OPEN_JOB = "#open_job = :job"


class LabelingJobIndex:
    """Implements `loupe.ports.labeling.KeepsLabelingJobs`."""

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
    """Implements `loupe.ports.labeling.KeepsTasks`. New tasks are added by so many `writers` at once."""

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

    def free(self, job: str, worker: str, now: datetime, limit: int) -> list[Task]:
        until_now = f"{_text(now)}#{_AFTER_ALL}"
        found = self._table.query(f"{job}#open", index="gsi1", at_most=until_now, page_size=limit)
        tasks = (_read_task(item) for item in found)
        return list(islice((task for task in tasks if task.is_free_for(worker, now)), limit))

    def held(self, job: str, worker: str) -> list[Task]:
        found = (self._table.query(f"{job}#{hands}", index="gsi2") for hands in (worker, _SEVERAL))
        tasks = [_read_task(item) for item in chain(*found)]
        return sorted((each for each in tasks if each.lease_of(worker)), key=lambda each: each.task)

    def lease(self, task: Task, worker: str, now: datetime, until: datetime) -> Task | None:
        return self._change(task, lambda known: known.leased(worker, now, until))

    def renew(self, task: Task, worker: str, until: datetime) -> Task | None:
        return self._change(task, lambda known: known.renewed(worker, until))

    def give_back(self, task: Task, worker: str) -> None:
        self._change(task, lambda known: known.given_back(worker))

    def _change(self, known: Task, change: Callable[[Task], Task | None]) -> Task | None:
        """Change a task that is as it is known, most often; else as it is found to be."""
        for attempt in range(_CHANGE_ATTEMPTS):
            changed = change(known)
            if changed is not None:
                try:
                    update = _update(known, changed)
                    self._table.update(update.pk, update.sk, update.change, update.values, update.condition)
                except ConditionFailed:
                    pass
                else:
                    return replace(changed, version=known.version + 1)
            elif attempt:
                return None
            item = self._table.get(f"TASKS#{known.job}", known.task)
            if item is None:
                return None
            known = _read_task(item)
        raise StoreUnavailable(f"task {known.task} is changed by many at once; try again")

    def answer(self, project: str, job: str, task: Task, answer: Answer) -> bool:
        changed = task.answered(answer)
        if changed is None:
            return False
        counted = _count(project, job, [(task, changed)], answer.answered_at)
        return not self._table.transact([_update(task, changed), counted])

    def answer_many(self, project: str, job: str, answers: Iterable[tuple[str, Sequence[Answer]]]) -> int:
        set_answers = 0
        for batch in batches(answers, MAX_TRANSACTION - 1):
            for before, after in self._change_many(project, job, dict(batch), _with_missing):
                set_answers += len(after.answers) - len(before.answers)
        return set_answers

    def ask_more(self, project: str, job: str, wanted: Iterable[tuple[str, int]]) -> int:
        reopened = 0
        for batch in batches(wanted, MAX_TRANSACTION - 1):
            for before, after in self._change_many(project, job, dict(batch), Task.asking):
                reopened += before.is_done and not after.is_done
        return reopened

    def _change_many(
        self, project: str, job: str, given: Mapping[str, T], change: Callable[[Task, T], Task | None]
    ) -> Iterator[tuple[Task, Task]]:
        """Change each task by what is given for it and count it with the job; a task that changed meanwhile
        is read and changed again. Nothing comes any more once the job is not open."""
        left = list(given)
        for _ in range(_CHANGE_ATTEMPTS):
            items = self._table.batch_get((f"TASKS#{job}", task) for task in left)
            known = sorted((_read_task(item) for item in items), key=lambda task: task.task)
            changed = ((task, change(task, given[task.task])) for task in known)
            left = []
            for some in _transactions((before, after) for before, after in changed if after is not None):
                counted = _count(project, job, some, _last_answered(some))
                failed = self._table.transact([*(_update(*each) for each in some), counted])
                if len(some) in failed:
                    return
                if failed:
                    left += [before.task for before, _ in some]
                else:
                    yield from some
            if not left:
                return
        raise StoreUnavailable(f"tasks of {job} are changed by many at once; try again")


_Change = tuple[Task, Task]
"""A task before and after."""


def _with_missing(task: Task, given: Iterable[Answer]) -> Task | None:
    missing = [answer for answer in given if task.answer_by(answer.worker) is None]
    return task.with_answers(missing) if missing else None


def _last_answered(changes: Iterable[_Change]) -> datetime | None:
    """When the last of the answers came that these changes bring."""
    brought = (answer for before, after in changes for answer in after.answers[len(before.answers) :])
    return max((answer.answered_at for answer in brought), default=None)


def _transactions(changes: Iterable[_Change]) -> Iterator[list[_Change]]:
    """The changes, as many at a time as go into a transaction beside their count."""
    some: list[_Change] = []
    size = 0
    for change in changes:
        added = sum(len(str(_answer_item(answer)).encode()) for answer in change[1].answers)
        if some and (len(some) == MAX_TRANSACTION - 1 or size + added > _MAX_TRANSACTION_BYTES):
            yield some
            some, size = [], 0
        some.append(change)
        size += added
    if some:
        yield some


def _update(before: Task, after: Task) -> Update:
    """The change of a task, on the condition that it is as it was."""
    attributes = _state(after) | {"version": before.version + 1}
    if before.version and after.answers == before.answers:
        del attributes["answers"]
    kept = [name for name, value in attributes.items() if value is not None]
    gone = [name for name, value in attributes.items() if value is None]
    if not before.version:
        gone += _FORMER
    return Update(
        f"TASKS#{before.job}",
        before.task,
        f"SET {', '.join(f'#{name} = :{name}' for name in kept)}"
        + (f" REMOVE {', '.join(f'#{name}' for name in gone)}" if gone else ""),
        {**attributes, "seen": before.version},
        "#version = :seen" if before.version else "attribute_exists(#pk) AND attribute_not_exists(#version)",
    )


def _count(project: str, job: str, changes: Iterable[_Change], at: datetime | None) -> Update:
    """Count tasks with their job, as of the last answer."""
    done = skipped = 0
    for before, after in changes:
        done += after.is_done - before.is_done
        skipped += after.is_skipped - before.is_skipped
    return Update(
        _project(project),
        f"JOB#{job}",
        ("SET #changed_at = :at " if at else "") + "ADD #answered :answered, #skipped :skipped",
        {"answered": done, "skipped": skipped, "at": _text(at) if at else None, "open": "open"},
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
        "workers": card.workers,
        "max_workers": card.max_workers,
        "check_every": card.check_every,
        "min_accuracy": card.min_accuracy,
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
        workers=item.get("workers", 1),
        max_workers=item.get("max_workers", 1),
        check_every=item.get("check_every", 0),
        min_accuracy=float(item.get("min_accuracy", 0)),
    )


def _task_item(job: str, new: NewTask) -> Item:
    task = Task(**vars(new), job=job)
    item: Item = {
        "pk": f"TASKS#{job}",
        "sk": task.task,
        "sha256": task.sha256,
        "key": task.key,
        "width": task.width,
        "height": task.height,
        "version_id": task.version_id,
        "check": True if task.check else None,
        "orientation": task.orientation if task.orientation != 1 else None,
        **_state(task),
    }
    return {name: value for name, value in item.items() if value is not None}


def _state(task: Task) -> Item:
    """What changes of a task; None where the item has no such attribute."""
    holders = [lease.worker for lease in task.leases]
    free_from = _text(task.free_from) if task.free_from else _NEVER_LEASED
    return {
        "workers": task.workers if task.workers != 1 else None,
        "leases": {lease.worker: _text(lease.until) for lease in task.leases} or None,
        "answers": [_answer_item(answer) for answer in task.answers] or None,
        "gsi1pk": None if task.is_done else f"{task.job}#open",
        "gsi1sk": None if task.is_done else f"{free_from}#{task.task}",
        "gsi2pk": f"{task.job}#{holders[0] if len(holders) == 1 else _SEVERAL}" if holders else None,
        "gsi2sk": task.task if holders else None,
    }


def _read_task(item: Item) -> Task:
    leases = item.get("leases", {})
    if "holder" in item:
        leases = {item["holder"]: item["lease_until"]}
    return Task(
        task=item["sk"],
        sha256=item["sha256"],
        key=item["key"],
        version_id=item.get("version_id"),
        width=item["width"],
        height=item["height"],
        workers=item.get("workers", 1),
        check=item.get("check", False),
        orientation=item.get("orientation", 1),
        job=item["pk"].removeprefix("TASKS#"),
        leases=tuple(Lease(worker, datetime.fromisoformat(until)) for worker, until in leases.items()),
        answers=tuple(map(_read_answer, [item] if "answered_at" in item else item.get("answers", []))),
        version=item.get("version", 0),
    )


_FORMER = (
    "holder",
    "lease_until",
    "worker",
    "worker_name",
    "answered_at",
    "label",
    "labels",
    "boxes",
    "skip",
)
"""Attributes of the one lease and the one answer that tasks had before there could be several. They are read
where they are, and go with the next change."""


def _answer_item(answer: Answer) -> Item:
    return {
        "worker": answer.worker,
        "worker_name": answer.worker_name,
        "answered_at": _text(answer.answered_at),
        **_said(answer),
        **({"suggestion": asdict(answer.suggestion)} if answer.suggestion is not None else {}),
    }


def _read_answer(item: Item) -> Answer:
    return Answer(
        worker=item["worker"],
        worker_name=item["worker_name"],
        answered_at=datetime.fromisoformat(item["answered_at"]),
        value=_read_value(item),
        skip=item.get("skip"),
        suggestion=Suggested(**item["suggestion"]) if "suggestion" in item else None,
    )


def _said(answer: Answer) -> Item:
    """What the answer was. Boxes are JSON: as a mapping each, they would be thrice as large."""
    match answer.value:
        case None:
            return {"skip": answer.skip}
        case OneLabel(label):
            return {"label": label}
        case SeveralLabels(labels):
            return {"labels": list(labels)}
        case Boxes():
            text = json.dumps(answer.value.to_json()["boxes"], ensure_ascii=False)
            return {"boxes": text if len(text) <= _LONG_BOXES else zlib.compress(text.encode())}


def _read_value(item: Item) -> LabelValue | None:
    match item.get("boxes"):
        case None:
            return read_any(item)
        case bytes(compressed):
            return read_any({"boxes": json.loads(zlib.decompress(compressed))})
        case text:
            return read_any({"boxes": json.loads(text)})
