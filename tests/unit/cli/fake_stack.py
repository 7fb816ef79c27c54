"""A stack in memory: images become tasks, tasks labels, labels a model, at once and in order of the keys."""

import hashlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cli.errors import ApiProblem, CommandFault
from cli.session import WorkerCredentials
from cli.stack import (
    Hosting,
    ImageCounts,
    Json,
    KnownImages,
    Lease,
    Pause,
    PortalJob,
    PortalProject,
    PortalTask,
    ProjectStatus,
    RejectedImage,
    Role,
    StoredObject,
    Worker,
)
from loupe.domain.errors import InvalidProject
from loupe.domain.images.inspection import ImageRejected, dimensions
from loupe.domain.label_values import LabelValue
from loupe.domain.labeling.import_labels import ImportLabels
from loupe.domain.manifests import S3Uri
from loupe.domain.projects import CONFIG_FILE, TaskType, parse_project_yaml
from tests.fakes.clock import FakeClock
from tests.fakes.events import FakeEvents
from tests.fakes.images import FakeImages
from tests.fakes.ingest_queue import FakeIngestQueue
from tests.fakes.labeling import FakeLabelingJobs
from tests.fakes.objects import FakeObjects
from tests.fakes.projects import FakeProjects

WORKER = WorkerCredentials("worker", "correct horse")
NOON = "2026-11-21T12:00:00Z"


@dataclass
class Task:
    key: str
    holder: str | None = None
    answer: LabelValue | None = None
    leased_before: bool = False


@dataclass
class Project:
    name: str
    jobs: list[list[Task]] = field(default_factory=list)
    failure: str | None = None

    def open_job(self) -> int | None:
        for number, tasks in enumerate(self.jobs):
            if any(task.answer is None for task in tasks):
                return number
        return None


class FakeStack:
    """`answers` are the labels that the model gives, or the boxes, by the bytes of an image."""

    portal_url = "http://loupe.test/portal/index.html"
    api_url = "http://loupe.test"
    raw_data_bucket = "raw"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.etags: dict[str, str] = {}
        self.projects_by_name: dict[str, Project] = {}
        self.rejected_images: list[RejectedImage] = []
        self.reviews: list[Json] = []
        self.decisions: list[tuple[str, str, str | None]] = []
        self.promotion_paused: Pause | None = None
        self.workers_told: Json = {}
        self.hosting_state = "stopped"
        self.hosting: Hosting | None = None
        self.training_since: str | None = None
        self.falls_back = False
        self.passwords: dict[str, str] = {WORKER.name: WORKER.password}
        self.roles: dict[str, Role] = {}
        self.release_failed = False
        self.answers: dict[bytes, str | list[Json]] = {}
        self.puts: list[str] = []
        self.reconciled: list[str | None] = []
        self.encrypts_with_kms = False
        self._lock = threading.Lock()
        self.workspace = FakeObjects("workspace")
        self.other_buckets: dict[str, FakeObjects] = {}
        self.unregistered: set[str] = set()
        self.unsound: set[str] = set()
        self.not_referred: set[str] = set()
        self.regions: dict[str, str] = {}
        self.referred: list[str] = []
        self.jobs = FakeLabelingJobs()
        self.job_of: dict[str, str] = {}
        self.lines: list[Json] = []
        self.events = FakeEvents()

    def exists(self) -> bool:
        return True

    def api_key(self) -> str:
        return "key"

    # Raw-data bucket

    def projects(self) -> list[str]:
        return sorted(
            key.removesuffix(f"/{CONFIG_FILE}") for key in self.objects if key.endswith(CONFIG_FILE)
        )

    def read_configuration(self, project: str) -> str | None:
        text = self.objects.get(f"{project}/{CONFIG_FILE}")
        return None if text is None else text.decode()

    def write_configuration(self, project: str, text: str) -> None:
        self.objects[f"{project}/{CONFIG_FILE}"] = text.encode()
        self.projects_by_name.setdefault(project, Project(project))

    def list_objects(self, prefix: str) -> Iterator[StoredObject]:
        for key, content in sorted(self.objects.items()):
            if key.startswith(prefix):
                yield StoredObject(key, len(content), self.etags.get(key, ""))

    def put_image(self, key: str, path: Path, content: bytes | None) -> None:
        stored = path.read_bytes() if content is None else content
        with self._lock:
            self.puts.append(key)
            self.objects[key] = stored
            digest = hashlib.md5(stored, usedforsecurity=False).hexdigest()
            self.etags[key] = "not-a-digest" if self.encrypts_with_kms else digest

    def etags_are_digests(self, key: str) -> bool:
        return not self.encrypts_with_kms

    # Inference API

    def _project(self, name: str) -> Project:
        if name not in self.projects_by_name:
            raise ApiProblem(404, "project-not-found", f"There is no project {name}.")
        project = self.projects_by_name[name]
        with self._lock:
            self._cut_job(project)
        return project

    def _cut_job(self, project: Project) -> None:
        pending = self._pending(project)
        try:
            config = parse_project_yaml(self.objects[f"{project.name}/{CONFIG_FILE}"])
        except InvalidProject:
            return
        size = config.labeling.batch_size
        if project.open_job() is None and len(pending) >= size:
            project.jobs.append([Task(key) for key in pending[:size]])

    def _pending(self, project: Project) -> list[str]:
        known = {task.key for job in project.jobs for task in job}
        keys = (key for key in sorted(self.objects) if key.startswith(f"{project.name}/"))
        return [key for key in keys if key not in known and not key.endswith(CONFIG_FILE)]

    def status(self, project: str) -> ProjectStatus:
        found = self._project(project)
        number = found.open_job()
        finished = len(found.jobs) - (number is not None)
        tasks = [task for job in found.jobs for task in job]
        labeled = sum(task.answer is not None for task in tasks)
        version = f"{finished:04d}" if finished else None
        failed = found.failure is not None
        error, labels = None, []
        try:
            labels = list(parse_project_yaml(self.objects[f"{project}/{CONFIG_FILE}"]).labels)
        except InvalidProject as invalid:
            error = invalid.detail
        images: ImageCounts = {
            "pending": len(self._pending(found)),
            "labeling": len(tasks) - labeled,
            "labeled": labeled,
            "rejected": len(self.rejected_images),
        }
        return {
            "project": project,
            "task": self.task(project),
            "labels": labels,
            "config_error": error,
            "images": images,
            "jobs": [
                {
                    "job": f"job-{index}",
                    "provider": "portal",
                    "reason": None,
                    "state": "open" if index == number else "finished",
                    "tasks": len(job),
                    "answered": sum(task.answer is not None for task in job),
                    "skipped": 0,
                    "created_at": NOON,
                    "finished_at": None if index == number else NOON,
                }
                for index, job in reversed(list(enumerate(found.jobs)))
            ],
            "dataset_version": version,
            "champion": {
                "version": version,
                "score": 0.975,
                "test_images": 400,
                "interval": (0.96, 0.99),
                "says_little": False,
                "trainer": "script",
                "hosting": "serverless",
                "endpoint": "loupe-digits",
                "promoted_at": NOON,
            }
            if version and not failed
            else None,
            "hosting": self.hosting,
            "training_since": self.training_since,
            "waiting_for": None,
            "promotion_paused": self.promotion_paused,
            "last_training": {
                "version": version,
                "status": ("release_failed" if self.release_failed else "failed") if failed else "promoted",
                "reason": found.failure,
                "started_at": NOON,
                "ended_at": NOON,
                "execution": None,
            }
            if version
            else None,
        }

    def rejected(self, project: str) -> Iterator[RejectedImage]:
        return iter(self.rejected_images)

    def predict(self, project: str, body: bytes, content_type: str) -> Json:
        champion = self.status(project)["champion"]
        if champion is None:
            raise ApiProblem(409, "no-model", "There is no model yet: label images first.")
        said = self.answers.get(body, "0")
        predictions = [{"label": said, "confidence": 0.9}] if isinstance(said, str) else said
        return {
            "prediction_id": "p1",
            "project": project,
            "model_version": champion["version"],
            "task": self.task(project),
            "predictions": predictions,
        }

    # Workers and upkeep

    def sign_in(self, worker: str, password: str) -> "FakePortal":
        if self.passwords.get(worker) != password:
            raise CommandFault(f"The portal has no worker {worker!r} with that password.")
        return FakePortal(self, worker)

    def task(self, project: str) -> TaskType:
        """Not part of the port: what the configuration says, as long as it is valid."""
        try:
            return parse_project_yaml(self.objects[f"{project}/{CONFIG_FILE}"]).task
        except InvalidProject:
            return "image-classification"

    def create_worker(self, name: str, password: str) -> None:
        self.passwords[name] = password

    def workers(self) -> Iterator[Worker]:
        for name in self.passwords:
            yield Worker(name, "confirmed", NOON, self.roles.get(name, "worker"))

    def set_role(self, worker: str, role: Role) -> None:
        if worker not in self.passwords:
            raise CommandFault(f"There is no worker {worker!r}.")
        self.roles[worker] = role

    def control_model(self, project: str, action: str) -> Json:
        """A model that is started runs at the second look, or is stopped then if it `falls_back`."""
        state, self.hosting_state = self.hosting_state, "stopped" if self.falls_back else "running"
        if action != "describe":
            state = self.hosting_state = {"start": "starting", "stop": "stopping"}[action]
        return {"state": state, "since": NOON, "units": 1}

    def decide_on_model(self, project: str, action: str, version: str | None) -> Json:
        self.decisions.append((project, action, version))
        return {"state": "requested", "version": version or "0001", "told": f"{action} of {version}"}

    def start_review(self, request: Json) -> Json:
        self.reviews.append(request)
        return {
            "project": request["project"],
            "job": "job-9",
            "dataset_version": request["version"] or "0003",
            "images": request["limit"],
            "left_out": 2,
        }

    def reconcile(self, project: str | None) -> Json:
        self.reconciled.append(project)
        # It lists the raw-data bucket alone.
        self.unregistered = {key for key in self.unregistered if key.startswith("s3://")}
        return {"projects": {name: {"images_registered": 2, "jobs_finished": 0} for name in self.projects()}}

    # Import

    def bucket(self, name: str) -> FakeObjects:
        if name == self.raw_data_bucket:
            return FakeObjects(name, others=self.other_buckets, content=self.objects)
        return self.other_buckets[name]

    def known_images(self, project: str, keys: Sequence[str], sha256s: Sequence[str]) -> KnownImages:
        """All objects are registered at once, but those that are `unregistered`; so are those of other
        buckets that are referred to. It rejects those that are `unsound`, though they can be read."""
        known: KnownImages = {"objects": {}, "images": {}}
        places = (S3Uri.parse(uri) for uri in self.referred)
        elsewhere = {str(place): self.other_buckets[place.bucket].read(place.key) for place in places}
        for key, content in sorted((self.objects | elsewhere).items()):
            if (
                not key.startswith((f"{project}/", "s3://"))
                or key in self.unregistered
                or key.endswith(CONFIG_FILE)
            ):
                continue
            sha256 = hashlib.sha256(content).hexdigest()
            if key not in keys and sha256 not in sha256s:
                continue
            if key in self.unsound:
                known["objects"][key] = {"reason": "corrupt", "detail": "its checksum is wrong"}
                continue
            try:
                width, height = dimensions(content)
            except ImageRejected as rejected:
                known["objects"][key] = {"reason": rejected.reason, "detail": rejected.detail}
                continue
            known["objects"][key] = {"sha256": sha256}
            known["images"].setdefault(
                sha256,
                {
                    "key": key,
                    "version_id": "1",
                    "width": width,
                    "height": height,
                    "state": "labeled" if key in self.job_of else "pending",
                    "job": self.job_of.get(key),
                    "reason": None,
                    "registered_at": NOON,
                },
            )
        return known

    def log_lines(self, ids: Sequence[str], since: datetime) -> Iterator[Json]:
        return (
            line for line in self.lines if {line.get("correlation_id"), line.get("prediction_id")} & {*ids}
        )

    def finish_import(self, project: str, job: str) -> Json:
        ports = self.workspace, FakeIngestQueue(), self.events, FakeClock()
        return ImportLabels(FakeImages(FakeProjects()), self.jobs, *ports).finish(project, job)

    @property
    def referred_buckets(self) -> frozenset[str]:
        return frozenset(self.other_buckets) - self.not_referred

    @property
    def region(self) -> str:
        return "eu-west-1"

    def region_of(self, bucket: str) -> str:
        return self.regions.get(bucket, self.region)

    def refer_to(self, project: str, uris: Sequence[str]) -> None:
        self.referred += uris


NO_WORKERS: Json = {
    "check_every": None,
    "min_accuracy": 0.0,
    "open_job": None,
    "open_job_counted": False,
    "workers": [],
}


class FakePortal:
    """The portal's API as one worker sees it. A lease has those held first, then those never leased."""

    def __init__(self, stack: FakeStack, worker: str) -> None:
        self._stack = stack
        self._worker = worker
        self._lock = threading.Lock()
        self.given_back = 0
        self.overtaken: set[str] = set()

    def projects(self) -> Sequence[PortalProject]:
        return [
            {
                "project": name,
                "task": self._stack.task(name),
                "labels": self._stack.status(name)["labels"],
                "instructions": "",
                "job": self._job(self._stack.projects_by_name[name]),
            }
            for name in self._stack.projects()
        ]

    def workers(self, project: str) -> Json:
        return {**NO_WORKERS, "project": project, **self._stack.workers_told}

    def _job(self, project: Project) -> PortalJob | None:
        number = project.open_job()
        return None if number is None else self._progress(project, number)

    @staticmethod
    def _progress(project: Project, number: int) -> PortalJob:
        tasks = project.jobs[number]
        answered = sum(task.answer is not None for task in tasks)
        return {"job": f"job-{number}", "tasks": len(tasks), "answered": answered, "skipped": 0}

    def lease(self, project: str, count: int) -> Lease:
        with self._lock:
            found = self._stack._project(project)
            return {"job": self._job(found), "tasks": self._tasks(found, count, held=True)}

    def _tasks(self, project: Project, count: int, held: bool) -> list[PortalTask]:
        number = project.open_job()
        if number is None:
            return []
        answerable = [(index, task) for index, task in enumerate(project.jobs[number]) if task.answer is None]
        mine = [each for each in answerable if each[1].holder == self._worker]
        free = [each for each in answerable if each[1].holder is None]
        free.sort(key=lambda each: each[1].leased_before)
        chosen = ([*mine, *free] if held else free)[:count]
        for _, task in chosen:
            task.holder = self._worker
            task.leased_before = True
        return [
            {
                "task": f"{index:06d}",
                "job": f"job-{number}",
                "image": {"url": "http://image.test", "name": task.key, "width": 8, "height": 8},
                "lease_expires_at": NOON,
            }
            for index, task in chosen
        ]

    def annotate(self, project: str, job: str, task: str, value: LabelValue, lease: int) -> Lease:
        with self._lock:
            found = self._stack.projects_by_name[project]
            number = int(job.removeprefix("job-"))
            chosen = found.jobs[number][int(task)]
            if chosen.key in self.overtaken:
                raise ApiProblem(409, "lease-lost", "Another worker has answered this task.")
            chosen.answer = value
            return {"job": self._progress(found, number), "tasks": self._tasks(found, lease, held=False)}

    def give_back(self, project: str) -> None:
        with self._lock:
            self.given_back += 1
            for job in self._stack.projects_by_name[project].jobs:
                for task in job:
                    if task.holder == self._worker and task.answer is None:
                        task.holder = None
