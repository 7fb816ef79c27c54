"""/portal/api/projects/{project}/models/...: people decide in the console which model answers."""

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap, http
from loupe.domain.console.deciding import Action
from release_api.requests import ApprovalRequest

api = http.RestApi("release_api")


@api.post("/portal/api/projects/<project>/models/<version>/approval")
def approval(project: str, version: str) -> Response[str]:
    asked = http.parse_body(api.current_event, ApprovalRequest)
    return _decide(project, asked.decision, version)


@api.post("/portal/api/projects/<project>/models/<version>/rollback")
def rollback(project: str, version: str) -> Response[str]:
    return _decide(project, "rollback", version)


@api.post("/portal/api/projects/<project>/models/resume")
def resume(project: str) -> Response[str]:
    return _decide(project, "resume", None)


def _decide(project: str, action: Action, version: str | None) -> Response[str]:
    user = http.signed_in_user(api.current_event)
    decided = bootstrap.decide_in_console()(project, action, version, user.name, user.groups)
    return http.reply(decided, status=202 if decided["state"] == "requested" else 200)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """API Gateway proxy event in, JSON or problem document out."""
    return api.handle(event, context)
