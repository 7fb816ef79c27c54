"""Starts, stops and describes a project's model that Rekognition hosts; `loupe model` calls it."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap
from loupe.domain.errors import BadRequest

logger = Logger(service="control_model")


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """`{"project", "action"}` (start, stop or describe) in, `{"state", "since", "inference_units"}` out."""
    control = bootstrap.control_model()
    actions = {"start": control.start, "stop": control.stop, "describe": control.describe}
    project, action = event["project"], event["action"]
    if action not in actions:
        raise BadRequest(f"action: must be one of {', '.join(actions)}, not {action!r}")
    hosting = actions[action](project)
    logger.info("done", project=project, action=action, state=hosting.state)
    return {
        "state": hosting.state,
        "since": hosting.since.isoformat(),
        "inference_units": hosting.inference_units,
    }
