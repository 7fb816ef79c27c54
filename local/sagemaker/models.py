"""Models and endpoint configurations: documents that endpoints are made from."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from local.sagemaker import listing
from local.sagemaker.arns import arn
from local.sagemaker.errors import NotAvailableError, ValidationError
from local.sagemaker.packages import ModelPackages
from local.sagemaker.store import Document, Record, Store


class Models:
    """CreateModel and its kin. A model names, itself or by a package, an archive with `code/inference.py`."""

    def __init__(self, folder: Path, packages: ModelPackages) -> None:
        self._store = Store(folder / "models")
        self._packages = packages
        self._lock = threading.Lock()

    def create(self, request: Document) -> Document:
        name = request["ModelName"]
        if "PrimaryContainer" not in request:
            raise NotAvailableError("a model without PrimaryContainer")
        if "ExecutionRoleArn" not in request:
            raise ValidationError("ExecutionRoleArn is required")
        container = self._container(request["PrimaryContainer"])
        document = {**request, "ModelArn": arn("model", name), "CreationTime": time.time()}
        with self._lock:
            if name in self._store:
                raise ValidationError(f'Cannot create already existing model "{arn("model", name)}".')
            self._store.put(name, Record(document, {"container": container}))
        return {"ModelArn": document["ModelArn"]}

    def _container(self, container: Document) -> Document:
        """The definition that is served: the package's own, if it names one."""
        if "ModelPackageName" in container:
            packaged = self._packages.container(container["ModelPackageName"])
            variables = {**packaged.get("Environment", {}), **container.get("Environment", {})}
            container = {**packaged, "Environment": variables}
        if "ModelDataUrl" not in container:
            raise NotAvailableError("a container without ModelDataUrl")
        return container

    def served(self, name: str) -> Document:
        """What a serving process needs: container and role. Raises ValidationError for an unknown model."""
        record = self._record(name)
        return {"container": record.inner["container"], "role": record.document["ExecutionRoleArn"]}

    def describe(self, request: Document) -> Document:
        return self._record(request["ModelName"]).document

    def delete(self, request: Document) -> Document:
        with self._lock:
            self._record(request["ModelName"])
            self._store.remove(request["ModelName"])
        return {}

    def list_all(self, request: Document) -> Document:
        return listing.page(
            [record.document for _, record in self._store],
            request,
            result="Models",
            name="ModelName",
            status="",
            summarize=lambda model: {name: model[name] for name in ("ModelName", "ModelArn", "CreationTime")},
        )

    def _record(self, name: str) -> Record:
        record = self._store.get(name)
        if record is None:
            raise ValidationError(f'Could not find model "{arn("model", name)}".')
        return record


class EndpointConfigs:
    """CreateEndpointConfig and its kin; immutable, as on AWS."""

    def __init__(self, folder: Path, models: Models) -> None:
        self._store = Store(folder / "endpoint-configs")
        self._models = models
        self._lock = threading.Lock()

    def create(self, request: Document) -> Document:
        name = request["EndpointConfigName"]
        for variant in request["ProductionVariants"]:
            self._check(variant)
        _refuse(request, "AsyncInferenceConfig", "ShadowProductionVariants", "ExplainerConfig")
        if request.get("DataCaptureConfig", {}).get("EnableCapture"):
            raise NotAvailableError("DataCaptureConfig")
        serverless = [variant for variant in request["ProductionVariants"] if "ServerlessConfig" in variant]
        if serverless and len(request["ProductionVariants"]) > 1:
            raise ValidationError("A serverless endpoint has exactly one production variant.")
        resource = arn("endpoint-config", name)
        document = {**request, "EndpointConfigArn": resource, "CreationTime": time.time()}
        with self._lock:
            if name in self._store:
                raise ValidationError(f'Cannot create already existing endpoint configuration "{resource}".')
            self._store.put(name, Record(document))
        return {"EndpointConfigArn": resource}

    def _check(self, variant: Document) -> None:
        if "ModelName" not in variant:
            raise NotAvailableError("a production variant without ModelName (inference components)")
        self._models.served(variant["ModelName"])
        if "ServerlessConfig" not in variant and "InstanceType" not in variant:
            raise ValidationError("A production variant needs InstanceType or ServerlessConfig.")
        memory = variant.get("ServerlessConfig", {}).get("MemorySizeInMB", 1024)
        if memory % 1024:
            raise ValidationError(
                f"MemorySizeInMB {memory} is not one of 1024, 2048, 3072, 4096, 5120, 6144."
            )

    def variants(self, name: str) -> list[dict[str, Any]]:
        """The production variants, each with what its serving process needs under `served`."""
        variants = self._record(name).document["ProductionVariants"]
        return [{**variant, "served": self._models.served(variant["ModelName"])} for variant in variants]

    def describe(self, request: Document) -> Document:
        return self._record(request["EndpointConfigName"]).document

    def delete(self, request: Document) -> Document:
        with self._lock:
            self._record(request["EndpointConfigName"])
            self._store.remove(request["EndpointConfigName"])
        return {}

    def list_all(self, request: Document) -> Document:
        members = ("EndpointConfigName", "EndpointConfigArn", "CreationTime")
        return listing.page(
            [record.document for _, record in self._store],
            request,
            result="EndpointConfigs",
            name="EndpointConfigName",
            status="",
            summarize=lambda config: {name: config[name] for name in members},
        )

    def _record(self, name: str) -> Record:
        record = self._store.get(name)
        if record is None:
            raise ValidationError(f'Could not find endpoint configuration "{arn("endpoint-config", name)}".')
        return record


def _refuse(request: Document, *members: str) -> None:
    for member in members:
        if request.get(member):
            raise NotAvailableError(member)
