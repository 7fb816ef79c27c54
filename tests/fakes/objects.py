"""One bucket in memory."""

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import BinaryIO
from urllib.parse import quote

from loupe.domain.errors import AlreadyWritten, ObjectMissing
from loupe.domain.images.places import is_referred
from loupe.domain.manifests import S3Uri
from loupe.ports.objects import ObjectHead, OpenedObject, StoredObject


@dataclass(frozen=True)
class _Opened:
    head: ObjectHead
    content: bytes

    def read(self) -> bytes:
        return self.content


@dataclass
class FakeObjects:
    """Implements `loupe.ports.objects.StoresObjects`. `others` are the buckets that `copy_from` can read,
    and what is read and listed may lie in by its URI.

    Every write makes a new version; the versions of a key are called "1", "2", ...
    """

    bucket: str = "bucket"
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    others: dict[str, "FakeObjects"] = field(default_factory=dict)
    content: dict[str, bytes] = field(default_factory=dict)
    _versions: dict[str, list[bytes]] = field(default_factory=dict)
    _modified: dict[str, datetime] = field(default_factory=dict)
    _etags: dict[str, str] = field(default_factory=dict)

    def read(self, key: str, version_id: str | None = None) -> bytes:
        if is_referred(key):
            bucket, its_key = self._elsewhere(key)
            return bucket.read(its_key, version_id)
        if version_id is not None:
            versions = self._versions.get(key, [])
            if not version_id.isdecimal() or not 0 < int(version_id) <= len(versions):
                raise ObjectMissing(f"s3://{self.bucket}/{key} has no version {version_id}")
            return versions[int(version_id) - 1]
        if key not in self.content:
            raise ObjectMissing(f"s3://{self.bucket}/{key} is not there")
        return self.content[key]

    def read_range(self, key: str, start: int, size: int) -> bytes:
        return self.read(key)[start : start + size]

    @contextmanager
    def opened(self, key: str) -> Iterator[OpenedObject]:
        """Part of `loupe.ports.objects.OpensObjects`."""
        bucket, its_key = self._elsewhere(key)
        content = bucket.read(its_key)
        version = str(len(bucket._versions[its_key]))
        yield _Opened(ObjectHead(key, bucket._etags[its_key], len(content), version), content)

    def open(self, key: str) -> BinaryIO:
        return io.BytesIO(self.read(key))

    def lines(self, key: str) -> Iterator[str]:
        return (line.decode() for line in self.read(key).splitlines())

    def exists(self, key: str) -> bool:
        bucket, its_key = self._elsewhere(key)
        return its_key in bucket.content

    def _elsewhere(self, key: str) -> tuple["FakeObjects", str]:
        """The bucket that a key or prefix is of, and what it is there; one that is not there is empty."""
        if not is_referred(key):
            return self, key
        place = S3Uri.parse_place(key)
        return self.others.get(place.bucket, FakeObjects(place.bucket)), place.key

    def write(self, key: str, content: bytes, content_type: str = "application/octet-stream") -> None:
        self.content[key] = content
        self._versions.setdefault(key, []).append(content)
        self._modified[key] = self.clock()
        self._etags[key] = hashlib.md5(content, usedforsecurity=False).hexdigest()

    def write_lines(self, key: str, lines: Iterable[str]) -> None:
        self.write(key, "".join(lines).encode(), "application/x-ndjson")

    def write_once(self, key: str, content: bytes, content_type: str = "application/octet-stream") -> None:
        if key in self.content:
            raise AlreadyWritten(f"s3://{self.bucket}/{key} exists already")
        self.write(key, content, content_type)

    def write_lines_once(self, key: str, lines: Iterable[str]) -> None:
        self.write_once(key, "".join(lines).encode(), "application/x-ndjson")

    def copy_from(self, source_bucket: str, source_key: str, key: str) -> None:
        source = self if source_bucket == self.bucket else self.others[source_bucket]
        self.write(key, source.read(source_key))

    def delete(self, key: str) -> None:
        """Not part of the port: what a user may do at any moment."""
        del self.content[key]

    def list(self, prefix: str) -> Iterator[StoredObject]:
        bucket, its_prefix = self._elsewhere(prefix)
        if bucket is not self:
            above = prefix.removesuffix(its_prefix)
            yield from (replace(each, key=above + each.key) for each in bucket.list(its_prefix))
            return
        for key in sorted(self.content, key=str.encode):
            if key.startswith(prefix):
                content = self.content[key]
                yield StoredObject(key, self._etags[key], len(content), self._modified[key])

    def list_folders(self, prefix: str) -> Iterator[str]:
        rests = (key[len(prefix) :] for key in self.content if key.startswith(prefix))
        yield from sorted({rest.split("/")[0] for rest in rests if "/" in rest})

    def presigned_url(self, key: str, version_id: str | None, expires_in: int) -> str:
        bucket, its_key = self._elsewhere(key)
        version = f"versionId={version_id}&" if version_id else ""
        return f"https://{bucket.bucket}.invalid/{quote(its_key)}?{version}X-Amz-Expires={expires_in}"
