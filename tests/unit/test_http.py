import json
from base64 import b64encode
from typing import Any

import pytest
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEvent
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, ConfigDict, Field

from loupe.domain.errors import BadRequest, Conflict, StoreUnavailable
from loupe.http import RestApi, User, body_bytes, json_body, no_content, parse_body, reply, signed_in_user


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    label: str
    lease: int = Field(default=0, ge=0, le=20)


def event(path: str, method: str = "GET", body: str | None = None, encoded: bool = False) -> dict[str, Any]:
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": {},
        "multiValueHeaders": {},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "body": body,
        "isBase64Encoded": encoded,
        "requestContext": {
            "stage": "prod",
            "requestId": "r-1",
            "authorizer": {"claims": {"sub": "1234", "cognito:username": "ada"}},
        },
    }


def request(body: str | None, encoded: bool = False) -> APIGatewayProxyEvent:
    return APIGatewayProxyEvent(event("/portal/api/x", "PUT", body, encoded))


@pytest.fixture
def api() -> RestApi:
    api = RestApi("test")

    @api.get("/portal/api/projects/<project>")
    def describe(project: str) -> Any:
        return reply({"project": project})

    @api.get("/v1/projects/<project>/portal/job")
    def fail(project: str) -> Any:
        raise Conflict(f"{project} is busy", labels=["a", "b"])

    @api.get("/v1/slow")
    def slow() -> Any:
        raise StoreUnavailable("throttled")

    @api.delete("/portal/api/leases")
    def give_back() -> Any:
        return no_content()

    @api.get("/v1/broken")
    def broken() -> Any:
        raise ZeroDivisionError

    return api


def test_a_route_answers_json_that_no_cache_keeps(api: RestApi) -> None:
    answer = api.handle(event("/portal/api/projects/digits"), LambdaContext())
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"]) == {"project": "digits"}
    assert answer["multiValueHeaders"]["Content-Type"] == ["application/json"]
    assert answer["multiValueHeaders"]["Cache-Control"] == ["no-store"]


@pytest.mark.parametrize("base", ["", "/vision", "/a/b"])
def test_routes_hold_behind_a_base_path(api: RestApi, base: str) -> None:
    assert api.handle(event(f"{base}/portal/api/projects/v1"), LambdaContext())["statusCode"] == 200
    assert api.handle(event(f"{base}/v1/projects/digits/portal/job"), LambdaContext())["statusCode"] == 409


def test_a_domain_error_becomes_a_problem_document(api: RestApi) -> None:
    answer = api.handle(event("/v1/projects/digits/portal/job"), LambdaContext())
    assert answer["statusCode"] == 409
    assert answer["multiValueHeaders"]["Content-Type"] == ["application/problem+json"]
    assert json.loads(answer["body"]) == {
        "type": "urn:loupe:problem:conflict",
        "title": "That is not possible now",
        "status": 409,
        "detail": "digits is busy",
        "labels": ["a", "b"],
    }


def test_a_store_that_does_not_answer_asks_to_try_again(api: RestApi) -> None:
    answer = api.handle(event("/v1/slow"), LambdaContext())
    assert answer["statusCode"] == 503
    assert answer["multiValueHeaders"]["Retry-After"] == ["1"]


@pytest.mark.parametrize(("method", "path"), [("GET", "/portal/api/nothing"), ("POST", "/portal/api/leases")])
def test_an_unknown_path_or_method_is_a_problem_document_too(api: RestApi, method: str, path: str) -> None:
    answer = api.handle(event(path, method), LambdaContext())
    assert answer["statusCode"] == 404
    assert json.loads(answer["body"])["type"] == "urn:loupe:problem:not-found"


def test_an_answer_without_content(api: RestApi) -> None:
    answer = api.handle(event("/portal/api/leases", "DELETE"), LambdaContext())
    assert (answer["statusCode"], answer["body"]) == (204, "")


def test_a_fault_of_our_own_fails_the_invocation(api: RestApi) -> None:
    with pytest.raises(ZeroDivisionError):
        api.handle(event("/v1/broken"), LambdaContext())


def test_the_signed_in_user_is_the_authorizers() -> None:
    assert signed_in_user(request(None)) == User("1234", "ada")


@pytest.mark.parametrize(
    ("claim", "groups"),
    [
        ("releasers", {"releasers"}),
        ("a-b,releasers", {"a-b", "releasers"}),
        ("[a-b releasers]", {"a-b", "releasers"}),
    ],
)
def test_groups_of_the_signed_in_user_are_read_however_they_are_written(claim: str, groups: set[str]) -> None:
    asked = request(None)
    asked["requestContext"]["authorizer"]["claims"]["cognito:groups"] = claim
    assert signed_in_user(asked).groups == groups


@pytest.mark.parametrize(("body", "encoded"), [('{"label":"ü"}', False), ("eyJsYWJlbCI6IsO8In0=", True)])
def test_a_body_is_read_plain_or_base64(body: str, encoded: bool) -> None:
    assert json_body(request(body, encoded)) == {"label": "ü"}


def test_a_binary_body_arrives_whole() -> None:
    assert body_bytes(request(b64encode(bytes(range(256))).decode(), True)) == bytes(range(256))
    assert body_bytes(request(None)) == b""


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
        parse_body(request(body), Answer)


def test_a_body_wrongly_marked_as_base64() -> None:
    with pytest.raises(BadRequest, match="Base64"):
        json_body(request("{}", True))
