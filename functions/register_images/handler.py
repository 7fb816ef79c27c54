"""Objects of the raw-data bucket came, changed or went: EventBridge's S3 events, in batches through SQS."""

from typing import Annotated, Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, Field, ValidationError

from loupe import bootstrap
from loupe.ports import UnusableRecord

logger = Logger(service="register_images")


class _Object(BaseModel):
    key: Annotated[str, Field(min_length=1)]  # as it is: EventBridge does not URL-encode it


class _Detail(BaseModel):
    object: _Object


class ObjectEvent(BaseModel):
    """What is needed of an S3 event; the object itself tells the rest."""

    detail: _Detail


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Returns the messages that SQS shall deliver again."""
    messages, unusable = parse(event["Records"])
    outcome = bootstrap.register_images()(messages, unusable)
    for key, error in outcome.failed.items():
        logger.error("not registered, will be tried again", key=key, reason=str(error), exc_info=error)
    logger.info(
        "batch registered",
        messages=len(event["Records"]),
        registered=outcome.registered,
        looked_at=outcome.looked_at,
        rejected=outcome.rejected,
        ignored=outcome.ignored,
        failed=len(outcome.failed),
        unusable=[record.reason for record in unusable],
    )
    again = [message for key in outcome.failed for message in messages[key]]
    return {"batchItemFailures": [{"itemIdentifier": message} for message in again]}


def parse(records: list[dict[str, Any]]) -> tuple[dict[str, list[str]], list[UnusableRecord]]:
    """The keys to look at, each with the ids of its messages; and the messages that name none."""
    messages: dict[str, list[str]] = {}
    unusable: list[UnusableRecord] = []
    for record in records:
        try:
            key = ObjectEvent.model_validate_json(record["body"]).detail.object.key
        except ValidationError as invalid:
            unusable.append(UnusableRecord(record["body"], _explain(invalid)))
        else:
            messages.setdefault(key, []).append(record["messageId"])
    return messages, unusable


def _explain(error: ValidationError) -> str:
    problems = (f"{'.'.join(map(str, each['loc']))} {each['msg']}".strip() for each in error.errors())
    return f"not an S3 event: {'; '.join(problems)}"
