"""Where each project's loop stands: its champion, its trainings, its releases."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from loupe.domain.projects import HostingKind, TaskType, Trainer


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
    `correlation_id` is that of the turn that it came from.
    """

    version: str
    score: float
    model: ServedModel
    endpoint_config: str | None
    model_package_arn: str | None
    promoted_at: datetime
    test_images: int | None = None
    interval: tuple[float, float] | None = None
    correlation_id: str | None = None


TrainingStatus = Literal["running", "promoted", "awaiting_approval", "rejected", "release_failed", "failed"]
"""`release_failed`: the model was trained and better, or approved, and did not come into service."""


@dataclass(frozen=True)
class LastTraining:
    """The newest turn of the loop. `version` is None where it failed before a model was planned; `reason`
    says in words what came of it; `failed_attempts` why training jobs before its last one failed."""

    version: str | None
    status: TrainingStatus
    reason: str
    started_at: datetime
    ended_at: datetime | None
    execution: str
    failed_attempts: tuple[str, ...] = ()


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
    """Whether a champion that costs by the hour answers, and since when. `units` are those that run at least,
    and are paid for until it is stopped: inference units of Rekognition, or instances of a realtime endpoint;
    `max_units` those up to which it scales, None if it does not."""

    state: HostingState
    since: datetime
    units: int
    max_units: int | None = None


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
    that costs by the hour. `release` tells who changes the endpoint now."""

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


class WatchesExecutions(Protocol):
    """Executions of train_and_deploy."""

    def is_running(self, execution: str) -> bool:
        """Whether the execution of that ARN still works; False, too, if nobody knows it any more.

        Raises `StoreUnavailable`.
        """
        ...
