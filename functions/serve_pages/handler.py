"""Serves the portal's pages and what they need to know of this stack."""

import base64
import json
from typing import Any
from urllib.parse import urlsplit

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import http
from loupe.bootstrap import serve_pages_settings
from loupe.domain.errors import NotFound
from loupe.pages import content_security_policy, find_page

logger = Logger()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """API Gateway proxy event in, the page out. `/portal` without its slash is sent to the index page."""
    page = (event.get("pathParameters") or {}).get("page")
    logger.info("page", page=page)
    if page is None:
        return {"statusCode": 302, "headers": {"Location": "portal/index.html", "Cache-Control": "no-cache"}}
    settings = serve_pages_settings()
    if page == "config.json":
        return {
            "statusCode": 200,
            "headers": {"Content-Type": "application/json", "Cache-Control": "no-store"},
            "body": json.dumps(
                {
                    "region": settings.aws_region,
                    "user_pool_client_id": settings.user_pool_client_id,
                    "cognito_endpoint": settings.cognito_endpoint,
                }
            ),
        }
    try:
        found = find_page(page)
    except NotFound as error:
        return http.problem_response(error)
    sign_in = urlsplit(settings.cognito_endpoint)
    headers = {
        "Content-Type": found.content_type,
        "Content-Security-Policy": content_security_policy(
            settings.image_origin, f"{sign_in.scheme}://{sign_in.netloc}"
        ),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
        "ETag": found.etag,
    }
    requested = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    if requested.get("if-none-match") == found.etag:
        return {"statusCode": 304, "headers": headers}
    if found.is_text:
        return {"statusCode": 200, "headers": headers, "body": found.content.decode()}
    return {
        "statusCode": 200,
        "headers": headers,
        "body": base64.b64encode(found.content).decode(),
        "isBase64Encoded": True,
    }
