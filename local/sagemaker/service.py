"""The service as the cloud sees it: requests, answers, errors, state machine tasks, start and end."""

from __future__ import annotations

import asyncio
import json
import urllib.parse
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from botocore.model import ListShape, Shape, StructureShape

from local.emulator import AddedService, Emulator, Request, Response, RunsTask, TaskError
from local.sagemaker import authorization
from local.sagemaker.endpoints import Endpoints, ScaledVariants
from local.sagemaker.errors import (
    ModelError,
    NotAvailableError,
    SageMakerError,
)
from local.sagemaker.labeling import LabelingJobs
from local.sagemaker.models import EndpointConfigs, Models
from local.sagemaker.packages import ModelPackages
from local.sagemaker.store import Document
from local.sagemaker.tags import Tags
from local.sagemaker.training import TrainingJobs
from local.sagemaker.transform import TransformJobs
from local.sagemaker.validation import only_members, operation_model, validate
from local.sagemaker.workforce import PortalWorkers, has_group
from local.sagemaker.workteams import Workteams

_CONTROL_TYPE = "application/x-amz-json-1.1"
_RUNTIME_PREFIX = "/endpoints/"
_TASK = "arn:aws:states:::sagemaker:"
# The names of API errors as Step Functions has them: `SageMaker.` and the name in the Java SDK.
_SDK_ERRORS = {
    "ValidationException": "SageMakerException",
    "AccessDeniedException": "SageMakerException",
    "UnknownOperationException": "SageMakerException",
    "ResourceInUse": "ResourceInUseException",
    "ResourceLimitExceeded": "ResourceLimitExceededException",
    "ResourceNotFound": "ResourceNotFoundException",
}

Operations = dict[str, Callable[[Document], Document]]
"""What answers a request, by the name of the operation."""


class SageMaker:
    """SageMaker and its runtime, as services of the emulator."""

    def __init__(self, folder: Path, emulator: Emulator, scaling: ScaledVariants) -> None:
        self._emulator = emulator
        self._training = TrainingJobs(folder, emulator)
        packages = ModelPackages(folder, emulator)
        models = Models(folder, packages)
        self._transform = TransformJobs(folder, emulator, models)
        configs = EndpointConfigs(folder, models)
        self._endpoints = Endpoints(folder, emulator, configs, scaling)
        workteams = Workteams(folder, partial(has_group, emulator.administrator))
        workers_of = partial(PortalWorkers.of_stack, emulator.administrator)
        self._labeling = LabelingJobs(folder, emulator, workteams, workers_of)
        self._tags = Tags(folder)
        self._operations = {
            **_job_operations(self._labeling, self._training, self._transform),
            **_model_operations(models, packages),
            **_endpoint_operations(configs, self._endpoints),
            **_people_operations(workteams),
            **_tag_operations(self._tags),
        }

    def register(self) -> None:
        """Make the emulator answer for SageMaker; before it starts to serve."""
        self._emulator.add(
            AddedService(
                name="sagemaker",
                target_prefix="SageMaker",
                handle=self.handle,
                resource=authorization.resource,
                passed_roles=authorization.passed_roles,
                sdk_name="SageMaker",
                error_names=_SDK_ERRORS,
                data_plane="sagemaker-runtime",
                data_plane_path=_RUNTIME_PREFIX,
            )
        )
        for kind, wait in (
            ("Labeling", self._labeling.wait),
            ("Training", self._training.wait),
            ("Transform", self._transform.wait),
        ):
            self._emulator.add_task(f"{_TASK}create{kind}Job", self._job_task(kind, wait))
        for operation in ("CreateModel", "CreateEndpointConfig", "CreateEndpoint", "UpdateEndpoint"):
            name = operation[0].lower() + operation[1:]
            self._emulator.add_task(f"{_TASK}{name}", self._task(operation))

    def resume(self) -> None:
        """Go on after a restart, once the cloud answers requests."""
        self._labeling.resume()
        self._training.resume()
        self._transform.resume()
        self._endpoints.resume()

    def stop(self) -> None:
        """End every process that was started."""
        self._labeling.shut_down()
        self._training.shut_down()
        self._transform.shut_down()
        self._endpoints.shut_down()

    def find_variant(self, endpoint: str, variant: str) -> Document | None:
        """A ProductionVariant of the configuration in service; None if there is none of these names."""
        return self._endpoints.find_variant(endpoint, variant)

    # -- requests ----------------------------------------------------------------------------------

    async def handle(self, request: Request) -> Response:
        """Off the event loop: describing waits for locks, invoking for the model."""
        if request.path.startswith(_RUNTIME_PREFIX):
            return await asyncio.to_thread(self._invoke, request)
        return await asyncio.to_thread(self._control, request)

    def _control(self, request: Request) -> Response:
        try:
            parameters = json.loads(request.body or b"{}")
            answer = self.call(request.operation, parameters)
        except SageMakerError as error:
            return _error(error.status, error.code, error.message)
        except ValueError as error:
            return _error(400, "SerializationException", str(error))
        return Response(200, {"Content-Type": _CONTROL_TYPE}, json.dumps(answer).encode())

    def call(self, operation: str, parameters: Document) -> Document:
        """One operation of the control plane. Raises SageMakerError."""
        if operation not in self._operations:
            operation_model(operation)
            raise NotAvailableError(operation)
        validate(operation, parameters)
        answer = self._operations[operation](parameters)
        self._tags.keep(parameters, answer)
        if operation.startswith("Delete") and operation != "DeleteTags":
            self._tags.forget(authorization.named(operation, parameters))
        return only_members(operation, answer)

    def _invoke(self, request: Request) -> Response:
        name, _, rest = request.path.removeprefix(_RUNTIME_PREFIX).partition("/")
        headers = {
            "Content-Type": request.headers.get("content-type", "application/octet-stream"),
            "Accept": request.headers.get("x-amzn-sagemaker-accept") or request.headers.get("accept", "*/*"),
        }
        try:
            if rest != "invocations":
                raise NotAvailableError(f"the runtime's {rest}")
            target = request.headers.get("x-amzn-sagemaker-target-variant")
            answer = self._endpoints.invoke(urllib.parse.unquote(name), request.body, headers, target)
        except ModelError as error:
            details = {
                "OriginalStatusCode": error.original_status,
                "OriginalMessage": error.original_message,
                "LogStreamArn": "",
            }
            return _error(error.status, error.code, error.message, details, content_type="application/json")
        except SageMakerError as error:
            return _error(error.status, error.code, error.message, content_type="application/json")
        served = {"Content-Type": answer.content_type, "x-Amzn-Invoked-Production-Variant": answer.variant}
        return Response(200, served, answer.body)

    # -- Step Functions ----------------------------------------------------------------------------

    def _task(self, operation: str) -> RunsTask:
        def run(arguments: Document, *, wait: bool, is_wanted: Callable[[], bool]) -> Mapping[str, Any]:
            del wait, is_wanted
            return self._call_for_task(operation, arguments)

        return run

    def _job_task(self, kind: str, wait_for: Callable[[str, Callable[[], bool]], Document]) -> RunsTask:
        """Create<kind>Job, and with `.sync` its end; the task fails unless the job completes."""

        def run(arguments: Document, *, wait: bool, is_wanted: Callable[[], bool]) -> Mapping[str, Any]:
            started = self._call_for_task(f"Create{kind}Job", arguments)
            if not wait:
                return started
            describe = f"Describe{kind}Job"
            ended = wait_for(arguments[f"{kind}JobName"], is_wanted)
            document = for_task(describe, only_members(describe, ended))
            if document[f"{kind}JobStatus"] != "Completed":
                raise TaskError("States.TaskFailed", json.dumps(document))
            return document

        return run

    def _call_for_task(self, operation: str, arguments: Document) -> Document:
        try:
            return self.call(operation, arguments)
        except SageMakerError as error:
            name = _SDK_ERRORS.get(error.code, error.code).replace(
                "SageMakerException", "AmazonSageMakerException"
            )
            raise TaskError(
                f"SageMaker.{name}",
                f"{error.message} (Service: AmazonSageMaker; Status Code: "
                f"{error.status}; Error Code: {error.code})",
            ) from error


def _job_operations(labeling: LabelingJobs, training: TrainingJobs, transform: TransformJobs) -> Operations:
    return {
        "CreateLabelingJob": labeling.create,
        "CreateTrainingJob": training.create,
        "CreateTransformJob": transform.create,
        "DescribeLabelingJob": labeling.describe,
        "DescribeTrainingJob": training.describe,
        "DescribeTransformJob": transform.describe,
        "ListLabelingJobs": labeling.list_all,
        "ListLabelingJobsForWorkteam": labeling.list_for_workteam,
        "ListTrainingJobs": training.list_all,
        "ListTransformJobs": transform.list_all,
        "StopLabelingJob": labeling.stop,
        "StopTrainingJob": training.stop,
        "StopTransformJob": transform.stop,
    }


def _model_operations(models: Models, packages: ModelPackages) -> Operations:
    return {
        "CreateModel": models.create,
        "CreateModelPackage": packages.create,
        "CreateModelPackageGroup": packages.create_group,
        "DeleteModel": models.delete,
        "DeleteModelPackage": packages.delete,
        "DeleteModelPackageGroup": packages.delete_group,
        "DescribeModel": models.describe,
        "DescribeModelPackage": packages.describe,
        "DescribeModelPackageGroup": packages.describe_group,
        "ListModelPackageGroups": packages.list_groups,
        "ListModelPackages": packages.list_all,
        "ListModels": models.list_all,
        "UpdateModelPackage": packages.update,
    }


def _endpoint_operations(configs: EndpointConfigs, endpoints: Endpoints) -> Operations:
    return {
        "CreateEndpoint": endpoints.create,
        "CreateEndpointConfig": configs.create,
        "DeleteEndpoint": endpoints.delete,
        "DeleteEndpointConfig": configs.delete,
        "DescribeEndpoint": endpoints.describe,
        "DescribeEndpointConfig": configs.describe,
        "ListEndpointConfigs": configs.list_all,
        "ListEndpoints": endpoints.list_all,
        "UpdateEndpoint": endpoints.update,
    }


def _people_operations(workteams: Workteams) -> Operations:
    return {
        "CreateWorkforce": workteams.create_workforce,
        "CreateWorkteam": workteams.create_workteam,
        "DeleteWorkforce": workteams.delete_workforce,
        "DeleteWorkteam": workteams.delete_workteam,
        "DescribeWorkforce": workteams.describe_workforce,
        "DescribeWorkteam": workteams.describe_workteam,
        "ListWorkforces": workteams.list_workforces,
        "ListWorkteams": workteams.list_workteams,
        "UpdateWorkteam": workteams.update_workteam,
    }


def _tag_operations(tags: Tags) -> Operations:
    return {
        "AddTags": tags.add,
        "DeleteTags": tags.delete,
        "ListTags": tags.list_all,
    }


def for_task(operation: str, document: Document) -> Document:
    """A document as an optimized integration returns it: times in epoch milliseconds."""
    shape = operation_model(operation).output_shape
    converted: Document = _in_milliseconds(document, shape) if shape else document
    return converted


def _in_milliseconds(value: Any, shape: Shape) -> Any:
    if shape.type_name == "timestamp":
        return round(value * 1000)
    if isinstance(shape, StructureShape):
        return {name: _in_milliseconds(item, shape.members[name]) for name, item in value.items()}
    if isinstance(shape, ListShape):
        return [_in_milliseconds(item, shape.member) for item in value]
    return value


def _error(
    status: int,
    code: str,
    message: str,
    details: Mapping[str, Any] | None = None,
    *,
    content_type: str = _CONTROL_TYPE,
) -> Response:
    body = {"__type": code, "message": message, "Message": message, **(details or {})}
    return Response(
        status, {"Content-Type": content_type, "x-amzn-ErrorType": code}, json.dumps(body).encode()
    )
