"""From the answers of a job to its output manifest, in Ground Truth's own format."""

from collections import deque
from collections.abc import Iterator, Mapping
from functools import cached_property

from loupe.domain.datasets.labels import AGREEMENT, WORKERS
from loupe.domain.errors import AlreadyWritten, DomainError
from loupe.domain.label_attributes import Label, write_failure, write_label
from loupe.domain.label_values import LabelValue
from loupe.domain.labeling.agreement import Verdict, agreement, jury, verdict_of_one
from loupe.domain.labeling.checks import known_answers
from loupe.domain.labeling.starting import STALLED, JobNotFound, announce, give_back_strays
from loupe.domain.labeling.workers import JOBS_COUNTED, JobCounts, WorkerCounts, counts_so_far, write_counts
from loupe.domain.manifests import SHA256, Row, read_rows, write_rows
from loupe.domain.projects import LABEL_ATTRIBUTES
from loupe.domain.workspace import Workspace
from loupe.ports.images import KeepsImages
from loupe.ports.labeling import Answer, JobCard, KeepsLabelingJobs, KeepsTasks, Task
from loupe.ports.messages import Clock, PublishesEvents
from loupe.ports.objects import StoresObjects


class InconsistentJob(DomainError):
    """The index and the input manifest disagree about a job's tasks."""

    slug, title = "inconsistent-job", "The index and the manifest disagree"


class ConsolidateAnnotations:
    """Concludes a job once each of its tasks has an answer."""

    def __init__(
        self,
        *,
        jobs: KeepsLabelingJobs,
        tasks: KeepsTasks,
        images: KeepsImages,
        workspace: StoresObjects,
        events: PublishesEvents,
        clock: Clock,
    ) -> None:
        self._jobs = jobs
        self._tasks = tasks
        self._images = images
        self._workspace = workspace
        self._events = events
        self._clock = clock

    def __call__(self, project: str, job: str) -> None:
        """Write the output manifest, finish the job, and tell it once; or have images that stay in doubt
        answered by one more worker. Does nothing to a job that lacks answers, or that another provider
        concludes, however often it is called.

        Raises `JobNotFound`.
        """
        found = self._jobs.job(project, job)
        if found is None:
            raise JobNotFound(f"project {project!r} has no labeling job {job!r}")
        card = self._jobs.card(project, job)
        if card.provider != "portal":
            return
        if found.finished_at is not None:
            # Who finished it tells so himself; after a minute he did not live to do it.
            if not found.announced and self._clock() - found.finished_at >= STALLED:
                announce(self._jobs, self._events, project, job)
            return
        if found.state != "consolidating":
            if not found.all_answered or self._asks_further_workers(card):
                return
            if not self._jobs.consolidate(project, job, self._clock()):
                return
        self._write_output(card)
        give_back_strays(self._images, self._workspace, project, job)
        if self._jobs.finish(project, job, self._clock()):
            announce(self._jobs, self._events, project, job)

    def _asks_further_workers(self, card: JobCard) -> bool:
        """Have tasks answered by further workers: one more where the image stays in doubt, up to as many as
        it may have, and one for each whose answers can't be relied on. Whoever gives the last of those
        answers has this looked at again."""
        if card.max_workers <= card.workers and not card.min_accuracy:
            return False
        settled = self._settle(card)
        wanted = ((task.task, settled.wanted(task)) for task in self._tasks.tasks(card.job))
        return self._tasks.ask_more(card.project, card.job, wanted) > 0

    def _settle(self, card: JobCard) -> "Settlement":
        before = {}
        if card.min_accuracy:
            jobs = self._jobs.jobs(card.project, JOBS_COUNTED)
            before = counts_so_far(card.project, jobs, self._workspace)
        settled = Settlement(card, known_answers(card, self._workspace), before)
        if not card.takes_one_answer:
            for task in self._tasks.tasks(card.job):
                settled.hear(task)
        return settled

    def _write_output(self, card: JobCard) -> None:
        """Write the labels, and then what each worker did."""
        key = Workspace(card.project).output_manifest(card.job)
        settled, counts = self._settle(card), JobCounts()
        try:
            self._workspace.write_lines_once(key, write_rows(self._rows(card, settled, counts)))
        except AlreadyWritten:
            # An earlier run got as far, and wrote the same: answers stood already. Did it count, too?
            counts = JobCounts()
            deque(self._rows(card, settled, counts), maxlen=0)
        write_counts(card, counts.workers(), self._workspace)

    def _rows(self, card: JobCard, settled: "Settlement", counts: JobCounts) -> Iterator[Row]:
        inputs = read_rows(self._workspace.lines(Workspace(card.project).input_manifest(card.job)))
        for task in self._tasks.tasks(card.job):
            if task.check:
                counts.check(task.answers, settled.known.get(task.sha256))
                continue
            row = next(inputs, None)
            if row is None or not task.is_done or task.sha256 != row[SHA256]:
                raise _inconsistent(card, f"task {task.task}")
            verdict = settled.verdict(task)
            counts.compare(task.answers, verdict.value)
            yield row | settled.members(task, verdict)
        if next(inputs, None) is not None:
            raise _inconsistent(card, "a task that is missing")


def _inconsistent(card: JobCard, where: str) -> InconsistentJob:
    return InconsistentJob(f"job {card.job} can't be concluded: {where}; run reconcile")


class Settlement:
    """What the answers of a job amount to: `hear` all its tasks, then ask about each.

    `known` are known answers by image, and `before` is what its workers did in earlier jobs.
    """

    def __init__(
        self, card: JobCard, known: Mapping[str, LabelValue], before: Mapping[str, WorkerCounts]
    ) -> None:
        self.known = known
        self._card = card
        self._before = before
        self._jury = jury(card.task, card.labels)
        self._checks = JobCounts()

    def hear(self, task: Task) -> None:
        known = self.known.get(task.sha256) if task.check else None
        self._jury.hear(task.answers, known)
        if task.check:
            self._checks.check(task.answers, known)

    @cached_property
    def unreliable(self) -> frozenset[str]:
        """Workers whose answers don't count."""
        counts = {each.worker: each for each in self._checks.workers()}
        for worker, before in self._before.items():
            counts.setdefault(worker, WorkerCounts(worker, before.name)).add(before)
        return frozenset(w for w, each in counts.items() if each.is_below(self._card.min_accuracy))

    def counted(self, task: Task) -> tuple[Answer, ...]:
        """The answers that count: those of workers who can be relied on, if there are any."""
        if self._card.takes_one_answer:
            return task.answers[:1]
        return tuple(each for each in task.answers if each.worker not in self.unreliable) or task.answers

    def wanted(self, task: Task) -> int:
        """How many workers have to answer the task, as far as can be said now."""
        card, given = self._card, len(task.answers)
        if task.check:
            return given
        relied_on = sum(each.worker not in self.unreliable for each in task.answers)
        if relied_on < card.workers:
            return given - relied_on + card.workers
        return given + (relied_on < card.max_workers and self.verdict(task).is_in_doubt)

    def verdict(self, task: Task) -> Verdict:
        if self._card.takes_one_answer:
            return verdict_of_one(task.answers[0])
        return self._jury.conclude(self.counted(task), (task.width, task.height))

    def members(self, task: Task, verdict: Verdict) -> Row:
        """What the job adds to the image's row in the manifest: the label attribute and its metadata, whose
        answers count, and where they are several, how far they agree.

        An image without label has no label attribute; its metadata says why, under `failure-reason`. The
        confidence is 0.0 where one worker labeled the image, as Ground Truth writes it.
        """
        card, attribute = self._card, LABEL_ATTRIBUTES[self._card.task]
        answers = self.counted(task)
        at = max(answer.answered_at for answer in answers)
        row: Row = {WORKERS: [answer.worker_name for answer in answers]}
        if len(answers) > 1:
            row[AGREEMENT] = agreement(answers, verdict.value)
        if verdict.value is None:
            skips = [f"skipped by {each.worker_name}: {each.skip}" for each in answers if each.skip]
            return row | write_failure("; ".join(skips), attribute, card.task, card.job, at)
        label = Label(verdict.value, verdict.confidences, at, is_human=True, job=card.job)
        return row | write_label(label, attribute, card.task, card.labels, (task.width, task.height))
