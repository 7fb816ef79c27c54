"""What SageMaker asks of the rest of the cloud."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local.home import REGION

SERVICE_PRINCIPAL = "sagemaker.amazonaws.com"


class Platform(Protocol):
    """Events, logs and roles of the cloud that SageMaker is part of."""

    @property
    def endpoint_url(self) -> str: ...

    def publish(self, detail_type: str, resource: str, detail: Mapping[str, Any]) -> None:
        """Send an event of source aws.sagemaker."""

    def write_log(self, group: str, stream: str, lines: list[str]) -> None:
        """Append to a CloudWatch log stream."""

    def role_credentials(self, role_arn: str, service: str, session_name: str) -> dict[str, str] | None:
        """Temporary keys (arguments of a boto3 client) of a role that `service` may assume, else None."""


class MeasuringPlatform(Platform, Protocol):
    """The same with CloudWatch's metrics."""

    def measure(
        self, namespace: str, dimensions: Mapping[str, str], metrics: Mapping[str, tuple[float, str]]
    ) -> None:
        """Add a value (and its unit) to each of some metrics."""


class StorageError(Exception):
    """S3 refused, or holds no such object; the text is for a FailureReason."""


class Storage:
    """S3 with the permissions of one role."""

    def __init__(self, platform: Platform, role_arn: str, session_name: str) -> None:
        """Raises StorageError if SageMaker may not assume the role."""
        keys = platform.role_credentials(role_arn, SERVICE_PRINCIPAL, session_name)
        if keys is None:
            raise StorageError(
                f"Could not assume role {role_arn}. Please ensure that the role exists and allows principal "
                f"'{SERVICE_PRINCIPAL}' to assume the role"
            )
        self.keys = keys
        self._client = boto3.client(
            "s3",
            region_name=REGION,
            endpoint_url=platform.endpoint_url,
            config=Config(max_pool_connections=16, retries={"total_max_attempts": 3}),
            aws_access_key_id=keys["aws_access_key_id"],
            aws_secret_access_key=keys["aws_secret_access_key"],
            aws_session_token=keys["aws_session_token"],
        )

    def read(self, uri: str) -> bytes:
        """Raises StorageError."""
        bucket, key = split_uri(uri)
        try:
            body: bytes = self._client.get_object(Bucket=bucket, Key=key)["Body"].read()
        except (ClientError, BotoCoreError) as error:
            raise StorageError(f"Cannot read {uri}: {error}") from error
        return body

    def download(self, uri: str, target: Path) -> None:
        """Raises StorageError."""
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(self.read(uri))

    def upload(self, source: Path, uri: str) -> None:
        """Raises StorageError."""
        bucket, key = split_uri(uri)
        try:
            self._client.upload_file(str(source), bucket, key)
        except (ClientError, BotoCoreError, OSError) as error:
            raise StorageError(f"Cannot write {uri}: {error}") from error

    def write(self, uri: str, content: bytes) -> None:
        """Raises StorageError."""
        bucket, key = split_uri(uri)
        try:
            self._client.put_object(Bucket=bucket, Key=key, Body=content)
        except (ClientError, BotoCoreError) as error:
            raise StorageError(f"Cannot write {uri}: {error}") from error

    def keys_under(self, uri: str) -> list[str]:
        """All keys that start with the prefix. Raises StorageError."""
        bucket, prefix = split_uri(uri)
        try:
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            return [item["Key"] for page in pages for item in page.get("Contents", [])]
        except (ClientError, BotoCoreError) as error:
            raise StorageError(f"Cannot list {uri}: {error}") from error


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of `s3://bucket/key`."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key
