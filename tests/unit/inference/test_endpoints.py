"""Endpoints of SageMaker, as botocore knows them."""

import io
import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.response import StreamingBody
from botocore.stub import Stubber

from loupe.adapters.endpoints import HostedModels, SageMakerEndpoints
from loupe.domain.errors import ModelError, StoreUnavailable
from loupe.domain.projects import TaskType, Trainer
from loupe.ports.loops import ServedModel
from tests.unit.ingest.pictures import png

if TYPE_CHECKING:
    from mypy_boto3_sagemaker_runtime.client import SageMakerRuntimeClient


def model(task: TaskType, trainer: Trainer) -> ServedModel:
    return ServedModel("serverless", trainer, task, ("a", "b"), "loupe-parts")


def body(content: bytes) -> StreamingBody:
    return StreamingBody(io.BytesIO(content), len(content))


@pytest.fixture
def client() -> "SageMakerRuntimeClient":
    return boto3.client(
        "sagemaker-runtime", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="s"
    )


def invoke(
    client: "SageMakerRuntimeClient", served: ServedModel, document: Any, image: bytes
) -> list[dict[str, Any]]:
    stub = Stubber(client)
    stub.add_response(
        "invoke_endpoint",
        {"Body": body(json.dumps(document).encode()), "ContentType": "application/json"},
        {
            "EndpointName": "loupe-parts",
            "Body": image,
            "ContentType": "image/png",
            "Accept": "application/json",
        },
    )
    with stub:
        return HostedModels({"serverless": SageMakerEndpoints(client)}).invoke(served, image, "image/png")


def test_loupes_own_models_answer_in_labels(client: "SageMakerRuntimeClient") -> None:
    said = {"predictions": [{"label": "a", "confidence": 0.9}, {"label": "b", "confidence": 0.1}]}
    assert invoke(client, model("image-classification", "script"), said, png()) == said["predictions"]


def test_boxes_of_a_built_in_model_are_in_pixels_of_the_image_that_was_sent(
    client: "SageMakerRuntimeClient",
) -> None:
    said = {"prediction": [[1.0, 0.9, 0.25, 0.5, 0.75, 1.0], [0.0, 0.05, 0.0, 0.0, 1.0, 1.0]]}
    assert invoke(client, model("bounding-box", "builtin"), said, png(400, 200)) == [
        {"label": "b", "confidence": 0.9, "box": {"left": 100, "top": 100, "width": 200, "height": 100}}
    ]


def test_an_answer_to_what_is_no_image_is_the_models_error(client: "SageMakerRuntimeClient") -> None:
    with pytest.raises(ModelError, match="no image"):
        invoke(client, model("bounding-box", "builtin"), {"prediction": []}, b"hello")


@pytest.mark.parametrize(
    ("code", "error"),
    [("ModelError", ModelError), ("ValidationError", StoreUnavailable), ("Throttling", StoreUnavailable)],
)
def test_a_broken_model_is_told_from_a_service_that_does_not_answer(
    client: "SageMakerRuntimeClient", code: str, error: type[Exception]
) -> None:
    stub = Stubber(client)
    stub.add_client_error("invoke_endpoint", code, "it broke")
    with stub, pytest.raises(error, match="loupe-parts"):
        SageMakerEndpoints(client).invoke(model("image-classification", "script"), png(), "image/png")
