"""The loop with a built-in algorithm: trained, compared by batch transform, put into service."""

from __future__ import annotations

import json
from typing import Any

from tests.local.deployment import Deployment
from tests.local.digit_project import LABELS, DigitProject

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
