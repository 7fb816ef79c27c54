"""What the tests on AWS do before anything costs: their command starts, and their projects are valid."""

from pathlib import Path
from typing import Any

import pytest

from cli.annotate import read_answers
from loupe.domain.projects import parse_project_yaml
from tests.aws import deployed, test_builtin, test_loop, test_rekognition, test_review
from tests.aws.deployed import TASKS

SETTINGS: list[dict[str, Any]] = [
    test_loop.SETTINGS,
    *(test_builtin.settings(task) for task in TASKS),
    test_builtin.settings("image-classification", **test_builtin.SPOT),
    *(test_rekognition.settings(*case) for case in test_rekognition.CASES),
    *({"task": task, "training": test_review.NEVER_TRAINED} for task in TASKS),
]


def test_the_command_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOUPE_AWS_STACK", "loupe-of-tests")
    assert "loupe upload" in deployed.loupe("--help")


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_projects_and_their_answers_are_valid(settings: dict[str, Any], tmp_path: Path) -> None:
    deployed.write_files(settings, 5, tmp_path)
    config = parse_project_yaml((tmp_path / "project.yaml").read_text())
    answers = read_answers(tmp_path / "answers.csv", config.task, config.labels)
    pictures = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert sorted(answer.image for answer in answers) == pictures
    assert all(answer.value.names for answer in answers)
    others = deployed.draw(settings["task"], tmp_path / "others", 5, 5)
    assert not {str(row["file"]) for row in others} & set(pictures)
