"""Step Functions task: take the project's turn and build the next dataset version."""

from dataclasses import asdict
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap

logger = Logger(service="build_dataset")


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """`{"project", "execution"}` in, `{"outcome", "version", "reason"}` out."""
    begun = bootstrap.build_dataset()(event["project"], event["execution"])
    logger.info("turn begun", project=event["project"], **asdict(begun))
    return asdict(begun)
