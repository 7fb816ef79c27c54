"""An SNS topic that people subscribe to, behind `loupe.ports.messages.TellsPeople`."""

from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from loupe.domain.errors import StoreUnavailable
from loupe.ports.messages import Notice

if TYPE_CHECKING:
    from mypy_boto3_sns.client import SNSClient


class NotificationTopic:
    """Publishes to one topic."""

    def __init__(self, client: "SNSClient", topic_arn: str) -> None:
        self._client = client
        self._topic_arn = topic_arn

    def tell(self, notice: Notice) -> None:
        try:
            self._client.publish(TopicArn=self._topic_arn, Subject=notice.subject, Message=notice.body)
        except (BotoCoreError, ClientError) as error:
            raise StoreUnavailable(f"the notification topic did not answer: {error}") from error
