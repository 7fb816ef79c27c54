"""Endpoints: serving processes behind a name, replaced blue/green."""

from __future__ import annotations

import logging
import random
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from local.sagemaker import endpoint_metrics, events, guardrails, listing
from local.sagemaker.arns import arn, log_group
from local.sagemaker.endpoint_documents import pending_deployment, variant_summary
from local.sagemaker.errors import (
    MAX_FAILURE_REASON,
    ModelError,
    ModelNotReadyError,
    RuntimeValidationError,
    ValidationError,
)
from local.sagemaker.fleets import ServedVariant, Serves, Traffic, retire, retire_in_background
from local.sagemaker.models import EndpointConfigs
from local.sagemaker.platform import MeasuringPlatform
from local.sagemaker.rollback_alarms import AlarmsError, FindAlarms, RoleAlarms, WatchesAlarms
from local.sagemaker.serving import Answer, Container, ContainerError
from local.sagemaker.store import Document, Record, Store

logger = logging.getLogger("loupe.local")

_SERVERLESS_BYTES = 4 * 1024 * 1024
_INSTANCE_BYTES = 25 * 1024 * 1024
_LOOK_EVERY = 0.5
"""Seconds between looks at the alarms of a deployment."""

Variants = list[dict[str, Any]]
"""ProductionVariants, each with what its process needs under `served`."""


@dataclass(frozen=True)
class Invocation:
    body: bytes
    content_type: str
    variant: str


class ScaledVariants(Protocol):
    """What Application Auto Scaling knows of an endpoint's variants."""

    def variants_of(self, endpoint: str) -> set[str]:
        """Those that are registered as scalable targets."""

    def forget(self, endpoint: str) -> None:
        """The endpoint is deleted."""


class StartsVariant(Protocol):
    """Starts the process of a variant."""

    def __call__(self, endpoint: str, settings: Mapping[str, Any]) -> Serves:
        """Return once it is healthy. Raises ContainerError, and leaves nothing running then."""


class _RollbackError(Exception):
    """The new fleet must not go into service; the text is a FailureReason."""


class _AbandonedError(Exception):
    """The endpoint is deleted, or the cloud is going down."""


class Endpoints:
    """CreateEndpoint and its kin. A deployment runs in a thread of its own; one at a time an endpoint.

    `start_variant`, `find_alarms` and `draw` (numbers from 0 to below 1) are for tests.
    """

    def __init__(
        self,
        folder: Path,
        platform: MeasuringPlatform,
        configs: EndpointConfigs,
        scaling: ScaledVariants,
        *,
        start_variant: StartsVariant | None = None,
        find_alarms: FindAlarms | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._store = Store(folder / "endpoints")
        self._work = folder / "serving"
        self._platform = platform
        self._configs = configs
        self._scaling = scaling
        self._start_variant = start_variant or self._start_container
        self._find_alarms = find_alarms or partial(RoleAlarms, platform)
        self._draw = draw
        self._lock = threading.RLock()
        self._traffic: dict[str, Traffic] = {}
        self._closing = threading.Event()

    # -- operations --------------------------------------------------------------------------------

    def create(self, request: Document) -> Document:
        """A deployment configuration is kept for updates; a first deployment has nothing to shift."""
        name, config = request["EndpointName"], request["EndpointConfigName"]
        variants = self._configs.variants(config)
        deployment = request.get("DeploymentConfig")
        self._check_deployment(deployment or {}, variants)
        now = time.time()
        resource = arn("endpoint", name)
        document: Document = {
            "EndpointName": name,
            "EndpointArn": resource,
            "EndpointConfigName": config,
            "EndpointStatus": "Creating",
            "CreationTime": now,
            "LastModifiedTime": now,
            "PendingDeploymentSummary": pending_deployment(config, variants, now),
            "Tags": request.get("Tags", []),
            **({"LastDeploymentConfig": deployment} if deployment else {}),
        }
        inner = {"config": config, "variants": variants, "deployment": uuid.uuid4().hex}
        with self._lock:
            if name in self._store:
                raise ValidationError(f'Cannot create already existing endpoint "{resource}".')
            self._store.put(name, Record(document, inner))
        self._announce(document)
        self._deploy(name)
        return {"EndpointArn": resource}

    def update(self, request: Document) -> Document:
        name, config = request["EndpointName"], request["EndpointConfigName"]
        variants = self._configs.variants(config)
        with self._lock:
            record = self._record(name)
        deployment = request.get("DeploymentConfig")
        if deployment is None and request.get("RetainDeploymentConfig"):
            deployment = record.document.get("LastDeploymentConfig")
        self._check_deployment(deployment or {}, variants, record.inner["variants"])
        with self._lock:
            record = self._record(name)
            status = record.document["EndpointStatus"]
            if status not in ("InService", "Failed"):
                raise ValidationError(
                    f'Cannot update endpoint "{arn("endpoint", name)}" while it is in status {status}.'
                )
            current = record.inner["variants"]
            _check_kind(current, variants)
            _check_scaled(self._scaling.variants_of(name), current, variants)
            variants = _retain(request, current, variants)
            inner = {
                "config": record.inner["config"],
                "variants": current,
                "next_config": config,
                "next_variants": variants,
                "policy": deployment or {},
                "deployment": uuid.uuid4().hex,
            }
            changes: Document = {"LastDeploymentConfig": deployment} if deployment else {}
            document = self._put(
                name,
                inner,
                EndpointStatus="Updating",
                FailureReason=None,
                PendingDeploymentSummary=pending_deployment(config, variants, time.time()),
                **changes,
            )
        self._announce(document)
        self._deploy(name)
        return {"EndpointArn": arn("endpoint", name)}

    def delete(self, request: Document) -> Document:
        name = request["EndpointName"]
        with self._lock:
            document = self._record(name).document
            self._store.remove(name)
            traffic = self._traffic.pop(name, Traffic([]))
        self._scaling.forget(name)
        self._announce({**document, "EndpointStatus": "Deleting", "LastModifiedTime": time.time()})
        retire_in_background(traffic.variants)
        return {}

    def describe(self, request: Document) -> Document:
        with self._lock:
            return dict(self._record(request["EndpointName"]).document)

    def find_variant(self, name: str, variant: str) -> Document | None:
        """A ProductionVariant of the configuration in service; None if there is none of these names."""
        with self._lock:
            record = self._store.get(name)
            variants = record.inner["variants"] if record else []
        return next((found for found in variants if found["VariantName"] == variant), None)

    def list_all(self, request: Document) -> Document:
        members = ("EndpointName", "EndpointArn", "CreationTime", "LastModifiedTime", "EndpointStatus")
        with self._lock:
            documents = [record.document for _, record in self._store]
        return listing.page(
            documents,
            request,
            result="Endpoints",
            name="EndpointName",
            status="EndpointStatus",
            summarize=lambda endpoint: {name: endpoint[name] for name in members},
        )

    def invoke(self, name: str, body: bytes, headers: Mapping[str, str], target: str | None) -> Invocation:
        """Raises RuntimeValidationError, ModelNotReadyError or ModelError."""
        variant = self._pick(name, target)
        try:
            limit = _SERVERLESS_BYTES if "ServerlessConfig" in variant.settings else _INSTANCE_BYTES
            if len(body) > limit:
                raise RuntimeValidationError(
                    "Value at 'body' failed to satisfy constraint: "
                    f"Member must have length less than or equal to {limit}"
                )
            answer = self._ask(name, variant, body, headers)
        finally:
            with self._lock:
                variant.requests -= 1
        if answer.status >= 400:
            raise _model_error(name, answer.status, answer.body.decode(errors="replace"))
        return Invocation(answer.body, answer.content_type, variant.name)

    def _ask(self, name: str, variant: ServedVariant, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Raises ModelError if no answer comes."""
        started, status = time.perf_counter(), 500
        try:
            answer = variant.container.invoke(body, dict(headers))
            status = answer.status
        except ContainerError as error:
            raise _model_error(name, status, str(error)) from error
        finally:
            taken = time.perf_counter() - started
            endpoint_metrics.publish(self._platform, name, variant, status, taken)
        return answer

    def _pick(self, name: str, target: str | None) -> ServedVariant:
        """The variant, with one more request to answer: it is not stopped before."""
        with self._lock:
            if name not in self._store:
                raise RuntimeValidationError(f"Endpoint {name} of account 000000000000 not found.")
            traffic = self._traffic.get(name)
            if traffic is None:
                raise ModelNotReadyError(f"The endpoint {name} is not serving yet.")
            variant = traffic.pick(target, self._draw)
            variant.requests += 1
            return variant

    def _check_deployment(self, deployment: Document, new: Variants, old: Sequence[Document] = ()) -> None:
        """Raises ValidationError, NotAvailableError."""
        guardrails.check(deployment, new, old)
        names = guardrails.plan(deployment, new).alarms
        if not names:
            return
        try:
            found = self._alarms(new, names).states()
        except AlarmsError as error:
            raise ValidationError(str(error)) from error
        missing = [name for name in names if name not in found]
        if missing:
            raise ValidationError(f"The alarms {missing} of AutoRollbackConfiguration do not exist.")

    def _alarms(self, variants: Variants, names: Sequence[str]) -> WatchesAlarms:
        return self._find_alarms(variants[0]["served"]["role"], names)

    # -- deployments -------------------------------------------------------------------------------

    def resume(self) -> None:
        """Serve again what was served. A deployment that was under way starts anew, from the old fleet; a
        rollback comes to its end."""
        shutil.rmtree(self._work, ignore_errors=True)
        for name, record in self._store:
            inner, status = record.inner, record.document["EndpointStatus"]
            if status == "Updating":
                summary = pending_deployment(inner["next_config"], inner["next_variants"], time.time())
                self._put(name, inner, PendingDeploymentSummary=summary)
            if status != "Failed":
                self._deploy(name)

    def shut_down(self) -> None:
        """End all serving processes; `resume` starts them again."""
        self._closing.set()
        with self._lock:
            serving = [variant for traffic in self._traffic.values() for variant in traffic.variants]
            self._traffic.clear()
        for variant in serving:
            variant.container.stop()

    def _deploy(self, name: str) -> None:
        threading.Thread(
            target=self._run_deployment, args=(name,), name=f"deploy-{name}", daemon=True
        ).start()

    def _run_deployment(self, name: str) -> None:
        record = self._store.get(name)
        if record is None:
            return
        if name not in self._traffic and record.document["EndpointStatus"] != "Creating":
            self._bring_back(name, record)
        record = self._store.get(name)
        if record is None:
            return
        status = record.document["EndpointStatus"]
        if status == "RollingBack":
            self._settle(name, record, record.document["FailureReason"])
        elif status in ("Creating", "Updating"):
            self._replace(name, record)

    def _bring_back(self, name: str, record: Record) -> None:
        """After a restart of the cloud: what answered before answers again, before anything new is tried."""
        try:
            started = self._start(name, record.inner["config"], record.inner["variants"])
        except ContainerError as error:
            with self._lock:
                document = self._put(
                    name,
                    record.inner,
                    EndpointStatus="Failed",
                    FailureReason=str(error)[:MAX_FAILURE_REASON],
                    PendingDeploymentSummary=None,
                )
            self._announce(document)
            return
        with self._lock:
            self._traffic[name] = Traffic(started)

    def _replace(self, name: str, record: Record) -> None:
        """Start a new fleet, move the traffic to it as planned, and end the old one; or keep the old one."""
        config = record.inner.get("next_config") or record.inner["config"]
        variants = record.inner.get("next_variants") or record.inner["variants"]
        try:
            green = self._start(name, config, variants)
        except ContainerError as error:
            self._settle(name, record, str(error))
            return
        plan = guardrails.plan(record.inner.get("policy", {}), variants)
        try:
            if name in self._traffic:
                self._shift(name, record, plan, green)
            self._finish(name, record, config, green)
        except _RollbackError as error:
            self._roll_back(name, record, green, str(error))
        except _AbandonedError:
            retire(green)

    def _start(self, name: str, config: str, variants: Variants) -> list[ServedVariant]:
        """Raises ContainerError if one of them does not become healthy; none is left running then."""
        started: list[ServedVariant] = []
        for settings in variants:
            try:
                container = self._start_variant(name, settings)
            except ContainerError:
                retire(started)
                raise
            started.append(ServedVariant(settings, config, container))
        return started

    def _start_container(self, endpoint: str, settings: Mapping[str, Any]) -> Serves:
        stream = f"{settings['VariantName']}/local"
        log = partial(self._platform.write_log, log_group(f"Endpoints/{endpoint}"), stream)
        container = Container(self._work, self._platform, log)
        served = settings["served"]
        container.start(served["container"], served["role"], f"SageMaker-{endpoint}")
        return container

    def _shift(self, name: str, record: Record, plan: guardrails.Plan, green: list[ServedVariant]) -> None:
        """Give the new fleet its shares, one after the other. Raises _RollbackError, _AbandonedError."""
        alarms = self._alarms([variant.settings for variant in green], plan.alarms) if plan.alarms else None
        ends = None if plan.timeout is None else time.monotonic() + plan.timeout
        for number, step in enumerate(plan.steps, 1):
            said = f"step {number} of {len(plan.steps)}"
            self._show(name, record, "ActivatingTraffic", step.shares, f"Turning on traffic: {said}")
            with self._lock:
                self._require(name, record)
                self._traffic[name].green = green
                self._traffic[name].shares = step.shares
            if step.wait:
                self._show(name, record, "Baking", step.shares, f"Watching for {step.wait} s: {said}")
            self._bake(name, record, step.wait, alarms, ends)

    def _bake(
        self, name: str, record: Record, wait: float, alarms: WatchesAlarms | None, ends: float | None
    ) -> None:
        """Wait, and look at the alarms meanwhile and once more in the end."""
        until = time.monotonic() + wait
        while True:
            left = until - time.monotonic()
            self._require(name, record)
            if alarms is not None:
                _check_alarms(alarms)
            if ends is not None and time.monotonic() > ends:
                raise _RollbackError("The deployment took longer than MaximumExecutionTimeoutInSeconds.")
            if left <= 0:
                return
            self._closing.wait(min(_LOOK_EVERY, left))

    def _show(
        self, name: str, record: Record, status: str, shares: Mapping[str, float], message: str
    ) -> None:
        """Describe how far the deployment is, and tell the event bus. Raises _AbandonedError."""
        with self._lock:
            inner = self._require(name, record).inner
            before = self._record(name).document.get("PendingDeploymentSummary", {})
            summary = pending_deployment(
                inner["next_config"],
                inner["next_variants"],
                before.get("StartTime", time.time()),
                status=status,
                shares=shares,
                message=message,
            )
            document = self._put(name, inner, PendingDeploymentSummary=summary)
        self._platform.publish(events.DEPLOYMENT, document["EndpointArn"], events.deployment(document))

    def _finish(self, name: str, record: Record, config: str, green: list[ServedVariant]) -> None:
        """The new fleet is in service. Raises _AbandonedError."""
        with self._lock:
            self._require(name, record)
            old = self._traffic.get(name, Traffic([])).blue
            self._traffic[name] = Traffic(green)
            document = self._put(
                name,
                {"config": config, "variants": [variant.settings for variant in green]},
                EndpointStatus="InService",
                EndpointConfigName=config,
                ProductionVariants=[variant_summary(variant.settings) for variant in green],
                FailureReason=None,
                PendingDeploymentSummary=None,
            )
        self._announce(document)
        retire_in_background(old)

    def _roll_back(self, name: str, record: Record, green: list[ServedVariant], reason: str) -> None:
        """All traffic to the old fleet at once, then the new one ends."""
        with self._lock:
            try:
                inner = self._require(name, record).inner
            except _AbandonedError:
                document = None
            else:
                self._traffic[name] = Traffic(self._traffic[name].blue)
                document = self._put(
                    name,
                    inner,
                    EndpointStatus="RollingBack",
                    FailureReason=reason[:MAX_FAILURE_REASON],
                    PendingDeploymentSummary=None,
                )
        if document is not None:
            self._announce(document)
        retire(green)
        self._settle(name, record, reason)

    def _settle(self, name: str, record: Record, reason: str) -> None:
        """The deployment failed: an endpoint whose first it was with it, any other goes on as it was."""
        with self._lock:
            try:
                self._require(name, record)
            except _AbandonedError:
                return
            inner = {"config": record.inner["config"], "variants": record.inner["variants"]}
            document = self._put(
                name,
                inner,
                EndpointStatus="InService" if name in self._traffic else "Failed",
                FailureReason=reason[:MAX_FAILURE_REASON],
                PendingDeploymentSummary=None,
            )
        logger.warning("The deployment of endpoint %s failed: %s", name, reason)
        self._announce(document)

    def _require(self, name: str, record: Record) -> Record:
        """The endpoint's record as it is now, if its deployment is still the one of `record`.

        Raises _AbandonedError.
        """
        now = self._store.get(name)
        same = now is not None and now.inner.get("deployment") == record.inner.get("deployment")
        if now is None or not same or self._closing.is_set():
            raise _AbandonedError
        return now

    # -- records -----------------------------------------------------------------------------------

    def _put(self, name: str, inner: Document, **members: Any) -> Document:
        document = {**self._record(name).document, **members, "LastModifiedTime": time.time()}
        document = {member: value for member, value in document.items() if value is not None}
        self._store.put(name, Record(document, inner))
        return document

    def _record(self, name: str) -> Record:
        record = self._store.get(name)
        if record is None:
            raise ValidationError(f'Could not find endpoint "{arn("endpoint", name)}".')
        return record

    def _announce(self, document: Document) -> None:
        self._platform.publish(events.ENDPOINT, document["EndpointArn"], events.endpoint(document))


def _check_alarms(alarms: WatchesAlarms) -> None:
    """Raises _RollbackError if one is in ALARM, or if nobody can tell."""
    try:
        states = alarms.states()
    except AlarmsError as error:
        raise _RollbackError(str(error)) from error
    ringing = sorted(name for name, state in states.items() if state == "ALARM")
    if ringing:
        raise _RollbackError(f"The deployment was rolled back: in ALARM are {', '.join(ringing)}.")


def _retain(request: Document, before: Variants, after: Variants) -> Variants:
    """With RetainAllVariantProperties variants keep their weight and number of instances."""
    if not request.get("RetainAllVariantProperties"):
        return after
    excluded = {found["VariantPropertyType"] for found in request.get("ExcludeRetainedVariantProperties", [])}
    kinds = {"DesiredInstanceCount": "InitialInstanceCount", "DesiredWeight": "InitialVariantWeight"}
    members = [member for kind, member in kinds.items() if kind not in excluded]
    kept = {
        variant["VariantName"]: {member: variant[member] for member in members if member in variant}
        for variant in before
    }
    return [{**variant, **kept.get(variant["VariantName"], {})} for variant in after]


def _check_kind(before: Variants, after: Variants) -> None:
    had_instances = any("ServerlessConfig" not in variant for variant in before)
    if had_instances and any("ServerlessConfig" in variant for variant in after):
        raise ValidationError("An instance based endpoint cannot be updated to a serverless endpoint.")


def _check_scaled(scaled: set[str], before: Variants, after: Variants) -> None:
    """A scalable target keeps its variant and that variant's type of instance."""
    types = {variant["VariantName"]: variant.get("InstanceType") for variant in after}
    changed = sorted(
        variant["VariantName"]
        for variant in before
        if variant["VariantName"] in scaled
        and types.get(variant["VariantName"]) != variant.get("InstanceType")
    )
    if changed:
        raise ValidationError(
            f"The variant(s) {changed} must be deregistered as scalable targets with Application Auto "
            "Scaling before they can be removed or have their instance type updated."
        )


def _model_error(endpoint: str, status: int, said: str) -> ModelError:
    message = (
        f'Received server error ({status}) from primary with message "{said[:512]}". See '
        f"{log_group(f'Endpoints/{endpoint}')} in CloudWatch Logs for more information."
    )
    return ModelError(message, status, said)
