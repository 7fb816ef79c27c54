"""Concludes a labeling job whose tasks are all answered."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap
from loupe.logs import ids_of, logged

logger = Logger(service="consolidate_annotations")


@logged(logger)
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """EventBridge event AnnotationsCompleted."""
    logger.append_keys(**ids_of(event["detail"]))
    project, job = event["detail"]["project"], event["detail"]["job"]
    bootstrap.consolidate_annotations()(project, job)
    logger.info("consolidated")
