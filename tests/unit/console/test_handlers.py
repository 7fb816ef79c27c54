"""The function behind the console's pages, in process: what API Gateway sends in, what goes out."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from loupe import bootstrap
from loupe.adapters.projects_index import IndexedProjects
from loupe.adapters.table import IndexTable
from loupe.domain.projects import ProjectConfig
from loupe.domain.workspace import Workspace
from model_api.handler import handler as model_api
from predict.handler import handler as predict
from release_api.handler import handler as release_api
from tests.contract.conftest import create_index_table
from tests.fakes.lambda_context import FakeLambdaContext
from tests.unit.ingest.pictures import png

PROJECT = "digits"
NAMES = Workspace(PROJECT)
PLAN = {
    "project": PROJECT,
    "version": "0001",
    "dataset_version": "0001",
    "execution": "arn:aws:states:us-east-1:123456789012:execution:loop:1",
    "started_at": "2026-11-21T12:00:00+00:00",
    "task": "image-classification",
    "labels": ["a", "ü&<b>"],
    "trainer": "script",
    "hosting": "serverless",
    "model_name": "loupe-digits-0001",
    "evaluation_uri": "s3://workspace/projects/digits/models/0001/evaluation.json",
    "tags": [],
}


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[IndexTable]:
    """Table, buckets and environment of a deployed stack with a project."""
    environment = {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "INDEX_TABLE": "index",
        "RAW_DATA_BUCKET": "raw-data",
        "WORKSPACE_BUCKET": "workspace",
        "EVENT_BUS_NAME": "default",
        "INFERENCE_UNIT_PRICE": "4",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        _forget_use_cases()
        client = boto3.client("dynamodb")
        create_index_table(client, "index")
        for bucket in ("raw-data", "workspace"):
            boto3.client("s3").create_bucket(Bucket=bucket)
        table = IndexTable(client, "index")
        config = {"task": "image-classification", "labels": ["a", "ü&<b>"]}
        IndexedProjects(table).save_config(PROJECT, ProjectConfig.model_validate(config), None, "etag")
        yield table
    _forget_use_cases()


def _forget_use_cases() -> None:
    for built in vars(bootstrap).values():
        if hasattr(built, "cache_clear"):
            built.cache_clear()


@pytest.fixture
def model(stack: IndexTable) -> str:
    """A model with its answers to two test images."""
    row = {"source-ref": f"s3://raw-data/{PROJECT}/a b+.png", "image-sha256": "0" * 64, "image-width": 64}
    answers = [("a", "ü&<b>", 0.75), ("a", "a", 0.5)]
    lines = [
        {**row, **dict(zip(("label", "predicted", "confidence"), answer, strict=True))} for answer in answers
    ]
    objects = {
        NAMES.plan("0001"): json.dumps(PLAN),
        NAMES.split("0001", "test"): json.dumps(row) + "\n",
        NAMES.predictions("0001"): "".join(json.dumps(line) + "\n" for line in lines),
    }
    for key, content in objects.items():
        boto3.client("s3").put_object(Bucket="workspace", Key=key, Body=content.encode())
    return "0001"


def call(path: str, method: str = "GET", **query: str) -> tuple[int, Any]:
    return answered(model_api, path, method, query=query)


def answered(
    handler: Callable[..., dict[str, Any]],
    path: str,
    method: str,
    query: dict[str, str] | None = None,
    body: Any = None,
    groups: str | None = None,
) -> tuple[int, Any]:
    """Status and document of the answer to maria, who is in those groups."""
    claims = {"sub": "1", "cognito:username": "maria"} | ({"cognito:groups": groups} if groups else {})
    event = {
        "httpMethod": method,
        "path": f"/portal/api/projects/{PROJECT}/{path}",
        "queryStringParameters": query or None,
        "headers": {},
        "body": None if body is None else json.dumps(body),
        "requestContext": {"authorizer": {"claims": claims}},
    }
    answer = handler(event, FakeLambdaContext())
    return answer["statusCode"], json.loads(answer["body"])


def test_models_are_listed_and_looked_at(model: str) -> None:
    status, listed = call("models")
    assert (status, [each["version"] for each in listed["models"]]) == (200, [model])
    status, told = call(f"models/{model}")
    assert (status, told["answers"]["known"]) == (200, True)
    status, judged = call(f"models/{model}/judgements")
    assert (status, judged["images"]) == (200, 2)


def test_a_cell_is_asked_for_by_its_labels(model: str) -> None:
    status, page = call(f"models/{model}/images", truth="a", predicted="ü&<b>")
    assert (status, [image["confidence"] for image in page["images"]]) == (200, [0.75])
    assert page["images"][0]["name"] == "digits/a b+.png"


def test_what_is_wrong_with_a_request_is_named(model: str) -> None:
    status, problem = call(f"models/{model}/images", truth="a", after="-1")
    assert (status, problem["type"]) == (400, "urn:loupe:problem:bad-request")
    assert "after" in problem["detail"]
    status, problem = call("models/0002")
    assert (status, problem["type"]) == (404, "urn:loupe:problem:model-not-found")


def test_jobs_are_told_and_asked_for(stack: IndexTable) -> None:
    status, told = call("jobs")
    assert (status, told["images"]["pending"], told["labeling"]["provider"]) == (200, 0, "portal")
    assert call("jobs/rejected") == (200, {"rejected": [], "next": None})
    for what in ("training", "reconciliation"):
        status, asked = call(f"jobs/{what}", "POST")
        assert (status, list(asked)) == (202, ["requested_at"])
    status, problem = call("jobs/labeling", "POST")
    assert (status, problem["detail"]) == (409, "no image is pending: upload some first")


def test_pages_are_told_whether_who_looks_may_decide(model: str) -> None:
    for path in ("models", f"models/{model}"):
        assert call(path)[1]["may_release"] is False
        assert answered(model_api, path, "GET", groups="loupe-workers,releasers")[1]["may_release"] is True


@pytest.fixture
def waiting(model: str) -> str:
    """The model waits for approval."""
    release = {
        "model_package_group": "loupe-digits",
        "model_data_url": "s3://workspace/model.tar.gz",
        "image": "image",
        "environment": {},
        "endpoint": "loupe-digits--abcdef",
        "role_arn": "arn:role",
        "rehearsal": "loupe-digits--abcdefr",
        "variant": {"VariantName": "AllTraffic", "ModelName": "loupe-digits-0001-abcd"},
        "update": {"EndpointName": "loupe-digits--abcdef", "EndpointConfigName": "loupe-digits-0001-abcd"},
    }
    outcome = {
        "project": PROJECT,
        "version": model,
        "outcome": "awaiting_approval",
        "reason": "better",
        "score": 0.9,
        "execution": PLAN["execution"],
        "model_package_arn": None,
        "decision": {"champion": None, "promote": True},
    }
    objects = {NAMES.plan(model): {**PLAN, "release": release}, NAMES.outcome(model): outcome}
    for key, content in objects.items():
        boto3.client("s3").put_object(Bucket="workspace", Key=key, Body=json.dumps(content).encode())
    return model


def decided(path: str, body: Any = None, groups: str | None = "releasers") -> tuple[int, Any]:
    return answered(release_api, path, "POST", body=body, groups=groups)


def test_a_candidate_is_approved_by_who_is_signed_in_and_twice_is_once(waiting: str) -> None:
    approval = f"models/{waiting}/approval"
    for _ in range(2):
        status, told = decided(approval, {"decision": "approve"})
        assert (status, told["state"], told["version"]) == (202, "requested", waiting)
    kept = boto3.client("s3").get_object(Bucket="workspace", Key=NAMES.approval(waiting))["Body"].read()
    assert (json.loads(kept)["decision"], json.loads(kept)["by"]) == ("approved", "maria")
    status, told = call("models")
    assert {name: told["releasing"][name] for name in ("version", "kind", "by")} == {
        "version": waiting,
        "kind": "approval",
        "by": "maria",
    }
    status, problem = decided(approval, {"decision": "reject"})
    assert (status, problem["type"]) == (409, "urn:loupe:problem:conflict")
    assert "maria approved it" in problem["detail"]


def test_a_candidate_is_let_go(waiting: str) -> None:
    assert call("models")[1]["models"][0]["choices"] == ["approve", "reject"]
    status, told = decided(f"models/{waiting}/approval", {"decision": "reject"})
    assert (status, told["state"], told["told"]) == (200, "rejected", "maria rejected it")
    assert call("models")[1]["models"][0]["outcome"] == "rejected"


def test_promotion_goes_on_again(stack: IndexTable) -> None:
    assert decided("models/resume")[1]["state"] == "resumed"
    status, problem = decided("models/0009/rollback")
    assert (status, problem["type"]) == (404, "urn:loupe:problem:unknown-model")


@pytest.mark.parametrize("body", [{}, {"decision": "approved"}, {"decision": "approve", "by": "eve"}, []])
def test_an_approval_says_what_is_decided_and_nothing_else(waiting: str, body: Any) -> None:
    status, problem = decided(f"models/{waiting}/approval", body)
    assert (status, problem["type"]) == (400, "urn:loupe:problem:bad-request")


@pytest.mark.parametrize("groups", [None, "loupe-workers", "[loupe-workers]", "not-releasers"])
def test_workers_decide_nothing_and_are_told_who_does(waiting: str, groups: str | None) -> None:
    for path, body in (
        (f"models/{waiting}/approval", {"decision": "approve"}),
        (f"models/{waiting}/rollback", None),
        ("models/resume", None),
    ):
        status, problem = decided(path, body, groups)
        assert (status, problem["type"]) == (403, "urn:loupe:problem:not-a-releaser")
        assert "loupe worker role maria releaser" in problem["detail"]


@pytest.mark.parametrize("base", ["/v1", "/portal/api"])
def test_apps_and_people_ask_the_model_in_the_same_way(stack: IndexTable, base: str) -> None:
    event = {
        "httpMethod": "POST",
        "path": f"{base}/projects/{PROJECT}/predictions",
        "headers": {"content-type": "image/png"},
        "body": b64encode(png(24, 24)).decode(),
        "isBase64Encoded": True,
        "requestContext": {},
    }
    answer = predict(event, FakeLambdaContext())
    assert answer["statusCode"] == 409
    assert json.loads(answer["body"])["type"] == "urn:loupe:problem:no-model-yet"
