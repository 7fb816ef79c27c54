"""Step Functions task: take the project's turn and build the next dataset version."""

from dataclasses import asdict
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap
from loupe.logs import ids_of, logged

logger = Logger(service="build_dataset")


@logged(logger)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """`{"project", "execution"}` in, `{"outcome", "version", "reason", "correlation_id"}` out."""
    logger.append_keys(**ids_of(event))
    begun = bootstrap.build_dataset()(event["project"], event["execution"])
    logger.info("turn begun", **asdict(begun))
    return asdict(begun)
