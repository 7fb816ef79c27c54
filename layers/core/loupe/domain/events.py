"""Loupe's own events, in the past tense. They travel on EventBridge with the source `loupe`.

An example of each lies in events/, and docs/events.md lists them; a test compares the three.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from loupe.domain.errors import DomainError

SOURCE = "loupe"


class UnknownEvent(DomainError):
    """An event that is none of Loupe's, or lacks what it should tell."""

    slug, title = "unknown-event", "That is no event of Loupe's"


@dataclass(frozen=True)
class Event:
    """One event; `detail_type` on the bus is the class's name, `detail` its fields."""

    project: str

    @property
    def detail_type(self) -> str:
        return type(self).__name__

    @property
    def detail(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class ImagesRegistered(Event):
    """A batch of objects was looked at, and `images` of them are new and wait for their label."""

    images: int


@dataclass(frozen=True)
class ProjectConfigured(Event):
    """A project.yaml was read and is valid."""


@dataclass(frozen=True)
class LabelingJobStarted(Event):
    """A labeling job was handed to its provider."""

    job: str
    tasks: int


@dataclass(frozen=True)
class LabelingRequested(Event):
    """A person wants a labeling job of what is pending, without waiting for a whole batch."""

    reason: str


@dataclass(frozen=True)
class AnnotationsCompleted(Event):
    """The portal has an answer to each task of a job."""

    job: str


@dataclass(frozen=True)
class LabelingJobFinished(Event):
    """A job's output manifest is written. The loop goes on with its labels."""

    job: str


@dataclass(frozen=True)
class LabelingJobFailed(Event):
    """A job ended without labels; its images wait again."""

    job: str
    reason: str


@dataclass(frozen=True)
class TrainingRequested(Event):
    """Labels wait for a training: jobs finished while another training ran, or a person asked."""

    reason: str


@dataclass(frozen=True)
class TrainingConcluded(Event):
    """What came of one turn of the loop; its subclasses are what goes over the bus."""

    version: str
    reason: str
    execution: str


@dataclass(frozen=True)
class ModelPromoted(TrainingConcluded):
    """The model is the champion now and answers at the project's endpoint."""

    score: float | None = None


@dataclass(frozen=True)
class ApprovalWanted(TrainingConcluded):
    """The candidate is better by the project's rule, and waits for a person; the champion keeps answering."""

    score: float | None = None


@dataclass(frozen=True)
class ModelRejected(TrainingConcluded):
    """The candidate is not better than the champion, or a person rejected it; the champion stays."""

    score: float | None = None


@dataclass(frozen=True)
class TrainingFailed(TrainingConcluded):
    """Training or release failed; the champion keeps answering."""


@dataclass(frozen=True)
class ReleaseFailed(TrainingConcluded):
    """A model that a person wants released did not come into service; the champion keeps answering. `kind` is
    that of the request: approval or rollback."""

    kind: str = "rollback"


@dataclass(frozen=True)
class ReleaseRequested(Event):
    """A person approved a candidate, or wants an earlier model back: `kind` is approval or rollback."""

    version: str
    request: str
    kind: str
    by: str


@dataclass(frozen=True)
class ModelStarted(Event):
    """A model that costs by the hour was asked to run, by a person."""

    version: str
    units: int


@dataclass(frozen=True)
class ModelStopped(Event):
    """A model that costs by the hour was asked to stop; `reason` says why in words."""

    version: str
    reason: str


@dataclass(frozen=True)
class ReconciliationRequested(Event):
    """A person wants the project's index compared with its buckets now."""

    reason: str


def event_types(base: type[Event] = Event) -> Iterator[type[Event]]:
    """All events that go over the bus."""
    for subclass in base.__subclasses__():
        if subclass is not TrainingConcluded:
            yield subclass
        yield from event_types(subclass)


def read_event(detail_type: str, detail: Mapping[str, Any]) -> Event:
    """The event as it came over the bus; members that a later version added are passed over.

    Raises `UnknownEvent`.
    """
    found = next((each for each in event_types() if each.__name__ == detail_type), None)
    if found is None:
        raise UnknownEvent(f"{detail_type!r} is no event of Loupe's")
    names = {field.name for field in fields(found)}
    try:
        return found(**{name: value for name, value in detail.items() if name in names})
    except TypeError as error:
        raise UnknownEvent(f"{detail_type} lacks something: {error}") from error
