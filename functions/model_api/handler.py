"""/portal/api/projects/{project}/models/... and .../jobs/...: the console's pages about models and jobs."""

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap, http
from loupe.domain.console.deciding import may_release
from loupe.domain.errors import BadRequest

api = http.RestApi("model_api")


@api.get("/portal/api/projects/<project>/models")
def models(project: str) -> Response[str]:
    return http.reply({**bootstrap.show_models().models(project), **_rights()})


@api.get("/portal/api/projects/<project>/models/<version>")
def model(project: str, version: str) -> Response[str]:
    return http.reply({**bootstrap.show_models().model(project, version), **_rights()})


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


@api.get("/portal/api/projects/<project>/jobs")
def jobs(project: str) -> Response[str]:
    return http.reply(bootstrap.show_jobs().show(project))


@api.get("/portal/api/projects/<project>/jobs/rejected")
def rejected(project: str) -> Response[str]:
    after = api.current_event.get_query_string_value("after")
    return http.reply(bootstrap.show_jobs().rejected(project, after))


@api.post("/portal/api/projects/<project>/jobs/labeling")
def label_now(project: str) -> Response[str]:
    return http.reply(bootstrap.show_jobs().label_now(project, _who()), status=202)


@api.post("/portal/api/projects/<project>/jobs/training")
def train_now(project: str) -> Response[str]:
    return http.reply(bootstrap.show_jobs().train_now(project, _who()), status=202)


@api.post("/portal/api/projects/<project>/jobs/reconciliation")
def reconcile(project: str) -> Response[str]:
    return http.reply(bootstrap.show_jobs().reconcile(project, _who()), status=202)


def _rights() -> dict[str, bool]:
    return {"may_release": may_release(http.signed_in_user(api.current_event).groups)}


def _who() -> str:
    return http.signed_in_user(api.current_event).name


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """API Gateway proxy event in, JSON or problem document out."""
    return api.handle(event, context)
