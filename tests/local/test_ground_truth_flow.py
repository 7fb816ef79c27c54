"""A project that Ground Truth labels, in the deployed stack; the portal's workers stand in for its own."""

from __future__ import annotations

import pytest

from loupe.domain.workspace import Workspace
from tests.local.deployment import Deployment
from tests.local.flows import (
    NO_TRAINING,
    Portal,
    eventually,
    finished_job,
    new_project,
    open_job,
    output_manifest,
    pending,
    read_workspace,
)
from tests.unit.ingest.pictures import png

LABELS = ["cat", "dog"]


@pytest.fixture(scope="module")
def ana(deployment: Deployment) -> Portal:
    return Portal(deployment, "ana")


def start_job(deployment: Deployment, images: int) -> str:
    """A project with one open job of so many images, for the stack's own work team; it never trains."""
    project = new_project("gt")
    labeling = {"provider": "ground-truth", "batch_size": images}
    deployment.configure(project, LABELS, labeling=labeling, training=NO_TRAINING)
    for number in range(images):
        deployment.drop(f"{project}/{number:03}.png", png(24, 24, seed=number))
    open_job(deployment, project, images)
    return project


def open_tasks(portal: Portal, project: str, count: int) -> list[dict[str, str]]:
    return eventually(lambda: portal.lease(project, count), "tasks at the portal")


def test_images_come_back_with_labels_of_ground_truths_own_form(deployment: Deployment, ana: Portal) -> None:
    project = start_job(deployment, 3)
    first, second, skipped = open_tasks(ana, project, 20)
    [job] = deployment.stack.status(project)["jobs"]
    assert job["provider"] == "ground-truth"
    remote = deployment.client("sagemaker").describe_labeling_job(LabelingJobName=job["job"])
    assert remote["LabelingJobStatus"] == "InProgress"
    assert remote["LabelAttributeName"] == "label"
    assert ana.answer(project, first, label="cat").status_code == 200
    assert ana.answer(project, second, label="dog").status_code == 200
    assert ana.answer(project, skipped, skip="too dark").status_code == 200
    assert finished_job(deployment, project) == job["job"]
    rows = output_manifest(deployment, project, job["job"])
    assert sorted(row["label-metadata"].get("class-name", "") for row in rows) == ["", "cat", "dog"]
    assert b"crowd-image-classifier" in read_workspace(
        deployment, Workspace(project).worker_template(job["job"])
    )
    # Taking the labels over is the first step of a training; the skipped image gets its next chance.
    status = deployment.wait_for(project, lambda status: status["images"]["labeled"] == 2)
    assert status["images"]["pending"] + status["images"]["labeling"] == 1


def test_a_stopped_job_gives_its_images_back(deployment: Deployment) -> None:
    project = start_job(deployment, 2)
    [job] = deployment.stack.status(project)["jobs"]
    deployment.client("sagemaker").stop_labeling_job(LabelingJobName=job["job"])
    status = deployment.wait_for(project, pending(2), 60)
    [failed] = status["jobs"]
    assert failed["state"] == "failed"
    assert failed["reason"] is not None
    assert "was stopped with 0 of 2 images labeled" in failed["reason"]


def test_a_workteam_that_is_not_there_fails_the_job_with_its_reason(deployment: Deployment) -> None:
    project = new_project("gt")
    nobody = deployment.outputs["WorkteamArn"].rpartition("/")[0] + "/nobody"
    labeling = {"provider": "ground-truth", "batch_size": 1, "ground_truth": {"workteam": nobody}}
    deployment.configure(project, LABELS, labeling=labeling, training=NO_TRAINING)
    deployment.drop(f"{project}/0.png", png(24, 24, seed=0))
    status = deployment.wait_for(
        project, lambda status: bool(status["jobs"]) and status["images"]["pending"] == 1
    )
    [job] = status["jobs"]
    assert job["state"] == "failed"
    assert "workteam" in (job["reason"] or "")
