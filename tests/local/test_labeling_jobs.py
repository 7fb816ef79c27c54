"""Labeling jobs, work teams and workforces of the local SageMaker, through boto3."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from loupe.adapters.labeling_index import LabelingJobIndex, TaskIndex
from loupe.adapters.table import IndexTable
from loupe.domain.label_values import LabelValue, OneLabel
from loupe.domain.projects import TaskType
from loupe.ports import Answer, JobCard

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
        pool = {"UserPool": self.outputs["UserPoolId"], "ClientId": self.outputs["UserPoolClientId"]}
        self.sagemaker.create_workforce(WorkforceName="private", CognitoConfig=pool)
        made: str = self.sagemaker.create_workteam(
            WorkteamName=self.name,
            WorkforceName="private",
            Description="Those who know",
            MemberDefinitions=[{"CognitoMemberDefinition": {**pool, "UserGroup": "labelers"}}],
        )["WorkteamArn"]
        return made

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
            "Tags": [{"Key": "loupe:stack", "Value": self.name}, {"Key": "loupe:project", "Value": "parts"}],
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
        card = JobCard("parts", job, "ground-truth", task, LABELS, "", images, datetime.now(UTC))
        self.sagemaker.create_labeling_job(**request)
        while (open_job := self.jobs.open_job("parts")) is not None:
            self.jobs.consolidate("parts", open_job.job, datetime.now(UTC))
            self.jobs.finish("parts", open_job.job, datetime.now(UTC))
        assert self.jobs.claim(card)
        assert self.jobs.open("parts", job, images, datetime.now(UTC))
        self.until(job, lambda found: found["LabelingJobStatus"] != "Initializing")
        return job

    def answer(self, job: str, values: list[LabelValue | None], first: int = 0) -> None:
        answers = [
            (
                f"{number:06d}",
                Answer("w1", "ann", datetime.now(UTC), value=value, skip=None if value else "too dark"),
            )
            for number, value in enumerate(values, start=first)
        ]
        assert self.tasks.answer_many("parts", job, answers) == len(values)

    def until(
        self, job: str, condition: Callable[[dict[str, Any]], bool], seconds: float = 30
    ) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while True:
            found: dict[str, Any] = self.sagemaker.describe_labeling_job(LabelingJobName=job)
            if condition(found):
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.1)

    def ended(self, job: str) -> dict[str, Any]:
        return self.until(job, lambda found: found["LabelingJobStatus"] in ("Completed", "Failed", "Stopped"))

    def output(self, job: str) -> list[dict[str, Any]]:
        body = self.s3.get_object(Bucket=self.raw, Key=f"jobs/{job}/manifests/output/output.manifest")["Body"]
        return [json.loads(line) for line in body.read().splitlines()]


@pytest.fixture(scope="module")
def stack(local_cloud: LocalCloud) -> LabelingStack:
    return LabelingStack(local_cloud)


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
