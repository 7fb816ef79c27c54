"""How well and how fast each worker labels at the portal.

A job that is concluded leaves its counts in S3, `labeling-jobs/<job>/workers.json`; what is told of a worker
is the sum over the project's newest jobs.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import pairwise
from math import exp, lgamma, log
from typing import Any

from loupe.domain.batches import in_parallel
from loupe.domain.errors import ObjectMissing, ProjectNotFound
from loupe.domain.label_values import LabelValue
from loupe.domain.labeling.agreement import SAME_FROM, likeness
from loupe.domain.labeling.checks import known_answers
from loupe.domain.projects import Labeling, check_project_name
from loupe.domain.workspace import Workspace
from loupe.ports.labeling import Answer, JobCard, KeepsLabelingJobs, KeepsTasks, LabelingJob
from loupe.ports.objects import StoresObjects
from loupe.ports.projects import KeepsProjects

MIN_CHECKS = 5
"""With fewer known answers nobody is said to be below `min_accuracy`."""
CHANCE = 0.05
"""Nobody is, either, whom bad luck would make look so with this probability or more."""
JOBS_COUNTED = 200
"""So many jobs of a project are looked at, the newest ones."""
LARGEST_OPEN_JOB = 2_000
"""Answers of an open job with more tasks are counted when it is concluded."""

_PAUSE_SECONDS = 600
"""Longer than this nobody looks at one image."""
_READERS = 16


@dataclass
class WorkerCounts:
    """What a worker did. `compared` answers are those to images that others answered, too, and `agreement` is
    the sum of how far they said what was concluded. `checks` had a known answer, and `right` of them got it.
    `seconds` counts the time from one answer to the next, without pauses."""

    worker: str
    name: str
    answers: int = 0
    skips: int = 0
    compared: int = 0
    agreement: float = 0.0
    checks: int = 0
    right: int = 0
    seconds: Counter[float] = field(default_factory=Counter)

    @property
    def median_seconds(self) -> float | None:
        half, passed = self.seconds.total() / 2, 0
        for seconds, times in sorted(self.seconds.items()):
            passed += times
            if passed >= half:
                return seconds
        return None

    @property
    def accuracy(self) -> float | None:
        """The share of known answers that he got."""
        return self.right / self.checks if self.checks else None

    def is_below(self, min_accuracy: float) -> bool:
        """Whether he is so often wrong about known answers that it is no bad luck."""
        accuracy = self.accuracy
        if accuracy is None or self.checks < MIN_CHECKS or accuracy >= min_accuracy:
            return False
        return _at_most(self.right, self.checks, min_accuracy) < CHANCE

    def add(self, other: "WorkerCounts") -> None:
        self.answers += other.answers
        self.skips += other.skips
        self.compared += other.compared
        self.agreement += other.agreement
        self.checks += other.checks
        self.right += other.right
        self.seconds += other.seconds


def _at_most(right: int, checks: int, accuracy: float) -> float:
    """How likely somebody of that accuracy has so few or fewer right."""
    if accuracy >= 1:
        return float(right >= checks)
    return sum(
        exp(
            lgamma(checks + 1)
            - lgamma(n + 1)
            - lgamma(checks - n + 1)
            + n * log(accuracy)
            + (checks - n) * log(1 - accuracy)
        )
        for n in range(right + 1)
    )


class JobCounts:
    """Counts of a job's workers, from its tasks one after the other."""

    def __init__(self) -> None:
        self._workers: dict[str, WorkerCounts] = {}
        self._times: dict[str, list[datetime]] = {}

    def hear(self, answers: Sequence[Answer]) -> None:
        """Answers to an image of which nothing is concluded yet."""
        for answer in answers:
            counts = self._of(answer)
            counts.answers += 1
            counts.skips += answer.skip is not None
            self._times.setdefault(answer.worker, []).append(answer.answered_at)

    def compare(self, answers: Sequence[Answer], concluded: LabelValue | None) -> None:
        """… and to an image of which that was concluded."""
        self.hear(answers)
        for answer in answers if len(answers) > 1 else ():
            counts = self._of(answer)
            counts.compared += 1
            counts.agreement += likeness(answer.value, concluded)

    def check(self, answers: Sequence[Answer], known: LabelValue | None) -> None:
        """… and to an image whose label is known."""
        self.hear(answers)
        for answer in answers if known is not None else ():
            counts = self._of(answer)
            counts.checks += 1
            counts.right += likeness(answer.value, known) >= SAME_FROM

    def workers(self) -> list[WorkerCounts]:
        """By worker."""
        for worker, times in self._times.items():
            gaps = ((after - before).total_seconds() for before, after in pairwise(sorted(times)))
            seconds = (round(gap, 1 if gap < 10 else None) for gap in gaps if gap <= _PAUSE_SECONDS)
            self._workers[worker].seconds = Counter(map(float, seconds))
        return [self._workers[worker] for worker in sorted(self._workers)]

    def _of(self, answer: Answer) -> WorkerCounts:
        return self._workers.setdefault(answer.worker, WorkerCounts(answer.worker, answer.worker_name))


def write_counts(card: JobCard, counts: Iterable[WorkerCounts], workspace: StoresObjects) -> None:
    """Keep what the workers of a concluded job did."""
    workers = [asdict(each) | {"seconds": sorted(each.seconds.items())} for each in counts]
    content = json.dumps({"workers": workers}, ensure_ascii=False, indent=1).encode()
    workspace.write(Workspace(card.project).worker_counts(card.job), content, "application/json")


def counts_so_far(
    project: str, jobs: Iterable[LabelingJob], workspace: StoresObjects
) -> dict[str, WorkerCounts]:
    """What each worker did in those of the jobs that are concluded, by worker."""

    def read(job: LabelingJob) -> list[WorkerCounts]:
        found: list[dict[str, Any]] = []
        with suppress(ObjectMissing):  # of a job from before workers were counted
            found = json.loads(workspace.read(Workspace(project).worker_counts(job.job)))["workers"]
        return [WorkerCounts(**each | {"seconds": Counter(dict(each["seconds"]))}) for each in found]

    finished = [job for job in jobs if job.provider == "portal" and job.state == "finished"]
    counts: dict[str, WorkerCounts] = {}
    for of_job in in_parallel(read, finished, _READERS):
        for each in of_job:
            counts.setdefault(each.worker, WorkerCounts(each.worker, each.name)).add(each)
    return counts


@dataclass(frozen=True)
class ShowWorkers:
    """Tells how a project's workers do."""

    projects: KeepsProjects
    jobs: KeepsLabelingJobs
    tasks: KeepsTasks
    workspace: StoresObjects

    def __call__(self, project: str) -> dict[str, Any]:
        """The document of `GET /portal/api/projects/{project}/workers`. Raises `ProjectNotFound`."""
        record = self.projects.project(check_project_name(project))
        jobs = self.jobs.jobs(project, JOBS_COUNTED)
        if record is None and not jobs:
            raise ProjectNotFound(f"there is no project {project!r}")
        labeling = record.config.labeling if record and record.config else Labeling()
        counts = counts_so_far(project, jobs, self.workspace)
        open_job = next((job for job in jobs if job.provider == "portal" and job.state == "open"), None)
        is_counted = open_job is not None and open_job.tasks <= LARGEST_OPEN_JOB
        if open_job is not None and is_counted:
            for each in self._of_open_job(project, open_job.job):
                counts.setdefault(each.worker, WorkerCounts(each.worker, each.name)).add(each)
        workers = sorted(counts.values(), key=lambda each: (each.name, each.worker))
        return {
            "project": project,
            "check_every": labeling.check_every,
            "min_accuracy": labeling.min_accuracy,
            "open_job": open_job.job if open_job else None,
            "open_job_counted": is_counted,
            "workers": [_told(each, labeling.min_accuracy) for each in workers],
        }

    def _of_open_job(self, project: str, job: str) -> list[WorkerCounts]:
        card, counts = self.jobs.card(project, job), JobCounts()
        known = known_answers(card, self.workspace)
        for task in self.tasks.tasks(job):
            if task.check:
                counts.check(task.answers, known.get(task.sha256))
            else:
                counts.hear(task.answers)
        return counts.workers()


def _told(counts: WorkerCounts, min_accuracy: float) -> Mapping[str, Any]:
    return {
        "worker": counts.worker,
        "name": counts.name,
        "answers": counts.answers,
        "skips": counts.skips,
        "agreement": round(counts.agreement / counts.compared, 4) if counts.compared else None,
        "median_seconds": counts.median_seconds,
        "checks": counts.checks,
        "accuracy": None if counts.accuracy is None else round(counts.accuracy, 4),
        "below_min_accuracy": counts.is_below(min_accuracy),
    }
