"""Endpoints: serving processes behind a name, replaced blue/green."""

from __future__ import annotations

import logging
import random
import shutil
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from local.sagemaker import events, listing
from local.sagemaker.arns import arn, log_group
from local.sagemaker.errors import (
    MAX_FAILURE_REASON,
    ModelError,
    ModelNotReadyError,
    NotAvailableError,
    RuntimeValidationError,
    ValidationError,
)
from local.sagemaker.models import EndpointConfigs
from local.sagemaker.platform import Platform
from local.sagemaker.serving import Container, ContainerError
from local.sagemaker.store import Document, Record, Store

logger = logging.getLogger("loupe.local")

_SERVERLESS_BYTES = 4 * 1024 * 1024
_INSTANCE_BYTES = 25 * 1024 * 1024


@dataclass
class _Variant:
    """A production variant that serves."""

    settings: dict[str, Any]
    container: Container

    @property
    def name(self) -> str:
        name: str = self.settings["VariantName"]
        return name


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


class Endpoints:
    """CreateEndpoint and its kin. A deployment runs in a thread of its own; one at a time an endpoint."""

    def __init__(
        self, folder: Path, platform: Platform, configs: EndpointConfigs, scaling: ScaledVariants
    ) -> None:
        self._store = Store(folder / "endpoints")
        self._work = folder / "serving"
        self._platform = platform
        self._configs = configs
        self._scaling = scaling
        self._lock = threading.RLock()
        self._serving: dict[str, list[_Variant]] = {}
        self._closing = threading.Event()

    # -- operations --------------------------------------------------------------------------------

    def create(self, request: Document) -> Document:
        name, config = request["EndpointName"], request["EndpointConfigName"]
        _check_deployment(request)
        variants = self._configs.variants(config)
        now = time.time()
        resource = arn("endpoint", name)
        document: Document = {
            "EndpointName": name,
            "EndpointArn": resource,
            "EndpointConfigName": config,
            "EndpointStatus": "Creating",
            "CreationTime": now,
            "LastModifiedTime": now,
            "Tags": request.get("Tags", []),
        }
        with self._lock:
            if name in self._store:
                raise ValidationError(f'Cannot create already existing endpoint "{resource}".')
            self._store.put(name, Record(document, {"config": config, "variants": variants}))
        self._announce(document)
        self._deploy(name)
        return {"EndpointArn": resource}

    def update(self, request: Document) -> Document:
        name, config = request["EndpointName"], request["EndpointConfigName"]
        _check_deployment(request)
        variants = self._configs.variants(config)
        with self._lock:
            record = self._record(name)
            status = record.document["EndpointStatus"]
            if status not in ("InService", "Failed"):
                raise ValidationError(
                    f'Cannot update endpoint "{arn("endpoint", name)}" while it is in status {status}.'
                )
            _check_kind(record.inner["variants"], variants)
            _check_scaled(self._scaling.variants_of(name), record.inner["variants"], variants)
            inner = {**record.inner, "next_config": config, "next_variants": variants}
            document = self._put(name, inner, EndpointStatus="Updating", FailureReason=None)
        self._announce(document)
        self._deploy(name)
        return {"EndpointArn": arn("endpoint", name)}

    def delete(self, request: Document) -> Document:
        name = request["EndpointName"]
        with self._lock:
            document = self._record(name).document
            self._store.remove(name)
            serving = self._serving.pop(name, [])
        self._scaling.forget(name)
        self._announce({**document, "EndpointStatus": "Deleting", "LastModifiedTime": time.time()})
        _stop_in_background(serving)
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
        limit = _SERVERLESS_BYTES if "ServerlessConfig" in variant.settings else _INSTANCE_BYTES
        if len(body) > limit:
            raise RuntimeValidationError(
                "Value at 'body' failed to satisfy constraint: "
                f"Member must have length less than or equal to {limit}"
            )
        try:
            answer = variant.container.invoke(body, dict(headers))
        except ContainerError as error:
            raise _model_error(name, 500, str(error)) from error
        if answer.status >= 400:
            raise _model_error(name, answer.status, answer.body.decode(errors="replace"))
        return Invocation(answer.body, answer.content_type, variant.name)

    def _pick(self, name: str, target: str | None) -> _Variant:
        with self._lock:
            if name not in self._store:
                raise RuntimeValidationError(f"Endpoint {name} of account 000000000000 not found.")
            variants = self._serving.get(name, [])
        if not variants:
            raise ModelNotReadyError(f"The endpoint {name} is not serving yet.")
        if target is None:
            weights = [variant.settings.get("InitialVariantWeight", 1.0) for variant in variants]
            return random.choices(variants, weights)[0]  # noqa: S311
        for variant in variants:
            if variant.name == target:
                return variant
        raise RuntimeValidationError(f"Variant {target} of endpoint {name} not found.")

    # -- deployments -------------------------------------------------------------------------------

    def resume(self) -> None:
        """Serve again what was served; deployments that were under way start anew."""
        shutil.rmtree(self._work, ignore_errors=True)
        for name, record in self._store:
            if record.document["EndpointStatus"] != "Failed":
                self._deploy(name)

    def shut_down(self) -> None:
        """End all serving processes; `resume` starts them again."""
        self._closing.set()
        with self._lock:
            serving = [variant for variants in self._serving.values() for variant in variants]
            self._serving.clear()
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
        if name not in self._serving and record.document["EndpointStatus"] != "Creating":
            self._bring_back(name, record)
        record = self._store.get(name)
        if record is None or record.document["EndpointStatus"] not in ("Creating", "Updating"):
            return
        variants = record.inner.get("next_variants") or record.inner["variants"]
        try:
            started = self._start(name, variants)
        except ContainerError as error:
            self._give_up(name, str(error))
        else:
            self._switch(name, started)

    def _bring_back(self, name: str, record: Record) -> None:
        """After a restart of the cloud: what answered before answers again, before anything new is tried."""
        try:
            started = self._start(name, record.inner["variants"])
        except ContainerError as error:
            with self._lock:
                document = self._put(
                    name, record.inner, EndpointStatus="Failed", FailureReason=str(error)[:MAX_FAILURE_REASON]
                )
            self._announce(document)
            return
        with self._lock:
            self._serving[name] = started

    def _start(self, name: str, variants: list[dict[str, Any]]) -> list[_Variant]:
        """Raises ContainerError if one of them does not become healthy; none is left running then."""
        started: list[_Variant] = []
        for settings in variants:
            stream = f"{settings['VariantName']}/local"
            log = partial(self._platform.write_log, log_group(f"Endpoints/{name}"), stream)
            container = Container(self._work, self._platform, log)
            try:
                served = settings["served"]
                container.start(served["container"], served["role"], f"SageMaker-{name}")
            except ContainerError:
                for variant in started:
                    variant.container.stop()
                raise
            started.append(_Variant(settings, container))
        return started

    def _switch(self, name: str, started: list[_Variant]) -> None:
        with self._lock:
            record = self._store.get(name)
            if record is None or self._closing.is_set():
                unwanted, document = started, None
            else:
                unwanted = self._serving.get(name, [])
                self._serving[name] = started
                config = record.inner.get("next_config") or record.inner["config"]
                inner = {"config": config, "variants": [variant.settings for variant in started]}
                document = self._put(
                    name,
                    inner,
                    EndpointStatus="InService",
                    EndpointConfigName=config,
                    ProductionVariants=[_describe(variant.settings) for variant in started],
                    FailureReason=None,
                )
        if document is not None:
            self._announce(document)
        _stop_in_background(unwanted)

    def _give_up(self, name: str, reason: str) -> None:
        """A first deployment fails the endpoint; after an update the old variants simply stay."""
        with self._lock:
            record = self._store.get(name)
            if record is None or self._closing.is_set():
                return
            inner = {"config": record.inner["config"], "variants": record.inner["variants"]}
            status = "InService" if self._serving.get(name) else "Failed"
            document = self._put(
                name, inner, EndpointStatus=status, FailureReason=reason[:MAX_FAILURE_REASON]
            )
        logger.warning("The deployment of endpoint %s failed: %s", name, reason)
        self._announce(document)

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


def _describe(settings: dict[str, Any]) -> dict[str, Any]:
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


def _check_deployment(request: Document) -> None:
    """Raises NotAvailableError for traffic shifting that the local cloud does not do."""
    deployment = request.get("DeploymentConfig", {})
    if "RollingUpdatePolicy" in deployment:
        raise NotAvailableError("DeploymentConfig.RollingUpdatePolicy")
    routing = deployment.get("BlueGreenUpdatePolicy", {}).get("TrafficRoutingConfiguration", {})
    if routing.get("Type", "ALL_AT_ONCE") != "ALL_AT_ONCE":
        raise NotAvailableError(f"traffic routing of type {routing['Type']}")
    if deployment.get("AutoRollbackConfiguration", {}).get("Alarms"):
        raise NotAvailableError("DeploymentConfig.AutoRollbackConfiguration")


def _check_kind(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> None:
    had_instances = any("ServerlessConfig" not in variant for variant in before)
    if had_instances and any("ServerlessConfig" in variant for variant in after):
        raise ValidationError("An instance based endpoint cannot be updated to a serverless endpoint.")


def _check_scaled(scaled: set[str], before: list[dict[str, Any]], after: list[dict[str, Any]]) -> None:
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


def _stop_in_background(variants: list[_Variant]) -> None:
    for variant in variants:
        threading.Thread(target=variant.container.stop, daemon=True).start()


def _model_error(endpoint: str, status: int, said: str) -> ModelError:
    message = (
        f'Received server error ({status}) from primary with message "{said[:512]}". See '
        f"{log_group(f'Endpoints/{endpoint}')} in CloudWatch Logs for more information."
    )
    return ModelError(message, status, said)
