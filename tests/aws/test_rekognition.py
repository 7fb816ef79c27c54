"""Rekognition Custom Labels on a stack that is deployed to AWS: about $15, and about three hours.

Run it with the stack's name in LOUPE_AWS_STACK and credentials in the environment:
`LOUPE_AWS_STACK=loupe .venv/bin/pytest -m aws tests/aws/test_rekognition.py`. It leaves a project
`rekognition-test-<time>` behind, with its model stopped.
"""

import csv
import json
import secrets
import time
from pathlib import Path

import pytest

from tests.aws.test_loop import loupe, write_digits

pytestmark = [pytest.mark.aws, pytest.mark.timeout(6 * 3600)]

IMAGES = 150


def test_a_model_is_trained_asked_stopped_and_started_again(tmp_path: Path) -> None:
    project = f"rekognition-test-{time.strftime('%H%M%S')}"
    config = {
        "task": "image-classification",
        "labels": [str(digit) for digit in range(10)],
        "labeling": {"batch_size": IMAGES},
        "training": {"trainer": "rekognition"},
        "hosting": {"kind": "rekognition", "stop_after_idle_minutes": 30},
    }
    file, answers = tmp_path / "project.yaml", tmp_path / "answers.csv"
    file.write_text(json.dumps(config))
    labels = write_digits(tmp_path / "images", 0, IMAGES)
    with answers.open("w", newline="") as stream:
        csv.writer(stream).writerows([("file", "label"), *labels.items()])
    worker, password = f"worker-{secrets.token_hex(4)}", secrets.token_urlsafe(18)
    loupe("project", "create", project, "--file", str(file))
    loupe("upload", project, str(tmp_path / "images"))
    loupe("wait", project, "labeling", "--timeout", "600")
    loupe("worker", "create", worker, "--password", password)
    loupe("annotate", project, str(answers), "--worker", worker, "--password", password)
    loupe("wait", project, "deployed", "--timeout", str(5 * 3600))
    try:
        status = json.loads(loupe("status", project, "--json"))
        assert status["hosting"]["state"] == "running"
        assert status["champion"]["score"] > 0.5
        report = json.loads(loupe("validate", project, "--json"))
        assert report["ok"]
        image = tmp_path / "images" / next(iter(labels))
        [answer] = loupe("predict", project, "--json", str(image)).splitlines()
        assert json.loads(answer)["model_version"] == status["champion"]["version"]
    finally:
        loupe("model", "stop", project)
    loupe("model", "start", project, "--timeout", "3600")
    loupe("model", "stop", project)
