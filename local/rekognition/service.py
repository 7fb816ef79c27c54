"""The service as the cloud sees it: requests, answers, errors, permissions, start and end."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

from local import json_protocol
from local.emulator import AddedService, Emulator, Request, Response
from local.rekognition import arns
from local.rekognition.datasets import Datasets
from local.rekognition.errors import (
    InUseError,
    InvalidParameterError,
    NotAvailableError,
    NotFoundError,
    RekognitionError,
)
from local.rekognition.objects import CallerObjects
from local.rekognition.versions import Versions
from local.sagemaker.store import Document, Record, Store
from local.validation import api_model

_SERVICE = "rekognition"

_Call = Callable[[Document, Callable[[], CallerObjects]], Document]


class Rekognition:
    """Custom Labels of Rekognition, as a service of the emulator."""

    def __init__(self, folder: Path, emulator: Emulator) -> None:
        self._emulator = emulator
        self._projects = Store(folder / "projects")
        self._datasets = Datasets(folder)
        self._versions = Versions(folder, emulator, self._datasets)
        self._lock = threading.Lock()
        datasets, versions = self._datasets, self._versions
        self._operations: dict[str, _Call] = {
            "CreateDataset": lambda request, objects: self._in_project(datasets.create, request, objects),
            "CreateProject": lambda request, _: self._create_project(request),
            "CreateProjectVersion": lambda request, objects: self._in_project(
                versions.create, request, objects
            ),
            "DeleteDataset": lambda request, _: datasets.delete(request),
            "DeleteProject": lambda request, _: self._delete_project(request),
            "DeleteProjectVersion": lambda request, _: versions.delete(request),
            "DescribeDataset": lambda request, _: datasets.describe(request),
            "DescribeProjects": lambda request, _: self._describe_projects(request),
            "DescribeProjectVersions": lambda request, _: versions.describe(request),
            "DetectCustomLabels": self._detect,
            "DistributeDatasetEntries": lambda request, _: datasets.distribute(request),
            "ListDatasetEntries": lambda request, _: datasets.list_entries(request),
            "StartProjectVersion": lambda request, _: versions.start(request),
            "StopProjectVersion": lambda request, _: versions.stop(request),
        }

    def register(self) -> None:
        """Make the emulator answer for Rekognition; before it starts to serve."""
        self._emulator.add(
            AddedService(
                name=_SERVICE,
                target_prefix="RekognitionService",
                handle=self.handle,
                resource=resource,
                passed_roles=lambda _: [],
                sdk_name="Rekognition",
                error_names={},
            )
        )

    def resume(self) -> None:
        """Go on after a restart, once the cloud answers requests."""
        self._datasets.resume()
        self._versions.resume()

    def stop(self) -> None:
        """End every process that was started."""
        self._versions.shut_down()

    # -- requests ----------------------------------------------------------------------------------

    async def handle(self, request: Request) -> Response:
        """Off the event loop: answers wait for locks, S3 and models."""
        return await asyncio.to_thread(self._handle, request)

    def _handle(self, request: Request) -> Response:
        try:
            parameters = json.loads(request.body or b"{}")
            answer = self._call(request, parameters)
        except RekognitionError as error:
            return json_protocol.refusal(error)
        except ValueError as error:
            return json_protocol.failure(400, "SerializationException", str(error))
        return json_protocol.success(answer)

    def _call(self, request: Request, parameters: Document) -> Document:
        model, operation = api_model(_SERVICE), request.operation
        if operation not in self._operations or model.operation(operation) is None:
            raise NotAvailableError(operation or "a request without X-Amz-Target")
        faults = model.faults(operation, parameters)
        if faults:
            raise InvalidParameterError(f"Request has invalid parameters: {faults}")

        def objects() -> CallerObjects:
            return CallerObjects(self._emulator.endpoint_url, self._emulator.caller_credentials(request))

        return model.only_members(operation, self._operations[operation](parameters, objects))

    def _in_project(
        self,
        create: Callable[[Document, CallerObjects], Document],
        request: Document,
        objects: Callable[[], CallerObjects],
    ) -> Document:
        if request["ProjectArn"] not in self._projects:
            raise NotFoundError(request["ProjectArn"])
        return create(request, objects())

    def _detect(self, request: Document, objects: Callable[[], CallerObjects]) -> Document:
        encoded = request["Image"].get("Bytes")
        try:
            image = None if encoded is None else base64.b64decode(encoded, validate=True)
        except binascii.Error as error:
            raise InvalidParameterError("Image.Bytes is not base64") from error
        return self._versions.detect(request, image, objects)

    # -- projects ----------------------------------------------------------------------------------

    def _create_project(self, request: Document) -> Document:
        name = request["ProjectName"]
        if request.get("Feature", "CUSTOM_LABELS") != "CUSTOM_LABELS":
            raise NotAvailableError(f"Feature {request['Feature']}")
        with self._lock:
            if any(record.inner["name"] == name for _, record in self._projects):
                raise InUseError(f"The project {name} exists already")
            arn = arns.project(name)
            document = {"ProjectArn": arn, "CreationTimestamp": time.time(), "Status": "CREATED"}
            self._projects.put(arn, Record({**document, "Feature": "CUSTOM_LABELS"}, {"name": name}))
        return {"ProjectArn": arn}

    def _describe_projects(self, request: Document) -> Document:
        """All in one page."""
        wanted = request.get("ProjectNames")
        members = (
            "CreationTimestamp",
            "DatasetType",
            "DatasetArn",
            "Status",
            "StatusMessage",
            "StatusMessageCode",
        )
        found = []
        for arn, record in self._projects:
            if wanted is None or record.inner["name"] in wanted:
                datasets = [
                    {name: dataset[name] for name in members if name in dataset}
                    for dataset in self._datasets.of_project(arn)
                ]
                found.append({**record.document, "Datasets": datasets})
        return {"ProjectDescriptions": found}

    def _delete_project(self, request: Document) -> Document:
        arn = request["ProjectArn"]
        with self._lock:
            if arn not in self._projects:
                raise NotFoundError(arn)
            if self._versions.has_versions(arn) or self._datasets.of_project(arn):
                raise InUseError("The project has versions or datasets; delete them first")
            self._projects.remove(arn)
        return {"Status": "DELETING"}


def resource(request: Request) -> str:
    """The ARN that the caller's policies must allow; `*` for operations that name no resource."""
    try:
        parameters = json.loads(request.body or b"{}")
    except ValueError:
        return "*"
    if request.operation == "CreateProject":
        return arns.any_project(str(parameters.get("ProjectName", "")))
    if request.operation == "DistributeDatasetEntries":
        return str((parameters.get("Datasets") or [{}])[0].get("Arn", "*"))
    named = (parameters.get(member) for member in ("ProjectVersionArn", "DatasetArn", "ProjectArn"))
    return str(next(filter(None, named), "*"))
