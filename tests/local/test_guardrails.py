"""Deployment guardrails of the local SageMaker, with real processes, requests and CloudWatch alarms."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.local.sagemaker_stack import Stack
from tests.local.waiting import eventually

if TYPE_CHECKING:
    from tests.local.conftest import LocalCloud

ANSWERS = """
import json, pathlib
def model_fn(model_dir):
    return json.loads(pathlib.Path(model_dir, "model.json").read_text())["total"]
def predict_fn(number, model):
    return model
def input_fn(body, content_type):
    return int(body)
def output_fn(prediction, accept):
    return json.dumps(prediction), "application/json"
"""
FAILS = ANSWERS.replace("return model\n", 'raise RuntimeError("the new model fails")\n')
OLD, NEW = 1, 2


@pytest.fixture(scope="module")
def stack(local_cloud: LocalCloud) -> Stack:
    return Stack(local_cloud)


@pytest.fixture
def endpoint(stack: Stack) -> Iterator[str]:
    """An endpoint of instances whose model answers OLD."""
    name = f"endpoint-{uuid.uuid4().hex[:8]}"
    config = stack.serving_model(ANSWERS, {"total": OLD})
    stack.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
    assert stack.settled(name)["EndpointStatus"] == "InService"
    yield name
    stack.sagemaker.delete_endpoint(EndpointName=name)


def shifting(kind: str, percent: int, wait: int, *, last: int = 0, alarms: list[str] | None = None) -> Any:
    """A DeploymentConfig."""
    member = "CanarySize" if kind == "CANARY" else "LinearStepSize"
    routing = {
        "Type": kind,
        "WaitIntervalInSeconds": wait,
        member: {"Type": "CAPACITY_PERCENT", "Value": percent},
    }
    policy = {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": last}
    if not alarms:
        return {"BlueGreenUpdatePolicy": policy}
    named = [{"AlarmName": name} for name in alarms]
    return {"BlueGreenUpdatePolicy": policy, "AutoRollbackConfiguration": {"Alarms": named}}


def update(stack: Stack, endpoint: str, config: str, deployment: Any) -> None:
    stack.sagemaker.update_endpoint(
        EndpointName=endpoint, EndpointConfigName=config, DeploymentConfig=deployment
    )


def describe(stack: Stack, endpoint: str) -> dict[str, Any]:
    found: dict[str, Any] = stack.sagemaker.describe_endpoint(EndpointName=endpoint)
    return found


def stage(stack: Stack, endpoint: str) -> tuple[str, float]:
    """Status and current weight of the variant that is being deployed."""
    found = describe(stack, endpoint)
    variants = found.get("PendingDeploymentSummary", {}).get("ProductionVariants")
    if not variants:
        return found["EndpointStatus"], 0.0
    return variants[0]["VariantStatus"][0]["Status"], variants[0]["CurrentWeight"]


def put_alarm(stack: Stack, endpoint: str, **changes: Any) -> str:
    """An alarm on errors of the endpoint; its name."""
    name = f"errors-{uuid.uuid4().hex[:8]}"
    dimensions = {"EndpointName": endpoint, "VariantName": "AllTraffic", **changes.pop("dimensions", {})}
    request = {
        "AlarmName": name,
        "Namespace": "AWS/SageMaker",
        "MetricName": "Invocation5XXErrors",
        "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
        "Statistic": "Sum",
        "Period": 10,
        "EvaluationPeriods": 1,
        "Threshold": 1,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "notBreaching",
        **changes,
    }
    stack.client("cloudwatch").put_metric_alarm(**request)
    return name


def alarm_state(stack: Stack, name: str) -> str:
    (alarm,) = stack.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
    state: str = alarm["StateValue"]
    return state


def test_a_canary_gets_about_its_share_and_a_good_model_all(stack: Stack, endpoint: str) -> None:
    config = stack.serving_model(ANSWERS, {"total": NEW})
    update(stack, endpoint, config, shifting("CANARY", 25, 5, last=1))
    eventually(lambda: stage(stack, endpoint) == ("Baking", 0.25), "the canary")
    found = describe(stack, endpoint)
    assert found["EndpointStatus"] == "Updating"
    assert found["PendingDeploymentSummary"]["EndpointConfigName"] == config
    answers = [stack.ask(endpoint, 0) for _ in range(200)]
    assert stage(stack, endpoint) == ("Baking", 0.25), "the requests took longer than the canary"
    assert 0.12 <= answers.count(NEW) / len(answers) <= 0.4
    assert set(answers) == {OLD, NEW}
    found = stack.settled(endpoint)
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", config)
    assert "FailureReason" not in found
    assert {stack.ask(endpoint, 0) for _ in range(20)} == {NEW}


def test_linear_steps_follow_each_other(stack: Stack, endpoint: str) -> None:
    config = stack.serving_model(ANSWERS, {"total": NEW})
    started = time.monotonic()
    update(stack, endpoint, config, shifting("LINEAR", 40, 2))
    seen: list[float] = []
    while describe(stack, endpoint)["EndpointStatus"] == "Updating":
        status, weight = stage(stack, endpoint)
        if status == "Baking" and weight not in seen:
            seen.append(weight)
        assert stack.ask(endpoint, 0) in (OLD, NEW)
        time.sleep(0.1)
    assert seen == pytest.approx([0.4, 0.8])
    assert time.monotonic() - started >= 4
    assert describe(stack, endpoint)["EndpointConfigName"] == config


def test_an_alarm_on_errors_rolls_back_and_no_request_to_the_old_model_fails(
    stack: Stack, endpoint: str
) -> None:
    before = describe(stack, endpoint)["EndpointConfigName"]
    alarm = put_alarm(stack, endpoint)
    bystander = put_alarm(stack, "another-endpoint")
    config = stack.serving_model(FAILS, {"total": NEW})
    update(stack, endpoint, config, shifting("CANARY", 50, 120, alarms=[alarm]))
    eventually(lambda: stage(stack, endpoint) == ("Baking", 0.5), "the canary")
    statuses, answers, failures = set(), [], []
    while (status := describe(stack, endpoint)["EndpointStatus"]) != "InService":
        statuses.add(status)
        try:
            answers.append(stack.ask(endpoint, 0))
        except ClientError as error:
            failures.append(str(error))
    assert statuses <= {"Updating", "RollingBack"}
    assert failures
    assert all("the new model fails" in failure for failure in failures)
    assert set(answers) == {OLD}
    found = describe(stack, endpoint)
    assert found["EndpointConfigName"] == before
    assert alarm in found["FailureReason"]
    assert "PendingDeploymentSummary" not in found
    assert alarm_state(stack, alarm) == "ALARM"
    assert alarm_state(stack, bystander) == "OK"
    assert {stack.ask(endpoint, 0) for _ in range(20)} == {OLD}
    eventually(lambda: alarm_state(stack, alarm) == "OK", "the errors to be over")


def test_an_alarm_may_watch_the_new_fleet_alone(stack: Stack, endpoint: str) -> None:
    config = stack.serving_model(ANSWERS, {"total": NEW})
    fleet = {"dimensions": {"EndpointConfigName": config}}
    slow = {
        "MetricName": "ModelLatency",
        "Threshold": 1,
        "Statistic": None,
        "ExtendedStatistic": "p50",
    }
    alarm = put_alarm(stack, endpoint, **{k: v for k, v in (slow | fleet).items() if v is not None})
    assert stack.ask(endpoint, 0) == OLD
    assert alarm_state(stack, alarm) == "OK"
    update(stack, endpoint, config, shifting("CANARY", 50, 120, alarms=[alarm]))
    eventually(lambda: stage(stack, endpoint) == ("Baking", 0.5), "the canary")
    while stack.ask(endpoint, 0) != NEW:
        pass
    found = stack.settled(endpoint)
    assert alarm in found["FailureReason"]


def test_an_alarm_set_by_hand_rolls_back_too(stack: Stack, endpoint: str) -> None:
    alarm = put_alarm(stack, endpoint)
    config = stack.serving_model(ANSWERS, {"total": NEW})
    update(stack, endpoint, config, shifting("CANARY", 10, 1, last=120, alarms=[alarm]))
    eventually(lambda: stage(stack, endpoint) == ("Baking", 1.0), "the last wait")
    assert {stack.ask(endpoint, 0) for _ in range(5)} == {NEW}
    stack.client("cloudwatch").set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="a test")
    found = stack.settled(endpoint)
    assert found["EndpointConfigName"] != config
    assert stack.ask(endpoint, 0) == OLD


def test_what_guardrails_do_not_allow_is_refused(stack: Stack, endpoint: str) -> None:
    config = stack.serving_model(ANSWERS, {"total": NEW})
    with pytest.raises(ClientError, match=r"ValidationException.*at most 50%"):
        update(stack, endpoint, config, shifting("CANARY", 60, 1))
    with pytest.raises(ClientError, match=r"ValidationException.*do not exist"):
        update(stack, endpoint, config, shifting("CANARY", 10, 1, alarms=["nothing"]))
    serverless = stack.serving_model(
        ANSWERS, {"total": NEW}, ServerlessConfig={"MemorySizeInMB": 1024, "MaxConcurrency": 5}
    )
    with pytest.raises(ClientError, match="not for serverless"):
        update(stack, endpoint, serverless, shifting("CANARY", 10, 1))
    assert describe(stack, endpoint)["EndpointStatus"] == "InService"


def test_alarms_on_metric_math_are_refused_by_name(stack: Stack) -> None:
    query = {"Id": "rate", "Expression": "errors / requests", "ReturnData": True}
    with pytest.raises(ClientError, match=r"metric math. is not available in the local cloud"):
        stack.client("cloudwatch").put_metric_alarm(
            AlarmName="rate",
            Metrics=[query],
            EvaluationPeriods=1,
            Threshold=0.1,
            ComparisonOperator="GreaterThanThreshold",
        )


def test_the_execution_role_has_to_see_the_alarms(stack: Stack, endpoint: str) -> None:
    alarm = put_alarm(stack, endpoint)
    able, stack.role = (
        stack.role,
        stack.make_role(
            "sagemaker.amazonaws.com",
            [{"Effect": "Allow", "Action": "s3:*", "Resource": f"arn:aws:s3:::{stack.bucket}*"}],
        ),
    )
    try:
        config = stack.serving_model(ANSWERS, {"total": NEW})
    finally:
        stack.role = able
    with pytest.raises(ClientError, match="not authorized to perform: cloudwatch:DescribeAlarms"):
        update(stack, endpoint, config, shifting("CANARY", 10, 1, alarms=[alarm]))


def test_requests_are_metrics(stack: Stack, endpoint: str) -> None:
    cloudwatch = stack.client("cloudwatch")
    for _ in range(5):
        stack.ask(endpoint, 0)
    with pytest.raises(ClientError):
        stack.runtime.invoke_endpoint(EndpointName=endpoint, Body=b"none", ContentType="text/plain")
    dimensions = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": "AllTraffic"}]

    def total(metric: str, statistic: str = "Sum") -> float:
        now = datetime.now(UTC)
        points = cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName=metric,
            Dimensions=dimensions,
            StartTime=now - timedelta(minutes=5),
            EndTime=now + timedelta(minutes=1),
            Period=3600,
            Statistics=[statistic],
        )["Datapoints"]
        return float(sum(point[statistic] for point in points))

    assert total("Invocations") == 6
    assert (total("Invocation4XXErrors"), total("Invocation5XXErrors")) == (0, 1)
    assert total("InvocationModelErrors") == 1
    assert total("ModelLatency", "SampleCount") == 6
    assert total("ModelLatency", "Maximum") > 100, "microseconds"


def test_a_shift_survives_a_killed_cloud(stack: Stack, endpoint: str) -> None:
    config = stack.serving_model(ANSWERS, {"total": NEW})
    stack.cloud.wait_until_saved()
    update(stack, endpoint, config, shifting("CANARY", 50, 5))
    eventually(lambda: stage(stack, endpoint) == ("Baking", 0.5), "the canary")
    stack.cloud.kill()
    stack.cloud.restart()
    assert describe(stack, endpoint)["EndpointStatus"] == "Updating"
    found = stack.settled(endpoint)
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", config)
    assert stack.ask(endpoint, 0) == NEW
