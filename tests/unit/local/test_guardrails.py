"""What a DeploymentConfig may say, which steps it means, and where requests go meanwhile."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from local.sagemaker.errors import NotAvailableError, RuntimeValidationError, ValidationError
from local.sagemaker.fleets import ServedVariant, Traffic
from local.sagemaker.guardrails import check, plan
from local.sagemaker.serving import Answer
from local.sagemaker.validation import validate

ALARMS = {"Alarms": [{"AlarmName": "errors"}]}


def variant(count: int = 1, name: str = "AllTraffic") -> dict[str, Any]:
    return {"VariantName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": count}


SERVERLESS = {"VariantName": "AllTraffic", "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 5}}


def size(value: int, kind: str = "CAPACITY_PERCENT") -> dict[str, Any]:
    return {"Type": kind, "Value": value}


def policy(kind: str, wait: int = 1, **changes: Any) -> dict[str, Any]:
    """A DeploymentConfig; sizes go into the routing, all else into the policy."""
    routing: dict[str, Any] = {"Type": kind, "WaitIntervalInSeconds": wait}
    routing |= {name: changes.pop(name) for name in ("CanarySize", "LinearStepSize") if name in changes}
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, **changes}}


def moves(deployment: dict[str, Any], *variants: dict[str, Any]) -> list[tuple[float, float]]:
    """The share of the first variant and the wait of each step."""
    steps = plan(deployment, variants or (variant(),)).steps
    return [(round(step.shares["AllTraffic"], 3), step.wait) for step in steps]


@pytest.mark.parametrize(
    ("deployment", "expected"),
    [
        ({}, [(1.0, 0)]),
        (policy("ALL_AT_ONCE", TerminationWaitInSeconds=7), [(1.0, 7)]),
        (policy("CANARY", 3, CanarySize=size(10), TerminationWaitInSeconds=7), [(0.1, 3), (1.0, 7)]),
        (policy("LINEAR", 3, LinearStepSize=size(50)), [(0.5, 3), (1.0, 0)]),
        (policy("LINEAR", 3, LinearStepSize=size(40)), [(0.4, 3), (0.8, 3), (1.0, 0)]),
        (policy("LINEAR", 3, LinearStepSize=size(10)), [(n / 10, 3 if n < 10 else 0) for n in range(1, 11)]),
    ],
)
def test_traffic_moves_in_steps(deployment: dict[str, Any], expected: list[tuple[float, float]]) -> None:
    check(deployment, [variant()], [variant()])
    assert moves(deployment) == expected


def test_instances_are_counted_by_variant() -> None:
    deployment = policy("LINEAR", LinearStepSize=size(1, "INSTANCE_COUNT"))
    variants = [variant(3), variant(4, "Other")]
    check(deployment, variants, variants)
    steps = plan(deployment, variants).steps
    assert [round(step.shares["AllTraffic"], 2) for step in steps] == [0.33, 0.67, 1.0, 1.0]
    assert [step.shares["Other"] for step in steps] == [0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize(
    ("deployment", "count", "said"),
    [
        (policy("CANARY"), 1, "needs CanarySize"),
        (policy("LINEAR"), 1, "needs LinearStepSize"),
        (policy("CANARY", LinearStepSize=size(10)), 1, "LinearStepSize is for"),
        (policy("ALL_AT_ONCE", CanarySize=size(10)), 1, "CanarySize is for"),
        (policy("CANARY", CanarySize=size(51)), 1, "at most 50%"),
        (policy("CANARY", CanarySize=size(1, "INSTANCE_COUNT")), 1, "at most 50%"),
        (policy("LINEAR", LinearStepSize=size(9)), 1, "10% to 50%"),
        (policy("LINEAR", LinearStepSize=size(51)), 1, "10% to 50%"),
        (policy("LINEAR", LinearStepSize=size(1, "INSTANCE_COUNT")), 11, "10% to 50%"),
        (policy("CANARY", 500, CanarySize=size(10), MaximumExecutionTimeoutInSeconds=600), 1, None),
        (
            policy(
                "CANARY",
                500,
                CanarySize=size(10),
                TerminationWaitInSeconds=100,
                MaximumExecutionTimeoutInSeconds=600,
            ),
            1,
            "more than the 600 s",
        ),
    ],
)
def test_sizes_and_times_have_limits(deployment: dict[str, Any], count: int, said: str | None) -> None:
    if said is None:
        check(deployment, [variant(count)])
        return
    with pytest.raises(ValidationError, match=said):
        check(deployment, [variant(count)])


@pytest.mark.parametrize(
    ("deployment", "said"),
    [
        (policy("ALL_AT_ONCE", 3601), "waitIntervalInSeconds"),
        (policy("ALL_AT_ONCE", TerminationWaitInSeconds=3601), "terminationWaitInSeconds"),
        (policy("ALL_AT_ONCE", MaximumExecutionTimeoutInSeconds=599), "maximumExecutionTimeoutInSeconds"),
        ({"AutoRollbackConfiguration": {"Alarms": []}}, "alarms"),
        ({"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": str(n)} for n in range(11)]}}, "alarms"),
    ],
)
def test_the_model_of_the_api_has_limits_too(deployment: dict[str, Any], said: str) -> None:
    request = {"EndpointName": "e", "EndpointConfigName": "c", "DeploymentConfig": deployment}
    with pytest.raises(ValidationError, match=f"(?i){said}"):
        validate("UpdateEndpoint", request)


@pytest.mark.parametrize(
    "deployment", [policy("CANARY", CanarySize=size(10)), {"AutoRollbackConfiguration": ALARMS}]
)
@pytest.mark.parametrize(("new", "old"), [(SERVERLESS, SERVERLESS), (variant(), SERVERLESS)])
def test_serverless_endpoints_have_no_guardrails(
    deployment: dict[str, Any], new: dict[str, Any], old: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError, match="not for serverless"):
        check(deployment, [new], [old])
    check(policy("ALL_AT_ONCE"), [SERVERLESS], [SERVERLESS])


def test_variants_keep_their_names() -> None:
    with pytest.raises(ValidationError, match="named as those in service"):
        check(policy("CANARY", CanarySize=size(10)), [variant(name="New")], [variant()])
    check({}, [variant(name="New")], [variant()])


def test_rolling_updates_are_refused_by_name() -> None:
    rolling = {"RollingUpdatePolicy": {"MaximumBatchSize": size(50), "WaitIntervalInSeconds": 0}}
    with pytest.raises(NotAvailableError, match="RollingUpdatePolicy is not available"):
        check(rolling, [variant()])
    with pytest.raises(ValidationError, match="either"):
        check({**rolling, **policy("ALL_AT_ONCE")}, [variant()])


class Silent:
    def invoke(self, body: bytes, headers: dict[str, str]) -> Answer:
        return Answer(200, body, headers.get("Content-Type", ""))

    def stop(self) -> None:
        """Nothing runs."""


def fleet(config: str, **weights: float) -> list[ServedVariant]:
    return [
        ServedVariant({"VariantName": name, "InitialVariantWeight": weight}, config, Silent())
        for name, weight in weights.items()
    ]


def counted(traffic: Traffic, target: str | None = None) -> dict[tuple[str, str], float]:
    """The part of 10,000 requests that each variant of each configuration gets, with evenly spread draws."""
    evenly = iter([(a + 0.5) / 100 for pair in itertools.product(range(100), repeat=2) for a in pair] * 2)
    picked = [traffic.pick(target, lambda: next(evenly)) for _ in range(10_000)]
    return {(v.config, v.name): picked.count(v) / len(picked) for v in traffic.variants}


def test_without_a_deployment_requests_go_by_weight() -> None:
    draws = iter([0.1, 0.74, 0.76])
    traffic = Traffic(fleet("old", A=3.0, B=1.0))
    assert [traffic.pick(None, lambda: next(draws)).name for _ in range(3)] == ["A", "A", "B"]
    assert traffic.pick("B", lambda: 0.0).name == "B"
    with pytest.raises(RuntimeValidationError, match="C not found"):
        traffic.pick("C", lambda: 0.0)


def test_a_share_of_the_requests_goes_to_the_new_fleet() -> None:
    traffic = Traffic(fleet("old", A=1.0, B=1.0), fleet("new", A=1.0, B=1.0), {"A": 0.1, "B": 0.3})
    assert counted(traffic) == pytest.approx(
        {("old", "A"): 0.45, ("old", "B"): 0.35, ("new", "A"): 0.05, ("new", "B"): 0.15}
    )


def test_a_target_variant_is_shifted_as_well() -> None:
    traffic = Traffic(fleet("old", A=1.0), fleet("new", A=1.0), {"A": 0.25})
    assert traffic.pick("A", lambda: 0.24).config == "new"
    assert traffic.pick("A", lambda: 0.26).config == "old"


def test_in_the_end_all_requests_go_to_the_new_fleet() -> None:
    traffic = Traffic(fleet("old", A=1.0), fleet("new", B=1.0), {"B": 1.0})
    assert {traffic.pick(None, lambda: 0.99).config for _ in range(10)} == {"new"}
