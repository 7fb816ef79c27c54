"""The function behind the console's pages, in process: what API Gateway sends in, what goes out."""

import json
from base64 import b64encode
from collections.abc import Iterator
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
    event = {
        "httpMethod": method,
        "path": f"/portal/api/projects/{PROJECT}/{path}",
        "queryStringParameters": query or None,
        "headers": {},
        "requestContext": {"authorizer": {"claims": {"sub": "1", "cognito:username": "maria"}}},
    }
    answer = model_api(event, FakeLambdaContext())
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
