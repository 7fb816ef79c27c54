"""Rules for every state of train_and_deploy."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.model import ListShape, ServiceModel, Shape, StructureShape

from loupe.domain.projects import Training

State = dict[str, Any]


def states_of(machine: State) -> Iterator[tuple[str, State]]:
    for name, state in machine["States"].items():
        yield name, state
        for branch in [
            *state.get("Branches", []),
            *([state["ItemProcessor"]] if "ItemProcessor" in state else []),
        ]:
            yield from states_of(branch)


def tasks(machine: State) -> list[tuple[str, State]]:
    return [(name, state) for name, state in states_of(machine) if state["Type"] == "Task"]


def test_it_is_jsonata_and_says_what_it_is_for(state_machine: State) -> None:
    assert state_machine["QueryLanguage"] == "JSONata"
    assert state_machine["Comment"]


def test_an_execution_ends_at_last_and_no_sooner_than_the_longest_training(state_machine: State) -> None:
    longest = next(each for each in Training.model_fields["max_wait_minutes"].metadata if hasattr(each, "le"))
    assert longest.le * 60 < state_machine["TimeoutSeconds"] <= 30 * 24 * 3600


def test_every_task_has_a_timeout_and_catches_what_goes_wrong(state_machine: State) -> None:
    for name, state in tasks(state_machine):
        assert state.get("TimeoutSeconds"), name
        assert state.get("Catch"), name


def test_every_task_is_repeated_after_a_passing_trouble(state_machine: State) -> None:
    for name, state in tasks(state_machine):
        assert state.get("Retry"), name


def test_rekognition_is_asked_again_after_whatever_may_pass(state_machine: State) -> None:
    """An error without a name of its own, and an answer that never came, too."""
    passing = {"Rekognition.ThrottlingException", "Rekognition.RekognitionException", "States.Timeout"}
    asked = [(name, state) for name, state in tasks(state_machine) if ":rekognition:" in state["Resource"]]
    assert len(asked) >= 10
    for name, state in asked:
        repeated = {error for retry in state["Retry"] for error in retry["ErrorEquals"]}
        assert passing <= repeated, name


def test_a_training_may_take_as_long_as_project_yaml_allows(state_machine: State) -> None:
    fields = Training.model_json_schema()["properties"]
    run, wait = fields["max_run_minutes"], fields["max_wait_minutes"]["anyOf"][0]
    longest = max(run["maximum"], wait["maximum"])
    assert state_machine["States"]["TrainCandidate"]["TimeoutSeconds"] > longest * 60


def test_retries_name_transient_errors_and_have_jitter(state_machine: State) -> None:
    for name, state in tasks(state_machine):
        for retry in state.get("Retry", []):
            assert "States.ALL" not in retry["ErrorEquals"], name
            assert retry["JitterStrategy"] == "FULL", name
            assert retry["MaxAttempts"] >= 1, name


def test_a_failure_ends_in_a_fail_with_error_and_cause(state_machine: State) -> None:
    fails = [state for _, state in states_of(state_machine) if state["Type"] == "Fail"]
    assert fails
    assert all(state.get("Error") and state.get("Cause") for state in fails)


def following(state: State) -> set[str]:
    """States that may come next."""
    choices = [*state.get("Choices", []), *state.get("Catch", [])]
    names = {state.get("Next"), state.get("Default"), *(choice["Next"] for choice in choices)}
    return {name for name in names if name}


def reached_from(machine: State, start: str, given: Mapping[str, set[str]] | None = None) -> set[str]:
    """States on all ways from one; `given` says where a way goes on from some of them."""
    reached, frontier = set(), {start}
    while frontier:
        name = frontier.pop()
        reached.add(name)
        frontier |= (given or {}).get(name, following(machine["States"][name])) - reached
    return reached


def test_every_state_can_be_reached(state_machine: State) -> None:
    assert reached_from(state_machine, state_machine["StartAt"]) == set(state_machine["States"])


def test_whatever_fails_after_a_model_was_started_stops_it(state_machine: State) -> None:
    """One failure is left out: a promotion that could not be concluded may be written all the same. reconcile
    finds out, and stop_idle_models stops what is no champion."""
    rolled_back = {
        choice["Next"]
        for choice in state_machine["States"]["RollBack"]["Choices"]
        if "$released = 'started'" in choice["Condition"]
    }
    assert rolled_back == {"StopCandidate"}
    given = {"RollBack": rolled_back, "StopCandidate": set(), "ConcludePromoted": {"IsAnOldVersionRunning"}}
    assert "Failed" not in reached_from(state_machine, "StartProjectVersion", given)


def test_what_fails_before_the_end_is_concluded(state_machine: State) -> None:
    """Nobody learns of a failure, and the project stays locked, unless ConcludeFailed was there."""
    conclusions = {"ConcludePromoted", "ConcludeAwaiting", "ConcludeRejected", "ConcludeFailed"}
    given: dict[str, set[str]] = {name: set() for name in conclusions}
    assert "Failed" not in reached_from(state_machine, state_machine["StartAt"], given)
    for name, state in tasks(state_machine):
        if name not in conclusions:
            assert "Failed" not in following(state), name


def unknown_members(given: Any, shape: Shape | None, path: str) -> Iterator[str]:
    """Names in a task's arguments that the AWS API does not know; expressions are not looked into."""
    if isinstance(given, dict) and isinstance(shape, StructureShape):
        for name, value in given.items():
            if name not in shape.members:
                yield f"{path}.{name}"
            else:
                yield from unknown_members(value, shape.members[name], f"{path}.{name}")
    elif isinstance(given, list) and isinstance(shape, ListShape):
        for value in given:
            yield from unknown_members(value, shape.member, path)


@pytest.mark.parametrize(("api", "least"), [("sagemaker", 5), ("rekognition", 8)])
def test_an_api_is_asked_for_what_it_knows(state_machine: State, api: str, least: int) -> None:
    """Arguments that are one expression are those of a plan, and tested with the planning."""
    known = ServiceModel(Loader().load_service_model(api, "service-2"), api)
    checked = 0
    for name, state in tasks(state_machine):
        service, _, operation = state["Resource"].removeprefix("arn:aws:states:::").rpartition(":")
        if service.removeprefix("aws-sdk:") != api:
            continue
        called = operation.removesuffix(".sync")
        shape = known.operation_model(called[0].upper() + called[1:]).input_shape
        assert list(unknown_members(state["Arguments"], shape, name)) == []
        if isinstance(state["Arguments"], dict) and isinstance(shape, StructureShape):
            assert set(shape.required_members) <= set(state["Arguments"]), name
            checked += 1
    assert checked >= least
