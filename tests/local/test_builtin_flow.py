"""The loop with a built-in algorithm: trained, compared by batch transform, put into service."""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest

from cli.digits import Digit
from cli.scenes import SIDE, Scene, compose
from loupe.domain.datasets.versions import DESIGNATED_SPLIT_RULE, NEAR_TEST, latest_card
from loupe.domain.label_values import Box, Boxes
from loupe.domain.projects import TaskType
from tests.local.deployment import Deployment
from tests.local.digit_project import EVEN, LABELS, DigitProject, digits, loupe, value_of
from tests.local.waiting import eventually

pytestmark = pytest.mark.timeout(900)

SEVERAL: TaskType = "multi-label-classification"
SMALL = {"epochs": "2", "use_pretrained_model": "0", "num_layers": "20", "image_shape": "3,32,32"}


def boxes_of(scene: Scene) -> Boxes:
    return Boxes(tuple(Box(d.label, d.left, d.top, d.width, d.height) for d in scene.digits))


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
    compared = project.evaluation(second["version"])
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
    eventually(
        lambda: deployment.label_all(project.name, lambda key: boxes_of(pictures[key])),
        "the scenes to be labeled",
    )
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


def write_labels(folder: Path, shown: Iterable[Digit]) -> Path:
    """A folder with digits and a CSV file of their labels, a row each."""
    folder.mkdir()
    lines = ["file,label"]
    for digit in shown:
        (folder / digit.name).write_bytes(digit.png())
        lines += [f"{digit.name},{label}" for label in value_of(digit.label, SEVERAL).names]
    (folder / "labels.csv").write_text("\n".join(lines))
    return folder


def test_several_labels_are_learned_and_judged_by_the_test_set_that_was_imported(
    deployment: Deployment, tmp_path: Path
) -> None:
    tested, learned = digits()[:6], digits()[6:30]
    project = DigitProject(
        deployment,
        task=SEVERAL,
        training={"trainer": "builtin", "hyperparameters": SMALL, "min_new_labels": len(learned)},
    )
    project.configure()
    words = ["import", project.name, "--format", "csv", "--yes"]
    loupe(project, *words, "--as-test", str(write_labels(tmp_path / "tested", tested)))
    loupe(project, *words, str(write_labels(tmp_path / "learned", learned)))
    training = project.next_training(None)
    assert training["status"] == "promoted", training["reason"]

    [version] = project.dataset_versions()
    assert project.split(version, "test") == {sha256(digit.png()).hexdigest() for digit in tested}
    card = latest_card(project.name, project.workspace)
    assert card is not None
    assert card.split_rule == DESIGNATED_SPLIT_RULE
    others = project.split(version, "train") | project.split(version, "validation")
    assert others <= {sha256(digit.png()).hexdigest() for digit in learned}
    assert len(others) + card.left_out.get(NEAR_TEST, 0) == len(learned)
    assert project.evaluation(str(training["version"]))["test_images"] == len(tested)

    answer = project.predict()
    assert (answer["task"], answer["model_version"]) == (SEVERAL, training["version"])
    assert {each["label"] for each in answer["predictions"]} <= {*LABELS, EVEN}
    assert all(0 <= each["confidence"] <= 1 for each in answer["predictions"])
