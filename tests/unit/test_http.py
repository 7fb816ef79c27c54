import json
from base64 import b64encode
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from loupe.domain.errors import BadRequest, Conflict, StoreUnavailable
from loupe.http import Request, User, json_response, no_content, problem_response


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    label: str
    lease: int = Field(default=0, ge=0, le=20)


def request(body: str | None = None, encoded: bool = False, **event: Any) -> Request:
    return Request({"httpMethod": "PUT", "body": body, "isBase64Encoded": encoded, **event})


def test_an_answer_is_json_that_no_cache_keeps() -> None:
    answer = json_response(200, {"name": "ü"})
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"]) == {"name": "ü"}
    assert answer["headers"] == {"Content-Type": "application/json", "Cache-Control": "no-store"}


def test_a_domain_error_becomes_a_problem_document() -> None:
    answer = problem_response(Conflict("digits is busy", labels=["a", "b"]))
    assert answer["statusCode"] == 409
    assert answer["headers"]["Content-Type"] == "application/problem+json"
    assert json.loads(answer["body"]) == {
        "type": "urn:loupe:problem:conflict",
        "title": "That is not possible now",
        "status": 409,
        "detail": "digits is busy",
        "labels": ["a", "b"],
    }


def test_a_store_that_does_not_answer_asks_to_try_again() -> None:
    answer = problem_response(StoreUnavailable("throttled"))
    assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (503, "1")


def test_an_answer_without_content() -> None:
    assert (no_content()["statusCode"], no_content()["body"]) == (204, "")


def test_the_signed_in_user_is_the_authorizers() -> None:
    claims = {"sub": "1234", "cognito:username": "ada"}
    assert request(requestContext={"authorizer": {"claims": claims}}).user == User("1234", "ada")


def test_path_query_and_headers() -> None:
    read = request(
        pathParameters={"project": "digits"},
        queryStringParameters={"limit": "5"},
        headers={"Content-TYPE": "image/png"},
    )
    assert (read.method, read.path("project")) == ("PUT", "digits")
    assert (read.query("limit"), read.query("after")) == ("5", None)
    assert (read.header("content-type"), read.header("x")) == ("image/png", None)


def test_missing_query_and_headers_may_be_null() -> None:
    read = request(queryStringParameters=None, headers=None)
    assert (read.query("limit"), read.header("accept")) == (None, None)


@pytest.mark.parametrize(("body", "encoded"), [('{"label":"ü"}', False), ("eyJsYWJlbCI6IsO8In0=", True)])
def test_a_body_is_read_plain_or_base64(body: str, encoded: bool) -> None:
    assert request(body, encoded).json() == {"label": "ü"}


def test_a_binary_body_arrives_whole() -> None:
    assert request(b64encode(bytes(range(256))).decode(), True).body == bytes(range(256))
    assert request().body == b""


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (None, "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "JSON object"),
        ("{}", "label: is missing"),
        ('{"label": "a", "x": 1}', "x: is not a field"),
        ('{"label": "a", "lease": 21}', "lease: "),
    ],
)
def test_a_body_that_does_not_fit_says_why(body: str | None, why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        request(body).parse(Answer)


def test_a_body_wrongly_marked_as_base64() -> None:
    with pytest.raises(BadRequest, match="Base64"):
        request("{}", True).json()
