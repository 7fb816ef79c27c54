"""GET /portal/api/.../tasks/{task}/suggestion: what the champion would answer, for a worker to judge."""

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap, http

api = http.RestApi("suggest_labels")


@api.get("/portal/api/projects/<project>/jobs/<job>/tasks/<task>/suggestion")
def suggest(project: str, job: str, task: str) -> Response[str]:
    api.note(correlation_id=job)
    suggestion = bootstrap.suggest_labels()(project, job, task)
    return http.reply(
        {
            "model_version": suggestion.model_version,
            **suggestion.value.to_json(),
            "confidences": suggestion.confidences,
        }
    )


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """API Gateway proxy event in, JSON or problem document out."""
    return api.handle(event, context)
