"""The portal: workers lease tasks, answer them, and correct themselves while the job is open.

An answer is written to S3 before the index changes, and acknowledged after: what was acknowledged is in
both, and what the index alone forgot can be read from S3. docs/decisions/leases.md has the whole story.
"""

import json
import logging
from collections import deque
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from zlib import crc32

from loupe.domain.errors import Conflict, DomainError, ProjectNotFound, StoreUnavailable
from loupe.domain.events import AnnotationsCompleted
from loupe.domain.images.places import uri_of
from loupe.domain.label_values import InvalidLabel, LabelValue, check_value, read_any
from loupe.domain.labeling.starting import FIRST_TASK, JobNotFound
from loupe.domain.manifests import SHA256
from loupe.domain.projects import LABEL_ATTRIBUTES, Example, ProjectConfig, TaskType, example_key
from loupe.domain.workspace import Workspace
from loupe.ports.labeling import Answer, JobCard, KeepsLabelingJobs, KeepsTasks, LabelingJob, Suggested, Task
from loupe.ports.messages import Clock, PublishesEvents
from loupe.ports.objects import StoresObjects
from loupe.ports.projects import KeepsProjects

logger = logging.getLogger(__name__)

LEASE = timedelta(minutes=10)
MAX_TASKS = 20
"""Most tasks that a worker gets at a time."""
MAX_PARTS = 500
"""Most labels or boxes in an answer, so that its row in the output manifest stays within Ground Truth's limit
of 100,000 characters."""
IMAGE_URL_SECONDS = 3600

_ATTEMPTS = 5
_FREE_AT_ONCE = 200
"""Free tasks are looked up so many at a time and tried one by one. An old list does no harm: whether a task
is still free is for the task itself to say."""
_LISTS = 200
"""Most lists of free tasks in memory."""
_LOOK_UPS = 3
"""How often they are looked up for one request; more than once only when others were faster."""
_EXACT_BELOW = 100
"""With so few tasks left the progress is read anew after an answer, since the last one completes the job;
before that, what was read just before it plus one is near enough."""


class LeaseLost(Conflict):
    """Others hold the task, or have answered it, and it needs nobody else."""

    slug, title = "lease-lost", "Somebody else has that task now"


class JobFinished(Conflict):
    """The job takes no answers any more."""

    slug, title = "job-finished", "The labeling job is finished"


class TaskNotFound(JobNotFound):
    """A job has no task of that number."""


@dataclass(frozen=True)
class Worker:
    """Who annotates: `id` is the user pool's, `name` what the worker signs in with."""

    id: str
    name: str


@dataclass(frozen=True)
class OpenProject:
    """A project as a worker sees it. `job` is None while there is nothing to label; the labels and
    instructions are the job's, where there is one. `suggest` says whether the page shall ask the model;
    `examples` are the project's as it is configured now."""

    project: str
    task: TaskType
    labels: tuple[str, ...]
    instructions: str
    job: LabelingJob | None
    suggest: bool = False
    examples: tuple["ShownExample", ...] = ()


@dataclass(frozen=True)
class ShownExample:
    """An example of the instructions. `url` shows it to whoever has it."""

    file: str
    url: str
    label: str | None
    caption: str


@dataclass(frozen=True)
class LeasedTask:
    """A task in a worker's hands until `expires_at`. `url` shows the image to whoever has it."""

    task: Task
    url: str
    expires_at: datetime


@dataclass(frozen=True)
class Work:
    """A job's progress, and tasks for the worker."""

    job: LabelingJob | None
    tasks: list[LeasedTask]


class LabelingPortal:
    """What a signed-in worker can do."""

    def __init__(
        self,
        *,
        projects: KeepsProjects,
        jobs: KeepsLabelingJobs,
        tasks: KeepsTasks,
        raw_data: StoresObjects,
        workspace: StoresObjects,
        events: PublishesEvents,
        clock: Clock,
    ) -> None:
        self._projects = projects
        self._jobs = jobs
        self._tasks = tasks
        self._raw_data = raw_data
        self._workspace = workspace
        self._events = events
        self._clock = clock
        self._cards: dict[str, JobCard] = {}
        self._free: dict[str, deque[Task]] = {}

    def projects(self) -> list[OpenProject]:
        """Projects that have a usable project.yaml or an open job with tasks here, by name."""
        records = {record.project: record for record in self._projects.projects()}
        jobs = self._jobs.open_jobs(records)
        found = []
        for project, record in sorted(records.items()):
            job = jobs.get(project)
            config = record.config
            suggest = config is not None and config.labeling.suggest
            examples = self._examples(project, config)
            card = self._card(project, job.job) if job is not None and job.state == "open" else None
            if card is not None and self._is_here(card):
                found.append(
                    OpenProject(project, card.task, card.labels, card.instructions, job, suggest, examples)
                )
            elif config is not None:
                found.append(
                    OpenProject(
                        project, config.task, config.labels, config.instructions, None, suggest, examples
                    )
                )
        return found

    def _examples(self, project: str, config: ProjectConfig | None) -> tuple[ShownExample, ...]:
        def shown(example: Example) -> ShownExample:
            url = self._raw_data.presigned_url(example_key(project, example.file), None, IMAGE_URL_SECONDS)
            return ShownExample(example.file, url, example.label, example.caption)

        return tuple(map(shown, config.examples)) if config is not None else ()

    def lease(self, project: str, worker: Worker, count: int) -> Work:
        """Up to `count` tasks: those that the worker holds, renewed, and then new ones.

        Raises `ProjectNotFound`.
        """
        job = self._jobs.open_job(project)
        if job is None or job.state != "open":
            if job is None and self._projects.project(project) is None:
                raise ProjectNotFound(f"there is no project {project!r}")
            return Work(None, [])
        held = (self._renew(task, worker) for task in self._tasks.held(job.job, worker.id)[:count])
        leased = [task for task in held if task is not None]
        return Work(job, [*leased, *self._lease_new(project, job.job, worker, count - len(leased))])

    def annotate(
        self,
        project: str,
        job: str,
        task: str,
        worker: Worker,
        *,
        value: LabelValue | None = None,
        skip: str | None = None,
        suggestion: Suggested | None = None,
        lease: int = 0,
    ) -> Work:
        """Take a worker's answer (`value`, or `skip` with a reason) and lease up to `lease` further tasks.
        `suggestion` is what came of a model's, and is kept with the answer.

        Repeating it changes nothing; another answer by the same worker replaces the earlier one. An answer
        that comes after the lease ran out counts if nobody else has the task by then.

        Raises `JobNotFound`, `InvalidLabel`, `UnknownLabel`, `LeaseLost`, `JobFinished`.
        """
        answer = Answer(worker.id, worker.name, self._clock(), value, skip, suggestion)
        progress = self._record(project, job, task, answer)
        if progress.state == "open" and progress.all_answered:
            self._tell_completed(project, job)
            return Work(progress, [])
        further = self._lease_new(project, job, worker, lease) if progress.state == "open" else []
        return Work(progress, further)

    def give_back(self, project: str, worker: Worker) -> None:
        """End the worker's leases, so that others get the tasks at once."""
        job = self._jobs.open_job(project)
        if job is not None:
            for task in self._tasks.held(job.job, worker.id):
                self._tasks.give_back(task, worker.id)

    def _is_here(self, card: JobCard) -> bool:
        """Whether the job's tasks are here, and not at its provider's own page."""
        return (
            card.provider == "portal" or self._tasks.task(card.project, card.job, FIRST_TASK)[1] is not None
        )

    def _tell_completed(self, project: str, job: str) -> None:
        """The answer is stored whether or not the event bus answers; start_labeling tells it again."""
        try:
            self._events.publish(AnnotationsCompleted(project, job))
        except StoreUnavailable as error:
            logger.warning("could not tell that %s is completed: %s", job, error)

    # Leases -----------------------------------------------------------------------------------------

    def _lease_new(self, project: str, job: str, worker: Worker, count: int) -> list[LeasedTask]:
        leased: list[LeasedTask] = []
        look_ups = 0
        while len(leased) < count:
            free = self._free.get(self._list_of(project, job, worker))
            if not free:
                if look_ups == _LOOK_UPS:
                    break
                look_ups += 1
                free = self._look_up(project, job, worker, look_ups)
                if not free:
                    break
            now = self._clock()
            task = self._tasks.lease(free.popleft(), worker.id, now, now + LEASE)
            if task is None:
                free.clear()  # others are at work on the same list
            else:
                leased.append(self._shown(task, now + LEASE))
        return leased

    def _look_up(self, project: str, job: str, worker: Worker, look_up: int) -> deque[Task]:
        """Free tasks in the job's order. Each worker begins somewhere else where others were faster, and
        where several answer the same tasks: who changes a task at the same time has to try again."""
        free = deque(self._tasks.free(job, worker.id, self._clock(), _FREE_AT_ONCE))
        if free and (look_up > 1 or not self._card(project, job).takes_one_answer):
            free.rotate(-(crc32(worker.id.encode()) % len(free)))
        if len(self._free) >= _LISTS:
            self._free.clear()
        self._free[self._list_of(project, job, worker)] = free
        return free

    def _list_of(self, project: str, job: str, worker: Worker) -> str:
        """What is free for one worker is free for all, unless several answer the same tasks."""
        return job if self._card(project, job).takes_one_answer else f"{job}#{worker.id}"

    def _renew(self, task: Task, worker: Worker) -> LeasedTask | None:
        until = self._clock() + LEASE
        renewed = self._tasks.renew(task, worker.id, until)
        return None if renewed is None else self._shown(renewed, until)

    def _shown(self, task: Task, until: datetime) -> LeasedTask:
        url = self._raw_data.presigned_url(task.key, task.version_id, IMAGE_URL_SECONDS)
        return LeasedTask(task, url, until)

    # Answers ----------------------------------------------------------------------------------------

    def _record(self, project: str, job: str, task: str, answer: Answer) -> LabelingJob:
        """Store the answer; returns the job's progress with it."""
        written = False
        for _ in range(_ATTEMPTS):
            progress, known = self._tasks.task(project, job, task)
            try:
                progress, known = self._check(project, job, task, progress, known, answer)
            except DomainError:
                if written and known is not None:
                    self._withdraw(project, known, answer)
                raise
            if _is_repeated(known, answer):
                return progress
            self._write(project, known, answer)
            written = True
            if self._tasks.answer(project, job, known, answer):
                return self._progress_after(progress, known, answer)
        raise StoreUnavailable(f"task {task} is answered many times at once; try again")

    def _check(
        self,
        project: str,
        job: str,
        task: str,
        progress: LabelingJob | None,
        known: Task | None,
        answer: Answer,
    ) -> tuple[LabelingJob, Task]:
        if progress is None or progress.state == "preparing":
            raise JobNotFound(f"project {project!r} has no open labeling job {job!r}")
        if known is None:
            raise TaskNotFound(f"job {job} has no task {task!r}")
        if answer.value is not None:
            _check(answer.value, self._card(project, job), known)
        if _is_repeated(known, answer):
            return progress, known
        if progress.state != "open":
            raise JobFinished(f"job {job} is finished; its labels stand")
        if known.answered(answer) is None:
            if known.is_done:
                names = ", ".join(each.worker_name for each in known.answers)
                raise LeaseLost(f"task {task} is answered already, by {names}")
            raise LeaseLost(f"the lease on task {task} ran out, and somebody else has it now")
        return progress, known

    def _progress_after(self, before: LabelingJob, task: Task, answer: Answer) -> LabelingJob:
        """The job's progress as of an answer that was stored after `before` was read."""
        if before.tasks - before.answered <= _EXACT_BELOW:
            return self._jobs.job(before.project, before.job) or before
        after = task.with_answers([answer])
        return replace(
            before,
            answered=before.answered + after.is_done - task.is_done,
            skipped=before.skipped + after.is_skipped - task.is_skipped,
        )

    def _write(self, project: str, task: Task, answer: Answer) -> None:
        content = annotation_content(project, self._raw_data.bucket, task, answer)
        key = Workspace(project).annotation(task.job, task.sha256, answer.worker)
        self._workspace.write(key, content, "application/json")

    def _withdraw(self, project: str, task: Task, answer: Answer) -> None:
        """An answer was written, and the index refused it: nobody may take it for an answer later."""
        before = task.answer_by(answer.worker)
        if before is not None:
            self._write(project, task, before)
            return
        key = Workspace(project).annotation(task.job, task.sha256, answer.worker)
        self._workspace.write(key, _REFUSED, "application/json")

    def _card(self, project: str, job: str) -> JobCard:
        """A card never changes, so it is read once."""
        if job not in self._cards:
            self._cards[job] = self._jobs.card(project, job)
        return self._cards[job]


def _is_repeated(task: Task, answer: Answer) -> bool:
    before = task.answer_by(answer.worker)
    return before is not None and before.says_the_same(answer)


def _check(value: LabelValue, card: JobCard, task: Task) -> None:
    """Raises `InvalidLabel` and `UnknownLabel`."""
    if value.task != card.task:
        raise InvalidLabel(
            f"job {card.job} is for {card.task} and takes {LABEL_ATTRIBUTES[card.task]!r}, "
            f"not {LABEL_ATTRIBUTES[value.task]!r}"
        )
    check_value(value, card.labels, (task.width, task.height))


# Annotations in S3 ----------------------------------------------------------------------------------

_REFUSED = b'{"refused": true}'


def annotation_content(project: str, raw_data_bucket: str, task: Task, answer: Answer) -> bytes:
    """The annotation object of an answer; the same answer always gives the same bytes."""
    said = answer.value.to_json() if answer.value is not None else {"skip": answer.skip}
    suggested = {"suggestion": asdict(answer.suggestion)} if answer.suggestion is not None else {}
    content = {
        "project": project,
        "job": task.job,
        "task": task.task,
        SHA256: task.sha256,
        "source-ref": str(uri_of(task.key, raw_data_bucket)),
        "worker": answer.worker,
        "worker_name": answer.worker_name,
        **said,
        **suggested,
        "answered_at": answer.answered_at.isoformat(timespec="microseconds"),
    }
    return json.dumps(content, ensure_ascii=False, indent=1).encode()


def read_annotation(content: bytes) -> Answer | None:
    """The answer in an annotation object; None for one that was refused."""
    said: dict[str, Any] = json.loads(content)
    if said.get("refused"):
        return None
    return Answer(
        worker=said["worker"],
        worker_name=said["worker_name"],
        answered_at=datetime.fromisoformat(said["answered_at"]),
        value=read_any(said),
        skip=said.get("skip"),
        suggestion=Suggested(**said["suggestion"]) if "suggestion" in said else None,
    )
