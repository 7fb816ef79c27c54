"""Import and export on a stack that is deployed to AWS.

Run it with the stack's name in LOUPE_AWS_STACK and credentials in the environment:
`LOUPE_AWS_STACK=loupe .venv/bin/pytest -m aws tests/aws/test_interchange.py`. It takes some minutes and
costs a few cents, with the trainings that the imported labels begin. It leaves projects
`import-test-<time>` behind.

To refer to images in another bucket, name one in LOUPE_AWS_REFERRED_BUCKET that the stack's parameter
ReferredBuckets has, and that these credentials may write to: the test puts a folder `loupe-test-<time>` into
it, and deletes that at the end. It waits for the training, half an hour.
"""

import csv
import json
import os
import time
from pathlib import Path
from typing import Any

import boto3
import pytest

from cli.digits import LABELS
from tests.aws.deployed import draw, loupe, status_when

pytestmark = [pytest.mark.aws, pytest.mark.timeout(3600)]

IMAGES = 120
HELD_OUT = 30
MINUTES = 15
TASK = "image-classification"
SETTINGS = {"task": TASK, "labels": LABELS, "training": {"instance_type": "ml.m5.xlarge"}}


def write_labeled(folder: Path, first: int, count: int) -> dict[str, str]:
    """Digits with a CSV of their labels; returns those."""
    rows = draw(TASK, folder, first, count)
    with (folder / "labels.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["file", "label"])
        writer.writeheader()
        writer.writerows(rows)
    return {str(row["file"]): str(row["label"]) for row in rows}


def import_folder(project: str, folder: Path, *options: str) -> dict[str, Any]:
    words = ("import", project, "--format", "csv", str(folder), *options, "--yes", "--json")
    told: dict[str, Any] = json.loads(loupe(*words))
    return told


def labels_in(folder: Path, split: str) -> dict[str, str]:
    """What an export to CSV says of a split."""
    with (folder / f"{split}.csv").open(encoding="utf-8", newline="") as stream:
        return {Path(row["file"]).name: row["label"] for row in csv.DictReader(stream)}


def test_imported_labels_come_back_from_an_export(tmp_path: Path) -> None:
    project = f"import-test-{int(time.time())}"
    held_out = write_labeled(tmp_path / "held-out", 0, HELD_OUT)
    others = write_labeled(tmp_path / "others", HELD_OUT, IMAGES)
    (tmp_path / "project.yaml").write_text(json.dumps(SETTINGS))
    loupe("project", "create", project, "--file", str(tmp_path / "project.yaml"))

    assert import_folder(project, tmp_path / "held-out", "--as-test")["imported"]
    # Images of the test set alone make no version: there is nothing to learn from.
    status_when(project, lambda status: status["images"]["labeled"] == HELD_OUT, MINUTES)
    assert import_folder(project, tmp_path / "others")["imported"]
    assert import_folder(project, tmp_path / "others")["already_imported"]
    status_when(project, lambda status: status["dataset_version"] is not None, MINUTES)

    loupe("export", project, str(tmp_path / "coco"), "--format", "coco", "--images")
    loupe("export", project, str(tmp_path / "csv"), "--format", "csv")
    assert labels_in(tmp_path / "csv", "test") == held_out
    learned = labels_in(tmp_path / "csv", "train") | labels_in(tmp_path / "csv", "validation")
    assert learned == others


@pytest.mark.skipif("LOUPE_AWS_REFERRED_BUCKET" not in os.environ, reason="names no bucket to refer to")
def test_images_of_another_bucket_are_trained_on_where_they_are(tmp_path: Path) -> None:
    bucket, now = os.environ["LOUPE_AWS_REFERRED_BUCKET"], int(time.time())
    project, folder = f"import-test-{now}-refer", f"loupe-test-{now}"
    write_labeled(tmp_path / "images", 0, IMAGES)
    (tmp_path / "project.yaml").write_text(json.dumps(SETTINGS))
    loupe("project", "create", project, "--file", str(tmp_path / "project.yaml"))
    objects = boto3.resource("s3").Bucket(bucket)
    try:
        for file in (tmp_path / "images").iterdir():
            objects.upload_file(str(file), f"{folder}/{file.name}")
        words = (
            "import",
            project,
            "--format",
            "csv",
            f"s3://{bucket}/{folder}/labels.csv",
            "--refer",
            "--yes",
        )
        told = json.loads(loupe(*words, "--json"))["images"]
        assert (told["to_refer_to"], told["to_copy"]) == (IMAGES, 0)
        status = status_when(project, lambda status: status["champion"] is not None, 2 * MINUTES)
        assert status["images"]["labeled"] == IMAGES
        loupe("export", project, str(tmp_path / "csv"), "--format", "csv", "--images")
    finally:
        objects.objects.filter(Prefix=f"{folder}/").delete()
