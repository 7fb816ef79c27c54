"""A dead-letter queue to which Loupe itself sends, behind `loupe.ports.messages.SetsAside`."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from loupe.domain.errors import StoreUnavailable
from loupe.ports.messages import UnusableRecord

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

MAX_REASON = 1000
# What SQS takes in a text: XML's characters
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class DeadLetters:
    """Sends a message as it came, with the message attribute `reason`."""

    def __init__(self, client: "SQSClient", queue_url: str) -> None:
        self._client = client
        self._queue_url = queue_url

    def set_aside(self, records: Iterable[UnusableRecord]) -> None:
        for record in records:
            reason = _UNPRINTABLE.sub("?", record.reason)[:MAX_REASON]
            try:
                self._client.send_message(
                    QueueUrl=self._queue_url,
                    MessageBody=record.body,
                    MessageAttributes={"reason": {"DataType": "String", "StringValue": reason}},
                )
            except (ClientError, BotoCoreError) as error:
                raise StoreUnavailable(f"an unusable message could not be set aside: {error}") from error
