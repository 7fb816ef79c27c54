import json
from pathlib import Path

from cli.stack import Champion, Training
from cli.status import describe_training, failure_of
from loupe.domain.label_values import OneLabel
from tests.unit.cli.conftest import Loupe
from tests.unit.cli.fake_stack import NOON, FakeStack

CHAMPION: Champion = {
    "version": "0001",
    "score": 0.9,
    "test_images": 60,
    "interval": None,
    "says_little": False,
    "trainer": "script",
    "hosting": "serverless",
    "endpoint": "loupe-parts",
    "promoted_at": "2026-11-21T12:00:00+00:00",
}


def drop(stack: FakeStack, project: str, *names: str) -> None:
    for name in names:
        stack.put_image(f"{project}/{name}", Path(name), name.encode())


def label_all(stack: FakeStack, project: str) -> None:
    stack.status(project)
    for job in stack.projects_by_name[project].jobs:
        for task in job:
            task.answer = OneLabel("0")


def test_tells_where_a_project_stands(loupe: Loupe, stack: FakeStack, project: str) -> None:
    drop(stack, project, "a.png", "b.png", "c.png")
    told = loupe("status", project).stdout
    assert "1 pending, 2 in labeling" in told
    assert "job-0: open, 0 of 2 answered" in told
    label_all(stack, project)
    assert "version 0001, 97.5% on the test set (accuracy)" in loupe("status", project).stdout


def test_tells_a_failed_training_and_that_it_heals(loupe: Loupe, stack: FakeStack, project: str) -> None:
    drop(stack, project, "a.png", "b.png")
    label_all(stack, project)
    stack.projects_by_name[project].failure = "the training ran out of memory"
    told = loupe("status", project).stdout
    assert "last training failed: the training ran out of memory; the next finished job tries again" in told


def test_a_failed_release_is_not_told_as_a_failed_training_but_with_the_model_that_answers(
    loupe: Loupe, stack: FakeStack, project: str
) -> None:
    drop(stack, project, "a.png", "b.png")
    label_all(stack, project)
    stack.projects_by_name[project].failure = "wrong labels; `loupe model approve parts 0001` tries again"
    stack.release_failed = True
    told = " ".join(loupe("status", project).stdout.split())
    assert (
        "the release of version 0001 failed, and none is in service yet: wrong labels; `loupe model" in told
    )
    assert "training failed" not in told
    found = stack.status(project)
    found["champion"] = {**CHAMPION, "version": "0000"}
    assert describe_training(found).startswith(
        "the release of version 0001 failed, and version 0000 still answers: wrong labels"
    )
    fault = failure_of(found)
    assert fault
    assert fault.message.startswith(
        "The release of model 0001 of parts failed, and version 0000 still answers"
    )


def test_tells_of_attempts_that_failed(stack: FakeStack, project: str) -> None:
    training: Training = {
        "version": "0002",
        "status": "running",
        "reason": "a model is being trained",
        "started_at": NOON,
        "ended_at": None,
        "execution": None,
        "failed_attempts": ["attempt 1: CapacityError: no instance"],
    }
    found = stack.status(project)
    found["last_training"] = training
    assert describe_training(found).endswith(", attempt 2; attempt 1: CapacityError: no instance")
    found["last_training"] = {**training, "status": "promoted", "reason": "good"}
    assert (
        describe_training(found)
        == "version 0002 was promoted: good (attempt 2; attempt 1: CapacityError: no instance)"
    )


def test_tells_what_is_wrong_with_the_configuration(loupe: Loupe, stack: FakeStack, project: str) -> None:
    stack.objects["parts/project.yaml"] = b"labels: [0, 1]"
    assert "task: is missing" in loupe("status", project).stdout


def test_json_is_the_answer_of_the_api(loupe: Loupe, stack: FakeStack, project: str) -> None:
    drop(stack, project, "a.png")
    assert json.loads(loupe("status", project, "--json").stdout) == stack.status(project)


def test_without_a_name_all_projects(loupe: Loupe, stack: FakeStack, project: str) -> None:
    stack.write_configuration("other", "task: image-classification\nlabels: [a, b]\n")
    told = loupe("status").stdout
    assert "parts" in told
    assert "other" in told
    found = json.loads(loupe("status", "--json").stdout)
    assert [each["project"] for each in found["projects"]] == ["other", "parts"]


def test_no_projects_yet(loupe: Loupe) -> None:
    assert "project create" in loupe("status").stdout


def test_an_unknown_project_names_close_ones(loupe: Loupe, project: str) -> None:
    assert "Did you mean parts?" in loupe("status", "prats", exit_code=1).stderr


def test_rejected_images_with_their_reason(loupe: Loupe, stack: FakeStack, project: str) -> None:
    stack.rejected_images.append(
        {
            "key": "parts/[x].jpg",
            "reason": "not-an-image",
            "detail": "It is text.",
            "at": "2026-11-21T12:00:00Z",
        }
    )
    told = loupe("status", project, "--rejected").stdout
    assert "parts/[x].jpg" in told
    assert "not-an-image" in told
    assert json.loads(loupe("status", project, "--rejected", "--json").stdout)["detail"] == "It is text."
    loupe("status", "--rejected", exit_code=2)


def test_nothing_was_rejected(loupe: Loupe, project: str) -> None:
    assert "No image of parts was rejected" in loupe("status", project, "--rejected").stdout
