"""The one place where adapters are chosen and put together.

Each function's handler asks for its use case on the first invocation; what was built stays for the next
ones. Nothing is built, and no environment is read, at import.
"""

from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from loupe.adapters.events import EventBridgeEvents
from loupe.adapters.objects import S3Objects
from loupe.settings import ServePagesSettings

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_s3.client import S3Client

_STANDARD = Config(
    retries={"mode": "standard", "max_attempts": 5}, connect_timeout=3, max_pool_connections=32
)


_S3_HOSTS = {"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"}


def utc_now() -> datetime:
    """The clock of every adapter and use case."""
    return datetime.now(UTC)


@cache
def _s3() -> "S3Client":
    # Presigned URLs need signature version 4 and the region's own host name, or browsers are redirected.
    presigning = Config(signature_version="s3v4", s3=_S3_HOSTS)
    return boto3.client("s3", config=_STANDARD.merge(presigning))


@cache
def _dynamodb() -> "DynamoDBClient":
    return boto3.client("dynamodb", config=_STANDARD)


@cache
def _objects(bucket: str) -> S3Objects:
    return S3Objects(_s3(), bucket)


@cache
def _events(bus: str) -> EventBridgeEvents:
    return EventBridgeEvents(boto3.client("events", config=_STANDARD), bus)


@cache
def serve_pages_settings() -> ServePagesSettings:
    """For serve_pages."""
    return ServePagesSettings.from_environment()
