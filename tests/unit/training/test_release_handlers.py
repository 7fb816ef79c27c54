"""The functions by which people's decisions come in, in process: their event in, what became of it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from begin_release.handler import handler as begin_release
from conclude_training.handler import handler as conclude_training
from decide_on_model.handler import handler as decide_on_model
from loupe import bootstrap
from loupe.adapters.projects_index import IndexedProjects
from loupe.adapters.table import IndexTable
from loupe.adapters.training_index import LoopIndex
from loupe.domain.errors import Conflict
from loupe.domain.projects import ProjectConfig
from loupe.domain.workspace import Workspace
from note_approval.handler import handler as note_approval
from retry_training.handler import handler as retry_training
from tests.contract.conftest import create_index_table
from tests.fakes.lambda_context import FakeLambdaContext

ROOT = Path(__file__).parents[3]
NAMES = Workspace("digits")
CONTEXT = FakeLambdaContext()
PLAN: dict[str, Any] = {
    "project": "digits",
    "version": "0001",
    "dataset_version": "0001",
    "execution": "arn:aws:states:us-east-1:123456789012:execution:loop:turn",
    "started_at": "2026-11-21T12:00:00+00:00",
    "task": "image-classification",
    "labels": ["a", "b"],
    "trainer": "script",
    "hosting": "serverless",
    "model_name": "loupe-digits-0001",
    "evaluation_uri": "s3://workspace/projects/digits/models/0001/evaluation.json",
    "tags": [],
    "release": {
        "model_package_group": "loupe-digits",
        "model_data_url": "s3://workspace/projects/digits/models/0001/model.tar.gz",
        "image": "image",
        "environment": {},
        "endpoint": "loupe-digits--abcdef",
        "role_arn": "arn:aws:iam::123456789012:role/sagemaker",
        "rehearsal": "loupe-digits--abcdefr",
        "variant": {"VariantName": "AllTraffic", "ModelName": "loupe-digits-0001-abcd"},
        "update": {"EndpointName": "loupe-digits--abcdef", "EndpointConfigName": "loupe-digits-0001-abcd"},
        "alarms": [],
        "max_instances": None,
    },
}
DECISION = {"promote": True, "reason": "good", "score": 0.9, "champion": None, "interval": [0.8, 1.0]}
RELEASE = "arn:aws:states:us-east-1:123456789012:execution:loop:release"


def _forget_use_cases() -> None:
    for built in vars(bootstrap).values():
        if hasattr(built, "cache_clear"):
            built.cache_clear()


@pytest.fixture
def loops(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopIndex]:
    """A stack whose project wants approvals, and whose first model was found good."""
    environment = {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "INDEX_TABLE": "index",
        "WORKSPACE_BUCKET": "workspace",
        "EVENT_BUS_NAME": "default",
        "SECONDS_BEFORE_RETRY": "60",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        _forget_use_cases()
        client = boto3.client("dynamodb")
        create_index_table(client, "index")
        boto3.client("s3").create_bucket(Bucket="workspace")
        table = IndexTable(client, "index")
        config = {
            "task": "image-classification",
            "labels": ["a", "b"],
            "promotion": {"require": "approval"},
        }
        IndexedProjects(table).save_config("digits", ProjectConfig.model_validate(config), None, "etag")
        put(NAMES.plan("0001"), PLAN)
        put(NAMES.decision("0001"), DECISION)
        yield LoopIndex(table)
    _forget_use_cases()


def put(key: str, document: dict[str, Any]) -> None:
    boto3.client("s3").put_object(Bucket="workspace", Key=key, Body=json.dumps(document).encode())


def register() -> str:
    """The candidate's package; returns its ARN."""
    sagemaker = boto3.client("sagemaker")
    sagemaker.create_model_package_group(ModelPackageGroupName="loupe-digits")
    package = sagemaker.create_model_package(
        ModelPackageGroupName="loupe-digits",
        ModelApprovalStatus="PendingManualApproval",
        CustomerMetadataProperties={"project": "digits", "model_version": "0001"},
    )
    return str(package["ModelPackageArn"])


def await_approval() -> str:
    """What the state machine does with the candidate; returns its package's ARN."""
    asked = {"project": "digits", "version": "0001", "execution": PLAN["execution"], "request": None}
    begun = begin_release(asked, CONTEXT)
    assert begun["outcome"] == "wait"
    package = register()
    result = {
        "project": "digits",
        "execution": PLAN["execution"],
        "outcome": "awaiting_approval",
        "version": "0001",
        "reason": begun["reason"],
        "score": 0.9,
        "champion_score": None,
        "model_package_arn": package,
    }
    assert conclude_training(result, CONTEXT) == {"reason": begun["reason"]}
    return package


def release(loops: LoopIndex) -> None:
    wanted = loops.loop("digits").wanted
    assert wanted
    asked = {"project": "digits", "version": "0001", "execution": RELEASE, "request": wanted.request}
    begun = begin_release(asked, CONTEXT)
    assert begun["outcome"] == "go"
    assert begun["plan"]["release"] == PLAN["release"]
    json.dumps(begun)  # as Lambda does
    result = {
        "project": "digits",
        "execution": RELEASE,
        "request": wanted.request,
        "outcome": "promoted",
        "version": "0001",
        "reason": begun["reason"],
        "score": begun["score"],
        "champion_score": None,
        "model_package_arn": begun["model_package_arn"],
        "endpoint": None,
    }
    assert conclude_training(result, CONTEXT) == {"reason": begun["reason"]}


def test_a_candidate_waits_is_approved_and_released(loops: LoopIndex) -> None:
    package = await_approval()
    asked = {"project": "digits", "action": "approve", "version": "0001", "by": "ann"}
    assert decide_on_model(asked, CONTEXT)["state"] == "requested"
    found = boto3.client("sagemaker").describe_model_package(ModelPackageName=package)
    assert found["ModelApprovalStatus"] == "Approved"
    release(loops)
    champion = loops.loop("digits").champion
    assert champion
    assert (champion.version, champion.interval) == ("0001", (0.8, 1.0))


def test_what_can_not_be_decided_is_told(loops: LoopIndex) -> None:
    await_approval()
    decide_on_model({"project": "digits", "action": "reject", "version": "0001", "by": "ann"}, CONTEXT)
    asked = {"project": "digits", "action": "approve", "version": "0001", "by": "bob"}
    with pytest.raises(Conflict, match="ann rejected it"):
        decide_on_model(asked, CONTEXT)


def event(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "events/ModelPackageStateChange.json").read_text())
    found["detail"]["CustomerMetadataProperties"] = {"project": "digits", "model_version": "0001"}
    found["detail"] |= changes
    return found


def test_an_approval_in_the_registry_is_followed(loops: LoopIndex) -> None:
    package = await_approval()
    note_approval(event(ModelPackageArn=package), CONTEXT)
    release(loops)
    assert loops.loop("digits").champion


@pytest.mark.parametrize(
    "changes",
    [
        {"CreationTime": "2021-02-24T17:00:14Z", "LastModifiedTime": "2021-02-24T17:05:14Z"},
        {"CreationTime": 1795256100000, "LastModifiedTime": 1795342500000},
        {"CreationTime": None, "LastModifiedTime": None},
        {"CustomerMetadataProperties": None},
        {"CreationTime": None, "LastModifiedTime": None, "CustomerMetadataProperties": None},
    ],
)
def test_an_approval_is_followed_as_sagemaker_may_tell_it(loops: LoopIndex, changes: dict[str, Any]) -> None:
    """A change to None stands for what the event lacks."""
    told = event(ModelPackageArn=await_approval(), **changes)
    told["detail"] = {name: value for name, value in told["detail"].items() if value is not None}
    note_approval(told, CONTEXT)
    assert loops.loop("digits").wanted


def test_a_new_package_whose_times_are_text_is_known(loops: LoopIndex) -> None:
    made = "2021-02-24T17:00:14Z"
    note_approval(event(CreationTime=made, LastModifiedTime=made), CONTEXT)  # its turn is not concluded
    assert loops.loop("digits").wanted is None


def test_packages_of_others_and_new_ones_are_left_alone(loops: LoopIndex) -> None:
    note_approval(event(CustomerMetadataProperties={}), CONTEXT)
    note_approval(event(CustomerMetadataProperties={"project": "digits"}), CONTEXT)
    made = event()["detail"]["CreationTime"]
    note_approval(event(LastModifiedTime=made), CONTEXT)  # its turn is not concluded
    assert loops.loop("digits").wanted is None


def test_a_training_job_that_failed_is_followed_by_another(loops: LoopIndex) -> None:
    job = {
        "TrainingJobName": "loupe-digits-0001",
        "OutputDataConfig": {"S3OutputPath": "s3://workspace/projects/digits/models/0001"},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    }
    put(NAMES.plan("0002"), {**PLAN, "version": "0002", "training_job": job})
    failed = {"TrainingJobStatus": "Failed", "FailureReason": "InternalServerError: try again"}
    event = {
        "project": "digits",
        "version": "0002",
        "job": "loupe-digits-0001",
        "failure": {"Error": "States.TaskFailed", "Cause": json.dumps(failed)},
    }
    answer = json.loads(json.dumps(retry_training(event, CONTEXT)))
    assert (answer["again"], answer["wait_seconds"]) == (True, 60)
    assert answer["plan"]["training_job"] == {**job, "TrainingJobName": "loupe-digits-0001-2"}
    last = loops.loop("digits").last_training
    assert last
    assert last.failed_attempts == ("attempt 1: InternalServerError: try again",)
    event["failure"] = {"Error": "States.TaskFailed", "Cause": "gone"}
    event["job"] = "loupe-digits-0001-2"
    assert retry_training(event, CONTEXT) == {
        "again": False,
        "reason": "gone",
        "wait_seconds": 0,
        "plan": None,
    }
