"""GET /v1/projects/{project} and what belongs to it."""

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap, http
from loupe.domain.errors import BadRequest

api = http.RestApi("describe_project")


@api.get("/v1/projects/<project>")
def get_project(project: str) -> Response[str]:
    return http.reply(bootstrap.describe_project().describe(project))


@api.get("/v1/projects/<project>/rejected")
def get_rejected(project: str) -> Response[str]:
    request = api.current_event
    limit = request.get_query_string_value("limit", "100")
    if not limit.isdecimal() or int(limit) == 0:
        raise BadRequest(f"limit: must be a number above 0, not {limit!r}")
    after = request.get_query_string_value("after")
    return http.reply(bootstrap.describe_project().rejected(project, int(limit), after))


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """API Gateway proxy event in, the project's state or a problem document out."""
    return api.handle(event, context)
