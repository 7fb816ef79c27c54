"""`loupe model` and what `loupe status` tells of a model that costs by the hour."""

import json

from cli.stack import Hosting
from tests.unit.cli.conftest import Loupe
from tests.unit.cli.fake_stack import NOON, FakeStack


def make(loupe: Loupe) -> None:
    loupe("project", "create", "parts", "--task", "image-classification", "--label", "a", "--label", "b")


def test_start_waits_until_the_model_runs_and_says_that_it_costs(loupe: Loupe) -> None:
    make(loupe)
    result = loupe("model", "start", "parts")
    assert "The model of parts is running." in result.stdout
    assert "costs by the hour, for 1 inference unit:" in result.stdout


def test_start_returns_at_once_where_that_is_asked_for(loupe: Loupe) -> None:
    make(loupe)
    found = json.loads(loupe("model", "start", "parts", "--no-wait", "--json").stdout)
    assert found == {"project": "parts", "state": "starting", "since": NOON, "inference_units": 1}


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
        "state": "running",
        "since": NOON,
        "inference_units": 2,
        "max_inference_units": None,
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
