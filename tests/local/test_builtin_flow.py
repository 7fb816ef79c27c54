"""The loop with a built-in algorithm: trained, compared by batch transform, put into service."""

from __future__ import annotations

import json
from collections.abc import Mapping
from secrets import token_hex
from typing import Any

import pytest

from cli.scenes import SIDE, Scene, compose
from loupe.domain.label_values import Box, Boxes
from tests.local.deployment import Deployment
from tests.local.digit_project import LABELS, DigitProject, digits
from tests.local.waiting import eventually

pytestmark = pytest.mark.timeout(900)

SMALL = {"epochs": "2", "use_pretrained_model": "0", "num_layers": "20", "image_shape": "3,32,32"}


def evaluation(project: DigitProject, version: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(project.workspace.read(project.keys.evaluation(version)))
    return content


def transform_jobs(project: DigitProject) -> list[dict[str, Any]]:
    """Batch transforms of the project's models."""
    listed = project.deployment.client("sagemaker").list_transform_jobs(NameContains=project.name)
    found: list[dict[str, Any]] = listed["TransformJobSummaries"]
    return found


def test_a_built_in_model_goes_into_service_and_is_compared_with_the_next_one(
    deployment: Deployment,
) -> None:
    project = DigitProject(deployment, training={"trainer": "builtin", "hyperparameters": SMALL})
    project.configure()
    first = project.turn()
    assert first["status"] == "promoted", first["reason"]
    [asked] = transform_jobs(project)
    assert asked["TransformJobStatus"] == "Completed"

    answer = project.predict()
    assert answer["model_version"] == first["version"]
    assert sorted(each["label"] for each in answer["predictions"]) == sorted(LABELS)
    assert abs(sum(each["confidence"] for each in answer["predictions"]) - 1) < 0.01

    second = project.turn()
    assert second["status"] == "promoted", second["reason"]
    assert second["version"]
    compared = evaluation(project, second["version"])
    assert compared["test_images"] == len(project.split(second["version"], "test"))
    assert 0 <= compared["champion"]["score"] <= 1
    assert "the champion 0001 has" in (second["reason"] or "")
    assert len(transform_jobs(project)) == 3
    assert project.predict()["model_version"] == second["version"]


def test_a_built_in_detector_answers_in_pixels_of_the_image(deployment: Deployment) -> None:
    project = DigitProject(deployment, name=f"scenes-{token_hex(3)}", batch_size=24)
    pictures = {f"{project.name}/{scene.name}": scene for scene in compose(digits(), project.batch_size, 1)}
    configuration = {
        "task": "bounding-box",
        "labels": LABELS,
        "labeling": {"batch_size": project.batch_size},
        "training": {"trainer": "builtin", "hyperparameters": {"epochs": "2"}},
    }
    deployment.stack.write_configuration(project.name, json.dumps(configuration))
    for key, scene in pictures.items():
        deployment.drop(key, scene.png)
    eventually(lambda: label(deployment, project, pictures), "the scenes to be labeled")
    training = project.next_training(None)
    assert training["status"] == "promoted", training["reason"]
    assert "mAP@0.5" in (training["reason"] or "")

    answer = deployment.request(
        "POST",
        f"/v1/projects/{project.name}/predictions",
        content=next(iter(pictures.values())).png,
        headers={"content-type": "image/png"},
    ).json()
    assert (answer["task"], answer["model_version"]) == ("bounding-box", training["version"])
    for found in answer["predictions"]:
        assert found["label"] in LABELS
        box = found["box"]
        assert 0 <= box["left"] <= box["left"] + box["width"] <= SIDE
        assert 0 <= box["top"] <= box["top"] + box["height"] <= SIDE


def label(deployment: Deployment, project: DigitProject, pictures: Mapping[str, Scene]) -> bool:
    """Answer all open tasks with the scenes' boxes; whether there were any."""
    worker, answered = deployment.worker(), 0
    while tasks := worker.lease(project.name, 20)["tasks"]:
        for task in tasks:
            placed = pictures[task["image"]["name"]].digits
            boxes = tuple(Box(d.label, d.left, d.top, d.width, d.height) for d in placed)
            worker.annotate(project.name, task["job"], task["task"], Boxes(boxes), 0)
            answered += 1
    return answered > 0
