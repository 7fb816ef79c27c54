"""Rekognition's answers and errors in Loupe's words; botocore's Stubber checks each call."""

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import ANY, Stubber
from PIL import Image

from loupe.adapters.custom_labels import CustomLabelsModels
from loupe.domain.errors import Conflict, DomainError, ModelError, ModelNotRunning, StoreUnavailable
from loupe.domain.projects import Hosting, TaskType
from loupe.ports.loops import Champion, ServedModel
from loupe.ports.models import HostedVersion

PROJECT = "arn:aws:rekognition:us-east-1:123456789012:project/loupe-parts/1777900000000"
VERSION = PROJECT.replace("/1777900000000", "/version/loupe-parts-0001-abcd/1777900000001")


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    client: Any = boto3.client("rekognition", "us-east-1")
    with Stubber(client) as stub:
        yield stub
        stub.assert_no_pending_responses()


@pytest.fixture
def models(stub: Stubber) -> CustomLabelsModels:
    client: Any = stub.client
    return CustomLabelsModels(client)


def model(task: TaskType = "image-classification") -> ServedModel:
    return ServedModel("rekognition", "rekognition", task, ("a", "b"), VERSION)


def png(width: int, height: int) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (width, height)).save(content, "PNG")
    return content.getvalue()


def test_labels_above_their_own_thresholds_come_best_first(stub: Stubber, models: CustomLabelsModels) -> None:
    found = [{"Name": "a", "Confidence": 40.0}, {"Name": "b", "Confidence": 85.5}]
    asked = {"ProjectVersionArn": VERSION, "Image": {"Bytes": b"image"}}
    stub.add_response("detect_custom_labels", {"CustomLabels": found}, asked)
    assert models.invoke(model(), b"image", "image/png") == [
        {"label": "b", "confidence": 0.855},
        {"label": "a", "confidence": 0.4},
    ]


def test_boxes_are_pixels_of_the_image_sent(stub: Stubber, models: CustomLabelsModels) -> None:
    box = {"Left": 0.25, "Top": 0.5, "Width": 0.125, "Height": 0.25}
    found = [{"Name": "a", "Confidence": 90.0, "Geometry": {"BoundingBox": box}}]
    stub.add_response("detect_custom_labels", {"CustomLabels": found})
    assert models.invoke(model("bounding-box"), png(800, 400), "image/png") == [
        {"label": "a", "confidence": 0.9, "box": {"left": 200, "top": 200, "width": 100, "height": 100}}
    ]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("ResourceNotReadyException", ModelNotRunning),
        ("ResourceNotFoundException", ModelNotRunning),
        ("InvalidImageFormatException", ModelError),
        ("ImageTooLargeException", ModelError),
        ("InvalidParameterException", ModelError),
        ("ProvisionedThroughputExceededException", StoreUnavailable),
        ("ThrottlingException", StoreUnavailable),
        ("AccessDeniedException", StoreUnavailable),
    ],
)
def test_an_error_of_an_answer_is_told_apart(
    stub: Stubber, models: CustomLabelsModels, code: str, error: type[DomainError]
) -> None:
    stub.add_client_error("detect_custom_labels", code, "it is so", 400, expected_params=ANY_CALL)
    with pytest.raises(error, match="it is so"):
        models.invoke(model(), b"image", "image/png")


ANY_CALL = {"ProjectVersionArn": ANY, "Image": ANY}


def test_versions_are_those_of_all_pages_with_their_state(stub: Stubber, models: CustomLabelsModels) -> None:
    stub.add_response(
        "describe_projects",
        {"ProjectDescriptions": [{"ProjectArn": PROJECT, "Status": "CREATED"}]},
        {"ProjectNames": ["loupe-parts"]},
    )
    old = VERSION.replace("0001-abcd", "0000-abcd")
    stub.add_response(
        "describe_project_versions",
        {
            "ProjectVersionDescriptions": [{"ProjectVersionArn": VERSION, "Status": "RUNNING"}],
            "NextToken": "more",
        },
        {"ProjectArn": PROJECT},
    )
    stub.add_response(
        "describe_project_versions",
        {"ProjectVersionDescriptions": [{"ProjectVersionArn": old, "Status": "TRAINING_FAILED"}]},
        {"ProjectArn": PROJECT, "NextToken": "more"},
    )
    assert models.versions("loupe-parts") == [
        HostedVersion(VERSION, "loupe-parts-0001-abcd", "running"),
        HostedVersion(old, "loupe-parts-0000-abcd", "stopped"),
    ]


def test_a_project_that_is_not_there_has_no_versions(stub: Stubber, models: CustomLabelsModels) -> None:
    stub.add_response("describe_projects", {"ProjectDescriptions": []})
    assert models.versions("loupe-parts") == []


def start(models: CustomLabelsModels, least: int, most: int | None = None) -> None:
    hosting = Hosting(kind="rekognition", inference_units=least, max_inference_units=most)
    model = ServedModel("rekognition", "rekognition", "image-classification", ("a", "b"), VERSION)
    models.start(
        "parts", Champion("0001", 0.9, model, None, None, datetime(2026, 11, 21, tzinfo=UTC)), hosting
    )


def test_a_version_starts_with_the_units_asked_for(stub: Stubber, models: CustomLabelsModels) -> None:
    asked = {"ProjectVersionArn": VERSION, "MinInferenceUnits": 2}
    stub.add_response("start_project_version", {"Status": "STARTING"}, asked)
    start(models, 2)
    stub.add_response("start_project_version", {"Status": "STARTING"}, asked | {"MaxInferenceUnits": 5})
    start(models, 2, 5)


def test_what_is_on_its_way_already_is_left_alone(stub: Stubber, models: CustomLabelsModels) -> None:
    stub.add_client_error("start_project_version", "ResourceInUseException")
    add_version(stub, "STARTING")
    start(models, 1)
    for status in ("STOPPING", "STOPPED"):
        stub.add_client_error("stop_project_version", "ResourceInUseException")
        add_version(stub, status)
        models.stop(VERSION)


def add_version(stub: Stubber, status: str) -> None:
    project = {"ProjectArn": PROJECT, "Status": "CREATED"}
    stub.add_response(
        "describe_projects", {"ProjectDescriptions": [project]}, {"ProjectNames": ["loupe-parts"]}
    )
    found = {"ProjectVersionArn": VERSION, "Status": status}
    stub.add_response("describe_project_versions", {"ProjectVersionDescriptions": [found]})


def test_a_version_that_still_stops_does_not_start(stub: Stubber, models: CustomLabelsModels) -> None:
    stub.add_client_error("start_project_version", "ResourceInUseException")
    add_version(stub, "STOPPING")
    with pytest.raises(Conflict, match="is being stopped: try again"):
        start(models, 1)


def test_a_version_that_starts_and_can_not_be_stopped_yet_is_no_success(
    stub: Stubber, models: CustomLabelsModels
) -> None:
    stub.add_client_error("stop_project_version", "ResourceInUseException")
    add_version(stub, "STARTING")
    with pytest.raises(Conflict, match="is starting and can't be stopped yet"):
        models.stop(VERSION)


def test_a_quota_that_is_used_up_says_what_to_do(stub: Stubber, models: CustomLabelsModels) -> None:
    stub.add_client_error("start_project_version", "LimitExceededException", "too many")
    with pytest.raises(Conflict, match="stop another model"):
        start(models, 1)


def test_a_service_that_does_not_answer_may_do_so_later(
    stub: Stubber, models: CustomLabelsModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub.add_client_error("stop_project_version", "InternalServerError")
    with pytest.raises(StoreUnavailable):
        models.stop(VERSION)

    def cut_off(*_: Any, **__: Any) -> None:
        raise EndpointConnectionError(endpoint_url="https://rekognition.invalid")

    monkeypatch.setattr(stub.client, "detect_custom_labels", cut_off)
    with pytest.raises(StoreUnavailable):
        models.invoke(model(), b"image", "image/png")
