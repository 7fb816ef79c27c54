"""What the model registry is told, and what it tells."""

import re
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber

from loupe.adapters.model_packages import ModelRegistry
from loupe.domain.errors import InvalidProject, StoreUnavailable
from loupe.domain.projects import parse_project_yaml
from tests.unit.training.requests import assert_aws_takes
from tests.unit.training.world import World

PACKAGE = "arn:aws:sagemaker:us-east-1:123456789012:model-package/loupe-digits/2"


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    client: Any = boto3.client("sagemaker", "us-east-1")
    with Stubber(client) as stub:
        yield stub
        stub.assert_no_pending_responses()


@pytest.fixture
def registry(stub: Stubber) -> ModelRegistry:
    client: Any = stub.client
    return ModelRegistry(client)


def described(stub: Stubber, status: str) -> None:
    package = {
        "ModelPackageName": "loupe-digits",
        "ModelPackageArn": PACKAGE,
        "CreationTime": 0,
        "ModelPackageStatus": "Completed",
        "ModelPackageStatusDetails": {"ValidationStatuses": []},
        "ModelApprovalStatus": status,
    }
    stub.add_response("describe_model_package", package, {"ModelPackageName": PACKAGE})


def test_an_approval_is_set_with_who_gave_it(stub: Stubber, registry: ModelRegistry) -> None:
    described(stub, "PendingManualApproval")
    asked = {
        "ModelPackageArn": PACKAGE,
        "ModelApprovalStatus": "Approved",
        "ApprovalDescription": "ann approved it" + "!" * 1009,
    }
    stub.add_response("update_model_package", {"ModelPackageArn": PACKAGE}, asked)
    registry.set_approval(PACKAGE, "Approved", "ann approved it" + "!" * 2000)


def test_one_that_is_set_already_is_left(stub: Stubber, registry: ModelRegistry) -> None:
    described(stub, "Approved")
    registry.set_approval(PACKAGE, "Approved", "ann approved it")


def test_a_package_that_somebody_deleted_is_no_trouble(stub: Stubber, registry: ModelRegistry) -> None:
    message = f"ModelPackage {PACKAGE} does not exist."
    stub.add_client_error("describe_model_package", "ValidationException", message)
    registry.set_approval(PACKAGE, "Approved", "ann approved it")
    stub.add_client_error("describe_model_package", "ValidationException", message)
    assert registry.describe(PACKAGE) == {}


def test_a_registry_that_does_not_answer_is_told(stub: Stubber, registry: ModelRegistry) -> None:
    stub.add_client_error("describe_model_package", "ThrottlingException", "Rate exceeded")
    with pytest.raises(StoreUnavailable, match="Rate exceeded"):
        registry.set_approval(PACKAGE, "Approved", "ann approved it")


def test_a_registry_that_cannot_be_reached_is_told() -> None:
    class Unreachable:
        def describe_model_package(self, **_: Any) -> Any:
            raise EndpointConnectionError(endpoint_url="https://sagemaker.invalid")

    client: Any = Unreachable()
    with pytest.raises(StoreUnavailable, match="could not be reached"):
        ModelRegistry(client).set_approval(PACKAGE, "Approved", "ann approved it")


# What explains a model ------------------------------------------------------------------------------


def test_a_plan_says_what_the_registry_shall_tell(world: World) -> None:
    odd = {"epochs": "40", "weights": '{"a": 2}', "backbone": "x" * 300}
    world.configure(training={"hyperparameters": odd})
    world.finish("digits-1", {world.upload(f"{at}"): "ab"[at % 2] for at in range(20)})
    plan = world.plan(world.build().version or "")
    assert plan.registry["hyperparameter:epochs"] == "40"
    assert plan.registry["hyperparameter:weights"] == "__a_: 2_"
    assert len(plan.registry["hyperparameter:backbone"]) == 256
    assert re.fullmatch("[0-9a-f]{64}", plan.registry["trainer_code"])
    assert (plan.registry["dataset_version"], plan.registry["trainer"]) == ("0001", "script")
    assert not [name for name in plan.registry if "sagemaker" in name]
    containers = [{"Image": "image", "ModelDataUrl": "s3://workspace/model.tar.gz"}]
    request = {
        "ModelPackageGroupName": "loupe-digits",
        "InferenceSpecification": {"Containers": containers},
        "CustomerMetadataProperties": plan.registry,
    }
    assert_aws_takes("sagemaker", "CreateModelPackage", request)


def test_only_models_that_sagemaker_hosts_can_wait_for_approval() -> None:
    text = "task: image-classification\nlabels: [a, b]\npromotion: {require: approval}\n"
    assert parse_project_yaml(text).promotion.require == "approval"
    rekognition = "training: {trainer: rekognition}\nhosting: {kind: rekognition}\n"
    with pytest.raises(InvalidProject, match=r"promotion\.require: only models that SageMaker hosts"):
        parse_project_yaml(text + rekognition)
