"""Rekognition Custom Labels on a stack that is deployed to AWS: a case costs about $15 and takes three hours.

Run it with the stack's name in LOUPE_AWS_STACK and credentials in the environment:
`LOUPE_AWS_STACK=loupe .venv/bin/pytest -m aws tests/aws/test_rekognition.py`, or one case with
`-k bounding-box`, say. Each leaves a project `rekognition-test-<time>` behind, with its model stopped.
"""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.aws.deployed import TASKS, label_pictures, loupe

pytestmark = [pytest.mark.aws, pytest.mark.timeout(6 * 3600)]

IMAGES = 150
CASES = [*((task, "separate") for task in TASKS), ("image-classification", "distribute")]


def settings(task: str, test_dataset: str) -> dict[str, Any]:
    """What project.yaml says, but for the labels."""
    return {
        "task": task,
        "training": {"trainer": "rekognition", "rekognition": {"test_dataset": test_dataset}},
        "hosting": {"kind": "rekognition", "stop_after_idle_minutes": 30},
    }


@pytest.mark.parametrize(("task", "test_dataset"), CASES)
def test_a_model_is_trained_asked_stopped_and_started_again(
    tmp_path: Path, task: str, test_dataset: str
) -> None:
    project = f"rekognition-test-{time.strftime('%H%M%S')}"
    label_pictures(project, settings(task, test_dataset), IMAGES, tmp_path)
    loupe("wait", project, "deployed", "--timeout", str(5 * 3600))
    try:
        status = json.loads(loupe("status", project, "--json"))
        assert status["hosting"]["state"] == "running"
        assert status["champion"]["score"] > (0.5 if task == "image-classification" else 0)
        report = json.loads(loupe("validate", project, "--json"))
        assert report["ok"]
        assert set(report["datasets"]) == ({"train"} if test_dataset == "distribute" else {"train", "test"})
        image = min((tmp_path / "pictures").iterdir())
        [answer] = loupe("predict", project, "--json", str(image)).splitlines()
        predicted = json.loads(answer)
        assert predicted["model_version"] == status["champion"]["version"]
        assert all(("box" in each) == (task == "bounding-box") for each in predicted["predictions"])
        loupe("model", "stop", project)
        loupe("model", "start", project, "--timeout", "3600")
    finally:
        loupe("model", "stop", project)
