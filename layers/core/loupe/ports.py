"""What the domain needs of the world, as small protocols; adapters and the tests' fakes implement them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, BinaryIO, Literal, Protocol

from loupe.domain.events import Event
from loupe.domain.label_values import LabelValue
from loupe.domain.projects import HostingKind, ProjectConfig, TaskType, Trainer

# ---------------------------------------------------------------------------------------------------
# Time, objects, events: used by every part


class Clock(Protocol):
    """Tells the time; UTC and aware."""

    def __call__(self) -> datetime: ...


@dataclass(frozen=True)
class StoredObject:
    """What a listing of a bucket tells about one object. `etag` has no quotes."""

    key: str
    etag: str
    size: int
    last_modified: datetime


class StoresObjects(Protocol):
    """Objects of one bucket (raw data or workspace)."""

    @property
    def bucket(self) -> str: ...

    def read(self, key: str, version_id: str | None = None) -> bytes:
        """Raises `ObjectMissing`."""
        ...

    def read_range(self, key: str, start: int, size: int) -> bytes:
        """`size` bytes from byte `start` on, fewer where the object ends; `size` is above 0. Raises
        `ObjectMissing`."""
        ...

    def open(self, key: str) -> BinaryIO:
        """A stream over an object that may be larger than memory. Raises `ObjectMissing`."""
        ...

    def lines(self, key: str) -> Iterator[str]:
        """Lines of a UTF-8 text object, streamed. Raises `ObjectMissing`."""
        ...

    def exists(self, key: str) -> bool: ...

    def write(self, key: str, content: bytes, content_type: str = "application/octet-stream") -> None: ...

    def write_lines(self, key: str, lines: Iterable[str]) -> None:
        """Text of any length in constant memory (multipart where it is long)."""
        ...

    def write_once(self, key: str, content: bytes, content_type: str = "application/octet-stream") -> None:
        """Raises `AlreadyWritten` if the key exists, in which case nothing is changed."""
        ...

    def write_lines_once(self, key: str, lines: Iterable[str]) -> None:
        """As `write_lines`. Raises `AlreadyWritten` if the key exists, in which case nothing is changed."""
        ...

    def copy_from(self, source_bucket: str, source_key: str, key: str) -> None:
        """Server-side copy. Raises `ObjectMissing`."""
        ...

    def list(self, prefix: str) -> Iterator[StoredObject]: ...

    def list_folders(self, prefix: str) -> Iterator[str]:
        """Names (without slash) of the "folders" right below `prefix`, which ends in a slash or is empty."""
        ...

    def presigned_url(self, key: str, version_id: str | None, expires_in: int) -> str:
        """A URL that reads the object for `expires_in` seconds without credentials."""
        ...


class PublishesEvents(Protocol):
    """The event bus."""

    def publish(self, *events: Event) -> None:
        """Raises `StoreUnavailable` if any of them was not accepted."""
        ...


# ---------------------------------------------------------------------------------------------------
# Projects


@dataclass(frozen=True)
class ImageCounts:
    """Images of a project by state."""

    pending: int = 0
    labeling: int = 0
    labeled: int = 0
    rejected: int = 0


@dataclass(frozen=True)
class ProjectRecord:
    """What the index knows of a project's configuration. `config` is None while project.yaml is not valid
    (`config_error` says why) or missing; then images stay pending."""

    project: str
    config: ProjectConfig | None
    config_error: str | None
    config_etag: str | None


class KeepsProjects(Protocol):
    """Projects and their configuration, as last read from project.yaml."""

    def project(self, project: str) -> ProjectRecord | None: ...

    def introduce(self, project: str, error: str) -> None:
        """Remember that there is such a project, with `error` in place of its configuration; changes nothing
        for a project that is known."""
        ...

    def projects(self) -> list[ProjectRecord]: ...

    def save_config(
        self, project: str, config: ProjectConfig | None, error: str | None, etag: str | None
    ) -> None:
        """Remember what project.yaml says. With `config` None and an `error`, images stay pending."""
        ...

    def counts(self, project: str) -> ImageCounts: ...


# ---------------------------------------------------------------------------------------------------
# Ingest

ImageState = Literal["pending", "labeling", "labeled", "rejected"]


@dataclass(frozen=True)
class ObjectHead:
    """What S3 tells about an object before its content. `size` in bytes; `etag` has no quotes."""

    key: str
    etag: str
    size: int
    version_id: str | None


class OpenedObject(Protocol):
    """One version of an object, its content not read yet."""

    @property
    def head(self) -> ObjectHead: ...

    def read(self) -> bytes:
        """The whole content; once."""
        ...


class OpensObjects(Protocol):
    """Objects of the raw-data bucket as they are now, and by their URIs those of other buckets."""

    def opened(self, key: str) -> AbstractContextManager[OpenedObject]:
        """Raises `ObjectMissing`."""
        ...


@dataclass(frozen=True)
class ImageRecord:
    """An image of a project: what it is, where it lies, and how far it has come.

    `sha256` and `phash` are hexadecimal; width and height are pixels as stored, whatever EXIF says about
    turning them, and `orientation` is what it says, 1 to 8. `key` (see `loupe.domain.places`) names the
    object with its `version_id` and `etag`. `job` is the labeling job that has the image or had it last;
    `attempts` counts the jobs that came to their end without an answer for it; `reason` says why it was
    rejected.
    """

    sha256: str
    key: str
    version_id: str | None
    etag: str
    bytes: int
    width: int
    height: int
    format: str
    phash: str
    registered_at: datetime
    state: ImageState = "pending"
    job: str | None = None
    attempts: int = 0
    reason: str | None = None
    orientation: int = 1

    def awaits(self, job: str) -> bool:
        """Whether what the job concludes is news of the image."""
        return self.state == "pending" or (self.state == "labeling" and self.job == job)

    def is_labeled_before(self, job: str) -> bool:
        """Whether its label is of an earlier job; names of jobs ascend with time."""
        return self.state == "labeled" and (self.job is None or self.job < job)

    def is_behind(self, other: "ImageRecord") -> bool:
        """Whether the other record tells of something that happened to the image later: that a job took it,
        or what the job that has it concluded."""
        if self.state == "labeling":
            return other.state in ("labeled", "rejected") and other.job == self.job
        return self.state == "pending" and other.state != "pending"


@dataclass(frozen=True)
class ObjectRecord:
    """What registration found under a key when it last looked: an image, or a reason to reject the object.

    `looked_at` tells one look from another.
    """

    key: str
    etag: str
    version_id: str | None
    looked_at: datetime
    sha256: str | None = None
    reason: str | None = None
    detail: str | None = None


NO_LABEL = "no-label"
"""Reason of an image that a job gave no label."""


@dataclass(frozen=True)
class RejectedRecord:
    """An object or image that no job gets. `reason` is a slug, `detail` says it in words."""

    key: str
    reason: str
    detail: str
    at: datetime


@dataclass(frozen=True)
class RejectedPage:
    """A stretch of the rejected, oldest first; `next` is where to go on, None at the end."""

    rejected: list[RejectedRecord]
    next: str | None


@dataclass(frozen=True)
class Look:
    """The result of looking at a key. `known` is what the index held before the look; `now` is what lies
    there, None if nothing does; `image` is given when that is an image."""

    key: str
    known: ObjectRecord | None
    now: ObjectRecord | None
    image: ImageRecord | None = None


@dataclass(frozen=True)
class Registered:
    """`new` images became pending. `outdated` keys were changed by someone else since `Look.known` was
    read: nothing was done about them, and they have to be looked at again."""

    new: int
    outdated: frozenset[str] = frozenset()


class KeepsImages(Protocol):
    """Images of all projects with their states, and what lies under each key.

    Every change of a state changes the project's counts with it, all or nothing, and repeating a call
    changes nothing more. Streams of any length are worked on piece by piece in constant memory. Listings by
    state may lag behind a change by about a second; changes themselves never rely on them.
    All methods raise `StoreUnavailable`.
    """

    # Registration
    def objects(self, project: str, keys: Iterable[str]) -> dict[str, ObjectRecord]:
        """What is known to lie under those keys; keys that nothing is known of are left out."""
        ...

    def all_objects(self, project: str) -> Iterator[ObjectRecord]:
        """Everything that is known to lie in the project's folder, in no particular order."""
        ...

    def register(self, project: str, looks: Iterable[Look]) -> Registered:
        """Take note of what was found under keys, each at most once in a call.

        An image that is known under another key gets a further key and keeps its state. An image whose
        last key is gone or holds something else now is forgotten if it is pending; in every other state
        it stays.
        """
        ...

    # Reading
    def image(self, project: str, sha256: str) -> ImageRecord | None: ...

    def images(self, project: str, sha256s: Iterable[str]) -> dict[str, ImageRecord]:
        """Those of the images that are known."""
        ...

    def pending(self, project: str, limit: int) -> Iterator[ImageRecord]:
        """Images that wait for a job, oldest first."""
        ...

    def oldest_pending(self, project: str) -> datetime | None:
        """When the image that has waited longest was registered."""
        ...

    def in_job(self, project: str, job: str) -> Iterator[ImageRecord]:
        """Images that are being labeled in that job, oldest first."""
        ...

    def rejected(self, project: str, limit: int, after: str | None = None) -> RejectedPage:
        """Rejected objects and images; `after` is an earlier page's `next`, or `BadRequest` is raised."""
        ...

    # Labeling
    def take(self, project: str, job: str, sha256s: Iterable[str]) -> set[str]:
        """Hand pending images to a job; returns those that the job has then, from this call or before. A job
        that is consolidating, finished or discarded gets none."""
        ...

    def give_back(self, project: str, job: str, sha256s: Iterable[str], *, attempted: bool = False) -> None:
        """Images that the job has without a label wait again, in their old place; one whose object is gone
        is forgotten. Images that the job does not have are passed over. `attempted` counts the job among
        the images' `attempts`."""
        ...

    def accept(
        self, project: str, job: str, labeled: Iterable[str], refused: Iterable[tuple[str, str]]
    ) -> None:
        """The job's outcome: images with a label, and images without one, each with the reason in words.

        Applies to images that the job has and, since a label in S3 outweighs the index, to pending ones. A
        label counts for rejected images, too.
        """
        ...

    def withdraw(self, project: str, job: str, sha256s: Iterable[str]) -> None:
        """The job found the labels of these images wrong: they wait again, in their old place. Images that
        have no label, or one of a later job, are passed over; one whose object is gone is forgotten."""
        ...

    # Upkeep
    def restore(self, project: str, images: Iterable[ImageRecord]) -> None:
        """Put back images that the index has lost, as they are given. One that is there stays as it is,
        unless it `is_behind` the given one."""
        ...


@dataclass(frozen=True)
class UnusableRecord:
    """A message that no retry will mend. `body` is the message as it came."""

    body: str
    reason: str


class SetsAside(Protocol):
    """Where messages go that can't be used, for a person to look at."""

    def set_aside(self, records: Iterable[UnusableRecord]) -> None:
        """Raises `StoreUnavailable` if any of them was not accepted."""
        ...


# ---------------------------------------------------------------------------------------------------
# Labeling


JobProvider = Literal["portal", "ground-truth", "import"]
"""Who a job's labels come from. An import brings labels that exist: it is finished from the start."""

JobState = Literal["preparing", "open", "consolidating", "finished", "failed"]
ReviewKind = Literal["adjustment", "verification"]


@dataclass(frozen=True)
class JobCard:
    """What a labeling job was cut with. It never changes, whatever becomes of project.yaml.

    `split` is where all its images belong that no model has learned from, None if that is open; `review_of`
    is the dataset version whose labels it checks, None if it asks for new ones, and `review` what workers do
    with them. `config_etag` tells which project.yaml it was cut with.

    At the portal each task is answered by `workers`, and by up to `max_workers` where it stays in doubt; one
    of `check_every` tasks (0: none) has a known answer, and answers of a worker whose accuracy there is below
    `min_accuracy` are asked again from others.
    """

    project: str
    job: str
    provider: JobProvider
    task: TaskType
    labels: tuple[str, ...]
    instructions: str
    batch_size: int
    created_at: datetime
    split: Literal["test"] | None = None
    review_of: str | None = None
    review: ReviewKind | None = None
    config_etag: str | None = None
    workers: int = 1
    max_workers: int = 1
    check_every: int = 0
    min_accuracy: float = 0.0

    @property
    def takes_one_answer(self) -> bool:
        """Whether no task of it is ever answered by a second worker."""
        return self.workers == self.max_workers == 1 and not self.min_accuracy


@dataclass(frozen=True)
class LabelingJob:
    """How far a labeling job has come. `tasks` is 0 until the job is open; `answered` counts tasks that need
    nobody any more and includes the skipped ones; `changed_at` is when something happened last;
    `finished_at` is when it ended, finished or failed, and `announced` whether the event of that went out.
    `reason` says in words why it failed, or why it finished without all labels."""

    project: str
    job: str
    state: JobState
    created_at: datetime
    changed_at: datetime
    tasks: int = 0
    answered: int = 0
    skipped: int = 0
    finished_at: datetime | None = None
    announced: bool = False
    provider: JobProvider = "portal"
    reason: str | None = None

    @property
    def all_answered(self) -> bool:
        return self.state != "preparing" and self.answered >= self.tasks


class KeepsLabelingJobs(Protocol):
    """Labeling jobs; a project has at most one that has not ended, its open job.

    All methods raise `StoreUnavailable`. Those that return a bool say whether the state allowed the change.
    """

    def claim(self, card: JobCard) -> bool:
        """Make this the project's open job, in state preparing; False if the project has another one."""
        ...

    def open_job(self, project: str) -> LabelingJob | None: ...

    def open_jobs(self, projects: Iterable[str]) -> dict[str, LabelingJob]:
        """Open jobs of those of the projects that have one."""
        ...

    def job(self, project: str, job: str) -> LabelingJob | None: ...

    def jobs(self, project: str, limit: int) -> list[LabelingJob]:
        """Newest first."""
        ...

    def card(self, project: str, job: str) -> JobCard:
        """Raises `JobNotFound`."""
        ...

    def open(self, project: str, job: str, tasks: int, at: datetime) -> bool:
        """preparing → open: from now on workers answer."""
        ...

    def discard(self, project: str, job: str) -> bool:
        """Forget a job without tasks that is consolidating, and release the project's open job. Its name is
        never used again."""
        ...

    def consolidate(self, project: str, job: str, at: datetime) -> bool:
        """open, with every task answered → consolidating: from now on answers stand, and the job takes no
        images."""
        ...

    def progress(self, project: str, job: str, answered: int, skipped: int, at: datetime) -> bool:
        """How far an open job has come by its provider's count, as of `at`; an older count than the one that
        is known changes nothing."""
        ...

    def end(self, project: str, job: str, reason: str | None, at: datetime) -> bool:
        """open → consolidating, whatever is answered: its provider says that nothing more comes, and
        `reason` why labels are missing."""
        ...

    def finish(self, project: str, job: str, at: datetime) -> bool:
        """consolidating → finished, and release the project's open job. True for one caller only."""
        ...

    def fail(self, project: str, job: str, reason: str, at: datetime) -> bool:
        """Any state before finished → failed: the job gives no labels and takes no images, and the project's
        open job is released. True for one caller only."""
        ...

    def announce(self, project: str, job: str) -> None:
        """Remember that the event of its end went out."""
        ...

    def restore_finished(self, card: JobCard, tasks: int, skipped: int, at: datetime) -> None:
        """A job that the index lost, or knows from before it was finished; releases the project's open job
        if it is this one. Does nothing to a job that is known as finished."""
        ...

    def restore_failed(self, card: JobCard, reason: str, at: datetime) -> None:
        """As `restore_finished`, for a job that failed at that time. Does nothing to a job that is known to
        have ended."""
        ...


@dataclass(frozen=True)
class Suggested:
    """What a worker did with a model's suggestion: took it as it was, or answered something else."""

    model_version: str
    accepted: bool


@dataclass(frozen=True)
class Answer:
    """A worker's answer to a task: one of `value` and `skip` (the reason) is given. `worker` is the user
    pool's id; `suggestion` tells of what a model suggested, if the worker saw it."""

    worker: str
    worker_name: str
    answered_at: datetime
    value: LabelValue | None = None
    skip: str | None = None
    suggestion: Suggested | None = None

    def says_the_same(self, other: "Answer") -> bool:
        """Whether the same worker said the same, whenever."""
        return (self.worker, self.value, self.skip) == (other.worker, other.value, other.skip)


@dataclass(frozen=True)
class NewTask:
    """A task before anybody saw it. `task` is six digits, its place in the job; `key` and `version_id` name
    the image in the raw-data bucket; width, height and orientation are its record's. `workers` is how many
    have to answer it, each once; a `check` asks for what is known already, to measure the workers."""

    task: str
    sha256: str
    key: str
    version_id: str | None
    width: int
    height: int
    orientation: int = field(default=1, kw_only=True)
    workers: int = field(default=1, kw_only=True)
    check: bool = field(default=False, kw_only=True)


@dataclass(frozen=True)
class Lease:
    """A task in a worker's hands. Once `until` has passed it is only what the worker had last: somebody else
    may take its place."""

    worker: str
    until: datetime


@dataclass(frozen=True)
class Task(NewTask):
    """A task as it stands: `answers`, first come first, and leases of workers who have not answered it.
    `version` counts its changes; of two changes to the same version, one is made.

    What workers may do with a task is said here, once; the index makes the change that these methods return,
    if the task is still the one that it was.
    """

    job: str
    leases: tuple[Lease, ...] = ()
    answers: tuple[Answer, ...] = ()
    version: int = 0

    @property
    def is_done(self) -> bool:
        """Whether it needs nobody any more."""
        return len(self.answers) >= self.workers

    @property
    def is_skipped(self) -> bool:
        """Whether it is done, and most of its answers are reasons for having no label."""
        return self.is_done and 2 * sum(answer.skip is not None for answer in self.answers) > len(
            self.answers
        )

    @property
    def answer(self) -> Answer | None:
        """The first answer: the only one of a task that one worker answers."""
        return self.answers[0] if self.answers else None

    @property
    def free_from(self) -> datetime | None:
        """When a place for a further worker is free: None for at once. Means nothing once it is done."""
        untaken = self.workers - len(self.answers) - len(self.leases)
        return None if untaken > 0 or not self.leases else min(lease.until for lease in self.leases)

    def answer_by(self, worker: str) -> Answer | None:
        return next((answer for answer in self.answers if answer.worker == worker), None)

    def lease_of(self, worker: str) -> Lease | None:
        """The worker's lease, run out or not, unless somebody else took its place."""
        return next((lease for lease in self.leases if lease.worker == worker), None)

    def has_room_for(self, worker: str, now: datetime) -> bool:
        """Whether the worker has not answered it, and fewer others hold it than have to answer it still."""
        others = sum(lease.worker != worker and lease.until > now for lease in self.leases)
        return self.answer_by(worker) is None and len(self.answers) + others < self.workers

    def is_free_for(self, worker: str, now: datetime) -> bool:
        """Whether it has room for the worker, and he does not hold it."""
        own = self.lease_of(worker)
        return self.has_room_for(worker, now) and (own is None or own.until <= now)

    def leased(self, worker: str, now: datetime, until: datetime) -> "Task | None":
        """With a lease of the worker; None if it is not free for him."""
        if not self.is_free_for(worker, now):
            return None
        kept = [lease for lease in self.leases if lease.worker != worker]
        if len(self.answers) + len(kept) >= self.workers:
            kept.remove(min(kept, key=lambda lease: lease.until))  # one that ran out, or there were no room
        return replace(self, leases=(*kept, Lease(worker, until)))

    def renewed(self, worker: str, until: datetime) -> "Task | None":
        """With the worker's lease prolonged; None if he has none."""
        if self.lease_of(worker) is None:
            return None
        return replace(
            self,
            leases=tuple(Lease(worker, until) if lease.worker == worker else lease for lease in self.leases),
        )

    def given_back(self, worker: str) -> "Task | None":
        """Without the worker's lease; None if he has none."""
        if self.lease_of(worker) is None:
            return None
        return replace(self, leases=tuple(lease for lease in self.leases if lease.worker != worker))

    def answered(self, answer: Answer) -> "Task | None":
        """With the worker's answer, in place of his earlier one if there is one; None if it has no room."""
        if self.answer_by(answer.worker) is None and not self.has_room_for(answer.worker, answer.answered_at):
            return None
        return self.with_answers((answer,))

    def with_answers(self, given: Iterable[Answer]) -> "Task":
        """With these answers, whether or not there is room: each in place of the worker's earlier one, or
        behind all others. Leases beyond those that it needs then are gone."""
        answers = {answer.worker: answer for answer in self.answers}
        answers |= {answer.worker: answer for answer in given}
        leases = sorted(
            (lease for lease in self.leases if lease.worker not in answers),
            key=lambda lease: lease.until,
            reverse=True,
        )
        left = max(self.workers - len(answers), 0)
        return replace(self, answers=tuple(answers.values()), leases=tuple(leases[:left]))

    def asking(self, workers: int) -> "Task | None":
        """To be answered by so many workers; None if it is answered by as many or more already."""
        return replace(self, workers=workers) if workers > self.workers else None


class KeepsTasks(Protocol):
    """Tasks of the portal with their leases and answers.

    What the listings of free and held tasks tell may lag behind by about a second; every change is made to
    the task as it is. All methods raise `StoreUnavailable`.
    """

    def add(self, job: str, tasks: Iterable[NewTask]) -> int:
        """Add those that are not there yet; tasks that are there keep leases and answers. Returns how many
        were given."""
        ...

    def task(self, project: str, job: str, task: str) -> tuple[LabelingJob | None, Task | None]:
        """The task with its job, both as last written."""
        ...

    def tasks(self, job: str) -> Iterator[Task]:
        """All tasks in the order of their numbers, as last written."""
        ...

    def free(self, job: str, worker: str, now: datetime, limit: int) -> list[Task]:
        """Tasks that have room for the worker at `now`, and that he does not hold: first those that have a
        place which nobody ever had."""
        ...

    def held(self, job: str, worker: str) -> list[Task]:
        """Tasks that the worker has a lease on, run out or not, unless someone else took them."""
        ...

    def lease(self, task: Task, worker: str, now: datetime, until: datetime) -> Task | None:
        """Lease a task that may have changed since; None if it has no room for the worker, or he holds it."""
        ...

    def renew(self, task: Task, worker: str, until: datetime) -> Task | None:
        """Prolong the worker's lease, even one that ran out; None if he has none any more."""
        ...

    def give_back(self, task: Task, worker: str) -> None:
        """End the worker's lease, if he has one."""
        ...

    def answer(self, project: str, job: str, task: Task, answer: Answer) -> bool:
        """Set a worker's answer, and count the task with the job's once it is done, all or nothing.

        False, with nothing changed, unless the job is open, the task has not changed since, and has room for
        the answer.
        """
        ...

    def answer_many(self, project: str, job: str, answers: Iterable[tuple[str, Sequence[Answer]]]) -> int:
        """Answers to tasks by workers who have none there yet, counted as by `answer`, whoever holds the
        tasks and however many answers they have. Returns how many answers were set: none unless the job is
        open."""
        ...

    def ask_more(self, project: str, job: str, wanted: Iterable[tuple[str, int]]) -> int:
        """Have tasks answered by so many workers, and take those that were done out of the job's count.
        Tasks that ask for as many already stay as they are. Returns how many tasks are done no longer: none
        unless the job is open."""
        ...


class StartsLabelingJobs(Protocol):
    """A labeling provider."""

    def start(self, card: JobCard) -> int:
        """Have the images of the job's input manifest labeled; returns how many they are. Repeating it
        changes nothing: the job is started once.

        Raises `LabelingRefused` where repeating it would not help, and `StoreUnavailable` where it may.
        """
        ...


@dataclass(frozen=True)
class ProviderProgress:
    """How far a labeling job has come at its provider. `failed` counts images that it gave up on; `state` is
    running until nothing more comes; `reason` is the provider's own, if it gives one."""

    state: Literal["running", "completed", "failed", "stopped"]
    labeled: int
    failed: int
    reason: str | None = None


class WatchesLabelingJobs(Protocol):
    """Labeling jobs as their provider sees them."""

    def progress(self, job: str) -> ProviderProgress | None:
        """None for a job that the provider does not have. Raises `StoreUnavailable`."""
        ...


# ---------------------------------------------------------------------------------------------------
# Training and release


@dataclass(frozen=True)
class ServedModel:
    """A model that answers somewhere, with what it takes to understand its answers.

    A class's index is its label's position in `labels`. `endpoint` is the name of a SageMaker endpoint, or
    the ARN of a project version where Rekognition hosts the model.
    """

    hosting: HostingKind
    trainer: Trainer
    task: TaskType
    labels: tuple[str, ...]
    endpoint: str

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "ServedModel":
        """The model whose `asdict` that is."""
        return cls(**{**document, "labels": tuple(document["labels"])})


@dataclass(frozen=True)
class Champion:
    """The model in service. `score` is between 0 and 1, on the test set of its own dataset version, which had
    `test_images`; 95 % of such test sets would give a score in `interval`.

    A model that Rekognition hosts has neither an endpoint configuration nor a model package.
    """

    version: str
    score: float
    model: ServedModel
    endpoint_config: str | None
    model_package_arn: str | None
    promoted_at: datetime
    test_images: int | None = None
    interval: tuple[float, float] | None = None


TrainingStatus = Literal["running", "promoted", "awaiting_approval", "rejected", "failed"]


@dataclass(frozen=True)
class LastTraining:
    """The newest turn of the loop. `version` is None where it failed before a model was planned; `reason`
    says in words what came of it."""

    version: str | None
    status: TrainingStatus
    reason: str
    started_at: datetime
    ended_at: datetime | None
    execution: str


@dataclass(frozen=True)
class TrainingLock:
    """Who works on a project's next model, or changes its endpoint: the ARN of an execution, and since
    when."""

    execution: str
    started_at: datetime


@dataclass(frozen=True)
class Approval:
    """What a person decided of a candidate, who and when."""

    decision: Literal["approved", "rejected"]
    by: str
    at: datetime


@dataclass(frozen=True)
class WantedRelease:
    """The release that a person asked for last, until it is done: `request` is its name; `attempts` tells how
    often reconciliation asked for it again."""

    request: str
    version: str
    kind: Literal["approval", "rollback"]
    by: str
    at: datetime
    attempts: int = 0


@dataclass(frozen=True)
class Pause:
    """Since when better candidates are not promoted by themselves, through whom and why."""

    since: datetime
    by: str
    reason: str


HostingState = Literal["starting", "running", "stopping", "stopped"]


@dataclass(frozen=True)
class HostingRecord:
    """Whether a champion that Rekognition hosts answers, and since when. `inference_units` are those that run
    at least, and are paid for until it is stopped; `max_inference_units` those up to which it scales."""

    state: HostingState
    since: datetime
    inference_units: int
    max_inference_units: int | None = None


@dataclass(frozen=True)
class Reconciliation:
    """When a project was reconciled last, and counts of what was mended then; all zero where nothing was
    amiss."""

    at: datetime
    mended: dict[str, int]


@dataclass(frozen=True)
class LoopRecord:
    """Where a project's loop stands. `waiting_for` says in words what keeps the next training from
    starting, None if nothing does. `hosting` and `last_called_at` (to the minute) are known of a champion
    that Rekognition hosts. `release` tells who changes the endpoint now."""

    training: TrainingLock | None = None
    dataset_version: str | None = None
    champion: Champion | None = None
    last_training: LastTraining | None = None
    waiting_for: str | None = None
    hosting: HostingRecord | None = None
    last_called_at: datetime | None = None
    reconciliation: Reconciliation | None = None
    release: TrainingLock | None = None
    wanted: WantedRelease | None = None
    paused: Pause | None = None


class KeepsLoops(Protocol):
    """Where each project's loop stands. All methods raise `StoreUnavailable`."""

    def loop(self, project: str) -> LoopRecord: ...

    def lock_training(self, project: str, lock: TrainingLock, instead_of: str | None = None) -> bool:
        """Take the project's training lock if it is free, is held by this execution already (which keeps its
        earlier time), or by the execution `instead_of`. Returns whether `lock.execution` has it now."""
        ...

    def unlock_training(self, project: str, execution: str) -> None:
        """Give the lock back if that execution has it."""
        ...

    def lock_release(self, project: str, lock: TrainingLock, instead_of: str | None = None) -> bool:
        """The same for the right to change the project's endpoint."""
        ...

    def unlock_release(self, project: str, execution: str) -> None:
        """Give that right back if that execution has it."""
        ...

    def save_wanted(self, project: str, wanted: WantedRelease) -> None: ...

    def save_attempts(self, project: str, request: str, attempts: int) -> None:
        """Note how often the wanted release was asked for again, if it is that one."""
        ...

    def drop_wanted(self, project: str, request: str) -> None:
        """Forget the wanted release if it is that one."""
        ...

    def save_pause(self, project: str, pause: Pause | None) -> None: ...

    def save_dataset_version(self, project: str, version: str) -> None: ...

    def save_champion(self, project: str, champion: Champion) -> None: ...

    def save_last_training(self, project: str, training: LastTraining) -> None: ...

    def save_waiting_for(self, project: str, reason: str | None) -> None: ...

    def save_hosting(self, project: str, hosting: HostingRecord) -> None: ...

    def save_call(self, project: str, at: datetime) -> None:
        """Remember when the champion was asked last."""
        ...

    def save_reconciliation(self, project: str, reconciliation: Reconciliation) -> None: ...


PackageApproval = Literal["Approved", "Rejected", "PendingManualApproval"]


class ApprovesPackages(Protocol):
    """The model registry's approval of a model package."""

    def describe(self, package: str) -> Mapping[str, Any]:
        """What DescribeModelPackage tells of it, by its ARN; nothing if it is gone. Raises
        `StoreUnavailable`."""
        ...

    def set_approval(self, package: str, status: PackageApproval, reason: str) -> None:
        """Set it, by the package's ARN; nothing changes where it has that status, or is gone. Raises
        `StoreUnavailable`."""
        ...


class WatchesExecutions(Protocol):
    """Executions of train_and_deploy."""

    def is_running(self, execution: str) -> bool:
        """Whether the execution of that ARN still works; False, too, if nobody knows it any more.

        Raises `StoreUnavailable`.
        """
        ...


@dataclass(frozen=True)
class HostedVersion:
    """A model version in Rekognition. `endpoint` is its ARN, `name` its name within its project; one that
    was never started is stopped."""

    endpoint: str
    name: str
    state: HostingState


class RunsModels(Protocol):
    """Models that cost by the hour while they run. All methods raise `StoreUnavailable`."""

    def versions(self, host: str) -> list[HostedVersion]:
        """All versions of the Rekognition project of that name, newest first; none if there is no project."""
        ...

    def start(self, endpoint: str, inference_units: int, max_inference_units: int | None) -> None:
        """Begin to start a version, which takes minutes; changes nothing for one that runs or starts.

        Raises `Conflict` where the account has no room for another running model.
        """
        ...

    def stop(self, endpoint: str) -> None:
        """Begin to stop a version; changes nothing for one that is stopped.

        Raises `Conflict` for one that still starts, where Rekognition does not stop such.
        """
        ...


# ---------------------------------------------------------------------------------------------------
# Inference


class InvokesEndpoints(Protocol):
    """Models in service."""

    def invoke(self, model: ServedModel, image: bytes, content_type: str) -> list[dict[str, Any]]:
        """The model's predictions for an image as the API gives them, best first:

            image-classification         {"label", "confidence"} of every label
            multi-label-classification   {"label", "confidence", "threshold"} of every label, which applies
                                         where its confidence is at least its threshold
            bounding-box                 {"label", "confidence", "box": {"left", "top", "width", "height"}} in
                                         pixels of the image sent, as stored

        Raises `ModelError` when the model fails on this image or does not answer as agreed, and
        `StoreUnavailable` when the endpoint is not there or the service did not answer. A model that
        Rekognition hosts gives those labels alone that it means to apply, without their thresholds, and
        raises `ModelNotRunning` when it does not run.
        """
        ...


# ---------------------------------------------------------------------------------------------------
# People


@dataclass(frozen=True)
class Notice:
    """What people are told. `subject` has at most 100 printable ASCII characters, `body` is plain text."""

    subject: str
    body: str


class TellsPeople(Protocol):
    """Whoever wants to hear what happens: by mail, or what else is subscribed to the topic."""

    def tell(self, notice: Notice) -> None:
        """Raises `StoreUnavailable`."""
        ...


# ---------------------------------------------------------------------------------------------------
# Upkeep


class RequestsLooks(Protocol):
    """Asks for a project's objects to be looked at, as an event about them would."""

    def request(self, project: str, keys: Iterable[str]) -> int:
        """`keys` are those of the raw-data bucket, and URIs of images that the project refers to. Returns how
        many were asked for. Raises `StoreUnavailable`."""
        ...


# ---------------------------------------------------------------------------------------------------
# The private workforce of SageMaker Ground Truth


@dataclass(frozen=True)
class Workforce:
    """An account has at most one a region. Its workers are users of `user_pool`, who sign in by the app
    client `client` at `https://<sub_domain>`; both ids are None where they are users of something else.
    `stack` is the stack that made it, None if none of Loupe's did."""

    name: str
    user_pool: str | None
    client: str | None
    sub_domain: str
    stack: str | None


@dataclass(frozen=True)
class Workteam:
    """Those of the workforce who are given a job. `stack` as of `Workforce`."""

    name: str
    arn: str
    stack: str | None


class KeepsWorkforce(Protocol):
    """The workforce and its work teams. All methods raise `WorkforceRefused` and `StoreUnavailable`."""

    def workforce(self) -> Workforce | None: ...

    def create_workforce(self, name: str, user_pool: str, client: str, stack: str) -> Workforce: ...

    def delete_workforce(self, name: str) -> bool:
        """False, with nothing changed, while it has work teams."""
        ...

    def workteam(self, name: str) -> Workteam | None: ...

    def create_workteam(self, name: str, workforce: Workforce, group: str, stack: str) -> Workteam:
        """Whose members are the users in that group of the workforce's user pool."""
        ...

    def update_workteam(self, name: str, workforce: Workforce, group: str) -> None: ...

    def delete_workteam(self, name: str) -> None: ...


class KeepsWorkerGroups(Protocol):
    """Groups and app clients of user pools. What is to be deleted and is not there is passed over. All
    methods raise `WorkforceRefused` and `StoreUnavailable`."""

    def client(self, user_pool: str, name: str) -> str | None:
        """The id of the app client of that name."""
        ...

    def create_client(self, user_pool: str, name: str) -> str: ...

    def let_return_to(self, user_pool: str, client: str, sub_domain: str) -> None:
        """Send those who signed in back to the workforce's pages."""
        ...

    def delete_client(self, user_pool: str, client: str) -> None: ...

    def create_group(self, user_pool: str, group: str, description: str) -> None:
        """Leaves a group that is there as it is."""
        ...

    def delete_group(self, user_pool: str, group: str, description: str) -> None:
        """Unless it has another description: then somebody else made it."""
        ...
