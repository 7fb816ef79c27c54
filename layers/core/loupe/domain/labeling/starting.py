"""Labeling jobs: when one is cut, which images it takes, and how an interrupted cut goes on.

A job's input manifest is written once and decides which images it has. Whoever took images that are not in
it gives them back, and so does the end of the job, from which on it takes no more. So a run may die at any
point, and any number of runs may work on one project at once: the next one goes on where others stopped.
The index may have lost a job in a crash: no job is cut before it is put back, and none gets its images.
docs/decisions/leases.md tells the rest of a job's life.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import Any

from loupe.domain.batches import batches
from loupe.domain.datasets.labels import accepted_jobs
from loupe.domain.errors import AlreadyWritten, DomainError, NotFound, ObjectMissing
from loupe.domain.events import AnnotationsCompleted, LabelingJobFinished, LabelingJobStarted
from loupe.domain.images.places import key_of, uri_of
from loupe.domain.labeling.checks import with_checks, write_checks
from loupe.domain.labeling.job_ends import FailJob, has_failed
from loupe.domain.manifests import (
    HEIGHT,
    ORIENTATION,
    SHA256,
    VERSION_ID,
    WIDTH,
    Row,
    label_categories,
    read_rows,
    write_rows,
)
from loupe.domain.projects import Labeling
from loupe.domain.workspace import Workspace
from loupe.ports.images import ImageRecord, KeepsImages
from loupe.ports.labeling import JobCard, KeepsLabelingJobs, LabelingJob, NewTask, StartsLabelingJobs
from loupe.ports.messages import Clock, PublishesEvents, WritesLog
from loupe.ports.objects import StoresObjects
from loupe.ports.projects import KeepsProjects, ProjectRecord

STALLED = timedelta(minutes=1)
"""A job in which nothing happened for so long has nobody working on it; until then somebody may be."""

FIRST_RETRY, LAST_RETRY = timedelta(minutes=10), timedelta(days=1)
"""How long no job is cut after the provider refused one: twice as long after each further refusal, until
project.yaml changes. docs/decisions/refused-labeling-jobs.md says why."""

IMPORT_HOLDS = timedelta(hours=24)
"""So long an import that was begun keeps its images from other jobs, once its command works on it no more."""

_TAKEN_AT_ONCE = 1_000


class JobNotFound(NotFound):
    """A project has no labeling job of that name."""


class LabelingRefused(DomainError):
    """A provider will not take the job, however often it is asked; the message says why and what to do."""

    status, slug, title = 422, "labeling-refused", "The labeling provider does not take the job"


class StartLabeling:
    """Cuts the next labeling job of a project when it is due, and goes on with one that was interrupted."""

    def __init__(
        self,
        *,
        projects: KeepsProjects,
        images: KeepsImages,
        jobs: KeepsLabelingJobs,
        workspace: StoresObjects,
        raw_data_bucket: str,
        providers: Mapping[str, StartsLabelingJobs],
        events: PublishesEvents,
        clock: Clock,
        suffix: Callable[[], str],
        restore_job: Callable[[str, str], bool],
        conclude: Mapping[str, Callable[[str, str], object]],
        log: WritesLog,
    ) -> None:
        """`suffix` gives four hexadecimal digits, by which jobs of one second differ. `restore_job(project,
        job)` puts a job of S3 back into the index, and returns whether it lacked anything. `conclude` has,
        for each provider that concludes its jobs itself, what asks it about a job: `(project, job)`."""
        self._projects = projects
        self._images = images
        self._jobs = jobs
        self._workspace = workspace
        self._raw_data_bucket = raw_data_bucket
        self._providers = providers
        self._events = events
        self._clock = clock
        self._suffix = suffix
        self._restore_job = restore_job
        self._conclude = conclude
        self._log = log
        self._fail = FailJob(jobs, images, workspace, events)

    def for_all(self) -> None:
        """Every project; what fails for one does not keep the others from their turn.

        Raises an `ExceptionGroup` of the errors afterwards.
        """
        errors: list[DomainError] = []
        for record in self._projects.projects():
            try:
                self(record.project)
            except DomainError as error:
                errors.append(error)
        if errors:
            raise ExceptionGroup("start_labeling failed for some projects", errors)

    def __call__(self, project: str, *, at_once: bool = False) -> None:
        """Do what is due for a project; without something due, nothing. `at_once` makes a job due as soon as
        an image waits, since a person asked for it."""
        job = self._jobs.open_job(project)
        if job is None:
            self._announce_last(project)
            self._cut(project, at_once=at_once)
        elif self._is_stalled(job.changed_at):
            self._go_on(job)

    def _cut(self, project: str, *, at_once: bool) -> None:
        record = self._projects.project(project)
        if record is None or record.config is None:
            return
        labeling = record.config.labeling
        if at_once:
            labeling = labeling.model_copy(update={"max_wait_minutes": 0})
        if not self._is_due(project, labeling):
            return
        if self._restore_lost_jobs(project):
            return
        is_held_back = not at_once and self._is_held_back(record)
        if is_held_back or not self._has_free_images(project, labeling):
            return
        config, now = record.config, self._clock()
        card = JobCard(
            project=project,
            job=job_name(project, now, self._suffix()),
            provider=config.labeling.provider,
            task=config.task,
            labels=config.labels,
            instructions=config.instructions,
            batch_size=config.labeling.batch_size,
            created_at=now,
            config_etag=record.config_etag,
            **_agreement(config.labeling),
        )
        if self._jobs.claim(card):
            self._prepare(card, resumed=False)

    def _is_due(self, project: str, labeling: Labeling) -> bool:
        pending = self._projects.counts(project).pending
        if pending == 0 or pending >= labeling.batch_size:
            return pending > 0
        if labeling.waits_for_whole_batches:
            return False
        oldest = self._images.oldest_pending(project)
        return oldest is not None and self._clock() - oldest >= timedelta(minutes=labeling.max_wait_minutes)

    def _has_free_images(self, project: str, labeling: Labeling) -> bool:
        """Whether a job is due, too, without the images that other jobs have: those of an import that is
        under way are pending, and no job gets them."""
        held = self._images_of_other_jobs(project)
        if not held:
            return True
        waiting = self._images.pending(project, labeling.batch_size + len(held))
        free = list(islice((each for each in waiting if each.sha256 not in held), labeling.batch_size))
        if len(free) == labeling.batch_size or not free:
            return bool(free)
        waited = self._clock() - free[0].registered_at
        return not labeling.waits_for_whole_batches and waited >= timedelta(minutes=labeling.max_wait_minutes)

    def _is_held_back(self, record: ProjectRecord) -> bool:
        """Whether the provider refused jobs of this very project.yaml, and it is too early to ask again."""
        failed = list(takewhile(lambda job: job.state == "failed", self._jobs.jobs(record.project, limit=20)))
        cards = (self._jobs.card(job.project, job.job) for job in failed)
        refusals = sum(card.config_etag == record.config_etag and card.review_of is None for card in cards)
        if refusals == 0:
            return False
        wait = min(FIRST_RETRY * (1 << (refusals - 1)), LAST_RETRY)
        return self._clock() - failed[0].changed_at < wait

    def _restore_lost_jobs(self, project: str) -> bool:
        """Put back jobs that are newer than any that the index knows; names of jobs ascend with time."""
        newest = next((job.job for job in self._jobs.jobs(project, limit=1)), "")
        stored = self._workspace.list_folders(Workspace(project).jobs)
        return sum(self._restore_job(project, job) for job in stored if job > newest) > 0

    def _go_on(self, job: LabelingJob) -> None:
        if job.state == "preparing":
            self._prepare(self._jobs.card(job.project, job.job), resumed=True)
        elif job.tasks == 0:
            self._discard(job.project, job.job)
        elif job.provider in self._conclude:
            self._conclude[job.provider](job.project, job.job)
        elif job.all_answered:
            self._events.publish(AnnotationsCompleted(job.project, job.job))

    def _prepare(self, card: JobCard, *, resumed: bool) -> None:
        manifest = Workspace(card.project).input_manifest(card.job)
        if card.review_of is not None and not self._workspace.exists(manifest):
            reason = "the review was interrupted before it began; start it again"
            self._fail(card.project, card.job, reason, self._clock())
            return
        if self._write_manifest(card, resumed=resumed):
            give_back_strays(self._images, self._workspace, card.project, card.job)
        try:
            tasks = self._providers[card.provider].start(card)
        except LabelingRefused as refusal:
            self._fail(card.project, card.job, refusal.detail, self._clock())
            self._tell("job refused", card, reason=refusal.detail)
            return
        if tasks:
            # Before the job opens: a run that dies in between is repeated, and the event with it.
            self._events.publish(LabelingJobStarted(card.project, card.job, tasks))
        if self._jobs.open(card.project, card.job, tasks, self._clock()):
            self._tell("job opened", card, tasks=tasks)
            if tasks == 0:
                self._discard(card.project, card.job)

    def _tell(self, message: str, card: JobCard, **members: Any) -> None:
        self._log(message, project=card.project, correlation_id=card.job, provider=card.provider, **members)

    def _write_manifest(self, card: JobCard, *, resumed: bool) -> bool:
        """Take images and write the manifest, if there is none. Returns whether someone else may have
        taken images for this job that are not in it."""
        space = Workspace(card.project)
        manifest = space.input_manifest(card.job)
        if resumed and self._workspace.exists(manifest):
            return True
        write_card(self._workspace, card)
        self._workspace.write(
            space.label_categories(card.job), label_categories(card.labels).encode(), "application/json"
        )
        write_checks(card, self._workspace, self._raw_data_bucket)
        images = 0

        def rows() -> Iterator[Row]:
            nonlocal images
            for row in islice(self._take(card, resumed=resumed), card.batch_size):
                images += 1
                yield row

        try:
            self._workspace.write_lines_once(manifest, write_rows(rows()))
        except AlreadyWritten:
            return True
        self._tell("job cut", card, images=images, input_manifest=manifest)
        return resumed

    def _take(self, card: JobCard, *, resumed: bool) -> Iterator[Row]:
        """Rows of the images that the job has or gets, which are taken as they are read."""
        had: set[str] = set()
        if resumed:
            for image in self._images.in_job(card.project, card.job):
                had.add(image.sha256)
                yield self._row(image)
        wanted, others = card.batch_size - len(had), self._images_of_other_jobs(card.project, card.job)
        waiting = self._images.pending(card.project, wanted + len(others))
        free = (image for image in waiting if image.sha256 not in had and image.sha256 not in others)
        for batch in batches(islice(free, wanted), _TAKEN_AT_ONCE):
            taken = self._images.take(card.project, card.job, [image.sha256 for image in batch])
            yield from (self._row(image) for image in batch if image.sha256 in taken)

    def _images_of_other_jobs(self, project: str, but: str | None = None) -> set[str]:
        """Images whose job's labels are not accepted yet. They wait only if the index lost what it knew, or
        if an import is under way."""
        settled = {but, *accepted_jobs(project, self._workspace)}
        space, images = Workspace(project), set[str]()
        for job in self._workspace.list_folders(space.jobs):
            if job not in settled and not self._gave_up(project, job):
                with suppress(ObjectMissing):
                    rows = read_rows(self._workspace.lines(space.input_manifest(job)))
                    images.update(row[SHA256] for row in rows)
        return images

    def _gave_up(self, project: str, job: str) -> bool:
        return has_failed(self._workspace, project, job) or is_abandoned_import(
            self._workspace, project, job, self._clock()
        )

    def _row(self, image: ImageRecord) -> Row:
        row: Row = {
            "source-ref": str(uri_of(image.key, self._raw_data_bucket)),
            SHA256: image.sha256,
            WIDTH: image.width,
            HEIGHT: image.height,
        }
        if image.version_id is not None:
            row[VERSION_ID] = image.version_id
        if image.orientation != 1:
            row[ORIENTATION] = image.orientation
        return row

    def _discard(self, project: str, job: str) -> None:
        """End a job that got no image: all of them went away between counting and taking."""
        self._jobs.consolidate(project, job, self._clock())
        give_back_strays(self._images, self._workspace, project, job)
        self._jobs.discard(project, job)

    def _announce_last(self, project: str) -> None:
        for job in self._jobs.jobs(project, limit=1):
            if job.announced or job.finished_at is None or not self._is_stalled(job.finished_at):
                continue
            if job.state == "failed":
                self._fail.settle(job)
            else:
                announce(self._jobs, self._events, project, job.job)

    def _is_stalled(self, since: datetime) -> bool:
        return self._clock() - since >= STALLED


def _agreement(labeling: Labeling) -> dict[str, Any]:
    """Who answers the tasks of a job at the portal; another provider sees to that itself."""
    if labeling.provider != "portal":
        return {}
    return {
        "workers": labeling.workers_per_image,
        "max_workers": labeling.most_workers,
        "check_every": labeling.check_every or 0,
        "min_accuracy": labeling.min_accuracy,
    }


def is_abandoned_import(workspace: StoresObjects, project: str, job: str, now: datetime) -> bool:
    """Whether the job is an import that is not whole, and that nobody has worked on for so long that its
    images are free again. The command that works on it writes its input manifest anew from time to time."""
    space = Workspace(project)
    try:
        card = read_card(workspace, project, job)
    except ObjectMissing:
        return False
    if card.provider != "import" or workspace.exists(space.output_manifest(job)):
        return False
    manifest = next(iter(workspace.list(space.input_manifest(job))), None)
    return manifest is not None and now - manifest.last_modified >= IMPORT_HOLDS


def job_name(project: str, now: datetime, suffix: str) -> str:
    """Names of a project's jobs ascend with time; `suffix` has four hexadecimal digits."""
    return f"{project}-{now:%Y%m%dt%H%M%S}-{suffix}"


def announce(jobs: KeepsLabelingJobs, events: PublishesEvents, project: str, job: str) -> None:
    """Tell that a job is finished, and remember having told."""
    events.publish(LabelingJobFinished(project, job))
    jobs.announce(project, job)


def give_back_strays(images: KeepsImages, workspace: StoresObjects, project: str, job: str) -> None:
    """Have images wait again that runs took for the job after its manifest was written."""
    rows = read_rows(workspace.lines(Workspace(project).input_manifest(job)))
    listed = {row[SHA256] for row in rows}
    strays = (image.sha256 for image in images.in_job(project, job) if image.sha256 not in listed)
    images.give_back(project, job, strays)


def _task_number(place: int) -> str:
    return f"{place:06d}"


FIRST_TASK = _task_number(0)


def tasks_of_manifest(rows: Iterable[Row], raw_data_bucket: str) -> Iterator[NewTask]:
    """Tasks for one worker each: one a row, numbered in the manifest's order."""
    return _tasks(((row, False) for row in rows), raw_data_bucket, 1)


def tasks_of_job(
    card: JobCard, rows: Iterable[Row], checks: Sequence[Row], raw_data_bucket: str
) -> Iterator[NewTask]:
    """The portal's tasks: those of the rows in the manifest's order, and those of known answer among them."""
    return _tasks(with_checks(card, rows, checks), raw_data_bucket, card.workers)


def _tasks(rows: Iterable[tuple[Row, bool]], raw_data_bucket: str, workers: int) -> Iterator[NewTask]:
    for number, (row, is_check) in enumerate(rows):
        yield NewTask(
            task=_task_number(number),
            sha256=row[SHA256],
            key=key_of(row["source-ref"], raw_data_bucket),
            version_id=row.get(VERSION_ID),
            width=row[WIDTH],
            height=row[HEIGHT],
            workers=workers,
            check=is_check,
            orientation=row.get(ORIENTATION, 1),
        )


# The job's card in S3 ------------------------------------------------------------------------------


def write_card(workspace: StoresObjects, card: JobCard) -> None:
    """Keep what the job was cut with beside its manifest, so that the index can be rebuilt."""
    content = asdict(card) | {"created_at": card.created_at.isoformat()}
    workspace.write(
        _card_key(card.project, card.job),
        json.dumps(content, ensure_ascii=False, indent=1).encode(),
        "application/json",
    )


def read_card(workspace: StoresObjects, project: str, job: str) -> JobCard:
    """Raises `ObjectMissing`."""
    content: dict[str, Any] = json.loads(workspace.read(_card_key(project, job)))
    content["labels"] = tuple(content["labels"])
    content["created_at"] = datetime.fromisoformat(content["created_at"])
    return JobCard(**content)


def _card_key(project: str, job: str) -> str:
    return f"{Workspace(project).job(job)}/job.json"
