"""Concludes a labeling job whose tasks are all answered."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe.bootstrap import consolidate_annotations

logger = Logger(service="consolidate_annotations")


def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """EventBridge event AnnotationsCompleted."""
    project, job = event["detail"]["project"], event["detail"]["job"]
    consolidate_annotations()(project, job)
    logger.info("consolidated", project=project, job=job)
