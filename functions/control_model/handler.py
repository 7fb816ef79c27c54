"""Starts, stops and describes a project's model that costs by the hour; `loupe model` calls it."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap
from loupe.logs import ids_of, logged

logger = Logger(service="control_model")


@logged(logger)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """`{"project", "action"}` (start, stop or describe) in, `{"state", "since", "units"}` out."""
    logger.append_keys(**ids_of(event))
    project, action = event["project"], event["action"]
    hosting = bootstrap.control_model().do(project, action)
    logger.info("done", action=action, state=hosting.state)
    return {
        "state": hosting.state,
        "since": hosting.since.isoformat(),
        "units": hosting.units,
    }
