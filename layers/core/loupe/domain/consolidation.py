"""From the answers of a job to its output manifest, in Ground Truth's own format."""

from collections.abc import Iterator
from contextlib import suppress

from loupe.domain.agreement import Verdict, agreement, jury, verdict_of_one
from loupe.domain.errors import AlreadyWritten, DomainError
from loupe.domain.label_attributes import Label, write_failure, write_label
from loupe.domain.labeling import STALLED, JobNotFound, announce, give_back_strays
from loupe.domain.labels import AGREEMENT, WORKERS
from loupe.domain.manifests import SHA256, Row, read_rows, write_rows
from loupe.domain.projects import LABEL_ATTRIBUTES
from loupe.domain.workspace import Workspace
from loupe.ports import (
    Clock,
    JobCard,
    KeepsImages,
    KeepsLabelingJobs,
    KeepsTasks,
    PublishesEvents,
    StoresObjects,
    Task,
)


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
        """Have each task that stays in doubt answered by one more worker, up to as many as it may have.
        Whoever gives the last of those answers has this looked at again."""
        if card.max_workers <= card.workers:
            return False
        settled = self._settle(card)
        wanted = (
            (task.task, len(task.answers) + 1)
            for task in self._tasks.tasks(card.job)
            if len(task.answers) < card.max_workers and settled.verdict(task).is_in_doubt
        )
        return self._tasks.ask_more(card.project, card.job, wanted) > 0

    def _settle(self, card: JobCard) -> "Settlement":
        settled = Settlement(card)
        if not card.takes_one_answer:
            for task in self._tasks.tasks(card.job):
                settled.hear(task)
        return settled

    def _write_output(self, card: JobCard) -> None:
        key = Workspace(card.project).output_manifest(card.job)
        # Where an earlier run got as far, it wrote the same: answers stood already.
        with suppress(AlreadyWritten):
            self._workspace.write_lines_once(key, write_rows(self._rows(card)))

    def _rows(self, card: JobCard) -> Iterator[Row]:
        settled = self._settle(card)
        inputs = read_rows(self._workspace.lines(Workspace(card.project).input_manifest(card.job)))
        tasks = self._tasks.tasks(card.job)
        for row in inputs:
            task = next(tasks, None)
            if task is None or not task.is_done or task.sha256 != row[SHA256]:
                where = f"task {task.task}" if task else "a task that is missing"
                raise InconsistentJob(f"job {card.job} can't be concluded: {where}; run reconcile")
            yield row | settled.members(task)


class Settlement:
    """What the answers of a job amount to: `hear` all its tasks, then ask about each."""

    def __init__(self, card: JobCard) -> None:
        self._card = card
        self._jury = jury(card.task, card.labels)

    def hear(self, task: Task) -> None:
        self._jury.hear(task.answers)

    def verdict(self, task: Task) -> Verdict:
        if self._card.takes_one_answer:
            return verdict_of_one(task.answers[0])
        return self._jury.conclude(task.answers, (task.width, task.height))

    def members(self, task: Task) -> Row:
        """What the job adds to the image's row in the manifest: the label attribute and its metadata, who
        answered, and where they are several, how far they agree.

        An image without label has no label attribute; its metadata says why, under `failure-reason`. The
        confidence is 0.0 where one worker labeled the image, as Ground Truth writes it.
        """
        card, attribute, verdict = self._card, LABEL_ATTRIBUTES[self._card.task], self.verdict(task)
        answers = task.answers[:1] if card.takes_one_answer else task.answers
        at = max(answer.answered_at for answer in answers)
        row: Row = {WORKERS: [answer.worker_name for answer in answers]}
        if len(answers) > 1:
            row[AGREEMENT] = agreement(answers, verdict.value)
        if verdict.value is None:
            skips = [f"skipped by {each.worker_name}: {each.skip}" for each in answers if each.skip]
            return row | write_failure("; ".join(skips), attribute, card.task, card.job, at)
        label = Label(verdict.value, verdict.confidences, at, is_human=True, job=card.job)
        return row | write_label(label, attribute, card.task, card.labels, (task.width, task.height))
