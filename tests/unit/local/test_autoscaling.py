"""Scalable targets and policies of variants: what is kept, what is refused, what a caller needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from local.autoscaling.errors import NotAvailableError, ObjectNotFoundError, ValidationError
from local.autoscaling.service import also_needs, resource
from local.autoscaling.targets import ScalableTargets
from local.emulator import Request

VARIANTS: dict[tuple[str, str], dict[str, Any]] = {
    ("cracks", "AllTraffic"): {"VariantName": "AllTraffic", "InstanceType": "ml.m5.large"},
    ("cracks", "Serverless"): {"VariantName": "Serverless", "ServerlessConfig": {}},
    ("dents", "AllTraffic"): {"VariantName": "AllTraffic", "InstanceType": "ml.m5.large"},
}
CRACKS = "endpoint/cracks/variant/AllTraffic"
TRACKING = {
    "TargetValue": 70.0,
    "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
}


def kind(resource_id: str = CRACKS, **changes: Any) -> dict[str, Any]:
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": resource_id,
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        **changes,
    }


@pytest.fixture
def targets(tmp_path: Path) -> ScalableTargets:
    return ScalableTargets(tmp_path)


def register(targets: ScalableTargets, resource_id: str = CRACKS, **changes: Any) -> dict[str, Any]:
    request = kind(resource_id, **changes)
    return targets.register(request, lambda endpoint, variant: VARIANTS.get((endpoint, variant)))


def put_policy(targets: ScalableTargets, **changes: Any) -> dict[str, Any]:
    return targets.put_policy(
        kind(**{"PolicyName": "busy", "PolicyType": "TargetTrackingScaling", **changes})
    )


def only_target(targets: ScalableTargets) -> dict[str, Any]:
    (found,) = targets.describe({"ServiceNamespace": "sagemaker"})["ScalableTargets"]
    described: dict[str, Any] = found
    return described


def test_a_registered_variant_is_described(targets: ScalableTargets) -> None:
    arn = register(targets, MinCapacity=1, MaxCapacity=4)["ScalableTargetARN"]
    found = only_target(targets)
    assert (found["MinCapacity"], found["MaxCapacity"], found["ScalableTargetARN"]) == (1, 4, arn)
    assert found["RoleARN"].endswith("AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint")
    assert set(found["SuspendedState"].values()) == {False}


def test_an_update_changes_what_it_gives(targets: ScalableTargets) -> None:
    register(targets, MinCapacity=1, MaxCapacity=4)
    register(targets, MaxCapacity=8, SuspendedState={"DynamicScalingInSuspended": True})
    found = only_target(targets)
    assert (found["MinCapacity"], found["MaxCapacity"]) == (1, 8)
    assert found["SuspendedState"]["DynamicScalingInSuspended"]


def test_targets_survive_a_restart(targets: ScalableTargets, tmp_path: Path) -> None:
    register(targets, MinCapacity=1, MaxCapacity=4)
    put_policy(targets, TargetTrackingScalingPolicyConfiguration=TRACKING)
    again = ScalableTargets(tmp_path)
    assert only_target(again) == only_target(targets)
    assert len(again.describe_policies({"ServiceNamespace": "sagemaker"})["ScalingPolicies"]) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "MinCapacity is required"),
        ({"MinCapacity": 1}, "MaxCapacity is required"),
        ({"MinCapacity": 0, "MaxCapacity": 1}, "less than 1"),
        ({"MinCapacity": 3, "MaxCapacity": 2}, "less than minimum"),
        ({"resource_id": "endpoint/nobody/variant/AllTraffic"}, "names no variant"),
        ({"resource_id": "endpoint/cracks/variant/Other"}, "names no variant"),
        ({"resource_id": "cracks"}, "Unsupported resource ID"),
        ({"resource_id": "endpoint/cracks/variant/Serverless"}, "serverless"),
    ],
)
def test_a_target_that_aws_refuses_is_refused(
    targets: ScalableTargets, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        register(targets, **changes)
    assert targets.describe({"ServiceNamespace": "sagemaker"})["ScalableTargets"] == []


@pytest.mark.parametrize(
    "changes",
    [
        {"ServiceNamespace": "ecs", "ScalableDimension": "ecs:service:DesiredCount"},
        {"ScalableDimension": "sagemaker:variant:DesiredProvisionedConcurrency"},
        {"Tags": {"team": "vision"}},
    ],
)
def test_what_is_not_there_is_refused_by_name(targets: ScalableTargets, changes: dict[str, Any]) -> None:
    with pytest.raises(NotAvailableError, match="is not available in the local cloud"):
        register(targets, MinCapacity=1, MaxCapacity=2, **changes)


def test_a_policy_is_kept_and_replaced_by_its_name(targets: ScalableTargets) -> None:
    register(targets, MinCapacity=1, MaxCapacity=4)
    first = put_policy(targets, TargetTrackingScalingPolicyConfiguration=TRACKING)
    second = put_policy(targets, TargetTrackingScalingPolicyConfiguration={**TRACKING, "TargetValue": 10.0})
    assert first["PolicyARN"] == second["PolicyARN"]
    (found,) = targets.describe_policies(kind(PolicyNames=["busy"]))["ScalingPolicies"]
    assert found["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 10.0
    targets.delete_policy(kind(PolicyName="busy"))
    with pytest.raises(ObjectNotFoundError, match="busy"):
        targets.delete_policy(kind(PolicyName="busy"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "needs TargetTracking"),
        ({"PolicyType": "StepScaling", "TargetTrackingScalingPolicyConfiguration": TRACKING}, "no other"),
        ({"PolicyType": "StepScaling", "StepScalingPolicyConfiguration": {}}, "StepAdjustments"),
        ({"TargetTrackingScalingPolicyConfiguration": {**TRACKING, "TargetValue": 0.0}}, "above 0"),
        ({"TargetTrackingScalingPolicyConfiguration": {"TargetValue": 1.0}}, "either"),
        (
            {
                "TargetTrackingScalingPolicyConfiguration": {
                    "TargetValue": 1.0,
                    "PredefinedMetricSpecification": {
                        "PredefinedMetricType": "ECSServiceAverageCPUUtilization"
                    },
                }
            },
            "does not track",
        ),
    ],
)
def test_a_policy_that_aws_refuses_is_refused(
    targets: ScalableTargets, changes: dict[str, Any], said: str
) -> None:
    register(targets, MinCapacity=1, MaxCapacity=4)
    with pytest.raises(ValidationError, match=said):
        put_policy(targets, **changes)


def test_a_policy_needs_its_target_and_goes_with_it(targets: ScalableTargets) -> None:
    with pytest.raises(ObjectNotFoundError):
        put_policy(targets, TargetTrackingScalingPolicyConfiguration=TRACKING)
    register(targets, MinCapacity=1, MaxCapacity=4)
    put_policy(targets, TargetTrackingScalingPolicyConfiguration=TRACKING)
    targets.deregister(kind())
    assert targets.describe_policies({"ServiceNamespace": "sagemaker"})["ScalingPolicies"] == []
    with pytest.raises(ObjectNotFoundError):
        targets.deregister(kind())


def test_a_deleted_endpoint_takes_its_own_targets_along(targets: ScalableTargets) -> None:
    register(targets, MinCapacity=1, MaxCapacity=4)
    register(targets, "endpoint/dents/variant/AllTraffic", MinCapacity=1, MaxCapacity=4)
    assert targets.variants_of("cracks") == {"AllTraffic"}
    targets.forget("cracks")
    assert only_target(targets)["ResourceId"] == "endpoint/dents/variant/AllTraffic"


def test_a_list_comes_in_pages(targets: ScalableTargets) -> None:
    register(targets, MinCapacity=1, MaxCapacity=4)
    register(targets, "endpoint/dents/variant/AllTraffic", MinCapacity=1, MaxCapacity=4)
    first = targets.describe({"ServiceNamespace": "sagemaker", "MaxResults": 1})
    second = targets.describe(
        {"ServiceNamespace": "sagemaker", "MaxResults": 1, "NextToken": first["NextToken"]}
    )
    assert first["ScalableTargets"] != second["ScalableTargets"]
    assert "NextToken" not in second


def asked(operation: str) -> Request:
    body = json.dumps(kind()).encode()
    return Request("/", {"x-amz-target": f"AnyScaleFrontendService.{operation}"}, body)


def test_a_caller_needs_what_stands_behind_the_variant(targets: ScalableTargets) -> None:
    arn = register(targets, MinCapacity=1, MaxCapacity=4)["ScalableTargetARN"]
    assert resource(asked("RegisterScalableTarget")) == arn
    assert resource(asked("DescribeScalableTargets")) == "*"
    needed = {action: context for action, _, context in also_needs(asked("RegisterScalableTarget"))}
    assert needed == {
        "sagemaker:DescribeEndpoint": {},
        "sagemaker:UpdateEndpointWeightsAndCapacities": {},
        "iam:CreateServiceLinkedRole": {
            "iam:AWSServiceName": "sagemaker.application-autoscaling.amazonaws.com"
        },
    }
    assert {action for action, _, _ in also_needs(asked("PutScalingPolicy"))} == {
        "cloudwatch:PutMetricAlarm",
        "cloudwatch:DescribeAlarms",
        "cloudwatch:DeleteAlarms",
    }
    assert also_needs(asked("DeregisterScalableTarget")) == []
