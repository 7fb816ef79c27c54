"""Application Auto Scaling and alarms as a state machine calls them: permissions, answers, errors."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.local.sagemaker_stack import INFERENCE, Stack, machine, run

if TYPE_CHECKING:
    from tests.local.conftest import LocalCloud

LINKED_SERVICE = "sagemaker.application-autoscaling.amazonaws.com"
VARIANT = {
    "ServiceNamespace": "sagemaker",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}
ALARM = {
    "Namespace": "AWS/SageMaker",
    "MetricName": "Invocation5XXErrors",
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 1,
    "ComparisonOperator": "GreaterThanOrEqualToThreshold",
    "TreatMissingData": "notBreaching",
}


@pytest.fixture(scope="module")
def stack(local_cloud: LocalCloud) -> Stack:
    return Stack(local_cloud)


@pytest.fixture
def endpoint(stack: Stack) -> Iterator[str]:
    name = f"endpoint-{uuid.uuid4().hex[:8]}"
    config = stack.serving_model(INFERENCE, {"factor": 1, "total": 0})
    stack.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
    assert stack.settled(name)["EndpointStatus"] == "InService"
    yield name
    stack.sagemaker.delete_endpoint(EndpointName=name)


def task(resource: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"Type": "Task", "Resource": f"arn:aws:states:::aws-sdk:{resource}", "Arguments": arguments}


def scale_and_watch(endpoint: str, spare_config: str) -> dict[str, Any]:
    """What a release does beside the endpoint: an alarm, a target, a policy; and its clearing up."""
    variant = {**VARIANT, "ResourceId": f"endpoint/{endpoint}/variant/AllTraffic"}
    alarm = f"{endpoint}-errors"
    dimensions = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": "AllTraffic"}]
    tracking = {
        "TargetValue": 70,
        "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
    }
    policy = {
        **variant,
        "PolicyName": "busy",
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": tracking,
    }
    states = {
        "PutAlarm": task(
            "cloudwatch:putMetricAlarm", {**ALARM, "AlarmName": alarm, "Dimensions": dimensions}
        ),
        "FindAlarm": {
            **task("cloudwatch:describeAlarms", {"AlarmNames": [alarm]}),
            "Assign": {"alarm": "{% $states.result.MetricAlarms[0] %}"},
        },
        "Register": task(
            "applicationautoscaling:registerScalableTarget",
            {**variant, "MinCapacity": 1, "MaxCapacity": 3},
        ),
        "PutPolicy": task("applicationautoscaling:putScalingPolicy", policy),
        "FindPolicy": {
            **task("applicationautoscaling:describeScalingPolicies", {"ServiceNamespace": "sagemaker"}),
            "Assign": {"policy": "{% $states.result.ScalingPolicies[0].PolicyName %}"},
        },
        "Deregister": task("applicationautoscaling:deregisterScalableTarget", variant),
        "DeleteAlarm": task("cloudwatch:deleteAlarms", {"AlarmNames": [alarm]}),
        "DeleteConfig": task("sagemaker:deleteEndpointConfig", {"EndpointConfigName": spare_config}),
    }
    names = list(states)
    for name, following in itertools.pairwise(names):
        states[name]["Next"] = following
    states[names[-1]] |= {"End": True, "Output": {"alarm": "{% $alarm %}", "policy": "{% $policy %}"}}
    return {"QueryLanguage": "JSONata", "StartAt": names[0], "States": states}


def permissions(endpoint: str) -> list[dict[str, Any]]:
    account = "us-east-1:000000000000"
    alarms = [
        f"arn:aws:cloudwatch:{account}:alarm:{endpoint}-*",
        f"arn:aws:cloudwatch:{account}:alarm:TargetTracking-endpoint/{endpoint}/*",
    ]
    scalable = f"arn:aws:application-autoscaling:{account}:scalable-target/*"
    scaling = [
        f"application-autoscaling:{verb}"
        for verb in ("RegisterScalableTarget", "DeregisterScalableTarget", "PutScalingPolicy")
    ]
    linked = {"StringEquals": {"iam:AWSServiceName": LINKED_SERVICE}}
    return [
        {
            "Effect": "Allow",
            "Action": ["cloudwatch:PutMetricAlarm", "cloudwatch:DeleteAlarms"],
            "Resource": alarms,
        },
        {
            "Effect": "Allow",
            "Action": "cloudwatch:DescribeAlarms",
            "Resource": f"arn:aws:cloudwatch:{account}:alarm:*",
        },
        {"Effect": "Allow", "Action": scaling, "Resource": scalable},
        {
            "Effect": "Allow",
            "Action": ["sagemaker:DescribeEndpoint", "sagemaker:UpdateEndpointWeightsAndCapacities"],
            "Resource": f"arn:aws:sagemaker:{account}:endpoint/{endpoint}",
        },
        {
            "Effect": "Allow",
            "Action": "sagemaker:DeleteEndpointConfig",
            "Resource": f"arn:aws:sagemaker:{account}:endpoint-config/*",
        },
        {
            "Effect": "Allow",
            "Action": "iam:CreateServiceLinkedRole",
            "Resource": f"arn:aws:iam::*:role/aws-service-role/{LINKED_SERVICE}/*",
            "Condition": linked,
        },
        {"Effect": "Allow", "Action": "application-autoscaling:DescribeScalingPolicies", "Resource": "*"},
    ]


def test_a_state_machine_watches_and_scales_an_endpoint(stack: Stack, endpoint: str) -> None:
    spare = stack.serving_model(INFERENCE)
    done = run(stack, machine(stack, scale_and_watch(endpoint, spare), permissions(endpoint)), {})
    assert done["status"] == "SUCCEEDED", (done.get("error"), done.get("cause"))
    output = json.loads(done["output"])
    assert output["alarm"]["AlarmName"] == f"{endpoint}-errors"
    assert {d["Name"]: d["Value"] for d in output["alarm"]["Dimensions"]} == {
        "EndpointName": endpoint,
        "VariantName": "AllTraffic",
    }
    assert output["policy"] == "busy"
    scaling, cloudwatch = stack.client("application-autoscaling"), stack.client("cloudwatch")
    assert scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"] == []
    assert cloudwatch.describe_alarms(AlarmNames=[f"{endpoint}-errors"])["MetricAlarms"] == []
    with pytest.raises(ClientError, match="Could not find endpoint configuration"):
        stack.sagemaker.describe_endpoint_config(EndpointConfigName=spare)


@pytest.mark.parametrize(
    ("missing", "error"),
    [
        (0, "CloudWatch.CloudWatchException"),
        (1, "CloudWatch.CloudWatchException"),
        (2, "ApplicationAutoScaling.ApplicationAutoScalingException"),
        (3, "ApplicationAutoScaling.ApplicationAutoScalingException"),
        (4, "SageMaker.SageMakerException"),
        (5, "ApplicationAutoScaling.ApplicationAutoScalingException"),
    ],
)
def test_it_may_do_what_its_role_allows(stack: Stack, endpoint: str, missing: int, error: str) -> None:
    allowed = permissions(endpoint)
    del allowed[missing]
    spare = stack.serving_model(INFERENCE)
    done = run(stack, machine(stack, scale_and_watch(endpoint, spare), allowed), {})
    assert (done["status"], done["error"]) == ("FAILED", error)
    assert "is not authorized to perform" in done["cause"]


def test_a_variant_that_is_scaled_keeps_its_type_of_instance(stack: Stack, endpoint: str) -> None:
    scaling = stack.client("application-autoscaling")
    variant = {**VARIANT, "ResourceId": f"endpoint/{endpoint}/variant/AllTraffic"}
    with pytest.raises(ClientError, match=r"ValidationException.*names no variant"):
        scaling.register_scalable_target(
            **{**variant, "ResourceId": "endpoint/nobody/variant/AllTraffic"}, MinCapacity=1, MaxCapacity=2
        )
    scaling.register_scalable_target(**variant, MinCapacity=1, MaxCapacity=2)
    other = stack.serving_model(INFERENCE, InstanceType="ml.c5.large", InitialInstanceCount=1)
    with pytest.raises(ClientError, match="must be deregistered as scalable targets"):
        stack.sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=other)
    scaling.deregister_scalable_target(**variant)
    with pytest.raises(ClientError, match="ObjectNotFoundException"):
        scaling.deregister_scalable_target(**variant)
    with pytest.raises(ClientError, match="DescribeScalingActivities is not available in the local cloud"):
        scaling.describe_scaling_activities(ServiceNamespace="sagemaker")
