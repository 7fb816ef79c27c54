"""Step Functions task: take the right to change a project's endpoint for a model that is to be released."""

from dataclasses import asdict
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap
from loupe.logs import ids_of, logged

logger = Logger(service="begin_release")


@logged(logger)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """`{"project", "version", "execution", "request", "correlation_id"}` in, `request` null for a turn of the
    loop; `{"outcome", "reason"}` out, and for a request `{"plan", "score", "model_package_arn"}` besides."""
    logger.append_keys(**ids_of(event))
    begin, request = bootstrap.begin_release(), event["request"]
    model = event["project"], event["version"], event["execution"]
    begun = begin.of_request(*model, request) if request else begin.of_turn(*model)
    if begun.plan:
        logger.set_correlation_id(begun.plan.correlation_id)
    logger.info("looked", version=event["version"], outcome=begun.outcome, why=begun.reason)
    return asdict(begun)
