"""/portal/api/projects/{project}/datasets...: signed-in people look at dataset versions, and correct them."""

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from dataset_api.requests import CorrectionsRequest, ImagesRequest
from loupe import bootstrap, http
from loupe.domain.errors import BadRequest
from loupe.domain.labeling.annotation import Worker

api = http.RestApi("dataset_api")


@api.get("/portal/api/projects/<project>/datasets")
def versions(project: str) -> Response[str]:
    return http.reply(bootstrap.dataset_console().versions(project))


@api.post("/portal/api/projects/<project>/datasets")
def request_version(project: str) -> Response[str]:
    return http.reply(bootstrap.dataset_console().request_version(project, _worker()), status=202)


@api.get("/portal/api/projects/<project>/datasets/<version>")
def version(project: str, version: str) -> Response[str]:
    return http.reply(bootstrap.dataset_console().version(project, version))


@api.get("/portal/api/projects/<project>/datasets/<version>/changes")
def changes(project: str, version: str) -> Response[str]:
    since = api.current_event.get_query_string_value("since")
    if not since:
        raise BadRequest("since: name the version to compare with")
    return http.reply(bootstrap.dataset_console().changes(project, version, since))


@api.get("/portal/api/projects/<project>/datasets/<version>/images")
def images(project: str, version: str) -> Response[str]:
    asked = http.parse_query(api.current_event, ImagesRequest)
    found = bootstrap.dataset_console().images(project, version, asked.wanted(), asked.offset, asked.limit)
    return http.reply(found)


@api.get("/portal/api/projects/<project>/datasets/<version>/images/<sha256>")
def image(project: str, version: str, sha256: str) -> Response[str]:
    return http.reply(bootstrap.dataset_console().image(project, version, sha256))


@api.post("/portal/api/projects/<project>/datasets/<version>/corrections")
def correct(project: str, version: str) -> Response[str]:
    asked = http.parse_body(api.current_event, CorrectionsRequest)
    wishes = [each.wish() for each in asked.corrections]
    corrected = bootstrap.correct()(project, version, _worker(), wishes)
    return http.reply({"corrections": [each.to_json() for each in corrected]})


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """API Gateway proxy event in, JSON or problem document out."""
    return api.handle(event, context)


def _worker() -> Worker:
    user = http.signed_in_user(api.current_event)
    return Worker(user.id, user.name)
