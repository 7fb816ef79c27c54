"""Batch transform in the local cloud, with a script's model."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.local.sagemaker_stack import INFERENCE, Stack, archive, machine, run
from tests.local.waiting import eventually

if TYPE_CHECKING:
    from tests.local.conftest import LocalCloud

SLOW = INFERENCE.replace("import json", "import time, json").replace(
    "    return {", "    time.sleep(0.3)\n    return {"
)


@pytest.fixture(scope="module")
def stack(local_cloud: LocalCloud) -> Stack:
    return Stack(local_cloud)


def model(stack: Stack, script: str = INFERENCE, role: str | None = None) -> str:
    key = f"models/{uuid.uuid4().hex}.tar.gz"
    stack.put(key, archive({"model.json": '{"total": 3, "factor": 10}', "code/inference.py": script}))
    name = f"model-{uuid.uuid4().hex[:8]}"
    stack.sagemaker.create_model(
        ModelName=name,
        PrimaryContainer={"Image": "script", "ModelDataUrl": stack.uri(key)},
        ExecutionRoleArn=role or stack.role,
    )
    return name


def numbers(stack: Stack, *values: int) -> dict[str, str]:
    """An input of as many objects."""
    prefix = f"inputs/{uuid.uuid4().hex}/"
    for value in values:
        stack.put(f"{prefix}some/{value}", str(value).encode())
    return {"S3DataType": "S3Prefix", "S3Uri": stack.uri(prefix)}


def test_every_object_below_a_prefix_has_its_answer(stack: Stack) -> None:
    job = stack.transform(model(stack), numbers(stack, 1, 2), content="text/plain", MaxConcurrentTransforms=2)
    assert job["TransformJobStatus"] == "Completed", job
    assert job["TransformStartTime"] <= job["TransformEndTime"]
    assert stack.outputs(job) == {"some/1.out": b'{"answer": 13}', "some/2.out": b'{"answer": 23}'}


def test_lines_are_ended_if_asked(stack: Stack) -> None:
    wanted = {"S3OutputPath": stack.uri(f"out/{uuid.uuid4().hex}/"), "AssembleWith": "Line"}
    job = stack.transform(model(stack), numbers(stack, 1), content="text/plain", TransformOutput=wanted)
    assert list(stack.outputs(job).values()) == [b'{"answer": 13}\n']


def test_the_jobs_variables_reach_the_model(stack: Stack) -> None:
    script = INFERENCE.replace('model["factor"]', 'int(os.environ["FACTOR"])')
    given = numbers(stack, 2)
    job = stack.transform(model(stack, script), given, content="text/plain", Environment={"FACTOR": "7"})
    assert list(stack.outputs(job).values()) == [b'{"answer": 17}']


def test_a_script_that_fails_fails_the_job(stack: Stack) -> None:
    client = {"InvocationsMaxRetries": 0}
    job = stack.transform(model(stack), numbers(stack, 1), content="text/csv", ModelClientConfig=client)
    assert job["TransformJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("AlgorithmError: 1 of 1 objects could not be transformed")
    assert stack.outputs(job) == {}


def test_an_object_must_fit_the_payload(stack: Stack) -> None:
    prefix = f"inputs/{uuid.uuid4().hex}/"
    stack.put(f"{prefix}large", b"1" * (2**20 + 1))
    source = {"S3DataType": "S3Prefix", "S3Uri": stack.uri(prefix)}
    job = stack.transform(model(stack), source, content="text/plain", MaxPayloadInMB=1)
    assert "ClientError" in job["FailureReason"]
    assert "MaxPayloadInMB" in job["FailureReason"]


def test_a_listed_object_that_is_missing_fails_the_job_after_the_others(stack: Stack) -> None:
    prefix = numbers(stack, 1)["S3Uri"]
    stack.put("listed.json", json.dumps([{"prefix": prefix}, "some/gone", "some/1"]).encode())
    source = {"S3DataType": "ManifestFile", "S3Uri": stack.uri("listed.json")}
    job = stack.transform(model(stack), source, content="text/plain")
    assert job["FailureReason"].startswith("ClientError: 1 of 2 objects could not be transformed")
    assert f"{prefix}some/gone" in job["FailureReason"]
    assert set(stack.outputs(job)) == {"some/1.out"}


def test_an_empty_input_fails_the_job(stack: Stack) -> None:
    source = {"S3DataType": "S3Prefix", "S3Uri": stack.uri("nothing/here/")}
    job = stack.transform(model(stack), source)
    assert job["FailureReason"].startswith("ClientError: No S3 objects found")


@pytest.mark.parametrize("allowed", ["s3:GetObject", "s3:PutObject"])
def test_the_models_role_must_be_allowed_to_read_and_to_write(stack: Stack, allowed: str) -> None:
    everywhere = {"Effect": "Allow", "Resource": f"arn:aws:s3:::{stack.bucket}*"}
    statements = [{**everywhere, "Action": ["s3:ListBucket", allowed]}]
    role = stack.make_role("sagemaker.amazonaws.com", statements)
    job = stack.transform(model(stack, role=role), numbers(stack, 1), content="text/plain")
    assert job["TransformJobStatus"] == "Failed"
    assert "AccessDenied" in job["FailureReason"]


def test_a_job_can_be_stopped_once(stack: Stack) -> None:
    request = stack.transform_job(model(stack, SLOW), numbers(stack, *range(40)), content="text/plain")
    name = request["TransformJobName"]
    stack.sagemaker.create_transform_job(**request)
    eventually(lambda: stack.outputs(request), "a first answer")
    stack.sagemaker.stop_transform_job(TransformJobName=name)
    assert stack.transformed(name)["TransformJobStatus"] == "Stopped"
    assert 0 < len(stack.outputs(request)) < 40
    with pytest.raises(ClientError, match="transform job is in status Stopped"):
        stack.sagemaker.stop_transform_job(TransformJobName=name)


def test_names_are_taken_once_and_models_must_be_there(stack: Stack) -> None:
    request = stack.transform_job(model(stack), numbers(stack, 1), content="text/plain")
    stack.sagemaker.create_transform_job(**request)
    with pytest.raises(ClientError, match="ResourceInUse"):
        stack.sagemaker.create_transform_job(**request)
    with pytest.raises(ClientError, match="Could not find model"):
        stack.sagemaker.create_transform_job(**stack.transform_job("nobody", numbers(stack, 1)))
    with pytest.raises(ClientError, match="not found"):
        stack.sagemaker.describe_transform_job(TransformJobName="nobody")
    stack.transformed(request["TransformJobName"])
    listed = stack.sagemaker.list_transform_jobs(NameContains=request["TransformJobName"])
    assert [job["TransformJobStatus"] for job in listed["TransformJobSummaries"]] == ["Completed"]


TRANSFORM = {
    "QueryLanguage": "JSONata",
    "StartAt": "Transform",
    "States": {
        "Transform": {
            "Type": "Task",
            "Resource": "arn:aws:states:::sagemaker:createTransformJob.sync",
            "Arguments": "{% $states.input %}",
            "Output": "{% $states.result.TransformOutput.S3OutputPath %}",
            "End": True,
        },
    },
}


def permissions() -> list[dict[str, Any]]:
    rule = "arn:aws:events:us-east-1:000000000000:rule/StepFunctionsGetEventsForSageMakerTransformJobsRule"
    verbs = ("CreateTransformJob", "DescribeTransformJob", "StopTransformJob", "AddTags")
    actions = [f"sagemaker:{verb}" for verb in verbs]
    rule_actions = ["events:PutTargets", "events:PutRule", "events:DescribeRule"]
    return [
        {"Effect": "Allow", "Action": actions, "Resource": "arn:aws:sagemaker:*:*:transform-job/*"},
        {"Effect": "Allow", "Action": rule_actions, "Resource": rule},
    ]


def test_a_state_machine_waits_for_the_job(stack: Stack) -> None:
    request = stack.transform_job(model(stack), numbers(stack, 1), content="text/plain")
    done = run(stack, machine(stack, TRANSFORM, permissions()), request)
    assert done["status"] == "SUCCEEDED", done
    assert json.loads(done["output"]) == request["TransformOutput"]["S3OutputPath"]


def test_a_failed_job_fails_the_task_with_its_description(stack: Stack) -> None:
    request = stack.transform_job(model(stack), numbers(stack, 1), content="text/csv")
    done = run(stack, machine(stack, TRANSFORM, permissions()), request)
    assert (done["status"], done["error"]) == ("FAILED", "States.TaskFailed")
    assert "could not be transformed" in json.loads(done["cause"])["FailureReason"]


@pytest.mark.parametrize("missing", [0, 1])
def test_a_state_machine_may_do_what_its_role_allows(stack: Stack, missing: int) -> None:
    allowed = permissions()
    del allowed[missing]
    request = stack.transform_job(model(stack), numbers(stack, 1), content="text/plain")
    done = run(stack, machine(stack, TRANSFORM, allowed), request)
    assert (done["status"], done["error"]) == ("FAILED", "SageMaker.AmazonSageMakerException")
    assert "is not authorized to perform" in done["cause"]


def test_state_changes_are_events(stack: Stack) -> None:
    sqs, events = stack.client("sqs"), stack.client("events")
    queue = sqs.create_queue(QueueName=f"queue-{uuid.uuid4().hex[:8]}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {
        "detail-type": ["SageMaker Transform Job State Change"],
        "detail": {"TransformJobStatus": ["Completed"]},
    }
    events.put_rule(Name="transform-ended", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="transform-ended", Targets=[{"Id": "queue", "Arn": arn}])
    job = stack.transform(model(stack), numbers(stack, 1), content="text/plain")
    message = eventually(
        lambda: sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages"), "an event"
    )[0]
    event = json.loads(message["Body"])
    assert event["source"] == "aws.sagemaker"
    assert event["resources"] == [job["TransformJobArn"]]
    assert event["detail"]["ModelName"] == job["ModelName"]
