"""A project that Ground Truth labels, in the deployed stack; the portal's workers stand in for its own."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from loupe.domain.datasets.versions import DatasetCard
from loupe.domain.workspace import Workspace
from tests.local.deployment import Deployment
from tests.local.flows import (
    NO_TRAINING,
    Portal,
    finished_job,
    new_project,
    open_job,
    output_manifest,
    pending,
    read_workspace,
)
from tests.local.waiting import eventually
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
        project, lambda status: [job["state"] for job in status["jobs"]] == ["failed"], 60
    )
    [job] = status["jobs"]
    assert "workteam" in (job["reason"] or "")
    deployment.wait_for(project, pending(1))


def write_dataset(deployment: Deployment, project: str, rows: list[dict[str, Any]]) -> None:
    """A dataset version of a finished job's labels, without the training that would build one."""
    space = Workspace(project)
    card = DatasetCard(
        version="0001",
        task="bounding-box",
        labels=("bolt", "nut"),
        created_at=datetime.now(UTC),
        previous_version=None,
        jobs=(),
        new_labels=len(rows),
        images={"train": len(rows), "validation": 0, "test": 0},
        counts={"train": {}, "validation": {}, "test": {}},
        without={"train": 0, "validation": 0, "test": 0},
        left_out={},
        split_rule="",
    )
    text = "".join(json.dumps(row) + "\n" for row in rows)
    objects = {
        space.split("0001", "train"): text.encode(),
        space.split("0001", "validation"): b"",
        space.split("0001", "test"): b"",
        space.dataset_card("0001"): card.to_json(),
    }
    for key, content in objects.items():
        deployment.client("s3").put_object(
            Bucket=deployment.outputs["WorkspaceBucket"], Key=key, Body=content
        )


def test_adjusted_boxes_correct_the_labels(deployment: Deployment, ana: Portal) -> None:
    project = new_project("gt-boxes")
    config = {
        "task": "bounding-box",
        "labels": ["bolt", "nut"],
        "labeling": {"provider": "ground-truth", "batch_size": 2},
        "training": NO_TRAINING,
    }
    deployment.stack.write_configuration(project, json.dumps(config))
    for number in range(2):
        deployment.drop(f"{project}/{number:03}.png", png(24, 24, seed=number))
    open_job(deployment, project, 2)
    box = {"label": "bolt", "left": 2, "top": 3, "width": 10, "height": 8}
    for task in open_tasks(ana, project, 2):
        assert ana.answer(project, task, boxes=[box]).status_code == 200
    job = finished_job(deployment, project)
    rows = output_manifest(deployment, project, job)
    assert [row["boxes-metadata"]["class-map"] for row in rows] == [{"0": "bolt"}] * 2
    deployment.wait_for(project, lambda status: status["images"]["labeled"] == 2)

    write_dataset(deployment, project, rows)
    wish = {"project": project, "version": None, "label": "bolt", "limit": 9, "kind": "adjustment"}
    review = deployment.stack.start_review(wish)
    assert (review["images"], review["dataset_version"]) == (2, "0001")
    wrong, right = open_tasks(ana, project, 2)
    assert {wrong["job"], right["job"]} == {review["job"]}
    nut = box | {"label": "nut", "left": 4}
    assert ana.answer(project, wrong, boxes=[nut]).status_code == 200
    assert ana.answer(project, right, boxes=[box]).status_code == 200
    deployment.wait_for(
        project, lambda status: [each["state"] for each in status["jobs"]] == ["finished"] * 2, 60
    )
    workspace = deployment.outputs["WorkspaceBucket"]
    labels = Workspace(project).labels(review["job"])
    listed = eventually(
        lambda: deployment.client("s3").list_objects_v2(Bucket=workspace, Prefix=labels).get("Contents", []),
        "the corrected labels",
        60,
    )
    assert len(listed) == 1
    [line] = read_workspace(deployment, labels).decode().splitlines()
    assert json.loads(line)["boxes"] == [nut]
    assert deployment.stack.status(project)["images"]["labeled"] == 2
