"""Step Functions task: decide what follows a training job that did not complete."""

from dataclasses import asdict
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap
from loupe.logs import ids_of, logged

logger = Logger(service="retry_training")


@logged(logger)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """`{"project", "version", "job", "failure": {"Error", "Cause"}, "correlation_id"}` in, `{"again",
    "reason", "wait_seconds", "plan"}` out, the last null if it is not tried again."""
    logger.append_keys(**ids_of(event))
    project, version, job = event["project"], event["version"], event["job"]
    retry = bootstrap.retry_training()(project, version, job, event["failure"])
    logger.info("looked", version=version, job=job, again=retry.again, why=retry.reason)
    return asdict(retry)
