"""A labeling job of Ground Truth on a stack that is deployed to AWS, in an account that has Ground Truth.

Run it with the stack's name in LOUPE_AWS_STACK and credentials in the environment, on a stack that was
deployed with CreateWorkforce=true or WorkteamArn:
`LOUPE_AWS_STACK=loupe .venv/bin/pytest -m aws tests/aws/test_ground_truth.py`. Nobody has to label: the job
is stopped, so that it costs nothing. It leaves a project `gt-test-<time>` behind, whose images wait.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from PIL import Image

pytestmark = [pytest.mark.aws, pytest.mark.timeout(3600)]

IMAGES = 3
TASKS = ("image-classification", "multi-label-classification", "bounding-box")


def loupe(*arguments: str) -> str:
    """What the command prints; its errors go to the terminal."""
    command = [sys.executable, "-m", "cli", "--stack", os.environ["LOUPE_AWS_STACK"], *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603


def status_when(project: str, condition: Callable[[dict[str, Any]], bool], minutes: float) -> dict[str, Any]:
    """The project's status once `condition` holds for it; fails with what was seen last."""
    deadline = time.monotonic() + minutes * 60
    while True:
        status: dict[str, Any] = json.loads(loupe("status", project, "--json"))
        if condition(status):
            return status
        assert time.monotonic() < deadline, status
        time.sleep(10)


@pytest.mark.parametrize("task", TASKS)
def test_a_job_starts_and_when_it_is_stopped_its_images_wait_again(task: str, tmp_path: Path) -> None:
    project = f"gt-test-{int(time.time())}"
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(IMAGES):
        Image.effect_noise((320, 240), 20 + number).save(folder / f"{number}.png")
    config = {
        "task": task,
        "labels": ["ok", "scratch"],
        "instructions": "Choose anything: <b>this is a test</b> {{ of Loupe }}.",
        "labeling": {"provider": "ground-truth", "batch_size": IMAGES},
    }
    file = tmp_path / "project.yaml"
    file.write_text(json.dumps(config))
    loupe("project", "create", project, "--file", str(file))
    loupe("upload", project, str(folder))

    status = status_when(project, lambda status: bool(status["jobs"]), 10)
    [job] = status["jobs"]
    assert job["provider"] == "ground-truth"
    assert job["state"] != "failed", job["reason"]
    sagemaker = boto3.client("sagemaker")
    # A broken page, a role that may too little or a missing CORS rule ends the job within minutes.
    time.sleep(300)
    remote = sagemaker.describe_labeling_job(LabelingJobName=job["job"])
    assert remote["LabelingJobStatus"] == "InProgress", remote.get("FailureReason")

    sagemaker.stop_labeling_job(LabelingJobName=job["job"])
    status = status_when(project, lambda status: status["images"]["pending"] == IMAGES, 20)
    assert status["jobs"][0]["state"] == "failed"
    assert "was stopped" in status["jobs"][0]["reason"]
