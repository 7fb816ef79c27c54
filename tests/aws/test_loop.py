"""The whole loop on a stack that is deployed to AWS. It costs a few cents and takes about half an hour.

Run it with the stack's name in LOUPE_AWS_STACK and credentials in the environment:
`LOUPE_AWS_STACK=loupe .venv/bin/pytest -m aws tests/aws`. It leaves a project `loop-test-<time>` behind.
"""

import csv
import io
import json
import secrets
import time
from pathlib import Path

import pytest
from PIL import Image
from sklearn.datasets import load_digits

from tests.aws.deployed import loupe

pytestmark = [pytest.mark.aws, pytest.mark.timeout(7200)]

IMAGES = 120
OTHERS = 30


def write_digits(folder: Path, first: int, count: int) -> dict[str, str]:
    """PNG files of scikit-learn's digits; returns the label of each file."""
    folder.mkdir()
    digits = load_digits()
    labels = {}
    for index in range(first, first + count):
        scan = Image.fromarray((digits.images[index] * 15.9).astype("uint8")).resize(
            (64, 64), Image.Resampling.BICUBIC
        )
        scan.save(folder / f"{index:04}.png")
        labels[f"{index:04}.png"] = str(digits.target[index])
    return labels


def test_dropped_images_become_an_endpoint_that_answers(tmp_path: Path) -> None:
    project = f"loop-test-{int(time.time())}"
    worker, password = f"worker-{secrets.token_hex(4)}", secrets.token_urlsafe(18)
    labels = write_digits(tmp_path / "dropped", 0, IMAGES)
    answers = io.StringIO()
    csv.writer(answers).writerows([("file", "label"), *labels.items()])
    (tmp_path / "answers.csv").write_text(answers.getvalue())
    (tmp_path / "project.yaml").write_text(
        "task: image-classification\nlabels: ['0','1','2','3','4','5','6','7','8','9']\n"
        f"labeling: {{batch_size: {IMAGES}}}\ntraining: {{instance_type: ml.m5.xlarge}}\n"
    )

    loupe("project", "create", project, "--file", str(tmp_path / "project.yaml"))
    loupe("upload", project, str(tmp_path / "dropped"))
    loupe("wait", project, "labeling", "--timeout", "600")
    loupe("worker", "create", worker, "--password", password)
    loupe("annotate", project, str(tmp_path / "answers.csv"), "--worker", worker, "--password", password)
    loupe("wait", project, "deployed", "--timeout", "5400")

    others = write_digits(tmp_path / "others", IMAGES, OTHERS)
    files = [str(tmp_path / "others" / name) for name in others]
    lines = [json.loads(line) for line in loupe("predict", project, "--json", *files).splitlines()]
    right = [line["predictions"][0]["label"] == others[Path(line["file"]).name] for line in lines]
    assert len(right) == OTHERS
    assert sum(right) > OTHERS / 2
