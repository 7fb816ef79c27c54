"""`loupe model` and what `loupe status` tells of a model that costs by the hour."""

import json
from typing import Any

import pytest

from cli.stack import Hosting
from loupe.domain.workspace import Workspace
from tests.unit.cli.conftest import Loupe
from tests.unit.cli.fake_stack import NOON, FakeStack


def make(loupe: Loupe) -> None:
    loupe("project", "create", "parts", "--task", "image-classification", "--label", "a", "--label", "b")


def test_start_waits_until_the_model_runs_and_says_that_it_costs(loupe: Loupe) -> None:
    make(loupe)
    result = loupe("model", "start", "parts")
    assert "The model of parts is running." in result.stdout
    assert "costs by the hour:" in result.stdout


def test_start_returns_at_once_where_that_is_asked_for(loupe: Loupe) -> None:
    make(loupe)
    found = json.loads(loupe("model", "start", "parts", "--no-wait", "--json").stdout)
    assert found == {"project": "parts", "state": "starting", "since": NOON, "units": 1}


def test_a_model_that_falls_back_did_not_start(loupe: Loupe, stack: FakeStack) -> None:
    make(loupe)
    stack.falls_back = True
    result = loupe("model", "start", "parts", exit_code=1)
    assert "did not start" in result.stderr


def test_waiting_ends_when_the_time_is_up(loupe: Loupe) -> None:
    make(loupe)
    result = loupe("model", "start", "parts", "--timeout", "0", exit_code=1)
    assert "is starting" in result.stderr


def test_stop_says_what_comes_of_it(loupe: Loupe) -> None:
    make(loupe)
    result = loupe("model", "stop", "parts")
    assert result.stdout == "The model of parts is stopping.\n"


def test_a_project_that_is_not_there_is_named(loupe: Loupe) -> None:
    assert "parts" in loupe("model", "start", "parts", exit_code=1).stderr


def test_the_status_tells_what_a_running_model_costs(loupe: Loupe, stack: FakeStack) -> None:
    make(loupe)
    running: Hosting = {
        "kind": "rekognition",
        "state": "running",
        "since": NOON,
        "units": 2,
        "max_units": None,
        "last_called_at": None,
        "stops_at": NOON,
        "cost_per_hour": 8.0,
        "cost_so_far": 12.5,
    }
    stack.hosting = running
    told = loupe("status", "parts").stdout
    assert "2 inference units: at least $8.00 an hour, $12.50 so far; stops " in told
    assert "of the champion alone" not in told
    stack.training_since = NOON
    assert "of the champion alone: a candidate costs as much" in loupe("status", "parts").stdout
    stack.training_since = None
    stack.hosting = {**running, "state": "stopped"}
    assert "$" not in loupe("status", "parts").stdout
    of_instances: Hosting = {**running, "kind": "realtime", "cost_per_hour": None, "cost_so_far": None}
    stack.hosting = of_instances
    assert "2 instances, paid for by the hour; stops" in loupe("status", "parts").stdout


# Which models there are, and what people decide of them -------------------------------------------------


def add_model(stack: FakeStack, version: str, **outcome: Any) -> None:
    plan = {
        "project": "parts",
        "version": version,
        "dataset_version": version,
        "execution": "arn:execution",
        "started_at": NOON,
        "task": "image-classification",
        "labels": ["a", "b"],
        "trainer": "script",
        "hosting": "serverless",
        "model_name": f"loupe-parts-{version}",
        "evaluation_uri": "s3://workspace/evaluation.json",
        "tags": [],
        "registry": {"trainer_code": "c0de", "hyperparameter:epochs": "40", "task": "image-classification"},
    }
    names = Workspace("parts")
    stack.workspace.write(names.plan(version), json.dumps(plan).encode())
    if outcome:
        model = {
            "hosting": "serverless",
            "trainer": "script",
            "task": "image-classification",
            "labels": ["a", "b"],
            "endpoint": "loupe-parts",
        }
        document = {
            "project": "parts",
            "version": version,
            "champion_score": None,
            "ended_at": NOON,
            "model": model,
            "endpoint_config": f"loupe-parts-{version}",
            "model_package_arn": f"arn:package/{version}",
            "model_data_url": f"s3://workspace/{version}/model.tar.gz",
            **outcome,
        }
        stack.workspace.write(names.outcome(version), json.dumps(document).encode())


@pytest.fixture
def models(loupe: Loupe, stack: FakeStack) -> FakeStack:
    make(loupe)
    add_model(stack, "0001", outcome="promoted", reason="it is the first model", score=0.9)
    decision = {
        "interval": [0.9, 0.98],
        "test_images": 120,
        "champion": "0001",
        "labels": [{"label": "a", "candidate": 0.97, "champion": 0.9}],
    }
    add_model(
        stack,
        "0002",
        outcome="awaiting_approval",
        reason="it waits for approval",
        score=0.95,
        champion_score=0.9,
        decision=decision,
    )
    add_model(stack, "0003")
    return stack


def test_models_are_listed_with_their_state_and_score(loupe: Loupe, models: FakeStack) -> None:
    lines = loupe("model", "list", "parts").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["version", "0001", "0002", "0003"]
    assert "promoted, answers" in lines[1]
    assert "awaiting approval" in lines[2]
    assert "95.0% (90.0% to 98.0%)" in lines[2]
    assert "training" in lines[3]
    found = json.loads(loupe("model", "list", "parts", "--json").stdout)["models"]
    assert [each["answers"] for each in found] == [True, False, False]


def test_a_project_without_models_says_so(loupe: Loupe) -> None:
    make(loupe)
    assert loupe("model", "list", "parts").stdout == "parts has no model yet.\n"


def test_a_model_is_shown_with_its_numbers_and_what_explains_it(loupe: Loupe, models: FakeStack) -> None:
    told = loupe("model", "show", "parts", "0002").stdout
    for words in (
        "0002, awaiting approval",
        "95.0% (90.0% to 98.0%) on 120 test images",
        "with 0001, which had 90.0%",
        "a: 97.0%, the champion 90.0%",
        "trainer_code c0de",
        "epochs 40",
        "arn:package/0002",
    ):
        assert words in told
    assert "There are: 0001, 0002, 0003." in loupe("model", "show", "parts", "9", exit_code=1).stderr


@pytest.mark.parametrize(
    ("command", "version"),
    [("approve", "0002"), ("reject", "0002"), ("rollback", "0001"), ("rollback", None), ("resume", None)],
)
def test_what_people_decide_goes_to_the_stack(
    loupe: Loupe, stack: FakeStack, command: str, version: str | None
) -> None:
    make(loupe)
    words = ["model", command, "parts", *([version] if version else [])]
    assert f"parts: {command} of {version}." in loupe(*words).stdout
    assert json.loads(loupe(*words, "--json").stdout)["project"] == "parts"
    assert stack.decisions == [("parts", command, version)] * 2


def test_the_status_tells_that_promotion_is_stopped(loupe: Loupe, stack: FakeStack) -> None:
    make(loupe)
    stack.promotion_paused = {"since": NOON, "by": "ann", "reason": "rollback to 0001"}
    told = " ".join(loupe("status", "parts").stdout.split())
    assert "stopped by ann" in told
    assert "`loupe model resume parts`" in told
