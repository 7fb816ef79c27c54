"""Reconciliation: S3 is the truth; what the index lost, or a crash or lost event left undone, is mended.

Everything here may run at any time and any number of times, beside the functions whose work it mends.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain

from loupe.domain.batches import batches
from loupe.domain.datasets.labels import accepted_jobs, concluded_images, referred_keys
from loupe.domain.datasets.versions import latest_card
from loupe.domain.errors import DomainError
from loupe.domain.events import AnnotationsCompleted, ReleaseRequested, TrainingRequested
from loupe.domain.images.places import ReferredFolders, is_referred
from loupe.domain.manifests import SHA256, read_rows
from loupe.domain.projects import config_key, is_example_key, is_project_name
from loupe.domain.serving.releases import ConcludeRelease
from loupe.domain.training.plans import model_versions
from loupe.domain.training.turns import MAX_PER_DAY, Result, abandon, finished_jobs
from loupe.domain.workspace import Workspace
from loupe.ports.images import KeepsImages, RequestsLooks
from loupe.ports.labeling import KeepsLabelingJobs
from loupe.ports.loops import KeepsLoops, LoopRecord, Reconciliation, WatchesExecutions
from loupe.ports.messages import Clock, PublishesEvents
from loupe.ports.objects import StoredObject, StoresObjects
from loupe.ports.projects import KeepsProjects

LISTED_AT_ONCE = 1000
MAX_ATTEMPTS = 3
"""Trainings of one dataset version that reconciliation starts or finds started, before it gives up; and how
often it asks for a release again."""


@dataclass(frozen=True)
class Mended:
    """What reconciliation found in one project, as counts; all zero means that nothing was amiss.

    `folders_unreadable` are those of other buckets whose images the project refers to, and can't reach.
    """

    objects_to_look_at: int = 0
    objects_gone: int = 0
    jobs_restored: int = 0
    jobs_to_conclude: int = 0
    loops_restored: int = 0
    trainings_requested: int = 0
    folders_unreadable: int = 0
    releases_requested: int = 0


@dataclass(frozen=True)
class _Looks:
    """How many objects are to be looked at: those that the index did not know as they are, and those gone."""

    unknown: int
    gone: int
    folders_unreadable: int


@dataclass(frozen=True)
class Reconcile:
    """Compares a project's objects in S3 with the index and mends the index.

    `restore_job(project, job)` brings the index's knowledge of one labeling job up to S3's;
    `restore_loop(project)` does so for versions, champion and last training. Both return whether anything
    was amiss.
    """

    projects: KeepsProjects
    images: KeepsImages
    jobs: KeepsLabelingJobs
    loops: KeepsLoops
    raw_data: StoresObjects
    workspace: StoresObjects
    queue: RequestsLooks
    executions: WatchesExecutions
    events: PublishesEvents
    clock: Clock
    restore_job: Callable[[str, str], bool]
    restore_loop: Callable[[str], bool]

    def for_all(self) -> dict[str, Mended]:
        """Every project that has a folder in either bucket."""
        folders = chain(self.raw_data.list_folders(""), self.workspace.list_folders("projects/"))
        names = {name for name in folders if is_project_name(name)}
        return {project: self(project) for project in sorted(names)}

    def __call__(self, project: str) -> Mended:
        """One project. First what people did (labels, jobs, models), then which objects are there."""
        self.images.restore(project, concluded_images(project, self.workspace))
        jobs = sum(self.restore_job(project, job) for job in self._jobs_in_s3(project))
        self._take_images_of_the_open_job(project)
        loops = int(self.restore_loop(project))
        looks = self._look_at_objects(project)
        mended = Mended(
            objects_to_look_at=looks.unknown,
            objects_gone=looks.gone,
            folders_unreadable=looks.folders_unreadable,
            jobs_restored=jobs,
            jobs_to_conclude=self._conclude_open_job(project),
            loops_restored=loops,
            trainings_requested=self._request_missing_training(project),
            releases_requested=self._request_missing_release(project),
        )
        if self.projects.project(project) is not None:
            self.loops.save_reconciliation(project, Reconciliation(self.clock(), asdict(mended)))
        return mended

    def _jobs_in_s3(self, project: str) -> Iterator[str]:
        """Jobs that may differ from the index: all but those whose labels are accepted and known."""
        accepted = set(accepted_jobs(project, self.workspace))
        for job in self.workspace.list_folders(Workspace(project).jobs):
            known = self.jobs.job(project, job) if job in accepted else None
            if known is None or known.state != "finished":
                yield job

    def _take_images_of_the_open_job(self, project: str) -> None:
        job = self.jobs.open_job(project)
        manifest = Workspace(project).input_manifest(job.job) if job else None
        if job is None or manifest is None or not self.workspace.exists(manifest):
            return
        if self.jobs.card(project, job.job).review_of is not None:
            return  # its images have a label, and keep it while it is looked at
        rows = read_rows(self.workspace.lines(manifest))
        for batch in batches((row[SHA256] for row in rows), LISTED_AT_ONCE):
            self.images.take(project, job.job, batch)

    def _conclude_open_job(self, project: str) -> int:
        """The last answer's event may have got lost; where it did not, this is the same event once more."""
        job = self.jobs.open_job(project)
        if job is None or job.provider != "portal" or job.tasks == 0 or not job.all_answered:
            return 0
        self.events.publish(AnnotationsCompleted(project, job.job))
        return 1

    def _request_missing_training(self, project: str) -> int:
        reason = self._why_training_is_due(project)
        if reason is not None:
            self.events.publish(TrainingRequested(project, reason))
        return int(reason is not None)

    def _request_missing_release(self, project: str) -> int:
        """A release that a person asked for, and that nobody works on; where somebody does, this is the same
        event once more, a moment too early."""
        loop = self.loops.loop(project)
        wanted, holder = loop.wanted, loop.release
        if wanted is None or (holder and self.executions.is_running(holder.execution)):
            return 0
        if wanted.attempts >= MAX_ATTEMPTS:
            reason = f"its release was asked for again {wanted.attempts} times, and nothing came of it"
            by = holder.execution if holder else ""
            conclude = ConcludeRelease(self.loops, self.workspace, self.events, self.clock)
            conclude(wanted.request, Result(project, by, "failed", wanted.version, reason))
            return 0
        self.loops.save_attempts(project, wanted.request, wanted.attempts + 1)
        self.events.publish(ReleaseRequested(project, wanted.version, wanted.request, wanted.kind, wanted.by))
        return 1

    def _why_training_is_due(self, project: str) -> str | None:
        """Why a training should be asked for that nobody will start by itself.

        That is an execution that was lost, or finished jobs that no dataset version has and no execution
        failed on: what fails waits for the next finished job, or for a person.
        """
        loop = self.loops.loop(project)
        if loop.training and self.executions.is_running(loop.training.execution):
            return None
        if loop.training or (loop.last_training and loop.last_training.status == "running"):
            if self._attempts(project, loop.dataset_version) < MAX_ATTEMPTS:
                return "the last training was stopped or lost"
            self._give_up(project, loop)
            return None
        last = loop.last_training
        if (last and last.status in ("failed", "release_failed")) or _needs_more_labels(loop):
            return None
        card = latest_card(project, self.workspace)
        missed = finished_jobs(project, self.jobs).difference(card.jobs if card else ())
        return f"{len(missed)} finished jobs wait for a training" if missed else None

    def _attempts(self, project: str, dataset_version: str | None) -> int:
        versions = model_versions(project, self.workspace) if dataset_version else []
        return sum(version.partition("-")[0] == dataset_version for version in versions)

    def _give_up(self, project: str, loop: LoopRecord) -> None:
        """Executions that end without a word again and again are not started for ever, since each costs."""
        if loop.last_training:
            abandon(project, loop.last_training, self.loops, self.workspace, self.clock())
        if loop.training:
            self.loops.unlock_training(project, loop.training.execution)

    def _look_at_objects(self, project: str) -> "_Looks":
        """Ask for a look at each object that the index does not know as it is, or that is gone."""
        # Hashes of keys: those of 100,000 are a few megabytes. One listing serves both questions.
        present: set[int] = set()
        referred: dict[str, str | None] = dict.fromkeys(referred_keys(project, self.workspace))
        unknown = self.queue.request(project, self._unknown_keys(project, present))
        gone = self.queue.request(project, self._gone_keys(project, present, referred))
        elsewhere = self._look_at_referred(project, referred)
        return _Looks(unknown + elsewhere.unknown, gone + elsewhere.gone, elsewhere.folders_unreadable)

    def _gone_keys(self, project: str, present: set[int], referred: dict[str, str | None]) -> Iterator[str]:
        """Keys that the index knows, and nothing lies under; adds those of other buckets to `referred`."""
        for record in self.images.all_objects(project):
            if is_referred(record.key):
                referred[record.key] = record.etag
            elif hash(record.key) not in present:
                yield record.key

    def _look_at_referred(self, project: str, referred: dict[str, str | None]) -> "_Looks":
        """The same of images in other buckets, which send no events: `referred` are their URIs, each with the
        ETag that the index knows, if any. A bucket that can't be read is no reason to forget its images."""
        unknown: list[str] = []
        gone, unreadable = dict(referred), 0
        for folder in ReferredFolders(referred):
            try:
                present = {each.key: each.etag for each in self.raw_data.list(folder) if each.key in referred}
            except DomainError:
                present = {key: etag or "" for key, etag in referred.items() if key.startswith(folder)}
                unreadable += 1
            unknown.extend(key for key, etag in present.items() if (referred[key] or "") != etag)
            for key in present:
                gone.pop(key, None)
        asked = self.queue.request(project, unknown)
        known = (key for key, etag in gone.items() if etag is not None)
        return _Looks(asked, self.queue.request(project, known), unreadable)

    def _unknown_keys(self, project: str, present: set[int]) -> Iterator[str]:
        """Keys whose object the index does not know as it is; adds the hash of every key to `present`."""
        record = self.projects.project(project)
        for listed in batches(self._objects(project), LISTED_AT_ONCE):
            present.update(hash(stored.key) for stored in listed)
            known = self.images.objects(project, [stored.key for stored in listed])
            for stored in listed:
                if stored.key == config_key(project):
                    is_known = record is not None and record.config_etag == stored.etag
                else:
                    is_known = stored.key in known and known[stored.key].etag == stored.etag
                if not is_known and not is_example_key(stored.key):
                    yield stored.key

    def _objects(self, project: str) -> Iterable[StoredObject]:
        return (stored for stored in self.raw_data.list(f"{project}/") if not stored.key.endswith("/"))


def _needs_more_labels(loop: LoopRecord) -> bool:
    """Whether the next training waits for something else than time."""
    return loop.waiting_for is not None and MAX_PER_DAY not in loop.waiting_for


def summary(found: dict[str, Mended]) -> dict[str, dict[str, dict[str, int]]]:
    """What `reconcile` answers: `{"projects": {name: counts}}`."""
    return {"projects": {project: asdict(mended) for project, mended in found.items()}}
