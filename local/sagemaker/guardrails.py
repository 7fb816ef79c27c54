"""Deployment guardrails: what a DeploymentConfig may say, and how it moves the traffic.

SageMaker developer guide, "Deployment guardrails for updating models in production", and the shapes
DeploymentConfig, BlueGreenUpdatePolicy, TrafficRoutingConfig and CapacitySize of the API.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local.sagemaker.errors import NotAvailableError, ValidationError

Variant = Mapping[str, Any]
"""A ProductionVariant."""

_SIZES = {"CANARY": "CanarySize", "LINEAR": "LinearStepSize"}
_CANARY = (0.0, 0.5)
_LINEAR = (0.1, 0.5)


@dataclass(frozen=True)
class Step:
    """`shares` (0 to 1, by the variant's name) of the traffic go to the new fleet; then the alarms are
    watched for `wait` seconds."""

    shares: Mapping[str, float]
    wait: float


@dataclass(frozen=True)
class Plan:
    """The way from the old fleet (blue) to the new one (green).

    The last step has all the traffic on green. The old fleet ends after the last wait, unless one of `alarms`
    goes off before, or `timeout` seconds are over.
    """

    steps: Sequence[Step]
    alarms: Sequence[str] = ()
    timeout: float | None = None


def plan(deployment: Mapping[str, Any], variants: Sequence[Variant]) -> Plan:
    """What a DeploymentConfig that `check` let pass means for the new variants."""
    policy = deployment.get("BlueGreenUpdatePolicy", {})
    routing = policy.get("TrafficRoutingConfiguration", {"Type": "ALL_AT_ONCE"})
    size = routing.get(_SIZES.get(routing["Type"], ""))
    shares = [dict.fromkeys((variant["VariantName"] for variant in variants), 1.0)]
    if size is not None:
        by_name = {variant["VariantName"]: _share(size, variant) for variant in variants}
        steps = 2 if routing["Type"] == "CANARY" else max(_steps(share) for share in by_name.values())
        partly = [
            {name: min(1.0, share * number) for name, share in by_name.items()} for number in range(1, steps)
        ]
        shares = [*partly, *shares]
    waits = [routing.get("WaitIntervalInSeconds", 0)] * (len(shares) - 1)
    waits.append(policy.get("TerminationWaitInSeconds", 0))
    alarms = deployment.get("AutoRollbackConfiguration", {}).get("Alarms", [])
    return Plan(
        steps=[Step(share, wait) for share, wait in zip(shares, waits, strict=True)],
        alarms=[alarm["AlarmName"] for alarm in alarms],
        timeout=policy.get("MaximumExecutionTimeoutInSeconds"),
    )


def check(deployment: Mapping[str, Any], new: Sequence[Variant], old: Sequence[Variant] = ()) -> None:
    """Raises ValidationError for what AWS refuses, NotAvailableError for rolling updates.

    `old` are the variants in service, none when the endpoint is created.
    """
    policy = deployment.get("BlueGreenUpdatePolicy", {})
    if "RollingUpdatePolicy" in deployment:
        if policy:
            raise ValidationError("A deployment has either BlueGreenUpdatePolicy or RollingUpdatePolicy.")
        raise NotAvailableError("DeploymentConfig.RollingUpdatePolicy")
    routing = policy.get("TrafficRoutingConfiguration", {"Type": "ALL_AT_ONCE"})
    _check_sizes(routing, new)
    is_guarded = routing["Type"] != "ALL_AT_ONCE" or "AutoRollbackConfiguration" in deployment
    if is_guarded and any("ServerlessConfig" in variant for variant in (*new, *old)):
        raise ValidationError(
            "Traffic shifting and automatic rollback are for real-time and asynchronous endpoints, and not "
            "for serverless ones."
        )
    if old and policy and _names(old) != _names(new):
        raise ValidationError(
            f"The variants {_names(new)} of the new endpoint configuration have to be named as those in "
            f"service, {_names(old)}."
        )
    _check_timeout(plan(deployment, new))


def _check_sizes(routing: Mapping[str, Any], variants: Sequence[Variant]) -> None:
    wanted = _SIZES.get(routing["Type"])
    for kind, member in _SIZES.items():
        if member in routing and member != wanted:
            raise ValidationError(f"{member} is for traffic routing of type {kind}, not {routing['Type']}.")
    if wanted is None:
        return
    if wanted not in routing:
        raise ValidationError(f"Traffic routing of type {routing['Type']} needs {wanted}.")
    least, most = _CANARY if wanted == "CanarySize" else _LINEAR
    for variant in variants:
        share = _share(routing[wanted], variant)
        if not least <= share <= most:
            raise ValidationError(
                f"{wanted} is {share:.0%} of the capacity of variant {variant['VariantName']}; it has to be "
                f"{f'{least:.0%} to ' if least else 'at most '}{most:.0%}."
            )


def _check_timeout(planned: Plan) -> None:
    waits = sum(step.wait for step in planned.steps)
    if planned.timeout is not None and planned.timeout <= waits:
        raise ValidationError(
            f"MaximumExecutionTimeoutInSeconds {planned.timeout} has to be more than the {waits} s that "
            f"WaitIntervalInSeconds and TerminationWaitInSeconds take in all."
        )


def _share(size: Mapping[str, Any], variant: Variant) -> float:
    """Of a variant's capacity, 0 to 1 and above: `size` is a CapacitySize."""
    if size["Type"] == "CAPACITY_PERCENT":
        return float(size["Value"]) / 100
    return float(size["Value"]) / float(variant.get("InitialInstanceCount", 1))


def _steps(share: float) -> int:
    """How often a step of this share is needed for all; rounded, for 1/3 three times is all."""
    return math.ceil(round(1 / share, 6))


def _names(variants: Sequence[Variant]) -> list[str]:
    return sorted(variant["VariantName"] for variant in variants)
