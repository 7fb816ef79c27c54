"""What the domain needs of the world, as small protocols; adapters and the tests' fakes implement them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol

from loupe.domain.events import Event
from loupe.domain.projects import ProjectConfig

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

    def projects(self) -> list[ProjectRecord]: ...

    def save_config(
        self, project: str, config: ProjectConfig | None, error: str | None, etag: str | None
    ) -> None:
        """Remember what project.yaml says. With `config` None and an `error`, images stay pending."""
        ...

    def counts(self, project: str) -> ImageCounts: ...


# ---------------------------------------------------------------------------------------------------
# Ingest


# ---------------------------------------------------------------------------------------------------
# Labeling


# ---------------------------------------------------------------------------------------------------
# Training and release


# ---------------------------------------------------------------------------------------------------
# Inference
