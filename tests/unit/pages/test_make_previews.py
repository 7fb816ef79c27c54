"""The function behind POST .../previews, with S3 and DynamoDB in process."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from loupe import bootstrap
from loupe.adapters.images_index import IndexedImages
from loupe.adapters.projects_index import IndexedProjects
from loupe.adapters.table import IndexTable
from loupe.domain.projects import ProjectConfig
from loupe.domain.workspace import Workspace
from loupe.ports.images import ImageRecord
from make_previews.handler import handler
from tests.contract.conftest import create_index_table
from tests.fakes.lambda_context import FakeLambdaContext
from tests.unit.ingest.pictures import jpeg

PROJECT = "bolts"
CONTENT = jpeg(800, 600)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A deployed stack with a project of one image."""
    environment = {
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "INDEX_TABLE": "index",
        "RAW_DATA_BUCKET": "raw-data",
        "WORKSPACE_BUCKET": "workspace",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        _forget_use_cases()
        client, s3 = boto3.client("dynamodb"), boto3.client("s3")
        create_index_table(client, "index")
        for bucket in ("raw-data", "workspace"):
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        table = IndexTable(client, "index")
        config = ProjectConfig.model_validate({"task": "image-classification", "labels": ["a", "b"]})
        IndexedProjects(table).save_config(PROJECT, config, None, "etag")
        s3.put_object(Bucket="raw-data", Key=f"{PROJECT}/a.jpg", Body=CONTENT)
        image = ImageRecord(
            SHA256, f"{PROJECT}/a.jpg", None, "e", len(CONTENT), 800, 600, "jpeg", "0" * 64,
            bootstrap.utc_now(),
        )  # fmt: skip
        IndexedImages(table, threads=1).restore(PROJECT, [image])
        yield
    _forget_use_cases()


def _forget_use_cases() -> None:
    for built in vars(bootstrap).values():
        if hasattr(built, "cache_clear"):
            built.cache_clear()


def call(body: Any, project: str = PROJECT) -> tuple[int, Any]:
    """Status and content of the API's answer."""
    event = {
        "httpMethod": "POST",
        "path": f"/portal/api/projects/{project}/previews",
        "headers": {},
        "multiValueHeaders": {},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "body": json.dumps(body),
        "isBase64Encoded": False,
        "requestContext": {"authorizer": {"claims": {"sub": "id-ada", "cognito:username": "ada"}}},
    }
    answer = handler(event, FakeLambdaContext())
    return answer["statusCode"], json.loads(answer["body"])


def test_a_preview_is_made_told_and_kept(stack: None) -> None:
    status, content = call({"size": "thumbnail", "images": [SHA256, "0" * 64]})
    assert status == 200
    [preview], [missing] = content["previews"], content["missing"]
    assert (preview["sha256"], preview["width"], preview["height"]) == (SHA256, 256, 192)
    assert (missing["sha256"], missing["reason"]) == ("0" * 64, "unknown-image")
    key = Workspace(PROJECT).preview("thumbnail", SHA256)
    assert preview["url"].startswith(f"https://workspace.s3.eu-west-1.amazonaws.com/{key}?")
    kept = boto3.client("s3").get_object(Bucket="workspace", Key=key)
    assert kept["ContentType"] == "image/webp"
    boto3.client("s3").delete_object(Bucket="raw-data", Key=f"{PROJECT}/a.jpg")
    assert call({"size": "thumbnail", "images": [SHA256]})[1]["missing"] == []


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"size": "huge", "images": [SHA256]}, "size"),
        ({"size": "preview", "images": []}, "images"),
        ({"size": "preview", "images": [SHA256] * 61}, "images"),
        ({"size": "preview", "images": ["../../secrets"]}, "images.0"),
        ({"size": "preview"}, "images"),
        ({"size": "preview", "images": [SHA256], "width": 9}, "width"),
    ],
)
def test_what_cannot_be_asked_for_is_named(stack: None, body: Any, named: str) -> None:
    status, problem = call(body)
    assert (status, problem["type"]) == (400, "urn:loupe:problem:bad-request")
    assert f"{named}:" in problem["detail"]


def test_a_project_that_is_not_there(stack: None) -> None:
    status, problem = call({"size": "preview", "images": [SHA256]}, "screws")
    assert (status, problem["type"]) == (404, "urn:loupe:problem:project-not-found")
