"""Scalable targets and their policies: recorded and described. One machine adds no instances."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from local.autoscaling.errors import (
    InvalidNextTokenError,
    NotAvailableError,
    ObjectNotFoundError,
    ValidationError,
)
from local.autoscaling.resources import (
    SERVICE_LINKED_ROLE,
    VariantId,
    check_kind,
    policy_arn,
    target_arn,
)
from local.sagemaker.store import Document, Record, Store

logger = logging.getLogger("loupe.local")

FindVariant = Callable[[str, str], Document | None]
"""The ProductionVariant of an endpoint's configuration by the names of both; None if there is none."""

_PAGE = 50
_KIND = ("ServiceNamespace", "ResourceId", "ScalableDimension")
_SUSPENDABLE = ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended")
_CONFIGURATIONS = {
    "StepScaling": "StepScalingPolicyConfiguration",
    "TargetTrackingScaling": "TargetTrackingScalingPolicyConfiguration",
    "PredictiveScaling": "PredictiveScalingPolicyConfiguration",
}
# Those of a variant's instances; the others belong to other dimensions and services.
_PREDEFINED = (
    "SageMakerVariantInvocationsPerInstance",
    "SageMakerVariantConcurrentRequestsPerModelHighResolution",
)


class ScalableTargets:
    """RegisterScalableTarget, PutScalingPolicy and their kin."""

    def __init__(self, folder: Path) -> None:
        self._targets = Store(folder / "targets")
        self._policies = Store(folder / "policies")
        self._lock = threading.Lock()

    # -- what SageMaker asks -----------------------------------------------------------------------

    def variants_of(self, endpoint: str) -> set[str]:
        """The endpoint's variants that are registered."""
        with self._lock:
            registered = [VariantId.of(resource) for resource, _ in self._targets]
        return {found.variant for found in registered if found.endpoint == endpoint}

    def forget(self, endpoint: str) -> None:
        """Deregister the variants of an endpoint that is deleted, as AWS does."""
        for variant in self.variants_of(endpoint):
            with self._lock:
                self._remove(f"endpoint/{endpoint}/variant/{variant}")

    # -- operations --------------------------------------------------------------------------------

    def register(self, request: Document, find_variant: FindVariant) -> Document:
        """Raises ValidationError, NotAvailableError."""
        check_kind(request["ServiceNamespace"], request["ScalableDimension"])
        if "Tags" in request:
            raise NotAvailableError("Tags of scalable targets")
        resource = request["ResourceId"]
        _check_variant(resource, find_variant)
        with self._lock:
            known = self._targets.get(resource)
            before = known.document if known else {}
            document = {
                **{member: request[member] for member in _KIND},
                "MinCapacity": _capacity(request, before, "MinCapacity"),
                "MaxCapacity": _capacity(request, before, "MaxCapacity"),
                "RoleARN": request.get("RoleARN", SERVICE_LINKED_ROLE),
                "CreationTime": before.get("CreationTime", time.time()),
                "SuspendedState": {
                    **dict.fromkeys(_SUSPENDABLE, False),
                    **before.get("SuspendedState", {}),
                    **request.get("SuspendedState", {}),
                },
                "ScalableTargetARN": target_arn(resource),
            }
            _check_capacities(document)
            self._targets.put(resource, Record(document))
        logger.info(
            "%s is registered for %d to %d instances; this machine serves it with one process",
            resource,
            document["MinCapacity"],
            document["MaxCapacity"],
        )
        return {"ScalableTargetARN": document["ScalableTargetARN"]}

    def deregister(self, request: Document) -> Document:
        """Raises ObjectNotFoundError."""
        check_kind(request["ServiceNamespace"], request["ScalableDimension"])
        with self._lock:
            self._require(request)
            self._remove(request["ResourceId"])
        return {}

    def describe(self, request: Document) -> Document:
        check_kind(request["ServiceNamespace"], request.get("ScalableDimension"))
        wanted = request.get("ResourceIds")
        with self._lock:
            found = [
                record.document for resource, record in self._targets if wanted is None or resource in wanted
            ]
        return _page("ScalableTargets", found, request)

    def put_policy(self, request: Document) -> Document:
        """Raises ValidationError, ObjectNotFoundError."""
        check_kind(request["ServiceNamespace"], request["ScalableDimension"])
        resource, name = request["ResourceId"], request["PolicyName"]
        with self._lock:
            self._require(request)
            known = self._policies.get(_policy_key(resource, name))
            before = known.document if known else {}
            kind = str(request.get("PolicyType", before.get("PolicyType", "StepScaling")))
            document = {
                **{member: request[member] for member in _KIND},
                "PolicyName": name,
                "PolicyType": kind,
                "PolicyARN": before.get("PolicyARN", policy_arn(resource, name)),
                "CreationTime": before.get("CreationTime", time.time()),
                "Alarms": [],
                _CONFIGURATIONS[kind]: _configuration(kind, request, before),
            }
            self._policies.put(_policy_key(resource, name), Record(document))
        logger.info("Policy %s of %s is kept; nothing scales by it on one machine", name, resource)
        return {"PolicyARN": document["PolicyARN"], "Alarms": []}

    def delete_policy(self, request: Document) -> Document:
        """Raises ObjectNotFoundError."""
        check_kind(request["ServiceNamespace"], request["ScalableDimension"])
        key = _policy_key(request["ResourceId"], request["PolicyName"])
        with self._lock:
            if key not in self._policies:
                raise ObjectNotFoundError(
                    f"No scaling policy found for {_names(request)}, policy name: {request['PolicyName']}"
                )
            self._policies.remove(key)
        return {}

    def describe_policies(self, request: Document) -> Document:
        check_kind(request["ServiceNamespace"], request.get("ScalableDimension"))
        wanted, resource = request.get("PolicyNames"), request.get("ResourceId")
        with self._lock:
            found = [
                record.document
                for _, record in self._policies
                if (wanted is None or record.document["PolicyName"] in wanted)
                and resource in (None, record.document["ResourceId"])
            ]
        return _page("ScalingPolicies", found, request)

    def _require(self, request: Document) -> None:
        if request["ResourceId"] not in self._targets:
            raise ObjectNotFoundError(f"No scalable target registered for {_names(request)}")

    def _remove(self, resource: str) -> None:
        """Policies go with their target."""
        self._targets.remove(resource)
        for key, record in self._policies:
            if record.document["ResourceId"] == resource:
                self._policies.remove(key)


def _check_variant(resource: str, find_variant: FindVariant) -> None:
    named = VariantId.of(resource)
    variant = find_variant(named.endpoint, named.variant)
    if variant is None:
        raise ValidationError(f"The resource ID {resource} names no variant of an endpoint that exists")
    if "ServerlessConfig" in variant:
        raise ValidationError(f"The variant of {resource} is serverless and has no instances to scale")


def _capacity(request: Document, before: Document, member: str) -> int:
    capacity: int | None = request.get(member, before.get(member))
    if capacity is None:
        raise ValidationError(f"{member} is required when a scalable target is registered")
    return capacity


def _check_capacities(document: Document) -> None:
    least, most = document["MinCapacity"], document["MaxCapacity"]
    if least < 1:
        # 0 is for asynchronous endpoints and inference components, which the local SageMaker does not have.
        raise ValidationError(f"Minimum capacity {least} is less than 1, the least of a real-time variant")
    if most < least:
        raise ValidationError(f"Maximum capacity {most} is less than minimum capacity {least}")


def _configuration(kind: str, request: Document, before: Document) -> Document:
    """The one that belongs to the kind of policy; an update may leave it out."""
    member = _CONFIGURATIONS[kind]
    if any(other in request for other in _CONFIGURATIONS.values() if other != member):
        raise ValidationError(f"A policy of type {kind} takes {member} and no other configuration")
    configuration: Document | None = request.get(member, before.get(member))
    if configuration is None:
        raise ValidationError(f"A policy of type {kind} needs {member}")
    if kind == "PredictiveScaling":
        raise ValidationError("PredictiveScaling does not scale the variants of endpoints")
    if kind == "StepScaling":
        if not configuration.get("StepAdjustments") or "AdjustmentType" not in configuration:
            raise ValidationError("Step scaling needs AdjustmentType and at least one of StepAdjustments")
    else:
        _check_tracked(configuration)
    return configuration


def _check_tracked(configuration: Document) -> None:
    if configuration["TargetValue"] <= 0:
        raise ValidationError(f"TargetValue {configuration['TargetValue']} is not above 0")
    predefined = configuration.get("PredefinedMetricSpecification")
    if (predefined is None) == ("CustomizedMetricSpecification" not in configuration):
        raise ValidationError(
            "Target tracking needs either PredefinedMetricSpecification or CustomizedMetricSpecification"
        )
    if predefined is not None and predefined["PredefinedMetricType"] not in _PREDEFINED:
        raise ValidationError(
            f"{predefined['PredefinedMetricType']} does not track sagemaker:variant:DesiredInstanceCount"
        )


def _policy_key(resource: str, name: str) -> str:
    return f"{resource}/{name}"


def _names(request: Document) -> str:
    return (
        f"service namespace: {request['ServiceNamespace']}, resource ID: {request['ResourceId']}, "
        f"scalable dimension: {request['ScalableDimension']}"
    )


def _page(result: str, documents: Sequence[Document], request: Document) -> Document:
    token = request.get("NextToken", "0")
    if not token.isdecimal():
        raise InvalidNextTokenError("The NextToken is not valid")
    start = int(token)
    end = start + min(request.get("MaxResults", _PAGE), _PAGE)
    answer: Document = {result: list(documents[start:end])}
    if end < len(documents):
        answer["NextToken"] = str(end)
    return answer
