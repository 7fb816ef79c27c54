"""How DescribeEndpoint shows variants: those in service, and those that a deployment brings."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any


def variant_summary(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A ProductionVariantSummary."""
    weight = settings.get("InitialVariantWeight", 1.0)
    image = settings["served"]["container"].get("Image", "")
    summary: dict[str, Any] = {
        "VariantName": settings["VariantName"],
        "DeployedImages": [{"SpecifiedImage": image, "ResolvedImage": image}],
        "CurrentWeight": weight,
        "DesiredWeight": weight,
    }
    if "ServerlessConfig" in settings:
        serverless = settings["ServerlessConfig"]
        return {**summary, "CurrentServerlessConfig": serverless, "DesiredServerlessConfig": serverless}
    count = settings.get("InitialInstanceCount", 1)
    return {**summary, "CurrentInstanceCount": count, "DesiredInstanceCount": count}


def pending_deployment(
    config: str,
    variants: Sequence[Mapping[str, Any]],
    started: float,
    *,
    status: str = "Creating",
    shares: Mapping[str, float] | None = None,
    message: str = "Starting the new fleet",
) -> dict[str, Any]:
    """A PendingDeploymentSummary of a deployment that `started` then (epoch seconds).

    `status` is a VariantStatus, `shares` the part of its weight that each variant has by now.
    """
    reached = shares or {}
    now = {"Status": status, "StatusMessage": message, "StartTime": time.time()}
    return {
        "EndpointConfigName": config,
        "StartTime": started,
        "ProductionVariants": [
            _pending_variant(variant, reached.get(variant["VariantName"], 0.0), now) for variant in variants
        ],
    }


def _pending_variant(settings: Mapping[str, Any], share: float, status: Mapping[str, Any]) -> dict[str, Any]:
    """A PendingProductionVariantSummary."""
    summary = variant_summary(settings)
    if "InstanceType" in settings:
        summary["InstanceType"] = settings["InstanceType"]
    if "CurrentInstanceCount" in summary and status["Status"] == "Creating":
        summary["CurrentInstanceCount"] = 0
    return {**summary, "CurrentWeight": summary["DesiredWeight"] * share, "VariantStatus": [dict(status)]}
