"""The REST API's edge: requests come in as API Gateway proxy events, errors go out as problem documents.

A handler makes a `RestApi`, puts its routes on it and gives each event to `handle`. A `DomainError` that a
route raises becomes an RFC 9457 answer here and nowhere else. Anything else is a fault of Loupe's own: it is
left to fail the invocation, so that it is counted, alarmed on, and answered by API Gateway with 502.
"""

import json
import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, TypeVar
from urllib.parse import unquote

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, ValidationError

from loupe.domain.errors import BadRequest, DomainError, NotFound, StoreUnavailable

PROBLEM_TYPE = "urn:loupe:problem:"
"""What a problem document's `type` begins with; the slug of the error follows."""

_BASE_PATH = re.compile(r"^(?!/(?:portal|v1)(?:/|$)).+?(?=/(?:portal|v1)(?:/|$))")
"""What a custom domain's base path mapping puts before the API's own paths (a stage's name never shows)."""

_PROJECT = re.compile(r"/projects/([^/]+)")

Model = TypeVar("Model", bound=BaseModel)


class RestApi(APIGatewayRestResolver):
    """Routes of one function of the REST API; paths begin with /portal/ or /v1/, whatever stands before."""

    def __init__(self, service: str) -> None:
        super().__init__(strip_prefixes=[_BASE_PATH])
        self._logger = Logger(service=service)
        self._noted: dict[str, Any] = {}
        self.exception_handler(DomainError)(self._problem)
        self.not_found(self._no_such_path)

    def handle(self, event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        """The proxy answer to one proxy event; logs one line about it, with what was noted on the way."""
        started = perf_counter()
        self._noted = _named_by(event)
        try:
            answer = self.resolve(event, context)
        except Exception:
            self._logger.exception("failed", **self._noted, outcome="failed")
            raise
        self._logger.info(
            "answered",
            **{"outcome": "ok", **self._noted},
            status=answer["statusCode"],
            milliseconds=round((perf_counter() - started) * 1000, 1),
        )
        return answer

    def note(self, **members: Any) -> None:
        """Members of the line about this request, which has its project already."""
        self._noted |= members

    def _problem(self, error: DomainError) -> Response[str]:
        self.note(outcome=error.slug)
        return problem(error)

    def _no_such_path(self, _: NotFoundError) -> Response[str]:
        request = self.current_event
        return self._problem(NotFound(f"{request.http_method} {request.path} is not part of this API"))


def _named_by(event: Mapping[str, Any]) -> dict[str, Any]:
    named = _PROJECT.search(event["path"])
    return {
        "method": event["httpMethod"],
        "path": event["path"],
        "request": event["requestContext"].get("requestId"),
        "project": unquote(named[1]) if named else None,
    }


# Answers --------------------------------------------------------------------------------------------


def reply(content: Mapping[str, Any], status: int = 200) -> Response[str]:
    """A JSON answer. No cache may keep it: what the API tells changes by the second."""
    return _json(content, status, "application/json")


def no_content() -> Response[str]:
    """204, for what has nothing to tell."""
    return Response(status_code=204, body="", headers={"Cache-Control": "no-store"})


def problem(error: DomainError) -> Response[str]:
    """The problem document (RFC 9457) for an error; its `extra` become members of their own."""
    document = {
        "type": PROBLEM_TYPE + error.slug,
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        **error.extra,
    }
    answer = _json(document, error.status, "application/problem+json")
    if isinstance(error, StoreUnavailable):
        answer.headers["Retry-After"] = "1"
    return answer


def _json(content: Mapping[str, Any], status: int, content_type: str) -> Response[str]:
    return Response(
        status_code=status,
        content_type=content_type,
        body=json.dumps(content, ensure_ascii=False, separators=(",", ":")),
        headers={"Cache-Control": "no-store"},
    )


# Requests -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class User:
    """Who is signed in: `id` is the user pool's own and stays the same when the name changes. `groups` are
    those of the user pool that the user was in when the token was made."""

    id: str
    name: str
    groups: frozenset[str] = frozenset()


def signed_in_user(request: APIGatewayProxyEvent) -> User:
    """The user whom API Gateway's Cognito authorizer let in.

    Raises `KeyError` when the route has no authorizer, which is the template's fault and nobody else's.
    """
    claims = request["requestContext"]["authorizer"]["claims"]
    return User(claims["sub"], claims["cognito:username"], _names(claims.get("cognito:groups", "")))


def _names(claim: str) -> frozenset[str]:
    """Names of a claim that is a list. API Gateway hands all claims over as text: this one as `a,b` by its
    REST APIs, as `[a b]` by others, and by the emulator of them."""
    return frozenset(re.findall(r"[^\s,\[\]]+", claim))


def body_bytes(request: APIGatewayProxyEvent) -> bytes:
    """The body as it was sent; empty when there is none."""
    body: str = request.get("body") or ""
    if not request.get("isBase64Encoded"):
        return body.encode()
    try:
        return b64decode(body, validate=True)
    except Base64Error as error:
        raise BadRequest("the body is marked as Base64 and is not") from error


def json_body(request: APIGatewayProxyEvent) -> dict[str, Any]:
    """The body, a JSON object. Raises `BadRequest`."""
    try:
        content = json.loads(body_bytes(request))
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise BadRequest("the body must be a JSON object")
    return content


def parse_body(request: APIGatewayProxyEvent, model: type[Model]) -> Model:
    """The body as a `model`. Raises `BadRequest`, whose detail names each field at fault."""
    try:
        return model.model_validate(json_body(request))
    except ValidationError as error:
        raise BadRequest("; ".join(_explain(fault) for fault in error.errors())) from error


def parse_query(request: APIGatewayProxyEvent, model: type[Model]) -> Model:
    """The query's parameters as a `model`. Raises `BadRequest`, whose detail names each one at fault."""
    try:
        return model.model_validate(request.query_string_parameters)
    except ValidationError as error:
        raise BadRequest("; ".join(_explain(fault) for fault in error.errors())) from error


def _explain(fault: Mapping[str, Any]) -> str:
    where = ".".join(map(str, fault["loc"]))
    if fault["type"] == "extra_forbidden":
        return f"{where}: is not a field of this request"
    if fault["type"] == "missing":
        return f"{where}: is missing"
    message = str(fault["ctx"]["error"]) if fault["type"] == "value_error" else fault["msg"]
    return f"{where}: {message}" if where else message
