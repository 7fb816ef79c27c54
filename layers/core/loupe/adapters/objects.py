"""Objects in S3, behind `loupe.ports.objects.StoresObjects`."""

import io
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, cast

from botocore.exceptions import BotoCoreError, ClientError

from loupe.domain.errors import AlreadyWritten, DomainError, ObjectMissing, StoreUnavailable
from loupe.domain.images.places import is_referred
from loupe.domain.manifests import S3Uri
from loupe.ports.objects import ObjectHead, OpenedObject, StoredObject

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

PART_BYTES = 8 * 1024 * 1024
"""Size of a part of a multipart upload; S3 wants at least 5 MiB for all but the last."""

_MISSING = {"NoSuchKey", "404", "NoSuchVersion", "NotFound", "MethodNotAllowed"}
_EXISTS = {"PreconditionFailed", "412", "ConditionalRequestConflict", "409"}


class AccessDenied(DomainError):
    """The role of this function may not do this; the template has to be mended."""

    slug, title = "access-denied", "Loupe is not allowed to reach an object"


class S3Objects:
    """One bucket. Keys are plain text as S3 knows them, never URL-encoded."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    @property
    def bucket(self) -> str:
        return self._bucket

    def read(self, key: str, version_id: str | None = None) -> bytes:
        place = self._place(key)
        with self._errors(key):
            if version_id is None:
                return self._client.get_object(Bucket=place.bucket, Key=place.key)["Body"].read()
            return self._client.get_object(Bucket=place.bucket, Key=place.key, VersionId=version_id)[
                "Body"
            ].read()

    def read_range(self, key: str, start: int, size: int) -> bytes:
        wanted, place = f"bytes={start}-{start + size - 1}", self._place(key)
        with self._errors(key):
            return self._client.get_object(Bucket=place.bucket, Key=place.key, Range=wanted)["Body"].read()

    @contextmanager
    def opened(self, key: str) -> Iterator[OpenedObject]:
        """Behind `loupe.ports.objects.OpensObjects`; what was not read when the context ends is not
        transferred."""
        place = self._place(key)
        with self._errors(key):
            answer = self._client.get_object(Bucket=place.bucket, Key=place.key)
            head = ObjectHead(
                key, answer["ETag"].strip('"'), answer["ContentLength"], answer.get("VersionId")
            )
            with closing(answer["Body"]) as body:
                yield _Opened(head, body)

    def open(self, key: str) -> BinaryIO:
        place = self._place(key)
        with self._errors(key):
            return cast("BinaryIO", self._client.get_object(Bucket=place.bucket, Key=place.key)["Body"])

    def lines(self, key: str) -> Iterator[str]:
        with self._errors(key):
            body = self._client.get_object(Bucket=self._bucket, Key=key)["Body"]
        for line in body.iter_lines(chunk_size=256 * 1024):
            yield line.decode()

    def exists(self, key: str) -> bool:
        place = self._place(key)
        try:
            with self._errors(key):
                self._client.head_object(Bucket=place.bucket, Key=place.key)
        except ObjectMissing:
            return False
        return True

    def write(self, key: str, content: bytes, content_type: str = "application/octet-stream") -> None:
        with self._errors(key):
            self._client.put_object(Bucket=self._bucket, Key=key, Body=content, ContentType=content_type)

    def write_once(self, key: str, content: bytes, content_type: str = "application/octet-stream") -> None:
        with self._errors(key):
            self._client.put_object(
                Bucket=self._bucket, Key=key, Body=content, ContentType=content_type, IfNoneMatch="*"
            )

    def write_lines(self, key: str, lines: Iterable[str]) -> None:
        self._write_parts(key, lines, once=False)

    def write_lines_once(self, key: str, lines: Iterable[str]) -> None:
        self._write_parts(key, lines, once=True)

    def copy_from(self, source_bucket: str, source_key: str, key: str) -> None:
        with self._errors(source_key):
            self._client.copy_object(
                Bucket=self._bucket,
                Key=key,
                CopySource={"Bucket": source_bucket, "Key": source_key},
                # Tags are not copied: reading and writing them would take rights of its own.
                TaggingDirective="REPLACE",
            )

    def list(self, prefix: str) -> Iterator[StoredObject]:
        place = self._place(prefix)
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=place.bucket, Prefix=place.key)
        above = prefix.removesuffix(place.key)
        with self._errors(prefix):
            for page in pages:
                for found in page.get("Contents", []):
                    yield StoredObject(
                        above + found["Key"], found["ETag"].strip('"'), found["Size"], found["LastModified"]
                    )

    def list_folders(self, prefix: str) -> Iterator[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=prefix, Delimiter="/"
        )
        with self._errors(prefix):
            for page in pages:
                for found in page.get("CommonPrefixes", []):
                    yield found["Prefix"][len(prefix) : -1]

    def presigned_url(self, key: str, version_id: str | None, expires_in: int) -> str:
        place = self._place(key)
        parameters = {"Bucket": place.bucket, "Key": place.key}
        if version_id is not None:
            parameters["VersionId"] = version_id
        return self._client.generate_presigned_url("get_object", Params=parameters, ExpiresIn=expires_in)

    def _place(self, key: str) -> S3Uri:
        """Where what is read lies; also of a prefix."""
        return S3Uri(self._bucket, key)

    def _write_parts(self, key: str, lines: Iterable[str], *, once: bool) -> None:
        """One request where the text fits a part, otherwise a multipart upload that fails as a whole."""
        parts = _parts(lines)
        first = next(parts, b"")
        second = next(parts, None)
        if second is None:
            write = self.write_once if once else self.write
            write(key, first, "application/x-ndjson")
            return
        if once and self.exists(key):  # spares the upload; the condition below is what decides
            raise AlreadyWritten(f"s3://{self._bucket}/{key} exists already")
        with self._errors(key):
            upload = self._client.create_multipart_upload(
                Bucket=self._bucket, Key=key, ContentType="application/x-ndjson"
            )["UploadId"]
            try:
                done: list[CompletedPartTypeDef] = []
                for number, part in enumerate(_chain(first, second, parts), start=1):
                    answer = self._client.upload_part(
                        Bucket=self._bucket, Key=key, UploadId=upload, PartNumber=number, Body=part
                    )
                    done.append({"ETag": answer["ETag"], "PartNumber": number})
                complete = self._client.complete_multipart_upload
                if once:
                    complete = partial(complete, IfNoneMatch="*")
                complete(Bucket=self._bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": done})
            except BaseException:
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload)
                raise

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            code = error.response["Error"]["Code"]
            where = self._place(key)
            if code in _MISSING:
                raise ObjectMissing(f"{where} is not there") from error
            if code in _EXISTS:
                raise AlreadyWritten(f"{where} exists already") from error
            if code in {"AccessDenied", "403"}:
                raise AccessDenied(f"{where}: {error}") from error
            raise StoreUnavailable(f"{where}: {error}") from error
        except BotoCoreError as error:
            raise StoreUnavailable(f"{self._place(key)}: {error}") from error


class ImageObjects(S3Objects):
    """The raw-data bucket, and by their URIs objects of other buckets (`loupe.domain.images.places`); these
    are read only. What lay in a bucket that does not exist any more is missing."""

    def list(self, prefix: str) -> Iterator[StoredObject]:
        with suppress(ObjectMissing):
            yield from super().list(prefix)

    def _place(self, key: str) -> S3Uri:
        return S3Uri.parse_place(key) if is_referred(key) else super()._place(key)

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        try:
            with super()._errors(key):
                yield
        except AccessDenied as error:
            if not is_referred(key):
                raise
            raise AccessDenied(
                f"{error.detail}; is {self._place(key).bucket} still among the stack's ReferredBuckets, and "
                "does its own policy allow it?"
            ) from error
        except StoreUnavailable as error:
            if is_referred(key) and _code(error) == "NoSuchBucket":
                raise ObjectMissing(f"{key} is not there, nor is its bucket") from error
            raise


def _code(error: StoreUnavailable) -> str | None:
    """S3's code for what went wrong, if it answered at all."""
    cause = error.__cause__
    return cause.response["Error"]["Code"] if isinstance(cause, ClientError) else None


@dataclass(frozen=True)
class _Opened:
    head: ObjectHead
    body: "StreamingBody"

    def read(self) -> bytes:
        return self.body.read()


def _parts(lines: Iterable[str]) -> Iterator[bytes]:
    buffer = io.BytesIO()
    for line in lines:
        buffer.write(line.encode())
        if buffer.tell() >= PART_BYTES:
            yield buffer.getvalue()
            buffer = io.BytesIO()
    if buffer.tell():
        yield buffer.getvalue()


def _chain(first: bytes, second: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield second
    yield from rest
