"""Step Functions task: measure the candidate, and decide whether it is better than the champion."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap
from loupe.logs import ids_of, logged

logger = Logger(service="evaluate_candidate")

_TOLD = ("promote", "reason", "score", "champion_score")
"""What the execution goes on with; decision.json has all of it."""


@logged(logger)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """`{"project", "version", "transform_failures", "correlation_id"}` in, the failures by `candidate` or
    `champion` an Error and Cause; `{"promote", "reason", "score", "champion_score"}` out."""
    logger.append_keys(**ids_of(event))
    decision = bootstrap.evaluate_candidate()(event["project"], event["version"], event["transform_failures"])
    told = {name: getattr(decision, name) for name in _TOLD}
    logger.info("decided", version=event["version"], **told)
    return told
