"""SageMaker in the local cloud, through boto3: what it does, and that it lasts."""

from __future__ import annotations

import io
import json
import tarfile
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.local.instances import lose_instance
from tests.local.sagemaker_stack import IMAGE, INFERENCE, Stack, archive, machine, run
from tests.local.waiting import eventually

if TYPE_CHECKING:
    from tests.local.conftest import LocalCloud


@pytest.fixture(scope="module")
def stack(local_cloud: LocalCloud) -> Stack:
    return Stack(local_cloud)


@pytest.fixture(scope="module")
def trained(stack: Stack) -> dict[str, Any]:
    return stack.train()


@pytest.fixture
def endpoint(stack: Stack, trained: dict[str, Any]) -> Iterator[str]:
    name = f"endpoint-{uuid.uuid4().hex[:8]}"
    config = stack.model(trained["ModelArtifacts"]["S3ModelArtifacts"])
    stack.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
    assert stack.settled(name)["EndpointStatus"] == "InService"
    yield name
    stack.sagemaker.delete_endpoint(EndpointName=name)


def test_a_training_job_runs_the_script_and_keeps_what_it_wrote(
    stack: Stack, trained: dict[str, Any]
) -> None:
    assert trained["TrainingJobStatus"] == "Completed", trained
    assert [m["Value"] for m in trained["FinalMetricDataList"]] == [0.75]
    steps = [transition["Status"] for transition in trained["SecondaryStatusTransitions"]]
    assert steps == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    bucket, _, key = trained["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://").partition("/")
    body = stack.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        content = tar.extractfile("model.json")
        assert content is not None
        assert json.loads(content.read()) == {"total": 3, "factor": 10}
    stack.s3.head_object(Bucket=bucket, Key=key.replace("model.tar.gz", "output.tar.gz"))


def test_a_manifest_channel_holds_the_listed_objects_only(stack: Stack) -> None:
    job = stack.train(source={"S3DataType": "ManifestFile", "S3Uri": stack.uri("lists/numbers.json")})
    name = stack.model(job["ModelArtifacts"]["S3ModelArtifacts"])
    stack.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    stack.settled(name)
    assert stack.ask(name, 1) == {"answer": 11}
    stack.sagemaker.delete_endpoint(EndpointName=name)


def test_a_listed_object_that_is_missing_fails_the_job(stack: Stack) -> None:
    stack.put("lists/wrong.json", json.dumps([{"prefix": stack.uri("numbers/")}, "three"]).encode())
    job = stack.train(source={"S3DataType": "ManifestFile", "S3Uri": stack.uri("lists/wrong.json")})
    assert job["TrainingJobStatus"] == "Failed"
    assert "numbers/three" in job["FailureReason"]


def test_the_script_says_why_it_failed(stack: Stack) -> None:
    job = stack.train(mode="fail")
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: the numbers are odd, exit code: 3"


def test_a_job_ends_with_its_time(stack: Stack) -> None:
    job = stack.train(mode="sleep", StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def test_a_job_can_be_stopped(stack: Stack) -> None:
    request = stack.job(mode="sleep")
    stack.sagemaker.create_training_job(**request)
    name = request["TrainingJobName"]
    eventually(
        lambda: stack.sagemaker.describe_training_job(TrainingJobName=name)["SecondaryStatus"] == "Training",
        "the script to run",
    )
    stack.sagemaker.stop_training_job(TrainingJobName=name)
    assert stack.ended(name)["TrainingJobStatus"] == "Stopped"


def with_checkpoints(stack: Stack, **changes: Any) -> dict[str, Any]:
    """A job that stops half-way unless it finds the checkpoint of an earlier one."""
    return stack.job(
        mode="resume",
        CheckpointConfig={"S3Uri": stack.uri(f"checkpoints-{uuid.uuid4().hex[:8]}")},
        Environment={"CHECKPOINT_DIR": "/opt/ml/checkpoints"},
        **changes,
    )


def lose_instance_of(stack: Stack, request: dict[str, Any]) -> None:
    """Begin a job, and take its instance away as soon as its checkpoint is kept."""
    stack.sagemaker.create_training_job(**request)
    bucket, prefix = request["CheckpointConfig"]["S3Uri"].removeprefix("s3://").split("/", 1)
    eventually(
        lambda: stack.s3.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/").get("Contents"), "a checkpoint"
    )
    lose_instance(request["TrainingJobName"])


def test_a_job_whose_instance_is_lost_fails_and_another_goes_on_from_its_checkpoints(stack: Stack) -> None:
    request = with_checkpoints(stack)
    lose_instance_of(stack, request)
    failed = stack.ended(request["TrainingJobName"])
    assert failed["TrainingJobStatus"] == "Failed"
    assert failed["FailureReason"].startswith("InternalServerError: ")
    second = {**request, "TrainingJobName": f"{request['TrainingJobName']}-2"}
    stack.sagemaker.create_training_job(**second)
    assert stack.ended(second["TrainingJobName"])["TrainingJobStatus"] == "Completed"


def test_a_job_whose_spot_instance_is_taken_away_goes_on_by_itself(stack: Stack) -> None:
    request = with_checkpoints(
        stack,
        EnableManagedSpotTraining=True,
        StoppingCondition={"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 120},
    )
    lose_instance_of(stack, request)
    job = stack.ended(request["TrainingJobName"])
    assert job["TrainingJobStatus"] == "Completed"
    passed = [transition["Status"] for transition in job["SecondaryStatusTransitions"]]
    assert passed[passed.index("Interrupted") :] == [
        "Interrupted",
        "Starting",
        "Downloading",
        "Training",
        "Uploading",
        "Completed",
    ]


def test_a_spot_job_is_given_up_when_its_time_to_wait_is_over(stack: Stack) -> None:
    condition = {"MaxRuntimeInSeconds": 2, "MaxWaitTimeInSeconds": 2}
    job = stack.train(mode="sleep", EnableManagedSpotTraining=True, StoppingCondition=condition)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")


def test_a_role_that_may_not_read_the_data_fails_the_job(stack: Stack) -> None:
    role = stack.make_role(
        "sagemaker.amazonaws.com",
        [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{stack.bucket}/code/*"}],
    )
    job = stack.train(RoleArn=role)
    assert job["TrainingJobStatus"] == "Failed"
    assert "AccessDenied" in job["FailureReason"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"TrainingJobName": "under_score"}, "trainingJobName"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 0}}, "MaxRuntimeInSeconds"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60}}, "MaxWaitTime"),
        ({"HyperParameters": {"factor": "1"}}, "sagemaker_program"),
    ],
)
def test_a_request_that_aws_refuses_is_refused(stack: Stack, changes: dict[str, Any], said: str) -> None:
    client = stack.client("sagemaker", parameter_validation=False)
    with pytest.raises(ClientError, match=f"ValidationException.*(?i:{said})"):
        client.create_training_job(**stack.job(**changes))


def test_what_the_local_cloud_lacks_is_refused_by_name(stack: Stack) -> None:
    with pytest.raises(ClientError, match="ListProcessingJobs is not available in the local cloud"):
        stack.sagemaker.list_processing_jobs()


def test_an_endpoint_answers_and_errors_are_the_models_own(stack: Stack, endpoint: str) -> None:
    assert stack.ask(endpoint, 4) == {"answer": 43}
    with pytest.raises(ClientError) as failed:
        stack.runtime.invoke_endpoint(EndpointName=endpoint, Body=b"4", ContentType="image/png")
    assert failed.value.response["Error"]["Code"] == "ModelError"
    assert failed.value.response["OriginalStatusCode"] == 500  # type: ignore[typeddict-item]


def test_an_endpoint_that_is_not_there(stack: Stack) -> None:
    with pytest.raises(ClientError, match="ValidationError"):
        stack.ask("nobody", 1)
    with pytest.raises(ClientError, match="Could not find endpoint"):
        stack.sagemaker.describe_endpoint(EndpointName="nobody")


def test_after_a_failed_update_the_old_model_goes_on_answering(stack: Stack, endpoint: str) -> None:
    before = stack.sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"]
    stack.put("broken.tar.gz", archive({"code/inference.py": "raise RuntimeError('no model today')"}))
    stack.sagemaker.update_endpoint(
        EndpointName=endpoint, EndpointConfigName=stack.model(stack.uri("broken.tar.gz"))
    )
    assert stack.ask(endpoint, 4) == {"answer": 43}
    found = stack.settled(endpoint)
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", before)
    assert "no model today" in found["FailureReason"]
    assert stack.ask(endpoint, 4) == {"answer": 43}


def test_an_update_brings_the_new_model(stack: Stack, endpoint: str) -> None:
    other = archive({"model.json": '{"total": 0, "factor": 2}', "code/inference.py": INFERENCE})
    stack.put("other.tar.gz", other)
    config = stack.model(stack.uri("other.tar.gz"))
    stack.sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=config)
    assert stack.settled(endpoint)["EndpointConfigName"] == config
    assert stack.ask(endpoint, 4) == {"answer": 8}


def test_a_model_that_does_not_start_fails_a_new_endpoint(stack: Stack) -> None:
    stack.put("empty.tar.gz", archive({"nothing": ""}))
    name = stack.model(stack.uri("empty.tar.gz"))
    stack.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    found = stack.settled(name)
    assert found["EndpointStatus"] == "Failed"
    assert "inference.py" in found["FailureReason"]
    stack.sagemaker.delete_endpoint(EndpointName=name)


def test_model_packages_are_versions_of_a_group(stack: Stack, trained: dict[str, Any]) -> None:
    group = f"group-{uuid.uuid4().hex[:8]}"
    stack.sagemaker.create_model_package_group(ModelPackageGroupName=group)
    data_url = trained["ModelArtifacts"]["S3ModelArtifacts"]
    specification = {
        "Containers": [{"Image": IMAGE, "ModelDataUrl": data_url}],
        "SupportedContentTypes": ["text/plain"],
        "SupportedResponseMIMETypes": ["application/json"],
    }
    arns = [
        stack.sagemaker.create_model_package(
            ModelPackageGroupName=group, InferenceSpecification=specification
        )["ModelPackageArn"]
        for _ in range(2)
    ]
    stack.sagemaker.update_model_package(ModelPackageArn=arns[1], ModelApprovalStatus="Approved")
    found = stack.sagemaker.describe_model_package(ModelPackageName=arns[1])
    assert (found["ModelPackageVersion"], found["ModelApprovalStatus"]) == (2, "Approved")
    approved = stack.sagemaker.list_model_packages(
        ModelPackageGroupName=group, ModelApprovalStatus="Approved"
    )
    assert [package["ModelPackageArn"] for package in approved["ModelPackageSummaryList"]] == [arns[1]]


TRAIN_AND_LOOK = {
    "QueryLanguage": "JSONata",
    "StartAt": "Train",
    "States": {
        "Train": {
            "Type": "Task",
            "Resource": "arn:aws:states:::sagemaker:createTrainingJob.sync",
            "Arguments": "{% $states.input %}",
            "Assign": {"model": "{% $states.result.ModelArtifacts.S3ModelArtifacts %}"},
            "Next": "Look",
        },
        "Look": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:sagemaker:describeEndpoint",
            "Arguments": {"EndpointName": "nobody"},
            "Catch": [
                {
                    "ErrorEquals": ["SageMaker.SageMakerException"],
                    "Output": {"model": "{% $model %}"},
                    "Next": "Done",
                }
            ],
            "End": True,
        },
        "Done": {"Type": "Succeed"},
    },
}


def permissions(role: str) -> list[dict[str, Any]]:
    passes = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    rule = "arn:aws:events:us-east-1:000000000000:rule/StepFunctionsGetEventsForSageMakerTrainingJobsRule"
    job_actions = [
        f"sagemaker:{verb}"
        for verb in ("CreateTrainingJob", "DescribeTrainingJob", "StopTrainingJob", "AddTags")
    ]
    rule_actions = ["events:PutTargets", "events:PutRule", "events:DescribeRule"]
    return [
        {"Effect": "Allow", "Action": job_actions, "Resource": "arn:aws:sagemaker:*:*:training-job/*"},
        {"Effect": "Allow", "Action": rule_actions, "Resource": rule},
        {"Effect": "Allow", "Action": "sagemaker:DescribeEndpoint", "Resource": "*"},
        {"Effect": "Allow", "Action": "iam:PassRole", "Resource": role, "Condition": passes},
    ]


def test_a_state_machine_trains_and_calls(stack: Stack) -> None:
    done = run(stack, machine(stack, TRAIN_AND_LOOK, permissions(stack.role)), stack.job())
    assert done["status"] == "SUCCEEDED", done
    assert json.loads(done["output"])["model"].endswith("/output/model.tar.gz")


def test_a_failed_job_fails_the_task_with_its_description(stack: Stack) -> None:
    done = run(stack, machine(stack, TRAIN_AND_LOOK, permissions(stack.role)), stack.job(mode="fail"))
    assert (done["status"], done["error"]) == ("FAILED", "States.TaskFailed")
    assert json.loads(done["cause"])["FailureReason"].startswith("AlgorithmError: the numbers are odd")


@pytest.mark.parametrize("missing", [0, 1, 3])
def test_a_state_machine_may_do_what_its_role_allows(stack: Stack, missing: int) -> None:
    allowed = permissions(stack.role)
    del allowed[missing]
    done = run(stack, machine(stack, TRAIN_AND_LOOK, allowed), stack.job())
    assert (done["status"], done["error"]) == ("FAILED", "SageMaker.AmazonSageMakerException")
    assert "is not authorized to perform" in done["cause"]


def test_state_changes_are_events(stack: Stack) -> None:
    sqs, events = stack.client("sqs"), stack.client("events")
    queue = sqs.create_queue(QueueName=f"queue-{uuid.uuid4().hex[:8]}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["aws.sagemaker"], "detail": {"TrainingJobStatus": ["Completed"]}}
    events.put_rule(Name="training-ended", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="training-ended", Targets=[{"Id": "queue", "Arn": arn}])
    job = stack.train()
    message = eventually(
        lambda: sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages"), "an event"
    )[0]
    event = json.loads(message["Body"])
    assert event["detail-type"] == "SageMaker Training Job State Change"
    assert event["resources"] == [job["TrainingJobArn"]]
    assert event["detail"]["TrainingStartTime"].isdecimal()


def test_a_killed_cloud_comes_back_with_all_that_was_acknowledged(stack: Stack, endpoint: str) -> None:
    stack.s3.put_bucket_versioning(Bucket=stack.bucket, VersioningConfiguration={"Status": "Enabled"})
    stack.put("versioned", b"first")
    stack.put("versioned", b"second")
    dynamodb = stack.client("dynamodb")
    dynamodb.create_table(
        TableName="kept",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.put_item(TableName="kept", Item={"id": {"S": "a"}})
    execution = stack.client("stepfunctions").start_execution(
        stateMachineArn=machine(stack, TRAIN_AND_LOOK, permissions(stack.role)),
        input=json.dumps(request := stack.job(mode="sleep")),
    )["executionArn"]
    name = request["TrainingJobName"]
    eventually(
        lambda: any(
            job["TrainingJobName"] == name
            for job in stack.sagemaker.list_training_jobs(StatusEquals="InProgress")["TrainingJobSummaries"]
        ),
        "a training",
    )
    stack.cloud.wait_until_saved()

    stack.cloud.kill()
    stack.cloud.restart()

    versions = stack.s3.list_object_versions(Bucket=stack.bucket, Prefix="versioned")["Versions"]
    bodies = [
        stack.s3.get_object(Bucket=stack.bucket, Key="versioned", VersionId=version["VersionId"])[
            "Body"
        ].read()
        for version in versions
    ]
    assert bodies == [b"second", b"first"]
    assert dynamodb.get_item(TableName="kept", Key={"id": {"S": "a"}})["Item"]
    job = stack.ended(name)
    assert job["TrainingJobStatus"] == "Failed"
    assert "local cloud was stopped" in job["FailureReason"]
    found = stack.client("stepfunctions").describe_execution(executionArn=execution)
    assert found["status"] == "FAILED"
    assert eventually(lambda: answers(stack, endpoint), "an answer") == {"answer": 43}


def answers(stack: Stack, endpoint: str) -> Any:
    try:
        return stack.ask(endpoint, 4)
    except ClientError:
        return None
