"""Built-in algorithms on a stack that is deployed to AWS: four trainings, each half an hour and about $1.

Run it with the stack's name in LOUPE_AWS_STACK and credentials in the environment:
`LOUPE_AWS_STACK=loupe .venv/bin/pytest -m aws tests/aws/test_builtin.py`, and `-k spot` or the like for one
of them. The account needs a quota of one ml.g4dn.xlarge for training, one for spot training, and one
ml.m5.xlarge for transform jobs. Each leaves a project `builtin-test-<time>` behind.
"""

import json
import time
from pathlib import Path
from typing import Any

import boto3
import pytest

from cli.digits import LABELS
from cli.scenes import SIDE
from loupe.domain.manifests import S3Uri
from tests.aws.deployed import draw, label_pictures, loupe

pytestmark = [pytest.mark.aws, pytest.mark.timeout(3 * 3600)]

IMAGES = 200
HYPERPARAMETERS: dict[str, dict[str, Any]] = {
    "image-classification": {"epochs": 5, "num_layers": 18, "checkpoint_frequency": 1},
    "multi-label-classification": {"epochs": 5, "num_layers": 18},
    "bounding-box": {"epochs": 5, "base_network": "resnet-50"},
}
SPOT = {"spot": True, "max_wait_minutes": 120}


def settings(task: str, **training: Any) -> dict[str, Any]:
    """What project.yaml says of the training."""
    shared = {"trainer": "builtin", "instance_type": "ml.g4dn.xlarge", "max_run_minutes": 60}
    return {
        "task": task,
        "training": {**shared, "hyperparameters": HYPERPARAMETERS[task], **training},
    }


def train(task: str, folder: Path, **training: Any) -> str:
    """A project whose first model is in service."""
    project = f"builtin-test-{int(time.time())}"
    label_pictures(project, settings(task, **training), IMAGES, folder)
    loupe("wait", project, "deployed", "--timeout", str(2 * 3600))
    status = json.loads(loupe("status", project, "--json"))
    assert status["champion"]["trainer"] == "builtin"
    return project


def predictions(project: str, task: str, folder: Path) -> list[list[dict[str, Any]]]:
    """What the model says of five pictures that it has not seen."""
    draw(task, folder / "others", IMAGES, 5)
    asked = map(str, sorted((folder / "others").iterdir()))
    answers = [json.loads(line) for line in loupe("predict", project, *asked, "--json").splitlines()]
    assert len(answers) == 5
    return [answer["predictions"] for answer in answers]


def test_a_classifier_goes_into_service(tmp_path: Path) -> None:
    task = "image-classification"
    project = train(task, tmp_path)
    for predicted in predictions(project, task, tmp_path):
        assert sorted(each["label"] for each in predicted) == sorted(LABELS)
        assert sum(each["confidence"] for each in predicted) == pytest.approx(1, abs=0.01)


def test_a_classifier_of_several_labels_goes_into_service(tmp_path: Path) -> None:
    task = "multi-label-classification"
    project = train(task, tmp_path)
    for predicted in predictions(project, task, tmp_path):
        assert sorted(each["label"] for each in predicted) == sorted(LABELS)
        assert all(0 <= each["confidence"] <= 1 for each in predicted)


def test_a_detector_goes_into_service(tmp_path: Path) -> None:
    task = "bounding-box"
    project = train(task, tmp_path)
    for predicted in predictions(project, task, tmp_path):
        for each in predicted:
            box = each["box"]
            assert each["label"] in LABELS
            assert 0 <= box["left"] <= box["left"] + box["width"] <= SIDE
            assert 0 <= box["top"] <= box["top"] + box["height"] <= SIDE


def test_a_spot_training_leaves_checkpoints(tmp_path: Path) -> None:
    project = train("image-classification", tmp_path, **SPOT)
    sagemaker = boto3.client("sagemaker")
    [trained] = sagemaker.list_training_jobs(NameContains=project)["TrainingJobSummaries"]
    job = sagemaker.describe_training_job(TrainingJobName=trained["TrainingJobName"])
    assert job["EnableManagedSpotTraining"]
    checkpoints = S3Uri.parse(job["CheckpointConfig"]["S3Uri"])
    found = boto3.client("s3").list_objects_v2(Bucket=checkpoints.bucket, Prefix=f"{checkpoints.key}/")
    assert found["KeyCount"] > 0
