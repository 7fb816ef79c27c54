"""The ingest queue: who writes to it makes register_images look at keys again."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from loupe.domain.batches import batches
from loupe.domain.errors import StoreUnavailable
from loupe.domain.images.places import is_referred, uri_of

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient

MESSAGES_PER_CALL = 10


class IngestQueue:
    """Behind `loupe.ports.images.RequestsLooks`. Its messages have the shape of S3's events on EventBridge;
    one about an image outside of `bucket` names the project, too, and has the image's URI for its key."""

    def __init__(self, client: "SQSClient", url: str, bucket: str) -> None:
        self._client = client
        self._url = url
        self._bucket = bucket

    def request(self, project: str, keys: Iterable[str]) -> int:
        count = 0
        for batch in batches(keys, MESSAGES_PER_CALL):
            entries = [
                {"Id": str(number), "MessageBody": json.dumps(self._message(project, key))}
                for number, key in enumerate(batch)
            ]
            try:
                answer = self._client.send_message_batch(QueueUrl=self._url, Entries=entries)  # type: ignore[arg-type]
            except (BotoCoreError, ClientError) as error:
                raise StoreUnavailable(f"the ingest queue did not answer: {error}") from error
            if answer.get("Failed"):
                raise StoreUnavailable(f"the ingest queue refused messages: {answer['Failed'][0]}")
            count += len(entries)
        return count

    def _message(self, project: str, key: str) -> dict[str, object]:
        bucket = uri_of(key, self._bucket).bucket
        whose = {"project": project} if is_referred(key) else {}
        return {
            "source": "loupe.reconcile",
            "detail-type": "Object Created",
            "detail": {"bucket": {"name": bucket}, "object": {"key": key}, **whose},
        }
