"""What the deployed inference API answers while there is no model, and to requests that are wrong."""

from __future__ import annotations

from base64 import b64encode

import pytest

from tests.local.deployment import Deployment
from tests.local.flows import A_LONG_WAIT, look_at, new_project, problem
from tests.unit.ingest.pictures import png

IMAGE = png(24, 24)
PNG = {"content-type": "image/png"}
MAX_BYTES = 4_500_000


def padded(size: int) -> bytes:
    """A PNG of exactly so many bytes: what comes after its end belongs to no image."""
    return IMAGE + bytes(size - len(IMAGE))


@pytest.fixture(scope="module")
def project(deployment: Deployment) -> str:
    """A configured project without images."""
    name = new_project("inference")
    deployment.configure(name, ["cat", "dog"], labeling=A_LONG_WAIT)
    look_at(deployment, f"{name}/project.yaml")
    return name


@pytest.fixture(scope="module")
def predictions(project: str) -> str:
    return f"/v1/projects/{project}/predictions"


def test_without_a_model_every_good_request_is_told_what_is_missing(
    deployment: Deployment, project: str, predictions: str
) -> None:
    bucket = deployment.outputs["RawDataBucket"]
    for request in (
        {"content": IMAGE, "headers": PNG},
        {"content": padded(MAX_BYTES), "headers": PNG},
        {"json": {"image": b64encode(IMAGE).decode()}},
        {"json": {"s3_uri": f"s3://{bucket}/{project}/a b+c.png"}},
    ):
        answer = deployment.request("POST", predictions, **request)
        assert problem(answer) == (409, "no-model-yet")
        assert "no labeling job of it has finished" in answer.json()["detail"]


def test_a_project_that_nobody_made_is_not_found(deployment: Deployment) -> None:
    for method, path in (("GET", ""), ("POST", "/predictions")):
        answer = deployment.request(method, f"/v1/projects/nobodys{path}")
        assert problem(answer) == (404, "project-not-found")


@pytest.mark.parametrize("key", ["", "not-the-key"], ids=["none", "a wrong one"])
def test_the_api_is_shut_without_its_key(deployment: Deployment, predictions: str, key: str) -> None:
    for method, path in (
        ("POST", predictions),
        ("GET", predictions.removesuffix("/predictions")),
        ("GET", predictions.replace("predictions", "rejected")),
    ):
        assert problem(deployment.request(method, path, headers={"x-api-key": key})) == (403, "api-key")


def test_what_is_no_image_is_refused_by_its_type_or_by_its_bytes(
    deployment: Deployment, predictions: str
) -> None:
    for content_type in ("text/plain", "image/gif", "application/octet-stream"):
        answer = deployment.request(
            "POST", predictions, content=IMAGE, headers={"content-type": content_type}
        )
        assert problem(answer) == (415, "unsupported-media-type")
    for content in (b"GIF89a", b"no image", b""):
        answer = deployment.request("POST", predictions, content=content, headers=PNG)
        assert problem(answer) == (422, "not-an-image")


@pytest.mark.parametrize("size", [MAX_BYTES + 1, 5_500_000, 9_000_000])
def test_a_body_that_is_too_large_is_told_the_way_that_works(
    deployment: Deployment, predictions: str, size: int
) -> None:
    answer = deployment.request("POST", predictions, content=padded(size), headers=PNG)
    assert problem(answer) == (413, "image-too-large")
    assert "s3_uri" in answer.json()["detail"]


def test_objects_outside_the_projects_folder_are_nobodys_to_name(
    deployment: Deployment, project: str, predictions: str
) -> None:
    raw_data, workspace = deployment.outputs["RawDataBucket"], deployment.outputs["WorkspaceBucket"]
    for uri in (
        f"s3://{raw_data}/other/a.png",
        f"s3://{raw_data}/a.png",
        f"s3://{workspace}/{project}/a.png",
    ):
        answer = deployment.request("POST", predictions, json={"s3_uri": uri})
        assert problem(answer) == (403, "foreign-object")


def test_json_that_is_not_one_of_the_two_requests_is_refused(
    deployment: Deployment, project: str, predictions: str
) -> None:
    uri = f"s3://{deployment.outputs['RawDataBucket']}/{project}/a.png"
    image = b64encode(IMAGE).decode()
    for document in (
        {"s3_uri": uri, "image": image},
        {},
        {"image": "no base64!"},
        {"s3_uri": "a.png"},
        [uri],
    ):
        answer = deployment.request("POST", predictions, json=document)
        assert problem(answer) == (400, "bad-request")
    answer = deployment.request(
        "POST", predictions, content=b"{", headers={"content-type": "application/json"}
    )
    assert problem(answer) == (400, "bad-request")
