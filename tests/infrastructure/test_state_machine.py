"""Rules for every state of train_and_deploy."""

from collections.abc import Iterator
from typing import Any

from botocore.loaders import Loader
from botocore.model import ListShape, ServiceModel, Shape, StructureShape

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


def test_every_task_has_a_timeout_and_catches_what_goes_wrong(state_machine: State) -> None:
    for name, state in tasks(state_machine):
        assert state.get("TimeoutSeconds"), name
        assert state.get("Catch"), name


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


def test_every_state_can_be_reached(state_machine: State) -> None:
    reached, frontier = set(), {state_machine["StartAt"]}
    while frontier:
        name = frontier.pop()
        reached.add(name)
        state = state_machine["States"][name]
        following = {state.get("Next"), state.get("Default")}
        following |= {choice["Next"] for choice in state.get("Choices", [])}
        following |= {catch["Next"] for catch in state.get("Catch", [])}
        frontier |= {name for name in following if name} - reached
    assert reached == set(state_machine["States"])


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


def test_sagemaker_is_asked_for_what_its_api_knows(state_machine: State) -> None:
    sagemaker = ServiceModel(Loader().load_service_model("sagemaker", "service-2"), "sagemaker")
    checked = 0
    for name, state in tasks(state_machine):
        service, _, operation = state["Resource"].removeprefix("arn:aws:states:::").rpartition(":")
        if service not in {"sagemaker", "aws-sdk:sagemaker"}:
            continue
        api = operation.removesuffix(".sync")
        shape = sagemaker.operation_model(api[0].upper() + api[1:]).input_shape
        assert list(unknown_members(state["Arguments"], shape, name)) == []
        if isinstance(state["Arguments"], dict) and isinstance(shape, StructureShape):
            assert set(shape.required_members) <= set(state["Arguments"]), name
            checked += 1
    assert checked >= 5
