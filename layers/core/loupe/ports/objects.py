"""Objects in S3."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol


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
