"""GET /portal/...: the portal's pages, and what they need to know of this stack."""

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap, http
from loupe.pages import content_security_policy, find_page

api = http.RestApi("serve_pages")


@api.get("/portal")
def send_to_index() -> Response[str]:
    # Relative, so that it holds behind any stage or domain.
    headers: dict[str, str | list[str]] = {"Location": "portal/index.html", "Cache-Control": "no-cache"}
    return Response(status_code=302, body="", headers=headers)


@api.get("/portal/config.json")
def tell_configuration() -> Response[str]:
    settings = bootstrap.serve_pages_settings()
    return http.reply(
        {
            "region": settings.aws_region,
            "user_pool_client_id": settings.user_pool_client_id,
            "cognito_endpoint": settings.cognito_endpoint,
        }
    )


@api.get("/portal/.+")
def serve_page() -> Response[str]:
    settings = bootstrap.serve_pages_settings()
    request = api.current_event
    page = find_page(request.path_parameters["page"])
    headers: dict[str, str | list[str]] = {
        "Content-Security-Policy": content_security_policy(
            settings.image_origins, settings.cognito_endpoint, settings.referred_buckets
        ),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
        "ETag": page.etag,
    }
    if request.headers.get("if-none-match") == page.etag:
        return Response(status_code=304, body="", headers=headers)
    return Response(200, page.content_type, page.content, headers)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """API Gateway proxy event in, page out."""
    return api.handle(event, context)
