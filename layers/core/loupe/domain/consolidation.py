"""From the answers of a job to its output manifest, in Ground Truth's own format."""

from collections.abc import Iterator
from contextlib import suppress

from loupe.domain.errors import AlreadyWritten, DomainError
from loupe.domain.label_attributes import Label, write_failure, write_label
from loupe.domain.labeling import STALLED, JobNotFound, announce, give_back_strays
from loupe.domain.manifests import HEIGHT, SHA256, WIDTH, Row, read_rows, write_rows
from loupe.domain.projects import LABEL_ATTRIBUTES
from loupe.domain.workspace import Workspace
from loupe.ports import (
    Answer,
    Clock,
    JobCard,
    KeepsImages,
    KeepsLabelingJobs,
    KeepsTasks,
    PublishesEvents,
    StoresObjects,
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
        """Write the output manifest, finish the job, and tell it once. Does nothing to a job that lacks
        answers, or that another provider concludes, however often it is called.

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
        if found.state != "consolidating" and not self._jobs.consolidate(project, job, self._clock()):
            return
        self._write_output(card)
        give_back_strays(self._images, self._workspace, project, job)
        if self._jobs.finish(project, job, self._clock()):
            announce(self._jobs, self._events, project, job)

    def _write_output(self, card: JobCard) -> None:
        key = Workspace(card.project).output_manifest(card.job)
        # Where an earlier run got as far, it wrote the same: answers stood already.
        with suppress(AlreadyWritten):
            self._workspace.write_lines_once(key, write_rows(self._rows(card)))

    def _rows(self, card: JobCard) -> Iterator[Row]:
        inputs = read_rows(self._workspace.lines(Workspace(card.project).input_manifest(card.job)))
        tasks = self._tasks.tasks(card.job)
        for row in inputs:
            task = next(tasks, None)
            if task is None or task.answer is None or task.sha256 != row[SHA256]:
                where = f"task {task.task}" if task else "a task that is missing"
                raise InconsistentJob(f"job {card.job} can't be concluded: {where}; run reconcile")
            yield consolidated(row, card, task.answer)


def consolidated(row: Row, card: JobCard, answer: Answer) -> Row:
    """An input manifest's row with the label attribute and its metadata.

    A skipped image has no label attribute; its metadata says why, under `failure-reason`. The confidence is
    0.0, as Ground Truth writes it when one worker labels an image.
    """
    attribute = LABEL_ATTRIBUTES[card.task]
    if answer.value is None:
        reason = f"skipped by {answer.worker_name}: {answer.skip}"
        return row | write_failure(reason, attribute, card.task, card.job, answer.answered_at)
    confidences = (0.0,) * len(answer.value.names)
    label = Label(answer.value, confidences, answer.answered_at, is_human=True, job=card.job)
    return row | write_label(label, attribute, card.task, card.labels, (row[WIDTH], row[HEIGHT]))
