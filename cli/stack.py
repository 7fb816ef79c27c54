"""What the command needs of a stack. `AwsStack` is the real one; tests have one in memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NotRequired, Protocol, TypedDict

from loupe.domain.label_values import LabelValue
from loupe.domain.projects import TaskType
from loupe.ports.objects import StoresObjects

Json = dict[str, Any]

LINES_OF_A_FUNCTION = 200
"""A champion's predictions have its correlation id, too: there may be millions of them."""

PART_BYTES = 16 * 1024 * 1024
"""Files of this size and more go up in parts of this size, so that the ETag can be told from the bytes."""


class ImageCounts(TypedDict):
    pending: int
    labeling: int
    labeled: int
    rejected: int


class JobStatus(TypedDict):
    """`state` is preparing, open, consolidating, finished or failed; `finished_at` is when it ended. `reason`
    says why it failed, or why it lacks labels."""

    job: str
    provider: str
    state: str
    reason: str | None
    tasks: int
    answered: int
    skipped: int
    created_at: str
    finished_at: str | None


class Champion(TypedDict):
    """`interval` is that of the score, 95 %, as far as it is known; `says_little` if the test set is too
    small for the score to mean much."""

    version: str
    score: float
    test_images: int | None
    interval: tuple[float, float] | None
    says_little: bool
    trainer: str
    hosting: str
    endpoint: str
    promoted_at: str


class Hosting(TypedDict):
    """`kind` is realtime or rekognition, `units` its instances or inference units; `state` is starting,
    running, stopping or stopped. Costs are in US dollars, and not known of instances."""

    kind: str
    state: str
    since: str
    units: int
    max_units: int | None
    last_called_at: str | None
    stops_at: str | None
    cost_per_hour: float | None
    cost_so_far: float | None


class Training(TypedDict):
    """`status` is running, promoted, awaiting_approval, rejected, release_failed or failed; `version` is None
    where no model was planned; `failed_attempts` tell why jobs before its last training job failed, if the
    stack knows."""

    version: str | None
    status: str
    reason: str | None
    started_at: str
    ended_at: str | None
    execution: str | None
    failed_attempts: NotRequired[list[str]]


class Pause(TypedDict):
    """Since when better candidates are not promoted by themselves, through whom and why."""

    since: str
    by: str
    reason: str


class ProjectStatus(TypedDict):
    """The answer of `GET /v1/projects/{project}`; jobs come newest first.

    `hosting` is told of a model that costs by the hour. `training_since` is set while an execution works on
    the next model; `waiting_for` says in words what keeps the next one from starting.
    """

    project: str
    task: str | None
    labels: list[str]
    config_error: str | None
    images: ImageCounts
    jobs: list[JobStatus]
    dataset_version: str | None
    champion: Champion | None
    hosting: Hosting | None
    training_since: str | None
    waiting_for: str | None
    promotion_paused: Pause | None
    last_training: Training | None


class KnownObject(TypedDict):
    """What registration found under a key: an image, or why the object was rejected."""

    sha256: NotRequired[str]
    reason: NotRequired[str]
    detail: NotRequired[str]


class KnownImage(TypedDict):
    """An image that is registered; `key` is its first place, `job` the labeling job that has it or had it
    last."""

    key: str
    version_id: str | None
    width: int
    height: int
    state: str
    job: str | None
    reason: str | None
    registered_at: str


class KnownImages(TypedDict):
    """Objects by key, images by SHA-256; what is not registered is left out."""

    objects: dict[str, KnownObject]
    images: dict[str, KnownImage]


class RejectedImage(TypedDict):
    key: str
    reason: str
    detail: str
    at: str


class PortalJob(TypedDict):
    job: str
    tasks: int
    answered: int
    skipped: int


class PortalProject(TypedDict):
    project: str
    task: TaskType
    labels: list[str]
    instructions: str
    job: PortalJob | None


class TaskImage(TypedDict):
    url: str
    name: str
    width: int
    height: int


class PortalTask(TypedDict):
    task: str
    job: str
    image: TaskImage
    lease_expires_at: str


class Lease(TypedDict):
    """What the portal answers to a lease or an annotation: the job's progress, and tasks to go on with."""

    job: PortalJob | None
    tasks: list[PortalTask]


@dataclass(frozen=True)
class StoredObject:
    """An object of the raw-data bucket as a listing shows it; `etag` without quotes."""

    key: str
    size: int
    etag: str


Role = Literal["worker", "releaser"]
"""Workers label, correct and start trainings; releasers also decide which model answers."""


@dataclass(frozen=True)
class Worker:
    name: str
    state: str
    created_at: str
    role: Role


class PortalSession(Protocol):
    """The labeling portal's API as one signed-in worker sees it; safe to call from several threads."""

    def projects(self) -> Sequence[PortalProject]: ...

    def lease(self, project: str, count: int) -> Lease:
        """Tasks that this worker holds, then new ones: at most `count` (1 to 20); none when none is free."""

    def annotate(self, project: str, job: str, task: str, value: LabelValue, lease: int) -> Lease:
        """Answers a task and asks for up to `lease` (0 to 20) further ones. Safe to repeat.

        Raises ApiProblem with slug lease-lost, job-finished, unknown-label, invalid-label or not-found.
        """

    def give_back(self, project: str) -> None:
        """Ends all leases of this worker in the project."""

    def workers(self, project: str) -> Json:
        """How each worker does, as the portal's API tells it. Raises ApiProblem."""


class Stack(Protocol):
    """One deployed Loupe. Methods raise CommandFault, in the user's words."""

    def exists(self) -> bool:
        """Whether it is deployed, whole and of this version."""

    @property
    def portal_url(self) -> str: ...

    @property
    def api_url(self) -> str: ...

    @property
    def raw_data_bucket(self) -> str: ...

    def api_key(self) -> str: ...

    def projects(self) -> list[str]:
        """Names of all projects that have a project.yaml, sorted."""

    def read_configuration(self, project: str) -> str | None:
        """The text of `<project>/project.yaml`, or None."""

    def write_configuration(self, project: str, text: str) -> None: ...

    def list_objects(self, prefix: str) -> Iterator[StoredObject]: ...

    def put_image(self, key: str, path: Path, content: bytes | None) -> None:
        """Stores an image. `content` is the file's bytes where they were read already; without them the
        file is sent in parts of PART_BYTES. Safe to call from several threads."""

    def etags_are_digests(self, key: str) -> bool:
        """Whether the ETag of this object comes from its bytes (not so where KMS encrypts it)."""

    def status(self, project: str) -> ProjectStatus:
        """Raises ApiProblem (404) for a project that the stack doesn't know."""

    def rejected(self, project: str) -> Iterator[RejectedImage]: ...

    def predict(self, project: str, body: bytes, content_type: str) -> Json:
        """The answer of `POST /v1/projects/{project}/predictions`. Raises ApiProblem."""

    def sign_in(self, worker: str, password: str) -> PortalSession: ...

    def create_worker(self, name: str, password: str) -> None:
        """Makes a worker who can sign in at once, or gives an existing one this password."""

    def set_role(self, worker: str, role: Role) -> None:
        """Gives a worker that role, from the next sign-in on. Safe to repeat."""

    def workers(self) -> Iterator[Worker]: ...

    def reconcile(self, project: str | None) -> Json: ...

    def control_model(self, project: str, action: str) -> Json:
        """Start, stop or describe the project's model, where it costs by the hour: its `state`, `since` and
        `units` then."""

    def decide_on_model(self, project: str, action: str, version: str | None) -> Json:
        """Approve or reject a candidate, roll back, or resume: `state`, `version` and `told` (words) then."""

    def start_review(self, request: Json) -> Json:
        """Fields of `loupe.domain.labeling.review.ReviewRequest` in, those of its `ReviewStarted` out."""

    @property
    def workspace(self) -> StoresObjects:
        """The workspace bucket. Its methods raise DomainError."""

    def bucket(self, name: str) -> StoresObjects:
        """Any bucket that the user's credentials reach. Its methods raise DomainError."""

    def known_images(self, project: str, keys: Sequence[str], sha256s: Sequence[str]) -> KnownImages:
        """What is registered under those keys, and of those images; at most 1,000 together."""

    @property
    def referred_buckets(self) -> frozenset[str]:
        """Buckets whose images projects may refer to where they are."""

    @property
    def region(self) -> str: ...

    def region_of(self, bucket: str) -> str:
        """The region that the bucket is in."""

    def refer_to(self, project: str, uris: Sequence[str]) -> None:
        """Have images of other buckets registered where they are; at most 1,000. Safe to repeat."""

    def log_lines(self, ids: Sequence[str], since: datetime) -> Iterator[Json]:
        """Lines of all functions whose correlation or prediction id is one of these, oldest first; of each
        function at most LINES_OF_A_FUNCTION for each id."""

    def finish_import(self, project: str, job: str) -> Json:
        """Have the stack take a whole import over: `{"job", "images"}`. Safe to repeat."""
