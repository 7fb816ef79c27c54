"""The REST API's edge: API Gateway proxy events come in, JSON and problem documents (RFC 9457) go out.

A handler wraps the event in a `Request`, makes its one call, and answers with `json_response`, or with
`problem_response` for the `DomainError` that was raised. Anything else that is raised is a fault of Loupe's
own: it is left to fail the invocation, so that it is counted, alarmed on, and answered with 502.
"""

import json
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from loupe.domain.errors import BadRequest, DomainError, StoreUnavailable

PROBLEM_TYPE = "urn:loupe:problem:"
"""What a problem document's `type` begins with; the slug of the error follows."""

Proxy = dict[str, Any]
"""An API Gateway proxy event, or the answer to one."""

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class User:
    """Who is signed in. `id` is the user pool's own and stays the same when the name changes."""

    id: str
    name: str


class Request:
    """A proxy event. What it reads from it does not depend on the stage or domain before the path."""

    def __init__(self, event: Mapping[str, Any]) -> None:
        self._event = event

    @property
    def method(self) -> str:
        method: str = self._event["httpMethod"]
        return method

    def path(self, parameter: str) -> str:
        """A path parameter, URL-decoded. Raises `KeyError` for one that the route doesn't have."""
        value: str = self._event["pathParameters"][parameter]
        return value

    def query(self, parameter: str) -> str | None:
        """A query parameter, URL-decoded; the last one where it is repeated."""
        return (self._event.get("queryStringParameters") or {}).get(parameter)

    def header(self, name: str) -> str | None:
        """A header, whatever the case of its name."""
        return self._headers.get(name.lower())

    @cached_property
    def _headers(self) -> dict[str, str]:
        return {name.lower(): value for name, value in (self._event.get("headers") or {}).items()}

    @cached_property
    def body(self) -> bytes:
        """The body as it was sent; empty when there is none. Raises `BadRequest`."""
        body: str = self._event.get("body") or ""
        if not self._event.get("isBase64Encoded"):
            return body.encode()
        try:
            return b64decode(body, validate=True)
        except Base64Error as error:
            raise BadRequest("the body is marked as Base64 and is not") from error

    def json(self) -> dict[str, Any]:
        """The body, a JSON object. Raises `BadRequest`."""
        try:
            content = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"the body is not JSON: {error}") from error
        if not isinstance(content, dict):
            raise BadRequest("the body must be a JSON object")
        return content

    def parse(self, model: type[Model]) -> Model:
        """The body as a `model`. Raises `BadRequest`, whose detail names each field at fault."""
        try:
            return model.model_validate(self.json())
        except ValidationError as error:
            raise BadRequest("; ".join(_explain(fault) for fault in error.errors())) from error

    @property
    def user(self) -> User:
        """The user whom API Gateway's Cognito authorizer let in.

        Raises `KeyError` when the route has no authorizer, which is the template's fault and nobody else's.
        """
        claims = self._event["requestContext"]["authorizer"]["claims"]
        return User(claims["sub"], claims["cognito:username"])


def json_response(status: int, content: Mapping[str, Any]) -> Proxy:
    """A JSON answer. No cache may keep it: what the API tells changes by the second."""
    return _answer(status, "application/json", content)


def no_content() -> Proxy:
    """204, for what has nothing to tell."""
    return {"statusCode": 204, "headers": {"Cache-Control": "no-store"}, "body": ""}


def problem_response(error: DomainError) -> Proxy:
    """The problem document for an error; the error's `extra` become members of their own."""
    document = {
        "type": PROBLEM_TYPE + error.slug,
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        **error.extra,
    }
    answer = _answer(error.status, "application/problem+json", document)
    if isinstance(error, StoreUnavailable):
        answer["headers"]["Retry-After"] = "1"
    return answer


def _answer(status: int, content_type: str, content: Mapping[str, Any]) -> Proxy:
    return {
        "statusCode": status,
        "headers": {"Content-Type": content_type, "Cache-Control": "no-store"},
        "body": json.dumps(content, ensure_ascii=False, separators=(",", ":")),
    }


def _explain(fault: Mapping[str, Any]) -> str:
    where = ".".join(map(str, fault["loc"]))
    match fault["type"]:
        case "extra_forbidden":
            return f"{where}: is not a field of this request"
        case "missing":
            return f"{where}: is missing"
        case "value_error":
            message = str(fault["ctx"]["error"])
        case _:
            message = fault["msg"]
    return f"{where}: {message}" if where else message
