"""A labeling job of Ground Truth on a stack that is deployed to AWS, in an account that has Ground Truth.

Run it with the stack's name in LOUPE_AWS_STACK and credentials in the environment, on a stack that was
deployed with CreateWorkforce=true or WorkteamArn:
`LOUPE_AWS_STACK=loupe .venv/bin/pytest -m aws tests/aws/test_ground_truth.py`. Nobody has to label: the job
is stopped, so that it costs nothing. It leaves a project `gt-test-<time>` behind, whose images wait.
"""

import json
import time
from pathlib import Path

import boto3
import pytest
from PIL import Image

from tests.aws.deployed import TASKS, loupe, status_when

pytestmark = [pytest.mark.aws, pytest.mark.timeout(3600)]

IMAGES = 3


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
