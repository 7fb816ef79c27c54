"""Rekognition Custom Labels on a stack that is deployed to AWS: a case costs about $15 and takes three hours.

Run it with the stack's name in LOUPE_AWS_STACK and credentials in the environment:
`LOUPE_AWS_STACK=loupe .venv/bin/pytest -m aws tests/aws/test_rekognition.py`, or one case with
`-k bounding-box`, say. Each leaves a project `rekognition-test-<time>` behind, with its model stopped.
"""

import csv
import json
import secrets
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from cli.digits import LABELS, load_digits
from cli.scenes import Scene, compose
from loupe.domain.projects import TaskType
from tests.aws.deployed import loupe
from tests.aws.test_loop import write_digits

pytestmark = [pytest.mark.aws, pytest.mark.timeout(6 * 3600)]

IMAGES = 150


@pytest.mark.parametrize(
    ("task", "test_dataset"),
    [
        ("image-classification", "separate"),
        ("image-classification", "distribute"),
        ("multi-label-classification", "separate"),
        ("bounding-box", "separate"),
    ],
)
def test_a_model_is_trained_asked_stopped_and_started_again(
    tmp_path: Path, task: TaskType, test_dataset: str
) -> None:
    project = f"rekognition-test-{time.strftime('%H%M%S')}"
    config = {
        "task": task,
        "labels": list(LABELS),
        "labeling": {"batch_size": IMAGES},
        "training": {"trainer": "rekognition", "rekognition": {"test_dataset": test_dataset}},
        "hosting": {"kind": "rekognition", "stop_after_idle_minutes": 30},
    }
    file, images = tmp_path / "project.yaml", tmp_path / "images"
    file.write_text(json.dumps(config))
    answers = write_images(task, images, tmp_path)
    worker, password = f"worker-{secrets.token_hex(4)}", secrets.token_urlsafe(18)
    loupe("project", "create", project, "--file", str(file))
    loupe("upload", project, str(images))
    loupe("wait", project, "labeling", "--timeout", "600")
    loupe("worker", "create", worker, "--password", password)
    loupe("annotate", project, str(answers), "--worker", worker, "--password", password)
    loupe("wait", project, "deployed", "--timeout", str(5 * 3600))
    try:
        status = json.loads(loupe("status", project, "--json"))
        assert status["hosting"]["state"] == "running"
        assert status["champion"]["score"] > (0.5 if task == "image-classification" else 0)
        report = json.loads(loupe("validate", project, "--json"))
        assert report["ok"]
        assert set(report["datasets"]) == ({"train"} if test_dataset == "distribute" else {"train", "test"})
        image = min(images.iterdir())
        [answer] = loupe("predict", project, "--json", str(image)).splitlines()
        predicted = json.loads(answer)
        assert predicted["model_version"] == status["champion"]["version"]
        assert all(("box" in each) == (task == "bounding-box") for each in predicted["predictions"])
        loupe("model", "stop", project)
        loupe("model", "start", project, "--timeout", "3600")
    finally:
        loupe("model", "stop", project)


def write_images(task: TaskType, images: Path, folder: Path) -> Path:
    """Digits, or scenes of several ones; returns the file that says what they show."""
    if task == "image-classification":
        return write_csv(folder / "answers.csv", write_digits(images, 0, IMAGES).items())
    scenes = compose(load_digits(), IMAGES, seed=1)
    images.mkdir()
    for scene in scenes:
        (images / scene.name).write_bytes(scene.png)
    if task == "bounding-box":
        return write_coco(folder / "answers.json", scenes)
    rows = [
        (scene.name, label) for scene in scenes for label in sorted({each.label for each in scene.digits})
    ]
    return write_csv(folder / "answers.csv", rows)


def write_csv(file: Path, rows: Iterable[tuple[str, str]]) -> Path:
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([("file", "label"), *rows])
    return file


def write_coco(file: Path, scenes: Iterable[Scene]) -> Path:
    named = list(enumerate(scenes))
    content = {
        "images": [{"id": number, "file_name": scene.name} for number, scene in named],
        "categories": [{"id": int(label), "name": label} for label in LABELS],
        "annotations": [
            {
                "image_id": number,
                "category_id": int(digit.label),
                "bbox": [digit.left, digit.top, digit.width, digit.height],
            }
            for number, scene in named
            for digit in scene.digits
        ],
    }
    file.write_text(json.dumps(content))
    return file
