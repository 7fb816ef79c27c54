"""An endpoint on instances of a stack that is deployed to AWS: costs about $3 and takes two hours.

Run it with the stack's name in LOUPE_AWS_STACK and credentials in the environment:
`LOUPE_AWS_STACK=loupe .venv/bin/pytest -m aws tests/aws/test_realtime.py`. It leaves a project
`realtime-test-<time>` behind, with its model stopped.
"""

import json
import time
from pathlib import Path

import pytest

from tests.aws.deployed import label_more, label_pictures, loupe, status_when

pytestmark = [pytest.mark.aws, pytest.mark.timeout(4 * 3600)]

SETTINGS = {
    "task": "image-classification",
    "training": {"trainer": "script", "instance_type": "ml.m5.xlarge"},
    "promotion": {"min_gain": -1},
    "hosting": {
        "kind": "realtime",
        "realtime": {"max_instances": 2, "shift": "canary", "shift_percent": 50, "bake_seconds": 120},
    },
}


def test_a_model_is_released_by_a_canary_stopped_and_started_again(tmp_path: Path) -> None:
    project = f"realtime-test-{time.strftime('%H%M%S')}"
    label_pictures(project, SETTINGS, 40, tmp_path)
    loupe("wait", project, "deployed", "--timeout", "7200")
    try:
        first = json.loads(loupe("status", project, "--json"))
        assert (first["hosting"]["kind"], first["hosting"]["state"]) == ("realtime", "running")
        label_more(project, "image-classification", 40, 40, tmp_path / "more")
        second = status_when(
            project, lambda status: status["champion"]["version"] != first["champion"]["version"], 120
        )
        image = min((tmp_path / "more" / "pictures").iterdir())
        [answer] = loupe("predict", project, "--json", str(image)).splitlines()
        assert json.loads(answer)["model_version"] == second["champion"]["version"]
        loupe("model", "stop", project)
        loupe("model", "start", project, "--timeout", "3600")
    finally:
        loupe("model", "stop", project)
