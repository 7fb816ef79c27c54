"""The life of a labeling job in the local SageMaker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from local.sagemaker.errors import (
    NotAvailableError,
    ResourceInUseError,
    ResourceNotFoundError,
    ValidationError,
)
from tests.unit.local.labeling_world import World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        world = World(tmp_path)
        yield world
        world.jobs.shut_down()


def test_a_job_completes_when_each_image_has_an_answer(world: World) -> None:
    world.start(images=3)
    world.answer("parts-0001", "bad", None)
    counted = world.until(lambda found: found["LabelCounters"]["Unlabeled"] == 1)
    assert counted["LabelingJobStatus"] == "InProgress"
    assert "LabelingJobOutput" not in counted
    world.answer("parts-0001", "bad", None, "ok")
    ended = world.ended()
    assert ended["LabelingJobStatus"] == "Completed"
    assert ended["LabelCounters"] == {
        "TotalLabeled": 2,
        "HumanLabeled": 2,
        "MachineLabeled": 0,
        "FailedNonRetryableError": 1,
        "Unlabeled": 0,
    }
    uri = ended["LabelingJobOutput"]["OutputDatasetS3Uri"]
    assert uri == "s3://work/jobs/parts-0001/manifests/output/output.manifest"
    assert [row.get("label") for row in world.output()] == [1, None, 0]


def test_its_end_is_told_once_with_the_status_alone(world: World) -> None:
    world.start(images=1)
    world.answer("parts-0001", "ok")
    world.ended()
    assert world.platform.published == [
        (
            "SageMaker Ground Truth Labeling Job State Change",
            "arn:aws:sagemaker:us-east-1:000000000000:labeling-job/parts-0001",
            {"LabelingJobStatus": "Completed"},
        )
    ]


def test_a_stopped_job_keeps_what_was_labeled(world: World) -> None:
    world.start(images=2)
    world.answer("parts-0001", "bad")
    world.until(lambda found: found["LabelCounters"]["HumanLabeled"] == 1)
    world.jobs.stop({"LabelingJobName": "parts-0001"})
    ended = world.ended()
    assert ended["LabelingJobStatus"] == "Stopped"
    assert ended["LabelCounters"]["Unlabeled"] == 1
    labeled, left = world.output()
    assert labeled["label"] == 1
    assert left == {"source-ref": "s3://raw/parts-0001/1.png"}
    with pytest.raises(ValidationError, match="in status Stopped"):
        world.jobs.stop({"LabelingJobName": "parts-0001"})


@pytest.mark.parametrize(
    "conditions", [{"MaxHumanLabeledObjectCount": 2}, {"MaxPercentageOfInputDatasetLabeled": 50}]
)
def test_stopping_conditions_stop_a_job(world: World, conditions: dict[str, Any]) -> None:
    world.start(images=4, StoppingConditions=conditions)
    world.answer("parts-0001", "ok", "bad")
    assert world.ended()["LabelingJobStatus"] == "Stopped"


def test_images_that_nobody_labels_in_time_fail(world: World) -> None:
    world.start(images=2)
    world.answer("parts-0001", "ok")
    world.until(lambda found: found["LabelCounters"]["HumanLabeled"] == 1)
    world.jobs.shut_down()
    long_ago = world.jobs.describe({"LabelingJobName": "parts-0001"})["CreationTime"] - 31 * 24 * 3600
    world.jobs.add("parts-0001", CreationTime=long_ago)
    world.jobs = world.restarted()
    world.jobs.resume()
    ended = world.ended()
    assert ended["LabelingJobStatus"] == "Completed"
    assert ended["LabelCounters"]["FailedNonRetryableError"] == 1
    assert "expired" in world.output()[1]["label-metadata"]["failure-reason"]


def test_a_job_goes_on_after_a_restart(world: World) -> None:
    world.start(images=2)
    world.answer("parts-0001", "bad")
    world.until(lambda found: found["LabelCounters"]["HumanLabeled"] == 1)
    world.jobs.shut_down()
    world.put("parts-0001.manifest", "")  # the manifest counts as it was at the start
    world.jobs = world.restarted()
    world.jobs.resume()
    world.answer("parts-0001", "bad", "ok")
    assert world.ended()["LabelingJobStatus"] == "Completed"
    assert [row["label"] for row in world.output()] == [1, 0]


def test_workers_who_can_not_be_asked_for_a_while_do_no_harm(world: World) -> None:
    world.start(images=1)
    world.until(lambda found: found["LabelingJobStatus"] == "InProgress")
    world.workers.away = True
    world.answer("parts-0001", "ok")
    world.workers.away = False
    assert world.ended()["LabelingJobStatus"] == "Completed"


def test_workers_who_lost_their_tasks_get_them_again(world: World) -> None:
    world.start(images=1)
    world.until(lambda found: found["LabelingJobStatus"] == "InProgress")
    world.workers.handed.clear()
    world.answer("parts-0001", "ok")
    assert world.ended()["LabelingJobStatus"] == "Completed"


@pytest.mark.parametrize(
    ("manifest", "said"), [("", "has no objects"), ('{"source-ref": "s3://raw/a.png"}\n[]', "Line 2")]
)
def test_a_manifest_that_can_not_be_labeled_fails_the_job(world: World, manifest: str, said: str) -> None:
    world.start(manifest=manifest)
    ended = world.ended()
    assert ended["LabelingJobStatus"] == "Failed"
    assert ended["FailureReason"].startswith("ClientError: ")
    assert said in ended["FailureReason"]
    assert world.platform.published[0][2] == {"LabelingJobStatus": "Failed"}


def test_images_that_the_workers_can_not_be_shown_fail_the_job(world: World) -> None:
    world.workers.refusal = "s3://other/a.png does not lie in raw"
    world.start()
    assert world.ended()["FailureReason"] == "ClientError: s3://other/a.png does not lie in raw"


def test_names_differ_in_more_than_case(world: World) -> None:
    world.start("Parts-1")
    with pytest.raises(ResourceInUseError, match=r"already exists .*labeling-job/Parts-1"):
        world.start("parts-1")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"RoleArn": "arn:aws:iam::000000000000:role/other"}, "Could not assume role"),
        ({"LabelCategoryConfigS3Uri": "s3://work/nothing.json"}, "Cannot read s3://work/nothing.json"),
        ({"human": {"UiConfig": {"UiTemplateS3Uri": "s3://nobucket/t"}}}, "Cannot read s3://nobucket/t"),
        ({"human": {"UiConfig": {"UiTemplateS3Uri": "s3://work/labels.json"}}}, "no <crowd-form>"),
        (
            {"human": {"WorkteamArn": "arn:aws:sagemaker:us-east-1:000000000000:workteam/private-crowd/x"}},
            "does not exist in this account",
        ),
        (
            {
                "LabelingJobAlgorithmsConfig": {
                    "LabelingJobAlgorithmSpecificationArn": (
                        "arn:aws:sagemaker:us-east-1:027400017018:"
                        "labeling-job-algorithm-specification/image-classification"
                    )
                }
            },
            "at least 1250 objects, not 2",
        ),
    ],
)
def test_what_can_not_be_started_is_refused_and_forgotten(
    world: World, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        world.start(**changes)
    with pytest.raises(ResourceNotFoundError):
        world.jobs.describe({"LabelingJobName": "parts-0001"})


def test_a_job_of_no_stack_has_nobody_to_ask(world: World) -> None:
    with pytest.raises(NotAvailableError, match="without the tag loupe:stack"):
        world.start(Tags=[])


def test_vendors_and_mechanical_turk_are_not_here(world: World) -> None:
    vendor = "arn:aws:sagemaker:us-east-1:394669845002:workteam/public-crowd/default"
    with pytest.raises(NotAvailableError, match="Mechanical Turk"):
        world.start(human={"WorkteamArn": vendor})


def test_jobs_are_listed_with_their_work_team_and_counters(world: World) -> None:
    world.start("one", images=1)
    world.start("two", images=3)
    [two] = world.jobs.list_all({"NameContains": "two"})["LabelingJobSummaryList"]
    assert two["WorkteamArn"] == world.workteam
    assert two["PreHumanTaskLambdaArn"].endswith("PRE-ImageMultiClass")
    assert "HumanTaskConfig" not in two
    world.until(lambda found: found["LabelCounters"]["Unlabeled"] == 3, "two")
    listed = world.jobs.list_for_workteam({"WorkteamArn": world.workteam})["LabelingJobSummaryList"]
    assert [job["LabelCounters"]["Total"] for job in listed if job["LabelingJobName"] == "two"] == [3]


def test_waiting_ends_with_the_job_or_stops_it(world: World) -> None:
    world.start(images=1)
    world.jobs.wait("parts-0001", lambda: False)
    assert world.ended()["LabelingJobStatus"] == "Stopped"
    assert world.jobs.wait("parts-0001", lambda: True)["LabelingJobStatus"] == "Stopped"
