"""POST .../projects/{project}/predictions: the champion's answer to an image, for apps and the console."""

from dataclasses import asdict
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap, http

api = http.RestApi("predict")


@api.post("/v1/projects/<project>/predictions")
@api.post("/portal/api/projects/<project>/predictions")
def create_prediction(project: str) -> Response[str]:
    request = api.current_event
    content_type = request.headers.get("content-type") or ""
    prediction = bootstrap.predict()(project, content_type, http.body_bytes(request), api.note)
    return http.reply(asdict(prediction))


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """API Gateway proxy event in, prediction or problem document out."""
    return api.handle(event, context)
