"""The whole loop on a stack that is deployed to AWS. It costs a few cents and takes about half an hour.

Run it with the stack's name in LOUPE_AWS_STACK and credentials in the environment:
`LOUPE_AWS_STACK=loupe .venv/bin/pytest -m aws tests/aws/test_loop.py`. It leaves a project
`loop-test-<time>` behind.
"""

import json
import time
from pathlib import Path

import pytest

from tests.aws.deployed import draw, label_pictures, loupe

pytestmark = [pytest.mark.aws, pytest.mark.timeout(7200)]

IMAGES = 120
OTHERS = 30
SETTINGS = {"task": "image-classification", "training": {"instance_type": "ml.m5.xlarge"}}


def test_dropped_images_become_an_endpoint_that_answers(tmp_path: Path) -> None:
    project = f"loop-test-{int(time.time())}"
    label_pictures(project, SETTINGS, IMAGES, tmp_path)
    loupe("wait", project, "deployed", "--timeout", "5400")

    others = draw("image-classification", tmp_path / "others", IMAGES, OTHERS)
    files = [str(tmp_path / "others" / str(row["file"])) for row in others]
    lines = [json.loads(line) for line in loupe("predict", project, "--json", *files).splitlines()]
    expected = {row["file"]: row["label"] for row in others}
    right = [line["predictions"][0]["label"] == expected[Path(line["file"]).name] for line in lines]
    assert len(right) == OTHERS
    assert sum(right) > OTHERS / 2
