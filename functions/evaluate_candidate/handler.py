"""Step Functions task: measure the candidate, and decide whether it is better than the champion."""

from dataclasses import asdict
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap

logger = Logger(service="evaluate_candidate")


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """`{"project", "version", "transform_failures"}` in, the last by `candidate` or `champion` an Error and
    Cause; `{"promote", "reason", "score", "champion_score"}` out."""
    decision = bootstrap.evaluate_candidate()(event["project"], event["version"], event["transform_failures"])
    logger.info("decided", project=event["project"], version=event["version"], **asdict(decision))
    return asdict(decision)
