"""The model registry: groups of versioned model packages, with their approval."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from local.sagemaker import events, listing
from local.sagemaker.arns import arn
from local.sagemaker.errors import NotAvailableError, ValidationError
from local.sagemaker.platform import Platform
from local.sagemaker.store import Document, Record, Store

_PENDING = "PendingManualApproval"


class ModelPackages:
    """Groups by name, packages by ARN (`.../model-package/<group>/<version>`)."""

    def __init__(self, folder: Path, platform: Platform) -> None:
        self._groups = Store(folder / "model-package-groups")
        self._packages = Store(folder / "model-packages")
        self._platform = platform
        self._lock = threading.Lock()

    # -- groups ------------------------------------------------------------------------------------

    def create_group(self, request: Document) -> Document:
        name = request["ModelPackageGroupName"]
        resource = arn("model-package-group", name)
        document = {
            **request,
            "ModelPackageGroupArn": resource,
            "ModelPackageGroupStatus": "Completed",
            "CreationTime": time.time(),
            "CreatedBy": {},
        }
        with self._lock:
            if name in self._groups:
                raise ValidationError(f"Model Package Group already exists: {resource}")
            self._groups.put(name, Record(document, {"last_version": 0}))
        return {"ModelPackageGroupArn": resource}

    def describe_group(self, request: Document) -> Document:
        return self._group(request["ModelPackageGroupName"]).document

    def delete_group(self, request: Document) -> Document:
        with self._lock:
            group = self._group(request["ModelPackageGroupName"]).document
            name = group["ModelPackageGroupName"]
            if any(record.document["ModelPackageGroupName"] == name for _, record in self._packages):
                raise ValidationError(f"Model Package Group {name} cannot be deleted: it has model packages.")
            self._groups.remove(name)
        return {}

    def list_groups(self, request: Document) -> Document:
        members = (
            "ModelPackageGroupName",
            "ModelPackageGroupArn",
            "ModelPackageGroupDescription",
            "CreationTime",
            "ModelPackageGroupStatus",
        )
        return listing.page(
            [record.document for _, record in self._groups],
            request,
            result="ModelPackageGroupSummaryList",
            name="ModelPackageGroupName",
            status="",
            summarize=lambda group: {name: group[name] for name in members if name in group},
        )

    # -- packages ----------------------------------------------------------------------------------

    def create(self, request: Document) -> Document:
        if "ModelPackageGroupName" not in request:
            raise NotAvailableError("a model package outside a group (ModelPackageName)")
        if "InferenceSpecification" not in request:
            raise NotAvailableError("a model package without InferenceSpecification")
        now = time.time()
        with self._lock:
            group = self._group(request["ModelPackageGroupName"])
            name = group.document["ModelPackageGroupName"]
            version = group.inner["last_version"] + 1
            resource = arn("model-package", f"{name}/{version}")
            document = {
                "ModelApprovalStatus": _PENDING,
                **request,
                "ModelPackageGroupName": name,
                "ModelPackageVersion": version,
                "ModelPackageArn": resource,
                "ModelPackageStatus": "Completed",
                "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
                "CreationTime": now,
                "LastModifiedTime": now,
            }
            self._groups.put(name, Record(group.document, {"last_version": version}))
            self._packages.put(resource, Record(document))
        self._announce(document)
        return {"ModelPackageArn": resource}

    def update(self, request: Document) -> Document:
        if request.get("AdditionalInferenceSpecificationsToAdd"):
            raise NotAvailableError("AdditionalInferenceSpecificationsToAdd")
        with self._lock:
            before = self._package(request["ModelPackageArn"]).document
            removed = set(request.get("CustomerMetadataPropertiesToRemove", []))
            kept: dict[str, str] = before.get("CustomerMetadataProperties", {})
            metadata = {name: value for name, value in kept.items() if name not in removed}
            metadata |= request.get("CustomerMetadataProperties", {})
            changes: Document = {
                name: request[name]
                for name in (
                    "ModelApprovalStatus",
                    "ApprovalDescription",
                    "InferenceSpecification",
                    "SourceUri",
                )
                if name in request
            }
            document: Document = {
                **before,
                **changes,
                "CustomerMetadataProperties": metadata,
                "LastModifiedTime": time.time(),
            }
            self._packages.put(document["ModelPackageArn"], Record(document))
        self._announce(document)
        return {"ModelPackageArn": document["ModelPackageArn"]}

    def describe(self, request: Document) -> Document:
        return self._package(request["ModelPackageName"]).document

    def delete(self, request: Document) -> Document:
        with self._lock:
            document = self._package(request["ModelPackageName"]).document
            self._packages.remove(document["ModelPackageArn"])
        return {}

    def list_all(self, request: Document) -> Document:
        group = request.get("ModelPackageGroupName", "").rpartition("/")[2]
        approval = request.get("ModelApprovalStatus")
        documents = [
            document
            for document in (record.document for _, record in self._packages)
            if document["ModelPackageGroupName"] == (group or document["ModelPackageGroupName"])
            and document["ModelApprovalStatus"] == (approval or document["ModelApprovalStatus"])
        ]
        members = (
            "ModelPackageGroupName",
            "ModelPackageVersion",
            "ModelPackageArn",
            "ModelPackageDescription",
            "CreationTime",
            "ModelPackageStatus",
            "ModelApprovalStatus",
        )
        return listing.page(
            documents,
            request,
            result="ModelPackageSummaryList",
            name="ModelPackageGroupName",
            status="ModelPackageStatus",
            summarize=lambda package: {name: package[name] for name in members if name in package},
        )

    def container(self, package: str) -> Document:
        """The container definition of a package, named by its ARN. Raises ValidationError if unknown."""
        containers = self._package(package).document["InferenceSpecification"]["Containers"]
        if len(containers) > 1:
            raise NotAvailableError("a model package of several containers")
        served: Document = containers[0]
        return served

    def _announce(self, document: Document) -> None:
        resource = document["ModelPackageArn"]
        self._platform.publish(events.MODEL_PACKAGE, resource, events.model_package(document))

    def _group(self, name_or_arn: str) -> Record:
        name = name_or_arn.rpartition("/")[2]
        record = self._groups.get(name)
        if record is None:
            raise ValidationError(f"ModelPackageGroup {arn('model-package-group', name)} does not exist.")
        return record

    def _package(self, name: str) -> Record:
        record = self._packages.get(name)
        if record is None:
            raise ValidationError(f"ModelPackage {name} does not exist.")
        return record
