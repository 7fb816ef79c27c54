"""Built-in algorithms on a stack that is deployed to AWS. It costs about a dollar, and takes half an hour.

Run it with the stack's name in LOUPE_AWS_STACK and credentials in the environment:
`LOUPE_AWS_STACK=loupe .venv/bin/pytest -m aws tests/aws/test_builtin.py`. The account needs a quota of one
ml.g4dn.xlarge for training and one ml.m5.xlarge for transform jobs. It leaves a project
`builtin-test-<time>` behind.
"""

import csv
import io
import json
import secrets
import time
from pathlib import Path

import pytest

from tests.aws.test_loop import loupe, write_digits

pytestmark = [pytest.mark.aws, pytest.mark.timeout(7200)]

IMAGES = 200
PROJECT_YAML = f"""
task: image-classification
labels: ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']
labeling: {{batch_size: {IMAGES}}}
training:
  trainer: builtin
  instance_type: ml.g4dn.xlarge
  max_run_minutes: 60
  hyperparameters: {{epochs: 5, num_layers: 18}}
"""


def test_a_built_in_model_goes_into_service(tmp_path: Path) -> None:
    project = f"builtin-test-{int(time.time())}"
    worker, password = f"worker-{secrets.token_hex(4)}", secrets.token_urlsafe(18)
    labels = write_digits(tmp_path / "dropped", 0, IMAGES)
    answers = io.StringIO()
    csv.writer(answers).writerows([("file", "label"), *labels.items()])
    (tmp_path / "answers.csv").write_text(answers.getvalue())
    (tmp_path / "project.yaml").write_text(PROJECT_YAML)

    loupe("project", "create", project, "--file", str(tmp_path / "project.yaml"))
    loupe("upload", project, str(tmp_path / "dropped"))
    loupe("wait", project, "labeling", "--timeout", "600")
    loupe("worker", "create", worker, "--password", password)
    loupe("annotate", project, str(tmp_path / "answers.csv"), "--worker", worker, "--password", password)
    loupe("wait", project, "deployed", "--timeout", "5400")

    status = json.loads(loupe("status", project, "--json"))
    assert status["champion"]["trainer"] == "builtin"
    others = write_digits(tmp_path / "others", IMAGES, 5)
    asked = [str(tmp_path / "others" / name) for name in others]
    predicted = [json.loads(line) for line in loupe("predict", project, *asked, "--json").splitlines()]
    for answer in predicted:
        assert sorted(each["label"] for each in answer["predictions"]) == sorted(map(str, range(10)))
        assert sum(each["confidence"] for each in answer["predictions"]) == pytest.approx(1, abs=0.01)
