"""Labeling jobs, tasks and answers that the index has lost, or has an old state of, rebuilt from S3."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from loupe.domain.batches import batches, in_parallel
from loupe.domain.errors import ObjectMissing
from loupe.domain.label_attributes import has_label
from loupe.domain.labeling.annotation import annotation_content, read_annotation
from loupe.domain.labeling.job_ends import JobEnd, read_end
from loupe.domain.labeling.starting import LabelingRefused, read_card
from loupe.domain.manifests import read_rows
from loupe.domain.projects import LABEL_ATTRIBUTES
from loupe.domain.workspace import Workspace
from loupe.ports.labeling import (
    Answer,
    JobCard,
    KeepsLabelingJobs,
    KeepsTasks,
    LabelingJob,
    StartsLabelingJobs,
    Task,
)
from loupe.ports.messages import Clock
from loupe.ports.objects import StoresObjects

_AT_ONCE = 1_000
_READERS = 16


@dataclass(frozen=True)
class Known:
    """What the index has of a task: its number, and for each worker who answered it the MD5 of the annotation
    object that the answer has in S3."""

    task: str
    etags: Mapping[str, str]


class RestoreJob:
    """Brings the index up to what S3 has of one job. Call it for each folder of a project's jobs."""

    def __init__(
        self,
        *,
        jobs: KeepsLabelingJobs,
        tasks: KeepsTasks,
        workspace: StoresObjects,
        raw_data_bucket: str,
        providers: Mapping[str, StartsLabelingJobs],
        clock: Clock,
    ) -> None:
        self._jobs = jobs
        self._tasks = tasks
        self._workspace = workspace
        self._raw_data_bucket = raw_data_bucket
        self._providers = providers
        self._clock = clock

    def __call__(self, project: str, job: str) -> bool:
        """Returns whether anything was amiss.

        A job whose manifest was never written, or that got no image, is none, and neither is an import that
        is not whole. While the project has another open job, this one stays as it is: call again once the
        other is finished.
        """
        space = Workspace(project)
        try:
            card = read_card(self._workspace, project, job)
        except ObjectMissing:
            return False
        if not self._has_images(space.input_manifest(job)):
            return False
        known = self._jobs.job(project, job)
        end = read_end(self._workspace, project, job)
        if end is not None and end.state == "failed":
            return self._restore_failed(card, end, known)
        if self._is_whole(card, end):
            return (known is None or known.state != "finished") and self._restore_finished(card)
        if card.provider == "import":
            return False
        if known is None:
            return self._restore_open(card)
        return known.state == "open" and self._restore_answers(card) > 0

    def _has_images(self, manifest: str) -> bool:
        try:
            return next(read_rows(self._workspace.lines(manifest)), None) is not None
        except ObjectMissing:
            return False

    def _is_whole(self, card: JobCard, end: JobEnd | None) -> bool:
        """Whether the job's output manifest is its last word. Ground Truth writes one while people work."""
        if card.provider == "ground-truth" and end is None:
            accepted = Workspace(card.project).labels(card.job)
            return self._workspace.exists(accepted)
        return self._workspace.exists(Workspace(card.project).output_manifest(card.job))

    def _restore_failed(self, card: JobCard, end: JobEnd, known: LabelingJob | None) -> bool:
        if known is not None and known.state in ("finished", "failed"):
            return False
        self._jobs.restore_failed(card, end.reason or "it failed", end.at)
        return True

    def _restore_finished(self, card: JobCard) -> bool:
        output = Workspace(card.project).output_manifest(card.job)
        tasks = labeled = 0
        for row in read_rows(self._workspace.lines(output)):
            tasks += 1
            labeled += has_label(row, LABEL_ATTRIBUTES[card.task])
        self._jobs.restore_finished(card, tasks, tasks - labeled, self._clock())
        return True

    def _restore_open(self, card: JobCard) -> bool:
        if not self._jobs.claim(card):
            return False
        try:
            tasks = self._providers[card.provider].start(card)
        except LabelingRefused as refusal:
            self._jobs.fail(card.project, card.job, refusal.detail, self._clock())
            return True
        self._jobs.open(card.project, card.job, tasks, self._clock())
        self._restore_answers(card)
        return True

    # Answers ----------------------------------------------------------------------------------------

    def _restore_answers(self, card: JobCard) -> int:
        known = {task.sha256: self._known(card, task) for task in self._tasks.tasks(card.job)}
        unknown = self._unknown_annotations(card, known)
        said = in_parallel(partial(self._usable, card), unknown, _READERS)
        return sum(self._put_back(card, some) for some in batches(said, _AT_ONCE))

    def _known(self, card: JobCard, task: Task) -> Known:
        contents = {
            answer.worker: annotation_content(card.project, self._raw_data_bucket, task, answer)
            for answer in task.answers
        }
        etags = {
            worker: hashlib.md5(content, usedforsecurity=False).hexdigest()
            for worker, content in contents.items()
        }
        return Known(task.task, etags)

    def _unknown_annotations(
        self, card: JobCard, known: Mapping[str, Known]
    ) -> Iterator[tuple[Known, list[str]]]:
        """Tasks with those of their annotation objects that are not what the index says. Where a bucket's
        ETags are no MD5 sums, this is every one of them, which costs reading but no harm."""
        stored = self._workspace.list(Workspace(card.project).annotations(card.job))
        for sha256, objects in groupby(stored, lambda each: each.key.split("/")[-2]):
            task = known.get(sha256)
            keys = [each.key for each in objects if task and each.etag not in task.etags.values()]
            if task is not None and keys:
                yield task, keys

    def _usable(self, card: JobCard, found: tuple[Known, list[str]]) -> tuple[Known, list[Answer]]:
        """The answers in these objects, in the order in which they were given. Of a task that takes one
        answer the newest counts: an older one of somebody else was refused when it came."""
        task, keys = found
        read = (read_annotation(self._workspace.read(key)) for key in keys)
        usable = sorted(
            (each for each in read if each and _is_of(card, each)), key=lambda each: each.answered_at
        )
        return task, usable[-1:] if card.takes_one_answer else usable

    def _put_back(self, card: JobCard, said: list[tuple[Known, list[Answer]]]) -> int:
        first, later = [], []
        for known, answers in said:
            later += [(known.task, each) for each in answers if each.worker in known.etags]
            if not (card.takes_one_answer and known.etags):
                first.append((known.task, [each for each in answers if each.worker not in known.etags]))
        corrected = sum(self._correct(card, task, answer) for task, answer in later)
        return corrected + self._tasks.answer_many(card.project, card.job, first)

    def _correct(self, card: JobCard, task: str, answer: Answer) -> bool:
        """Put back a correction."""
        _, known = self._tasks.task(card.project, card.job, task)
        before = known.answer_by(answer.worker) if known is not None else None
        if known is None or before is None:
            return False
        is_newer = answer.answered_at > before.answered_at
        return is_newer and self._tasks.answer(card.project, card.job, known, answer)


def _is_of(card: JobCard, answer: Answer) -> bool:
    """Whether the job takes such an answer; one that it refused may have been written before."""
    value = answer.value
    return value is None or (value.task == card.task and set(value.names) <= set(card.labels))
