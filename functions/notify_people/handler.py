"""Tells people what came of a turn of the loop, and what they can do next."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap
from loupe.logs import ids_of, logged

logger = Logger(service="notify_people")


@logged(logger)
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """EventBridge event: one of Loupe's own."""
    logger.append_keys(**ids_of(event["detail"]))
    notice = bootstrap.notify_people()(event["detail-type"], event["detail"])
    told = notice.subject if notice else None
    logger.info("told", event=event["detail-type"], subject=told)
