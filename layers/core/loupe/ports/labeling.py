"""Labeling jobs, tasks and their providers."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, Protocol

from loupe.domain.label_values import LabelValue
from loupe.domain.projects import TaskType

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
