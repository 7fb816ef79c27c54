"""The function behind the dataset page, in process: what API Gateway sends in, what goes out."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from dataset_api.handler import handler as dataset_api
from loupe import bootstrap
from loupe.adapters.images_index import IndexedImages
from loupe.adapters.projects_index import IndexedProjects
from loupe.adapters.table import IndexTable
from loupe.domain.projects import ProjectConfig
from tests.contract.conftest import create_index_table
from tests.fakes.lambda_context import FakeLambdaContext
from tests.unit.console.console import two_labels
from tests.unit.training.world import PROJECT, World

BASE = f"/portal/api/projects/{PROJECT}/datasets"


@pytest.fixture
def digest(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A deployed stack whose project has a dataset version; one of its images, labeled a."""
    environment = {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "INDEX_TABLE": "index",
        "RAW_DATA_BUCKET": "raw",
        "WORKSPACE_BUCKET": "workspace",
        "EVENT_BUS_NAME": "default",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    world = World()
    a, _ = two_labels(world)
    world.build()
    with mock_aws():
        _forget_use_cases()
        client, s3 = boto3.client("dynamodb"), boto3.client("s3")
        create_index_table(client, "index")
        table = IndexTable(client, "index")
        config = ProjectConfig.model_validate({"task": "image-classification", "labels": ["a", "b"]})
        IndexedProjects(table).save_config(PROJECT, config, None, "etag")
        for bucket in (world.raw, world.workspace):
            s3.create_bucket(Bucket=bucket.bucket)
            for key, content in bucket.content.items():
                s3.put_object(Bucket=bucket.bucket, Key=key, Body=content)
        record = world.images.image(PROJECT, a[0])
        assert record is not None
        IndexedImages(table, threads=1).restore(PROJECT, [record])
        yield a[0]
    _forget_use_cases()


def _forget_use_cases() -> None:
    for built in vars(bootstrap).values():
        if hasattr(built, "cache_clear"):
            built.cache_clear()


def call(method: str, path: str, body: Any = None, **query: str) -> tuple[int, Any]:
    """Status and content of the API's answer to ada."""
    event = {
        "httpMethod": method,
        "path": BASE + path,
        "headers": {},
        "multiValueHeaders": {},
        "queryStringParameters": query or None,
        "multiValueQueryStringParameters": {name: [value] for name, value in query.items()} or None,
        "body": json.dumps(body) if body is not None else None,
        "isBase64Encoded": False,
        "requestContext": {"authorizer": {"claims": {"sub": "id-ada", "cognito:username": "ada"}}},
    }
    answer = dataset_api(event, FakeLambdaContext())
    return answer["statusCode"], json.loads(answer["body"]) if answer["body"] else None


def test_a_version_from_the_list_to_a_corrected_image(digest: str) -> None:
    status, told = call("GET", "")
    assert (status, [each["version"] for each in told["versions"]]) == (200, ["0001"])
    assert call("GET", "/latest")[1]["splits"]["train"]["labels"] == {"a": 4, "b": 4}
    status, page = call("GET", "/latest/images", label="a", split="train", limit="2", offset="1")
    assert (status, page["version"], page["total"], len(page["images"])) == (200, "0001", 4, 2)
    assert "previews/thumbnail/" in page["images"][0]["thumbnail"]
    correction = {"sha256": digest, "label": "b", "seen": None}
    status, answer = call("POST", "/0001/corrections", {"corrections": [correction]})
    assert (status, answer["corrections"][0]["corrected"]["workers"]) == (200, ["ada"])
    assert answer["corrections"][0]["counts"] == "yours"
    status, image = call("GET", f"/0001/images/{digest}")
    assert (status, image["label"], image["current"]["label"]) == (200, "a", "b")
    assert call("POST", "") == (202, {"corrected_images": 1})
    assert call("GET", "/0001/changes", since="0001")[1]["changes"]["relabeled"] == 0


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ({"split": "exam"}, "split: Input should be 'train', 'validation' or 'test'"),
        ({"limit": "500"}, "limit: Input should be less than or equal to 60"),
        ({"colour": "red"}, "colour: is not a field of this request"),
        ({"confidence_from": "2"}, "confidence_from: Input should be less than or equal to 1"),
        ({"change": "added"}, "since and change go together"),
    ],
)
def test_a_filter_that_there_is_not_is_refused(digest: str, query: dict[str, str], detail: str) -> None:
    assert digest
    status, problem = call("GET", "/0001/images", **query)
    assert (status, problem["detail"]) == (400, detail)


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ({"corrections": []}, 400, "corrections: List should have at least 1 item"),
        ({"corrections": [{"sha256": "x"}]}, 400, "give one of label, labels, boxes and withdrawn"),
        ({"corrections": [{"sha256": "x", "label": "a"}] * 2}, 400, "name each image once"),
        ({"corrections": [{"sha256": "x", "label": "a"}]}, 400, "is no SHA-256"),
        ({"corrections": [{"sha256": "0" * 64, "withdrawn": True}]}, 404, "has no image"),
    ],
)
def test_a_correction_that_can_t_be_understood_is_refused(
    digest: str, body: dict[str, Any], status: int, detail: str
) -> None:
    assert digest
    answered, problem = call("POST", "/0001/corrections", body)
    assert answered == status
    assert detail in problem["detail"]


def test_a_comparison_needs_another_version(digest: str) -> None:
    assert digest
    assert call("GET", "/0001/changes")[0] == 400
    assert call("GET", "/0001/changes", since="0007")[0] == 404
