"""Starts, stops and describes a project's model that Rekognition hosts; `loupe model` invokes it."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap
from loupe.domain.errors import BadRequest, DomainError

logger = Logger(service="control_model")


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """`{"project", "action": "start" | "stop" | "describe"}` in; out `{"state", "since", "inference_units"}`,
    or `{"problem": {"slug", "detail"}}` where that is not possible."""
    control = bootstrap.control_model()
    actions = {"start": control.start, "stop": control.stop, "describe": control.describe}
    project, action = str(event.get("project")), event.get("action")
    try:
        if action not in actions:
            raise BadRequest(f"action: must be start, stop or describe, not {action!r}")
        hosting = actions[action](project)
    except DomainError as error:
        logger.warning("refused", project=project, action=action, reason=error.detail)
        return {"problem": {"slug": error.slug, "detail": error.detail}}
    logger.info("done", project=project, action=action, state=hosting.state)
    return {
        "state": hosting.state,
        "since": hosting.since.isoformat(),
        "inference_units": hosting.inference_units,
    }
