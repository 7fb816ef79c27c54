"""Labeling jobs, work teams and workforces of the local SageMaker, through boto3."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from loupe.adapters.labeling_index import LabelingJobIndex, TaskIndex
from loupe.adapters.table import IndexTable
from loupe.domain.label_values import Box, Boxes, LabelValue, OneLabel, SeveralLabels
from loupe.domain.projects import TaskType
from loupe.ports.labeling import Answer, JobCard
from tests.local.waiting import eventually, until

if TYPE_CHECKING:
    from tests.local.conftest import LocalCloud

LAMBDA = "arn:aws:lambda:us-east-1:432418664414:function"
LABELS = ("ok", "scratch", "dent")
PAGE = """
<script src="https://assets.crowd.aws/crowd-html-elements.js"></script>
<crowd-form>
  <crowd-image-classifier name="label" header="?" src="{{ task.input.taskObject | grant_read_access }}"
    categories="{{ task.input.labels | to_json | escape }}">
  </crowd-image-classifier>
</crowd-form>
"""
# What Ground Truth needs of Loupe's stack: where the index is, and whose images the portal shows.
TEMPLATE = {
    "Resources": {
        "Raw": {"Type": "AWS::S3::Bucket"},
        "Pool": {"Type": "AWS::Cognito::UserPool"},
        "Client": {"Type": "AWS::Cognito::UserPoolClient", "Properties": {"UserPoolId": {"Ref": "Pool"}}},
        "Group": {
            "Type": "AWS::Cognito::UserPoolGroup",
            "Properties": {"UserPoolId": {"Ref": "Pool"}, "GroupName": "labelers"},
        },
        "Index": {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {
                "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [
                    {"AttributeName": name, "AttributeType": "S"}
                    for name in ("pk", "sk", "gsi1pk", "gsi1sk", "gsi2pk", "gsi2sk")
                ],
                "KeySchema": [
                    {"AttributeName": "pk", "KeyType": "HASH"},
                    {"AttributeName": "sk", "KeyType": "RANGE"},
                ],
                "GlobalSecondaryIndexes": [
                    {
                        "IndexName": index,
                        "KeySchema": [
                            {"AttributeName": f"{index}pk", "KeyType": "HASH"},
                            {"AttributeName": f"{index}sk", "KeyType": "RANGE"},
                        ],
                        "Projection": {"ProjectionType": "ALL"},
                    }
                    for index in ("gsi1", "gsi2")
                ],
            },
        },
    },
    "Outputs": {
        "IndexTable": {"Value": {"Ref": "Index"}},
        "RawDataBucket": {"Value": {"Ref": "Raw"}},
        "UserPoolId": {"Value": {"Ref": "Pool"}},
        "UserPoolClientId": {"Value": {"Ref": "Client"}},
    },
}


class LabelingStack:
    """A stack with an index and a bucket, a work team, and what a job needs in S3."""

    def __init__(self, cloud: LocalCloud) -> None:
        self.cloud = cloud
        self.name = f"labeling-{uuid.uuid4().hex[:8]}"
        formation = self.client("cloudformation")
        formation.create_stack(StackName=self.name, TemplateBody=json.dumps(TEMPLATE))
        formation.get_waiter("stack_create_complete").wait(
            StackName=self.name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
        [described] = formation.describe_stacks(StackName=self.name)["Stacks"]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}
        self.raw = self.outputs["RawDataBucket"]
        self.s3 = self.client("s3")
        self.sagemaker = self.client("sagemaker")
        self.role = self.make_role(f"arn:aws:s3:::{self.raw}")
        table = IndexTable(self.client("dynamodb"), self.outputs["IndexTable"])
        self.jobs, self.tasks = LabelingJobIndex(table), TaskIndex(table)
        self.put("template.liquid", PAGE)
        categories = {"document-version": "2018-11-28", "labels": [{"label": name} for name in LABELS]}
        self.put("labels.json", json.dumps(categories))
        self.workteam = self.make_workteam()

    def client(self, service: str) -> Any:
        return self.cloud.session().client(service, endpoint_url=self.cloud.endpoint_url)  # type: ignore[call-overload]

    def make_role(self, *buckets: str) -> str:
        iam, name = self.client("iam"), f"ground-truth-{uuid.uuid4().hex[:8]}"
        trust = {
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
        document = {"Version": "2012-10-17", "Statement": [trust]}
        made: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(document))["Role"][
            "Arn"
        ]
        reach = [resource for bucket in buckets for resource in (bucket, f"{bucket}/*")]
        allow = {"Effect": "Allow", "Action": "s3:*", "Resource": reach}
        policy = {"Version": "2012-10-17", "Statement": [allow]}
        iam.put_role_policy(RoleName=name, PolicyName="s3", PolicyDocument=json.dumps(policy))
        return made

    def make_workteam(self) -> str:
        """In the workforce that is there, or else in one of its own."""
        if not self.sagemaker.list_workforces()["Workforces"]:
            pool = {"UserPool": self.outputs["UserPoolId"], "ClientId": self.outputs["UserPoolClientId"]}
            self.sagemaker.create_workforce(WorkforceName="private", CognitoConfig=pool)
        [workforce] = self.sagemaker.list_workforces()["Workforces"]
        pool = workforce["CognitoConfig"]
        with contextlib.suppress(ClientError):
            self.client("cognito-idp").create_group(UserPoolId=pool["UserPool"], GroupName="labelers")
        made: str = self.sagemaker.create_workteam(
            WorkteamName=self.name,
            WorkforceName=workforce["WorkforceName"],
            Description="Those who know",
            MemberDefinitions=[{"CognitoMemberDefinition": {**pool, "UserGroup": "labelers"}}],
        )["WorkteamArn"]
        return made

    def close(self) -> None:
        """Leave no workforce behind, unless others use it."""
        self.sagemaker.delete_workteam(WorkteamName=self.name)
        with contextlib.suppress(ClientError):
            self.sagemaker.delete_workforce(WorkforceName="private")

    def put(self, key: str, text: str) -> str:
        self.s3.put_object(Bucket=self.raw, Key=key, Body=text.encode())
        return f"s3://{self.raw}/{key}"

    def request(self, images: int = 3, **changes: Any) -> dict[str, Any]:
        """Arguments of CreateLabelingJob; `kind`, `rows` and `human` vary the common case."""
        job = changes.setdefault("LabelingJobName", f"parts-20261121t120000-{uuid.uuid4().hex[:8]}")
        kind = changes.pop("kind", "ImageMultiClass")
        rows = changes.pop("rows", [self.row(number) for number in range(images)])
        manifest = self.put(f"{job}.manifest", "".join(json.dumps(row) + "\n" for row in rows))
        human = {
            "WorkteamArn": self.workteam,
            "UiConfig": {"UiTemplateS3Uri": f"s3://{self.raw}/template.liquid"},
            "PreHumanTaskLambdaArn": f"{LAMBDA}:PRE-{kind}",
            "AnnotationConsolidationConfig": {"AnnotationConsolidationLambdaArn": f"{LAMBDA}:ACS-{kind}"},
            "TaskTitle": "Parts",
            "TaskDescription": "Mark the worst defect",
            "NumberOfHumanWorkersPerDataObject": 1,
            "TaskTimeLimitInSeconds": 60,
            **changes.pop("human", {}),
        }
        return {
            "LabelAttributeName": "label",
            "InputConfig": {"DataSource": {"S3DataSource": {"ManifestS3Uri": manifest}}},
            "OutputConfig": {"S3OutputPath": f"s3://{self.raw}/jobs"},
            "RoleArn": self.role,
            "LabelCategoryConfigS3Uri": f"s3://{self.raw}/labels.json",
            "HumanTaskConfig": human,
            "Tags": [
                {"Key": "loupe:stack", "Value": self.name},
                {"Key": "loupe:project", "Value": f"parts-{job[-8:]}"},
            ],
            **changes,
        }

    def row(self, number: int) -> dict[str, Any]:
        return {
            "source-ref": f"s3://{self.raw}/parts/{number}.png",
            "image-sha256": f"{number:064x}",
            "image-width": 64,
            "image-height": 48,
        }

    def start(self, task: TaskType = "image-classification", images: int = 3, **changes: Any) -> str:
        """A job in progress whose tasks the portal serves, as Loupe has it after starting a job."""
        request = self.request(images, **changes)
        job: str = request["LabelingJobName"]
        self.sagemaker.create_labeling_job(**request)
        self.open(job, task, images)
        self.until(job, lambda found: found["LabelingJobStatus"] != "Initializing")
        return job

    def open(self, job: str, task: TaskType, images: int) -> None:
        """Make it its project's open job, as Loupe does."""
        project = f"parts-{job[-8:]}"
        card = JobCard(project, job, "ground-truth", task, LABELS, "", images, datetime.now(UTC))
        assert self.jobs.claim(card)
        assert self.jobs.open(project, job, images, datetime.now(UTC))

    def answer(self, job: str, values: list[LabelValue | None], first: int = 0) -> None:
        answers = [
            (
                f"{number:06d}",
                [Answer("w1", "ann", datetime.now(UTC), value=value, skip=None if value else "too dark")],
            )
            for number, value in enumerate(values, start=first)
        ]
        assert self.tasks.answer_many(f"parts-{job[-8:]}", job, answers) == len(values)

    def describe(self, job: str) -> dict[str, Any]:
        found: dict[str, Any] = self.sagemaker.describe_labeling_job(LabelingJobName=job)
        return found

    def until(self, job: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        return until(lambda: self.describe(job), condition, f"the labeling job {job}")

    def ended(self, job: str) -> dict[str, Any]:
        return self.until(job, lambda found: found["LabelingJobStatus"] in ("Completed", "Failed", "Stopped"))

    def output(self, job: str) -> list[dict[str, Any]]:
        body = self.s3.get_object(Bucket=self.raw, Key=f"jobs/{job}/manifests/output/output.manifest")["Body"]
        return [json.loads(line) for line in body.read().splitlines()]


@pytest.fixture(scope="module")
def stack(local_cloud: LocalCloud) -> Iterator[LabelingStack]:
    stack = LabelingStack(local_cloud)
    yield stack
    stack.close()


def refused(call: Callable[[], Any]) -> tuple[str, str]:
    """The error's code and message."""
    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_the_portal_s_answers_become_an_output_manifest(stack: LabelingStack) -> None:
    job = stack.start(images=3)
    stack.answer(job, [OneLabel("dent"), None])
    counted = stack.until(job, lambda found: found["LabelCounters"]["HumanLabeled"] == 1)
    assert counted["LabelingJobStatus"] == "InProgress"
    assert counted["LabelCounters"]["Unlabeled"] == 1
    stack.answer(job, [OneLabel("ok")], first=2)
    ended = stack.ended(job)
    assert ended["LabelingJobStatus"] == "Completed"
    assert ended["LabelingJobOutput"] == {
        "OutputDatasetS3Uri": f"s3://{stack.raw}/jobs/{job}/manifests/output/output.manifest"
    }
    assert ended["LabelCounters"] == {
        "TotalLabeled": 2,
        "HumanLabeled": 2,
        "MachineLabeled": 0,
        "FailedNonRetryableError": 1,
        "Unlabeled": 0,
    }
    first, second, _ = stack.output(job)
    assert first["label"] == 2
    metadata = first["label-metadata"]
    assert (metadata["class-name"], metadata["confidence"]) == ("dent", 0.0)
    assert metadata["job-name"] == f"labeling-job/{job}"
    assert metadata["type"] == "groundtruth/image-classification"
    assert first["image-sha256"] == f"{0:064x}"
    assert "label" not in second
    assert second["label-metadata"]["failure-reason"] == "skipped by ann: too dark"


def test_several_labels_become_an_output_manifest(stack: LabelingStack) -> None:
    job = stack.start(
        "multi-label-classification",
        images=2,
        kind="ImageMultiClassMultiLabel",
        LabelAttributeName="labels",
    )
    stack.answer(job, [SeveralLabels(("dent", "ok")), SeveralLabels(())])
    stack.ended(job)
    several, none = stack.output(job)
    assert several["labels"] == [2, 0]
    metadata = several["labels-metadata"]
    assert metadata["class-map"] == {"0": "ok", "2": "dent"}
    assert metadata["type"] == "groundtruth/image-classification-multilabel"
    assert none["labels"] == []


def test_adjusted_boxes_say_whether_they_were_changed(stack: LabelingStack) -> None:
    box = {"class_id": 1, "left": 4, "top": 8, "width": 9, "height": 7}
    drawn = {
        "boxes": {"image_size": [{"width": 64, "height": 48, "depth": 3}], "annotations": [box]},
        "boxes-metadata": {"objects": [{"confidence": 0}], "class-map": {"1": "scratch"}},
    }
    job = stack.start(
        "bounding-box",
        images=2,
        kind="AdjustmentBoundingBox",
        LabelAttributeName="boxes-adjusted",
        rows=[stack.row(number) | drawn for number in range(2)],
    )
    stack.answer(job, [Boxes((Box("scratch", 4, 8, 9, 7),)), Boxes((Box("dent", 4, 8, 9, 7),))])
    stack.ended(job)
    kept, changed = stack.output(job)
    assert kept["boxes-adjusted-metadata"]["adjustment-status"] == "unadjusted"
    assert changed["boxes-adjusted-metadata"]["adjustment-status"] == "adjusted"
    assert changed["boxes-adjusted"]["annotations"] == [box | {"class_id": 2}]
    assert changed["boxes"] == drawn["boxes"]


def test_a_job_that_can_not_be_shown_fails_with_the_reason(stack: LabelingStack) -> None:
    request = stack.request(rows=[stack.row(0) | {"source-ref": "s3://elsewhere/0.png"}])
    stack.sagemaker.create_labeling_job(**request)
    ended = stack.ended(request["LabelingJobName"])
    assert ended["LabelingJobStatus"] == "Failed"
    assert "s3://elsewhere/0.png does not lie in" in ended["FailureReason"]


def test_a_job_s_end_reaches_rules_of_the_event_bus(stack: LabelingStack) -> None:
    sqs, events = stack.client("sqs"), stack.client("events")
    queue = sqs.create_queue(QueueName=stack.name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Ground Truth Labeling Job State Change"],
        "detail": {"LabelingJobStatus": ["Completed", "Failed", "Stopped"]},
    }
    events.put_rule(Name=stack.name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=stack.name, Targets=[{"Id": "queue", "Arn": arn}])
    job = stack.start(images=2)
    stack.sagemaker.stop_labeling_job(LabelingJobName=job)
    assert stack.ended(job)["LabelingJobStatus"] == "Stopped"
    [message] = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=10)["Messages"]
    event = json.loads(message["Body"])
    assert event["resources"] == [f"arn:aws:sagemaker:us-east-1:000000000000:labeling-job/{job}"]
    assert event["detail"] == {"LabelingJobStatus": "Stopped"}
    events.remove_targets(Rule=stack.name, Ids=["queue"])
    events.delete_rule(Name=stack.name)


def test_refusals_have_the_codes_of_aws(stack: LabelingStack) -> None:
    request = stack.request()
    stack.sagemaker.create_labeling_job(**request)
    create, name = stack.sagemaker.create_labeling_job, request["LabelingJobName"]
    assert refused(lambda: create(**{**request, "LabelingJobName": name.upper()}))[0] == "ResourceInUse"
    other = stack.request(RoleArn=stack.make_role("arn:aws:s3:::elsewhere"))
    code, said = refused(lambda: create(**other))
    assert (code, "AccessDenied" in said) == ("ValidationException", True)
    segmentation = stack.request(kind="SemanticSegmentation")
    assert refused(lambda: create(**segmentation))[0] == "UnknownOperationException"
    nothing = "nothing-0001"
    describe = stack.sagemaker.describe_labeling_job
    assert refused(lambda: describe(LabelingJobName=nothing))[0] == "ResourceNotFound"
    stack.sagemaker.stop_labeling_job(LabelingJobName=name)


def test_starting_a_job_takes_the_permission_to_pass_its_role(stack: LabelingStack) -> None:
    iam, sts = stack.client("iam"), stack.client("sts")
    name = f"caller-{uuid.uuid4().hex[:8]}"
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    document = {"Version": "2012-10-17", "Statement": [trust]}
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(document))["Role"]["Arn"]
    allow = {"Effect": "Allow", "Action": "sagemaker:CreateLabelingJob", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [allow]}
    iam.put_role_policy(RoleName=name, PolicyName="label", PolicyDocument=json.dumps(policy))
    keys = sts.assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    caller = boto3.client(
        "sagemaker",
        region_name="us-east-1",
        endpoint_url=stack.cloud.endpoint_url,
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )
    code, said = refused(lambda: caller.create_labeling_job(**stack.request()))
    assert code == "AccessDeniedException"
    assert "iam:PassRole" in said


def test_a_state_machine_waits_for_a_labeling_job(stack: LabelingStack) -> None:
    states, iam = stack.client("stepfunctions"), stack.client("iam")
    name = f"labels-{uuid.uuid4().hex[:8]}"
    trust = {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = {"Version": "2012-10-17", "Statement": [trust]}
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(document))["Role"]["Arn"]
    actions = [f"sagemaker:{verb}LabelingJob" for verb in ("Create", "Describe", "Stop")]
    actions += [
        "sagemaker:AddTags",
        "iam:PassRole",
        "events:PutTargets",
        "events:PutRule",
        "events:DescribeRule",
    ]
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]}
    iam.put_role_policy(RoleName=name, PolicyName="label", PolicyDocument=json.dumps(policy))
    request = stack.request(images=1)
    definition = {
        "QueryLanguage": "JSONata",
        "StartAt": "Label",
        "States": {
            "Label": {
                "Type": "Task",
                "Resource": "arn:aws:states:::sagemaker:createLabelingJob.sync",
                "Arguments": request,
                "Output": "{% $states.result.LabelingJobOutput.OutputDatasetS3Uri %}",
                "End": True,
            }
        },
    }
    machine = states.create_state_machine(name=name, definition=json.dumps(definition), roleArn=role)
    execution = states.start_execution(stateMachineArn=machine["stateMachineArn"])["executionArn"]
    job = request["LabelingJobName"]

    def is_there() -> bool:
        return bool(stack.sagemaker.list_labeling_jobs(NameContains=job)["LabelingJobSummaryList"])

    eventually(is_there, "the labeling job")
    stack.open(job, "image-classification", 1)
    eventually(lambda: next(stack.tasks.tasks(job), None), "its tasks")
    stack.answer(job, [OneLabel("ok")])
    ended = until(
        lambda: states.describe_execution(executionArn=execution),
        lambda found: found["status"] != "RUNNING",
        "the end of the execution",
    )
    assert ended["status"] == "SUCCEEDED", ended
    assert json.loads(ended["output"]).endswith(f"/{job}/manifests/output/output.manifest")


def test_a_job_goes_on_after_a_crash(stack: LabelingStack) -> None:
    job = stack.start(images=2)
    stack.answer(job, [OneLabel("ok")])
    stack.until(job, lambda found: found["LabelCounters"]["HumanLabeled"] == 1)
    stack.cloud.wait_until_saved()
    stack.cloud.kill()
    stack.cloud.restart()
    assert stack.describe(job)["LabelingJobStatus"] == "InProgress"
    stack.answer(job, [OneLabel("dent")], first=1)
    assert stack.ended(job)["LabelingJobStatus"] == "Completed"
    assert [row["label"] for row in stack.output(job)] == [0, 2]
