"""The real stack on moto, stubs and answers made up in memory; no socket is opened."""

import io
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.stub import Stubber
from moto import mock_aws

from cli.aws_stack import REQUIRED_OUTPUTS, AwsStack, Http, HttpPortalSession
from cli.errors import ApiProblem, CommandFault
from loupe.domain.label_values import OneLabel


class StubbedSession:
    """S3 is moto's; other services answer by botocore's stubs, which check the shapes of both sides."""

    def __init__(self) -> None:
        self._session = boto3.Session("a", "b", region_name="us-east-1")
        self.answers: dict[str, list[tuple[str, dict[str, Any] | str, dict[str, Any]]]] = defaultdict(list)
        self._stubs: dict[str, Stubber] = {}

    def will(
        self, service: str, operation: str, request: dict[str, Any], answer: dict[str, Any] | str
    ) -> None:
        """The next call to this service must be this one; an answer that is text is an error code."""
        self.answers[service].append((operation, answer, request))

    def client(self, service_name: Any, /, *, endpoint_url: str | None, config: Config) -> Any:
        client = self._session.client(service_name, endpoint_url=endpoint_url, config=config)
        if service_name == "s3":
            return client
        stub = self._stubs[service_name] = Stubber(client)
        for operation, answer, request in self.answers[service_name]:
            if isinstance(answer, str):
                stub.add_client_error(operation, answer, expected_params=request)
            else:
                stub.add_response(operation, answer, request)
        stub.activate()
        return client

    def assert_called(self, service: str) -> None:
        """Each call that had to come to this service came."""
        self._stubs[service].assert_no_pending_responses()


def has_outputs(session: StubbedSession, outputs: dict[str, str]) -> None:
    found = {
        "StackName": "loupe",
        "CreationTime": datetime.now(UTC),
        "StackStatus": "CREATE_COMPLETE",
        "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()],
    }
    session.will("cloudformation", "describe_stacks", {"StackName": "loupe"}, {"Stacks": [found]})


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubbedSession]:
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        yield StubbedSession()


@pytest.fixture
def stack(session: StubbedSession) -> AwsStack:
    boto3.client("s3", "us-east-1").create_bucket(Bucket="raw-data")
    outputs = {
        "RawDataBucket": "raw-data",
        "ApiUrl": "https://api.test/live",
        "PortalUrl": "https://api.test/live/portal/index.html",
        "UserPoolId": "us-east-1_pool",
        "UserPoolClientId": "client",
        "ApiKeyId": "key-id",
        "ReconcileFunction": "reconcile",
        "ImportLabelsFunction": "import-labels",
        "WorkspaceBucket": "workspace",
        "StartReviewFunction": "start-review",
        "ControlModelFunction": "control-model",
        "BucketsReferredTo": "archive,photos",
    }
    has_outputs(session, outputs)
    return AwsStack(session, "loupe")


def test_a_stack_that_is_not_there_says_how_to_make_one(session: StubbedSession) -> None:
    session.will("cloudformation", "describe_stacks", {"StackName": "loupe"}, "ValidationError")
    assert not AwsStack(session, "loupe").exists()
    with pytest.raises(CommandFault, match="There is no stack 'loupe'") as fault:
        AwsStack(session, "loupe").projects()
    assert "make up" in str(fault.value.hint)


def test_a_stack_that_is_no_loupe_names_what_it_lacks(session: StubbedSession) -> None:
    has_outputs(session, {})
    with pytest.raises(CommandFault, match=", ".join(REQUIRED_OUTPUTS)):
        AwsStack(session, "loupe").projects()


def test_configuration_is_kept_and_projects_are_those_that_have_one(stack: AwsStack, tmp_path: Path) -> None:
    assert stack.read_configuration("parts") is None
    stack.write_configuration("parts", "labels: [ü]")
    stack.put_image("strays/a.png", tmp_path, b"x")
    assert stack.read_configuration("parts") == "labels: [ü]"
    assert stack.projects() == ["parts"]


def test_an_image_is_listed_with_its_size_and_digest(
    stack: AwsStack, session: StubbedSession, tmp_path: Path
) -> None:
    stack.put_image("parts/a +%.png", tmp_path, b"x")
    (listed,) = stack.list_objects("parts/")
    assert (listed.key, listed.size, listed.etag) == ("parts/a +%.png", 1, "9dd4e461268c8034f5c8564e155c67a6")
    assert stack.etags_are_digests("parts/a +%.png")
    head = boto3.client("s3", "us-east-1").head_object(Bucket="raw-data", Key="parts/a +%.png")
    assert head["ContentType"] == "image/png"


def test_a_big_image_goes_up_from_its_file(stack: AwsStack, tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(b"x")
    stack.put_image("parts/a.jpg", file, None)
    assert [listed.size for listed in stack.list_objects("parts/")] == [1]


def sign_in(password: str) -> dict[str, Any]:
    return {
        "AuthFlow": "USER_PASSWORD_AUTH",
        "ClientId": "client",
        "AuthParameters": {"USERNAME": "mara", "PASSWORD": password},
    }


def test_a_worker_who_exists_gets_the_new_password(session: StubbedSession, stack: AwsStack) -> None:
    user = {"UserPoolId": "us-east-1_pool", "Username": "mara"}
    create = {**user, "MessageAction": "SUPPRESS"}
    session.will("cognito-idp", "admin_create_user", create, "UsernameExistsException")
    session.will("cognito-idp", "admin_set_user_password", {**user, "Password": "new", "Permanent": True}, {})
    stack.create_worker("mara", "new")
    session.assert_called("cognito-idp")


MEMBER = {"UserPoolId": "us-east-1_pool", "Username": "mara", "GroupName": "releasers"}


def test_a_role_is_a_group_of_the_user_pool(session: StubbedSession, stack: AwsStack) -> None:
    session.will("cognito-idp", "admin_add_user_to_group", MEMBER, {})
    session.will("cognito-idp", "admin_remove_user_from_group", MEMBER, {})
    stack.set_role("mara", "releaser")
    stack.set_role("mara", "worker")
    session.assert_called("cognito-idp")


def test_somebody_there_is_not_gets_no_role(session: StubbedSession, stack: AwsStack) -> None:
    session.will("cognito-idp", "admin_add_user_to_group", MEMBER, "UserNotFoundException")
    with pytest.raises(CommandFault, match="no worker 'mara'"):
        stack.set_role("mara", "releaser")


def test_workers_are_listed_with_their_roles(session: StubbedSession, stack: AwsStack) -> None:
    pool = {"UserPoolId": "us-east-1_pool"}
    made = {"UserStatus": "CONFIRMED", "UserCreateDate": datetime(2026, 11, 21, tzinfo=UTC)}
    members = {"Users": [{"Username": "mara", **made}]}
    session.will("cognito-idp", "list_users_in_group", {**pool, "GroupName": "releasers"}, members)
    everybody = {"Users": [{"Username": name, **made} for name in ("ben", "mara")]}
    session.will("cognito-idp", "list_users", pool, everybody)
    assert [(each.name, each.role) for each in stack.workers()] == [("ben", "worker"), ("mara", "releaser")]


def test_a_wrong_password_is_told(session: StubbedSession, stack: AwsStack) -> None:
    session.will("cognito-idp", "initiate_auth", sign_in("wrong"), "NotAuthorizedException")
    with pytest.raises(CommandFault, match="no worker 'mara'"):
        stack.sign_in("mara", "wrong")


def test_a_worker_who_must_choose_a_password_is_told_how(session: StubbedSession, stack: AwsStack) -> None:
    session.will("cognito-idp", "initiate_auth", sign_in("first"), {"ChallengeName": "NEW_PASSWORD_REQUIRED"})
    with pytest.raises(CommandFault, match="new password"):
        stack.sign_in("mara", "first")


def test_the_api_key_is_read_from_api_gateway(session: StubbedSession, stack: AwsStack) -> None:
    session.will("apigateway", "get_api_key", {"apiKey": "key-id", "includeValue": True}, {"value": "secret"})
    assert stack.api_key() == "secret"


def test_reconcile_invokes_its_function_for_one_project(session: StubbedSession, stack: AwsStack) -> None:
    session.will(
        "lambda",
        "invoke",
        {"FunctionName": "reconcile", "Payload": b'{"project": "parts"}'},
        {"StatusCode": 200, "Payload": io.BytesIO(b'{"projects": {"parts": {}}}')},
    )
    assert stack.reconcile("parts") == {"projects": {"parts": {}}}


def test_a_reconcile_that_fails_is_told(session: StubbedSession, stack: AwsStack) -> None:
    session.will(
        "lambda",
        "invoke",
        {"FunctionName": "reconcile", "Payload": b"{}"},
        {"StatusCode": 200, "FunctionError": "Unhandled", "Payload": io.BytesIO(b'{"errorMessage": "boom"}')},
    )
    with pytest.raises(CommandFault, match="boom"):
        stack.reconcile(None)


def test_a_model_is_controlled_by_its_function(session: StubbedSession, stack: AwsStack) -> None:
    hosting = b'{"state": "starting", "since": "2026-11-21T12:00:00Z", "units": 1}'
    session.will(
        "lambda",
        "invoke",
        {"FunctionName": "control-model", "Payload": b'{"project": "parts", "action": "start"}'},
        {"StatusCode": 200, "Payload": io.BytesIO(hosting)},
    )
    assert stack.control_model("parts", "start")["state"] == "starting"


def test_images_in_buckets_that_the_stack_refers_to_are_registered_by_its_function(
    session: StubbedSession, stack: AwsStack
) -> None:
    assert stack.referred_buckets == {"archive", "photos"}
    payload = b'{"action": "refer", "project": "parts", "uris": ["s3://photos/a b.png"]}'
    request = {"FunctionName": "import-labels", "Payload": payload}
    answer = {"StatusCode": 200, "Payload": io.BytesIO(b'{"asked": 1}')}
    session.will("lambda", "invoke", request, answer)
    stack.refer_to("parts", ["s3://photos/a b.png"])
    session.assert_called("lambda")


def test_a_bucket_s_region_is_known_by_today_s_name(stack: AwsStack) -> None:
    s3 = boto3.client("s3", "us-east-1")
    for name, constraint in (("photos", "eu-central-1"), ("archive", "EU")):
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": constraint})  # type: ignore[typeddict-item]
    assert stack.region == stack.region_of("raw-data") == "us-east-1"
    assert stack.region_of("photos") == "eu-central-1"
    assert stack.region_of("archive") == "eu-west-1"
    with pytest.raises(CommandFault, match="find out where nobodys is"):
        stack.region_of("nobodys")


def http(answer: Callable[[httpx.Request], httpx.Response], waits: list[float] | None = None) -> Http:
    sleep = waits.append if waits is not None else (lambda _: None)
    return Http("https://api.test/live", httpx.MockTransport(answer), sleep)


def test_a_problem_document_becomes_an_api_problem() -> None:
    problem = {
        "type": "urn:loupe:problem:lease-lost",
        "title": "Lost",
        "status": 409,
        "detail": "Mara has it.",
    }
    client = http(lambda _: httpx.Response(409, json=problem))
    with pytest.raises(ApiProblem) as raised:
        client.call("GET", "/x", {})
    assert (raised.value.status, raised.value.slug, raised.value.detail) == (
        409,
        "lease-lost",
        "Mara has it.",
    )


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"message": "Forbidden"}'])
def test_any_other_refusal_is_an_api_problem_too(body: bytes) -> None:
    with pytest.raises(ApiProblem):
        http(lambda _: httpx.Response(403, content=body)).call("GET", "/x", {})


def test_what_may_pass_is_tried_again() -> None:
    answers = iter([httpx.Response(503), httpx.Response(429), httpx.Response(200, json={"a": 1})])
    waits: list[float] = []
    assert http(lambda _: next(answers), waits).call("GET", "/x", {}) == {"a": 1}
    assert len(waits) == 2


def test_a_server_that_is_gone_is_a_fault_in_words() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(CommandFault, match=r"https://api\.test/live does not answer"):
        http(refuse).call("GET", "/x", {})


def test_a_token_that_has_run_out_is_renewed_once() -> None:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["authorization"])
        if request.headers["authorization"] == "token-1":
            return httpx.Response(401, json={"message": "Unauthorized"})
        return httpx.Response(200, json={"projects": []})

    tokens = iter(["token-1", "token-2"])
    portal = HttpPortalSession(http(answer), lambda: next(tokens))
    assert portal.projects() == []
    assert portal.projects() == []
    assert seen == ["token-1", "token-2", "token-2"]


def test_the_portal_is_called_as_its_interface_says() -> None:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append((request.method, request.url.raw_path.decode(), request.content))
        return httpx.Response(204) if request.method == "DELETE" else httpx.Response(200, json={})

    portal = HttpPortalSession(http(answer), lambda: "token")
    portal.lease("digits", 20)
    portal.annotate("digits", "digits-1", "000012", OneLabel("7"), 3)
    portal.give_back("digits")
    assert seen == [
        ("POST", "/live/api/projects/digits/leases", b'{"count":20}'),
        (
            "PUT",
            "/live/api/projects/digits/jobs/digits-1/tasks/000012/annotation",
            b'{"label":"7","lease":3}',
        ),
        ("DELETE", "/live/api/projects/digits/leases", b""),
    ]


def test_log_lines_come_from_all_functions_in_the_order_of_their_time() -> None:
    session, job = StubbedSession(), "parts-20261121t101500-1a2b"

    def line(second: int, **members: str) -> str:
        return json.dumps({"timestamp": f"2026-11-21 10:15:0{second}", "service": "f", **members})

    def resource(kind: str, name: str) -> dict[str, Any]:
        return {
            "LogicalResourceId": name,
            "PhysicalResourceId": f"loupe-{name}",
            "ResourceType": f"AWS::{kind}",
            "LastUpdatedTimestamp": datetime.now(UTC),
            "ResourceStatus": "CREATE_COMPLETE",
        }

    found = [resource("Logs::LogGroup", "PredictLogs"), resource("Lambda::Function", "Predict")]
    listed = {"StackResourceSummaries": found}
    session.will("cloudformation", "list_stack_resources", {"StackName": "loupe"}, listed)
    said = [
        line(2, correlation_id=job),
        f"START RequestId: {job}",
        line(1, correlation_id=job),
        line(0, path=f"/jobs/{job}"),
        line(2, correlation_id=job),
    ]
    request = {"logGroupName": "loupe-PredictLogs", "filterPattern": f'"{job}"', "startTime": 1000}
    session.will("logs", "filter_log_events", request, {"events": [{"message": text} for text in said]})
    lines = AwsStack(session, "loupe").log_lines([job], datetime.fromtimestamp(1, UTC))
    assert [each["timestamp"][-1] for each in lines] == ["1", "2"]
