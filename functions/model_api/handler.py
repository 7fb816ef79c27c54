"""/portal/api/projects/{project}/models/...: the console's pages about models."""

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap, http
from loupe.domain.errors import BadRequest

api = http.RestApi("model_api")


@api.get("/portal/api/projects/<project>/models")
def models(project: str) -> Response[str]:
    return http.reply(bootstrap.show_models().models(project))


@api.get("/portal/api/projects/<project>/models/<version>")
def model(project: str, version: str) -> Response[str]:
    return http.reply(bootstrap.show_models().model(project, version))


@api.get("/portal/api/projects/<project>/models/<version>/judgements")
def judgements(project: str, version: str) -> Response[str]:
    return http.reply(bootstrap.show_models().judgements(project, version))


@api.get("/portal/api/projects/<project>/models/<version>/images")
def images(project: str, version: str) -> Response[str]:
    request = api.current_event
    after = request.get_query_string_value("after", "0")
    if not after.isdecimal():
        raise BadRequest(f"after: must be a page's `next`, not {after!r}")
    truth, said = (request.get_query_string_value(name) for name in ("truth", "predicted"))
    return http.reply(bootstrap.show_models().images(project, version, truth, said, int(after)))


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """API Gateway proxy event in, JSON or problem document out."""
    return api.handle(event, context)
