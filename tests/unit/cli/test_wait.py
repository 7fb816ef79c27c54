import json
from copy import deepcopy

import pytest

from cli.stack import ProjectStatus
from cli.status import describe_job, failure_of, waits_for_training
from cli.wait import REACHED, describe
from tests.unit.cli.conftest import Loupe
from tests.unit.cli.fake_stack import FakeStack
from tests.unit.cli.test_status import drop, label_all


@pytest.fixture
def deployed(stack: FakeStack, project: str) -> ProjectStatus:
    """A project whose one job is finished and whose champion came of it."""
    drop(stack, project, "a.png", "b.png")
    label_all(stack, project)
    return stack.status(project)


def test_labeling_is_reached_when_a_job_is_open_and_nothing_pends(
    loupe: Loupe, stack: FakeStack, project: str
) -> None:
    drop(stack, project, "a.png", "b.png")
    assert json.loads(loupe("wait", project, "labeling", "--json").stdout)["images"]["labeling"] == 2


def test_pending_images_run_into_the_timeout_which_says_what_was_seen(
    loupe: Loupe, stack: FakeStack, project: str
) -> None:
    drop(stack, project, "a.png")
    told = loupe("wait", project, "labeling", "--timeout", "5", exit_code=1).stderr
    assert "Waited 5 s in vain. Last seen: 1 pending" in told


def test_labeled_and_deployed(loupe: Loupe, deployed: ProjectStatus) -> None:
    loupe("wait", "parts", "labeled")
    assert "parts is deployed" in loupe("wait", "parts", "deployed").stdout


def test_a_project_without_images_is_not_labeled(loupe: Loupe, project: str) -> None:
    told = loupe("wait", project, "labeled", "--timeout", "1", exit_code=1).stderr
    assert "no image is registered yet" in told


def test_a_failed_training_ends_the_wait_with_its_cause(
    loupe: Loupe, stack: FakeStack, deployed: ProjectStatus
) -> None:
    stack.projects_by_name["parts"].failure = "the training [/:] ran out of memory"
    assert "ran out of memory" in loupe("wait", "parts", "deployed", exit_code=1).stderr


def test_a_wrong_configuration_ends_the_wait(loupe: Loupe, stack: FakeStack, project: str) -> None:
    stack.objects["parts/project.yaml"] = b"labels: [0, 1]"
    assert "task: is missing" in loupe("wait", project, "labeling", exit_code=1).stderr


def test_not_deployed_while_a_training_runs_or_is_due(deployed: ProjectStatus) -> None:
    reached = REACHED["deployed"]
    assert reached(deployed)
    running = deepcopy(deployed)
    assert running["last_training"]
    running["last_training"]["status"] = "running"
    assert not reached(running)
    begun = deepcopy(deployed)
    begun["training_since"] = "2026-11-21T13:00:00Z"
    assert not reached(begun)
    due = deepcopy(deployed)
    due["jobs"][0]["finished_at"] = "2026-11-21T13:00:00Z"
    assert not reached(due)
    ending = deepcopy(deployed)
    ending["jobs"][0]["finished_at"] = None
    assert not reached(ending)


def test_a_failure_before_a_later_finished_job_is_no_failure_yet(deployed: ProjectStatus) -> None:
    assert deployed["last_training"]
    deployed["last_training"]["status"] = "failed"
    assert failure_of(deployed)
    deployed["jobs"][0]["finished_at"] = "2026-11-21T13:00:00Z"
    assert failure_of(deployed) is None


def test_a_job_that_brought_too_few_labels_is_not_waited_for(deployed: ProjectStatus) -> None:
    deployed["jobs"][0]["finished_at"] = "2026-11-21T13:00:00Z"
    deployed["waiting_for"] = "0 of 1 new labels"
    assert REACHED["deployed"](deployed)
    assert "the next training waits: 0 of 1 new labels" in describe(deployed)


def test_a_project_that_the_stack_has_not_noticed_yet_is_waited_for(loupe: Loupe, stack: FakeStack) -> None:
    stack.objects["parts/project.yaml"] = b"task: image-classification"
    told = loupe("wait", "parts", "labeling", "--timeout", "2", exit_code=1).stderr
    assert "has not taken note" in told


def test_an_unknown_state_is_wrong_use(loupe: Loupe, project: str) -> None:
    loupe("wait", project, "done", exit_code=2)


def test_a_labeling_job_that_failed_is_not_waited_for(deployed: ProjectStatus) -> None:
    job = deployed["jobs"][0]
    job["provider"], job["state"], job["reason"] = "ground-truth", "failed", "the workteam is gone"
    assert failure_of(deployed) is None
    deployed["images"]["pending"] = 3
    fault = failure_of(deployed)
    assert fault is not None
    assert "the workteam is gone" in fault.message
    job["finished_at"] = "2026-11-21T13:00:00Z"
    assert waits_for_training(deployed) is None
    assert describe_job(job).startswith("job-0 (ground-truth): failed ")
    assert describe_job(job).endswith(": the workteam is gone")
