import json
from pathlib import Path

from loupe.domain.projects import parse_project_yaml
from tests.unit.cli.conftest import Loupe
from tests.unit.cli.fake_stack import FakeStack

CLASSIFY = ("--task", "image-classification", "--label", "0", "--label", "1")


def test_stores_what_the_options_say(loupe: Loupe, stack: FakeStack) -> None:
    loupe("project", "create", "parts", *CLASSIFY, "--max-wait-minutes", "1.5", "--instructions", "Look.")
    config = parse_project_yaml(stack.objects["parts/project.yaml"])
    assert config.labels == ("0", "1")
    assert config.labeling.max_wait_minutes == 1.5
    assert config.instructions == "Look."


def test_stores_a_file_as_it_is_with_its_comments(loupe: Loupe, stack: FakeStack, tmp_path: Path) -> None:
    file = tmp_path / "project.yaml"
    file.write_text("# ours\ntask: image-classification\nlabels: [ok, bad]\n")
    loupe("project", "create", "parts", "--file", file)
    assert stack.objects["parts/project.yaml"].decode() == file.read_text()


def test_options_go_before_the_file(loupe: Loupe, stack: FakeStack, tmp_path: Path) -> None:
    file = tmp_path / "project.yaml"
    file.write_text("task: image-classification\nlabels: ['007', bad]\nlabeling: {max_wait_minutes: 5}\n")
    loupe("project", "create", "parts", "--file", file, "--batch-size", "3")
    config = parse_project_yaml(stack.objects["parts/project.yaml"])
    assert config.labels == ("007", "bad")
    assert (config.labeling.batch_size, config.labeling.max_wait_minutes) == (3, 5)


def test_does_not_replace_another_one_unless_told_and_shows_the_difference(
    loupe: Loupe, stack: FakeStack, project: str
) -> None:
    before = stack.objects["parts/project.yaml"]
    refused = loupe("project", "create", project, *CLASSIFY, exit_code=1)
    assert "-  batch_size: 2" in refused.stderr
    assert stack.objects["parts/project.yaml"] == before
    replaced = loupe("project", "create", project, *CLASSIFY, "--yes", "--json")
    assert json.loads(replaced.stdout)["replaced"] is True
    assert stack.objects["parts/project.yaml"] != before


def test_the_same_again_is_no_conflict(loupe: Loupe, project: str) -> None:
    loupe(
        *("project", "create", project, "--task", "image-classification"),
        *("--label", "0", "--label", "1", "--batch-size", "2"),
    )


def test_wrong_use_is_exit_code_2(loupe: Loupe, stack: FakeStack, tmp_path: Path) -> None:
    file = tmp_path / "project.yaml"
    file.write_text("task: image-classification\nlabels: [ok, bad]\ncolour: red\n")
    assert "colour" in loupe("project", "create", "parts", "--file", file, exit_code=2).stderr
    assert "can't be a project name" in loupe("project", "create", "My_Parts", *CLASSIFY, exit_code=2).stderr
    loupe("project", "create", "parts", exit_code=2)
    assert not stack.objects
