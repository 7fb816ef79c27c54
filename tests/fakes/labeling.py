"""Labeling jobs and tasks in memory."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from loupe.domain.labeling.starting import JobNotFound
from loupe.ports.labeling import Answer, JobCard, LabelingJob, NewTask, Task


@dataclass
class FakeLabelingJobs:
    """Implements `loupe.ports.labeling.KeepsLabelingJobs`."""

    records: dict[tuple[str, str], LabelingJob] = field(default_factory=dict)
    _cards: dict[tuple[str, str], JobCard] = field(default_factory=dict)
    open_names: dict[str, str] = field(default_factory=dict)
    _discarded: set[tuple[str, str]] = field(default_factory=set)

    def claim(self, card: JobCard) -> bool:
        at = (card.project, card.job)
        if card.project in self.open_names or at in self.records or at in self._discarded:
            return False
        self.open_names[card.project] = card.job
        self.records[at] = LabelingJob(
            *at, "preparing", card.created_at, card.created_at, provider=card.provider
        )
        self._cards[at] = card
        return True

    def open_job(self, project: str) -> LabelingJob | None:
        return self.open_jobs([project]).get(project)

    def open_jobs(self, projects: Iterable[str]) -> dict[str, LabelingJob]:
        return {
            each: self.records[each, self.open_names[each]] for each in projects if each in self.open_names
        }

    def job(self, project: str, job: str) -> LabelingJob | None:
        return self.records.get((project, job))

    def jobs(self, project: str, limit: int) -> list[LabelingJob]:
        found = [job for job in self.records.values() if job.project == project]
        return sorted(found, key=lambda job: job.job, reverse=True)[:limit]

    def card(self, project: str, job: str) -> JobCard:
        if (project, job) not in self._cards:
            raise JobNotFound(f"project {project!r} has no labeling job {job!r}")
        return self._cards[project, job]

    def open(self, project: str, job: str, tasks: int, at: datetime) -> bool:
        known = self.job(project, job)
        if known is None or known.state != "preparing":
            return False
        self.records[project, job] = replace(known, state="open", tasks=tasks, changed_at=at)
        return True

    def discard(self, project: str, job: str) -> bool:
        known = self.job(project, job)
        if known is None or known.state != "consolidating" or known.tasks:
            return False
        del self.records[project, job], self._cards[project, job]
        self._discarded.add((project, job))
        self._release(project, job)
        return True

    def consolidate(self, project: str, job: str, at: datetime) -> bool:
        known = self.job(project, job)
        if known is None or known.state != "open" or known.answered < known.tasks:
            return False
        self.records[project, job] = replace(known, state="consolidating", changed_at=at)
        return True

    def finish(self, project: str, job: str, at: datetime) -> bool:
        known = self.job(project, job)
        if known is None or known.state != "consolidating":
            return False
        self.records[project, job] = replace(known, state="finished", finished_at=at, changed_at=at)
        self._release(project, job)
        return True

    def progress(self, project: str, job: str, answered: int, skipped: int, at: datetime) -> bool:
        known = self.job(project, job)
        if known is None or known.state != "open" or known.answered > answered:
            return False
        self.records[project, job] = replace(known, answered=answered, skipped=skipped, changed_at=at)
        return True

    def end(self, project: str, job: str, reason: str | None, at: datetime) -> bool:
        known = self.job(project, job)
        if known is None or known.state != "open":
            return False
        self.records[project, job] = replace(known, state="consolidating", reason=reason, changed_at=at)
        return True

    def fail(self, project: str, job: str, reason: str, at: datetime) -> bool:
        known = self.job(project, job)
        if known is None or known.state in {"finished", "failed"}:
            return False
        self.records[project, job] = replace(
            known, state="failed", reason=reason, finished_at=at, changed_at=at
        )
        self._release(project, job)
        return True

    def announce(self, project: str, job: str) -> None:
        if known := self.job(project, job):
            self.records[project, job] = replace(known, announced=True)

    def restore_finished(self, card: JobCard, tasks: int, skipped: int, at: datetime) -> None:
        key = (card.project, card.job)
        known = self.job(*key)
        if known is None or known.state != "finished":
            self._cards[key] = card
            self.records[key] = LabelingJob(
                *key,
                "finished",
                card.created_at,
                at,
                tasks,
                tasks,
                skipped,
                finished_at=at,
                provider=card.provider,
            )
            self._release(*key)

    def restore_failed(self, card: JobCard, reason: str, at: datetime) -> None:
        key = (card.project, card.job)
        known = self.job(*key)
        if known is None or known.state not in {"finished", "failed"}:
            self._cards[key] = card
            self.records[key] = LabelingJob(
                *key,
                "failed",
                card.created_at,
                at,
                finished_at=at,
                announced=True,
                provider=card.provider,
                reason=reason,
            )
            self._release(*key)

    def count(self, project: str, job: str, answered: int, skipped: int, at: datetime | None) -> bool:
        """Not part of the port: what storing answers, at that time, does to the job."""
        known = self.job(project, job)
        if known is None or known.state != "open":
            return False
        self.records[project, job] = replace(
            known,
            answered=known.answered + answered,
            skipped=known.skipped + skipped,
            changed_at=at or known.changed_at,
        )
        return True

    def is_over(self, project: str, job: str) -> bool:
        """Not part of the port: whether the job takes no more images."""
        known = self.job(project, job)
        ended = known is not None and known.state not in {"preparing", "open"}
        return ended or (project, job) in self._discarded

    def _release(self, project: str, job: str) -> None:
        if self.open_names.get(project) == job:
            del self.open_names[project]


@dataclass
class FakeTasks:
    """Implements `loupe.ports.labeling.KeepsTasks`."""

    jobs: FakeLabelingJobs
    by_job: dict[str, dict[str, Task]] = field(default_factory=dict)

    def add(self, job: str, tasks: Iterable[NewTask]) -> int:
        known = self.by_job.setdefault(job, {})
        added = 0
        for new in tasks:
            known.setdefault(new.task, Task(**vars(new), job=job))
            added += 1
        return added

    def task(self, project: str, job: str, task: str) -> tuple[LabelingJob | None, Task | None]:
        return self.jobs.job(project, job), self.by_job.get(job, {}).get(task)

    def tasks(self, job: str) -> Iterator[Task]:
        known = self.by_job.get(job, {})
        return (known[task] for task in sorted(known))

    def free(self, job: str, worker: str, now: datetime, limit: int) -> list[Task]:
        tasks = self.by_job.get(job, {}).values()
        free = [each for each in tasks if not (each.leases or each.answers) or each.is_free_for(worker, now)]
        return sorted(free, key=_free_from)[:limit]

    def held(self, job: str, worker: str) -> list[Task]:
        return [task for task in self.tasks(job) if task.lease_of(worker) is not None]

    def lease(self, task: Task, worker: str, now: datetime, until: datetime) -> Task | None:
        return self._change(task, lambda known: known.leased(worker, now, until))

    def renew(self, task: Task, worker: str, until: datetime) -> Task | None:
        return self._change(task, lambda known: known.renewed(worker, until))

    def give_back(self, task: Task, worker: str) -> None:
        self._change(task, lambda known: known.given_back(worker))

    def answer(self, project: str, job: str, task: Task, answer: Answer) -> bool:
        known = self.by_job.get(job, {}).get(task.task)
        if known is None or known.version != task.version:
            return False
        return self._count(project, known, known.answered(answer), answer.answered_at)

    def answer_many(self, project: str, job: str, answers: Iterable[tuple[str, Sequence[Answer]]]) -> int:
        answered = 0
        for task, given in answers:
            known = self.by_job.get(job, {}).get(task)
            new = [each for each in given if known is not None and known.answer_by(each.worker) is None]
            if known and new and self._count(project, known, known.with_answers(new), new[-1].answered_at):
                answered += len(new)
        return answered

    def ask_more(self, project: str, job: str, wanted: Iterable[tuple[str, int]]) -> int:
        reopened = 0
        for task, workers in wanted:
            known = self.by_job.get(job, {}).get(task)
            asking = known and known.asking(workers)
            if known and asking and self._count(project, known, asking, None):
                reopened += known.is_done and not asking.is_done
        return reopened

    def _change(self, task: Task, change: Callable[[Task], Task | None]) -> Task | None:
        known = self.by_job.get(task.job, {}).get(task.task)
        changed = known and change(known)
        return self._set(changed) if changed else None

    def _count(self, project: str, before: Task, after: Task | None, at: datetime | None) -> bool:
        """Set the task, and count it with its job, if the job is open."""
        if after is None:
            return False
        done, skipped = after.is_done - before.is_done, after.is_skipped - before.is_skipped
        if not self.jobs.count(project, before.job, done, skipped, at):
            return False
        self._set(after)
        return True

    def _set(self, task: Task) -> Task:
        changed = replace(task, version=task.version + 1)
        self.by_job[task.job][task.task] = changed
        return changed


def _free_from(task: Task) -> str:
    """Sorts as the moments do from which tasks are free, and tasks of the same moment by their number."""
    since = task.free_from if task.leases else None
    return f"{since.isoformat() if since else ''}#{task.task}"
