"""Objects of the raw-data bucket came, changed or went: EventBridge's S3 events, in batches through SQS.

Loupe's own messages about images of other buckets come the same way; they name the project, too.
"""

from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, Field, ValidationError

from loupe import bootstrap
from loupe.logs import logged
from loupe.ports.messages import UnusableRecord

logger = Logger(service="register_images")


class _Object(BaseModel):
    key: Annotated[str, Field(min_length=1)]  # as it is: EventBridge does not URL-encode it


class _Detail(BaseModel):
    object: _Object
    project: str | None = None  # given where the key is the URI of an image in another bucket


class ObjectEvent(BaseModel):
    """What is needed of an S3 event; the object itself tells the rest."""

    detail: _Detail


@dataclass
class Parsed:
    """A batch of messages: the keys to look at, each with the ids of its messages; by project those that are
    URIs of images in other buckets; and the messages that name no key."""

    messages: dict[str, list[str]] = field(default_factory=dict)
    referred: dict[str, set[str]] = field(default_factory=dict)
    unusable: list[UnusableRecord] = field(default_factory=list)


@logged(logger)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Returns the messages that SQS shall deliver again."""
    parsed = parse(event["Records"])
    own = parsed.messages.keys() - set().union(*parsed.referred.values())
    outcome = bootstrap.register_images()(sorted(own), parsed.unusable, parsed.referred)
    for found in outcome.found:
        logger.info("looked at", **asdict(found), correlation_id=found.correlation_id)
    for key, error in outcome.failed.items():
        logger.error("not registered, will be tried again", key=key, reason=str(error), exc_info=error)
    logger.info(
        "batch registered",
        messages=len(event["Records"]),
        registered=sum(outcome.registered.values()),
        projects=outcome.registered,
        looked_at=outcome.looked_at,
        rejected=outcome.rejected,
        ignored=outcome.ignored,
        failed=len(outcome.failed),
        unusable=[record.reason for record in parsed.unusable],
    )
    again = [message for key in outcome.failed for message in parsed.messages[key]]
    return {"batchItemFailures": [{"itemIdentifier": message} for message in again]}


def parse(records: list[dict[str, Any]]) -> Parsed:
    """What to look at."""
    parsed = Parsed()
    for record in records:
        try:
            told = ObjectEvent.model_validate_json(record["body"]).detail
        except ValidationError as invalid:
            parsed.unusable.append(UnusableRecord(record["body"], _explain(invalid)))
            continue
        parsed.messages.setdefault(told.object.key, []).append(record["messageId"])
        if told.project is not None:
            parsed.referred.setdefault(told.project, set()).add(told.object.key)
    return parsed


def _explain(error: ValidationError) -> str:
    problems = (f"{'.'.join(map(str, each['loc']))} {each['msg']}".strip() for each in error.errors())
    return f"not an S3 event: {'; '.join(problems)}"
