"""What training and transform jobs have in common: names, ends, restarts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from local.sagemaker.errors import ResourceInUseError, ValidationError
from local.sagemaker.jobs import JobRecords
from local.sagemaker.models import Models
from local.sagemaker.packages import ModelPackages
from local.sagemaker.training import TrainingJobs
from local.sagemaker.transform import TransformJobs
from tests.unit.local.labeling_world import FakePlatform


def document(name: str, status: str = "InProgress", kind: str = "Transform") -> dict[str, Any]:
    return {
        f"{kind}JobName": name,
        f"{kind}JobArn": f"arn:{name}",
        f"{kind}JobStatus": status,
        "CreationTime": 1.0,
        "LastModifiedTime": 1.0,
    }


@pytest.fixture
def records(tmp_path: Path) -> JobRecords:
    return JobRecords(tmp_path, "Transform")


def test_a_name_is_taken_once(records: JobRecords) -> None:
    records.add(document("a"))
    with pytest.raises(ResourceInUseError, match=r"a transform job with this name already exists \(arn:a\)"):
        records.add(document("a"))


def test_jobs_are_there_after_a_restart(records: JobRecords, tmp_path: Path) -> None:
    records.add(document("a"))
    records.update("a", lambda job: {**job, "TransformJobStatus": "Stopping"})
    assert JobRecords(tmp_path, "Transform").get("a")["TransformJobStatus"] == "Stopping"


def test_a_job_that_is_not_there(records: JobRecords) -> None:
    with pytest.raises(ValidationError, match="not found"):
        records.get("nobody")


def test_who_waits_hears_of_the_end(records: JobRecords) -> None:
    records.add(document("a", "Completed"))
    assert records.wait("a", lambda: True) == (document("a", "Completed"), True)


def test_who_no_longer_wants_a_job_does_not_wait(records: JobRecords) -> None:
    records.add(document("a"))
    assert records.wait("a", lambda: False) == (document("a"), False)


@pytest.mark.parametrize("status", ["Completed", "Failed", "Stopped"])
def test_what_has_ended_cannot_be_stopped(records: JobRecords, status: str) -> None:
    records.add(document("a", status))
    with pytest.raises(ValidationError, match=f"the transform job is in status {status}"):
        records.require_running("a")
    assert records.running() == []


def test_a_list_shows_the_members_asked_for(records: JobRecords) -> None:
    records.add(document("a"))
    records.add(document("b", "Failed"))
    found = records.page({"StatusEquals": "Failed"}, ("TransformJobName", "FailureReason"))
    assert found == {"TransformJobSummaries": [{"TransformJobName": "b"}]}


def test_a_transform_that_ran_when_the_cloud_went_down_has_failed(tmp_path: Path) -> None:
    platform = FakePlatform()
    JobRecords(tmp_path / "transform-jobs", "Transform").add(document("a"))
    jobs = TransformJobs(tmp_path, platform, Models(tmp_path, ModelPackages(tmp_path, platform)))
    jobs.resume()
    found = jobs.describe({"TransformJobName": "a"})
    assert found["TransformJobStatus"] == "Failed"
    assert found["FailureReason"].startswith("InternalServerError: The local cloud was stopped")


def test_a_training_that_ran_when_the_cloud_went_down_has_failed(tmp_path: Path) -> None:
    ran = document("a", kind="Training") | {"SecondaryStatusTransitions": [], "TrainingStartTime": 1.0}
    JobRecords(tmp_path / "training-jobs", "Training").add(ran)
    jobs = TrainingJobs(tmp_path, FakePlatform())
    jobs.resume()
    found = jobs.describe({"TrainingJobName": "a"})
    assert (found["TrainingJobStatus"], found["SecondaryStatus"]) == ("Failed", "Failed")
    assert found["BillableTimeInSeconds"] > 0
