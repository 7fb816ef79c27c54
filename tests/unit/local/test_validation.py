"""Requests are checked against SageMaker's own model, constraints of the service included."""

from __future__ import annotations

from typing import Any

import pytest

from local.sagemaker.errors import NotAvailableError, ValidationError
from local.sagemaker.validation import only_members, validate
from local.validation import api_model


def request(**changes: Any) -> dict[str, Any]:
    return {
        "TrainingJobName": "digits-0001",
        "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
        "RoleArn": "arn:aws:iam::000000000000:role/training",
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/models"},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        **changes,
    }


def test_a_valid_request_passes() -> None:
    validate("CreateTrainingJob", request())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"TrainingJobName": "under_score"}, "at 'trainingJobName' .* regular expression"),
        ({"TrainingJobName": "x" * 64}, "length less than or equal to 63"),
        ({"RoleArn": "arn:aws:iam::1:role/training"}, "at 'roleArn'"),
        ({"OutputDataConfig": {"S3OutputPath": "bucket/models"}}, "at 'outputDataConfig.s3OutputPath'"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 0}}, "MaxRuntimeInSeconds"),
        ({"HyperParameters": {"epochs": "9" * 2501}}, "at 'hyperParameters.epochs.member' .* 2500"),
        ({"HyperParameters": {"epochs": 9}}, "Invalid type for parameter HyperParameters.epochs"),
        ({"Colour": "red"}, "Unknown parameter in input"),
        (
            {"AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "Post"}},
            "enum value set",
        ),
        (
            {"AlgorithmSpecification": {"TrainingInputMode": "File", "MetricDefinitions": [{"Name": ""}]}},
            "Regex",
        ),
    ],
)
def test_what_sagemaker_refuses_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        validate("CreateTrainingJob", request(**changes))


def test_a_missing_member_is_named() -> None:
    given = request()
    del given["RoleArn"]
    with pytest.raises(ValidationError, match='Missing required parameter in input: "RoleArn"'):
        validate("CreateTrainingJob", given)


def test_every_broken_constraint_is_told() -> None:
    with pytest.raises(ValidationError, match="2 validation errors detected"):
        validate("CreateTrainingJob", request(TrainingJobName="a_b", RoleArn="x" * 30))


def test_an_operation_that_does_not_exist() -> None:
    with pytest.raises(NotAvailableError, match="MakeCoffee is not available in the local cloud"):
        validate("MakeCoffee", {})


def test_an_answer_holds_only_what_the_operation_describes() -> None:
    assert only_members("CreateModel", {"ModelArn": "arn", "Secret": 1}) == {"ModelArn": "arn"}


def test_a_pattern_may_speak_of_characters_as_java_does() -> None:
    """Beyond U+FFFF a character is a pair there."""
    target = {
        "ServiceNamespace": "sagemaker",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "ResourceId": "endpoint/cracks/variant/AllTraffic",
    }
    model = api_model("application-autoscaling")
    assert model.faults("DeregisterScalableTarget", target) is None
    assert model.faults("DeregisterScalableTarget", {**target, "ResourceId": "endpoint/\U0001f600"}) is None
    faults = model.faults("DeregisterScalableTarget", {**target, "ResourceId": "endpoint/\x00"})
    assert faults is not None
    assert "resourceId" in faults
