"""Concludes a labeling job whose tasks are all answered."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap

logger = Logger(service="consolidate_annotations")


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """EventBridge event AnnotationsCompleted."""
    project, job = event["detail"]["project"], event["detail"]["job"]
    bootstrap.consolidate_annotations()(project, job)
    logger.info("consolidated", project=project, job=job)
