"""Reviews of labels by Ground Truth on a stack that is deployed to AWS, in an account that has Ground Truth.

Run it with the stack's name in LOUPE_AWS_STACK and credentials in the environment, on a stack that was
deployed with CreateWorkforce=true or WorkteamArn:
`LOUPE_AWS_STACK=loupe .venv/bin/pytest -m aws tests/aws/test_review.py`. Nobody has to review: the jobs are
stopped, so that they cost nothing, and the trainings are made to fail before they cost anything (the stack's
alarm says so). Each leaves a project `review-test-<time>` behind.
"""

import json
import time
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.aws.deployed import TASKS, label_pictures, loupe, status_when

pytestmark = [pytest.mark.aws, pytest.mark.timeout(3600)]

IMAGES = 60
REVIEWED = 3
# It contradicts the dataset, which is found out when the dataset is built and no training job is made yet.
NEVER_TRAINED = {"trainer": "builtin", "hyperparameters": {"num_training_samples": 1}}


@pytest.mark.parametrize(
    ("task", "kind"), [*((task, "adjustment") for task in TASKS), ("bounding-box", "verification")]
)
def test_a_review_starts_and_when_it_is_stopped_labels_stand(task: str, kind: str, tmp_path: Path) -> None:
    project = f"review-test-{int(time.time())}"
    label_pictures(project, {"task": task, "training": NEVER_TRAINED}, IMAGES, tmp_path)
    status = status_when(project, has_failed_training, 20)
    assert "num_training_samples" in status["training"]["reason"]

    options = ("--provider", "ground-truth", "--kind", kind, "--limit", str(REVIEWED), "--json")
    started = json.loads(loupe("review", project, *options))
    assert started["images"] == REVIEWED
    sagemaker = boto3.client("sagemaker")
    try:
        # A broken page, categories or rows that Ground Truth does not take end the job within minutes.
        time.sleep(300)
        remote = sagemaker.describe_labeling_job(LabelingJobName=started["job"])
        assert remote["LabelingJobStatus"] == "InProgress", remote.get("FailureReason")
    finally:
        sagemaker.stop_labeling_job(LabelingJobName=started["job"])
    status = status_when(project, lambda status: newest_job(status)["state"] == "failed", 20)
    assert newest_job(status)["job"] == started["job"]
    assert "was stopped" in newest_job(status)["reason"]
    assert status["images"]["labeled"] == IMAGES


def has_failed_training(status: dict[str, Any]) -> bool:
    training = status["training"]
    return training is not None and training["status"] == "failed"


def newest_job(status: dict[str, Any]) -> dict[str, Any]:
    job: dict[str, Any] = status["jobs"][0]
    return job
