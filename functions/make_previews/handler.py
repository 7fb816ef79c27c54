"""POST /portal/api/projects/{project}/previews: small copies of images, made where there are none yet."""

from dataclasses import asdict
from typing import Annotated, Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from loupe import bootstrap, http
from loupe.domain.images.previews import MAX_IMAGES
from loupe.domain.workspace import PreviewSize

api = http.RestApi("make_previews")


class PreviewsRequest(BaseModel):
    """Which images, by SHA-256, and how large their previews shall be."""

    model_config = ConfigDict(extra="forbid")

    size: PreviewSize
    images: list[Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]] = Field(
        min_length=1, max_length=MAX_IMAGES
    )


@api.post("/portal/api/projects/<project>/previews")
def make_previews(project: str) -> Response[str]:
    wanted = http.parse_body(api.current_event, PreviewsRequest)
    previews, missing = bootstrap.make_previews()(project, wanted.size, wanted.images)
    return http.reply({"previews": list(map(asdict, previews)), "missing": list(map(asdict, missing))})


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """API Gateway proxy event in, JSON or problem document out."""
    return api.handle(event, context)
