"""Ground Truth behind the ports: what it is sent, and what its errors mean."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from loupe.adapters.ground_truth_provider import GroundTruthProvider
from loupe.adapters.worker_templates import worker_template
from loupe.domain.errors import StoreUnavailable
from loupe.domain.labeling.ground_truth import GroundTruthSetup, RequestLabelingJob
from loupe.domain.labeling.starting import LabelingRefused
from loupe.domain.manifests import write_rows
from loupe.domain.projects import ProjectConfig
from loupe.domain.workspace import Workspace
from tests.fakes.objects import FakeObjects
from tests.fakes.projects import FakeProjects
from tests.unit.labeling.test_ground_truth_requests import CARD, SETUP, rows

SPACE = Workspace(CARD.project)
NOW = datetime(2026, 11, 21, tzinfo=UTC)


class World:
    """A project that Ground Truth labels, with a job whose manifest is written."""

    def __init__(self, setup: GroundTruthSetup = SETUP) -> None:
        self.client = boto3.client(
            "sagemaker", "eu-central-1", aws_access_key_id="testing", aws_secret_access_key="testing"
        )
        self.aws = Stubber(self.client)
        self.workspace, self.projects = FakeObjects("loupe-workspace"), FakeProjects()
        self.configure(title="Find scratches")
        self.workspace.write_lines(SPACE.input_manifest(CARD.job), write_rows(rows(2)))
        request = RequestLabelingJob(self.projects, self.workspace, worker_template, setup)
        self.provider = GroundTruthProvider(self.client, self.workspace, request)

    def configure(self, **ground_truth: Any) -> None:
        labeling = {"provider": "ground-truth", "ground_truth": ground_truth}
        document = {"task": CARD.task, "labels": list(CARD.labels), "labeling": labeling}
        self.projects.save_config(CARD.project, ProjectConfig.model_validate(document), None, "etag")

    def created(self, parameters: dict[str, Any] | None = None) -> None:
        arn = f"arn:aws:sagemaker:eu-central-1:111122223333:labeling-job/{CARD.job}"
        self.aws.add_response("create_labeling_job", {"LabelingJobArn": arn}, parameters)

    def refused(self, code: str, message: str, status: int = 400) -> None:
        self.aws.add_client_error("create_labeling_job", code, message, status)

    def described(self, status: str = "InProgress", **members: Any) -> None:
        manifest = f"s3://loupe-workspace/{SPACE.input_manifest(CARD.job)}"
        document = {
            "LabelingJobStatus": status,
            "LabelCounters": {"TotalLabeled": 7, "FailedNonRetryableError": 2, "Unlabeled": 1},
            "CreationTime": NOW,
            "LastModifiedTime": NOW,
            "JobReferenceCode": "1a2b",
            "LabelingJobName": CARD.job,
            "LabelingJobArn": f"arn:aws:sagemaker:eu-central-1:111122223333:labeling-job/{CARD.job}",
            "InputConfig": {"DataSource": {"S3DataSource": {"ManifestS3Uri": manifest}}},
            "OutputConfig": {"S3OutputPath": "s3://loupe-workspace/projects/digits/labeling-jobs"},
            "RoleArn": SETUP.role_arn,
            "HumanTaskConfig": {
                "WorkteamArn": SETUP.workteam,
                "UiConfig": {},
                "TaskTitle": "t",
                "TaskDescription": "d",
                "NumberOfHumanWorkersPerDataObject": 1,
                "TaskTimeLimitInSeconds": 600,
            },
        }
        self.aws.add_response("describe_labeling_job", document | members)


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    with world.aws:
        yield world
        world.aws.assert_no_pending_responses()


def test_a_job_is_started_with_its_page_beside_it(world: World) -> None:
    world.created()
    assert world.provider.start(CARD) == 2
    page = world.workspace.read(SPACE.worker_template(CARD.job)).decode()
    assert "Look closely." in page
    assert "$" not in page


def test_a_start_that_is_repeated_asks_for_the_same(world: World) -> None:
    world.created()
    world.provider.start(CARD)
    world.configure(title="Something else", task_seconds=30)
    world.refused("ResourceInUse", "Job name must be unique")
    world.described()
    assert world.provider.start(CARD) == 2
    assert b"Find scratches" in world.workspace.read(SPACE.request(CARD.job))
    assert b"Something else" not in world.workspace.read(SPACE.request(CARD.job))


def test_somebody_elses_job_of_that_name_is_not_ours(world: World) -> None:
    world.refused("ResourceInUse", "Job name must be unique")
    other = {"DataSource": {"S3DataSource": {"ManifestS3Uri": "s3://other/input.manifest"}}}
    world.described(InputConfig=other)
    with pytest.raises(LabelingRefused, match="not this stack's"):
        world.provider.start(CARD)


def test_a_manifest_without_images_starts_nothing(world: World) -> None:
    world.workspace.write_lines(SPACE.input_manifest(CARD.job), [])
    assert world.provider.start(CARD) == 0


def test_what_breaks_a_rule_is_refused_before_the_call() -> None:
    world = World(GroundTruthSetup("loupe", "eu-north-1", SETUP.role_arn, "loupe-workspace", SETUP.workteam))
    with world.aws, pytest.raises(LabelingRefused, match="not in the region eu-north-1"):
        world.provider.start(CARD)
    assert not world.workspace.exists(SPACE.request(CARD.job))


@pytest.mark.parametrize(
    ("code", "message", "explained"),
    [
        ("AccessDeniedException", "Ground Truth is not available to new customers.", "provider to portal"),
        ("OptInRequired", "Sign up.", "30 July 2026"),
        ("ResourceLimitExceeded", "The account-level limit is 20.", "Service Quotas"),
        ("ValidationException", "Could not find workteam arn:...", "labeling.ground_truth.workteam"),
        ("ValidationException", "RoleArn: can't be assumed", "ValidationException: RoleArn"),
    ],
)
def test_refusals_say_what_to_do(world: World, code: str, message: str, explained: str) -> None:
    world.refused(code, message)
    with pytest.raises(LabelingRefused, match=explained) as raised:
        world.provider.start(CARD)
    assert message in raised.value.detail


@pytest.mark.parametrize(
    ("code", "status"), [("ThrottlingException", 400), ("InternalFailure", 500), ("SomethingNew", 503)]
)
def test_what_may_pass_is_no_refusal(world: World, code: str, status: int) -> None:
    world.refused(code, "later", status)
    with pytest.raises(StoreUnavailable, match="later"):
        world.provider.start(CARD)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("Initializing", "running"),
        ("InProgress", "running"),
        ("Stopping", "running"),
        ("Completed", "completed"),
        ("Failed", "failed"),
        ("Stopped", "stopped"),
    ],
)
def test_a_job_tells_how_far_it_has_come(world: World, status: str, state: str) -> None:
    world.described(status, FailureReason="because")
    progress = world.provider.progress(CARD.job)
    assert progress is not None
    assert (progress.state, progress.labeled, progress.failed, progress.reason) == (state, 7, 2, "because")


def test_a_job_that_is_not_there(world: World) -> None:
    world.aws.add_client_error("describe_labeling_job", "ResourceNotFound", "no such job")
    assert world.provider.progress(CARD.job) is None
    world.aws.add_client_error("describe_labeling_job", "ThrottlingException", "later")
    with pytest.raises(StoreUnavailable):
        world.provider.progress(CARD.job)
