"""S3 with the permissions of whoever called: Rekognition has no role of its own."""

from __future__ import annotations

from collections.abc import Mapping

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local.home import REGION

MAX_AT_ONCE = 8


class ObjectError(Exception):
    """S3 refused, or holds no such object; the text is for people."""


class CallerObjects:
    """Reads and writes objects. `keys` are arguments of a boto3 client."""

    def __init__(self, endpoint_url: str, keys: Mapping[str, str]) -> None:
        self._client = boto3.client(
            "s3",
            region_name=REGION,
            endpoint_url=endpoint_url,
            config=Config(max_pool_connections=MAX_AT_ONCE, retries={"total_max_attempts": 3}),
            aws_access_key_id=keys["aws_access_key_id"],
            aws_secret_access_key=keys["aws_secret_access_key"],
            aws_session_token=keys.get("aws_session_token"),
        )

    def read(self, bucket: str, key: str) -> bytes:
        """Raises ObjectError."""
        try:
            body: bytes = self._client.get_object(Bucket=bucket, Key=key)["Body"].read()
        except (ClientError, BotoCoreError) as error:
            raise ObjectError(f"s3://{bucket}/{key} can't be read: {error}") from error
        return body

    def write(self, bucket: str, key: str, content: bytes) -> None:
        """Raises ObjectError."""
        try:
            self._client.put_object(Bucket=bucket, Key=key, Body=content)
        except (ClientError, BotoCoreError) as error:
            raise ObjectError(f"s3://{bucket}/{key} can't be written: {error}") from error
