"""What IAM is asked about a request: the resource that it touches and the roles that it hands over."""

from __future__ import annotations

import json
import urllib.parse

from local.emulator import Request
from local.sagemaker.arns import arn
from local.sagemaker.store import Document

# Operation without its verb -> type in the ARN and the members that may name the resource.
_KINDS = {
    "TrainingJob": ("training-job", "TrainingJobName"),
    "TransformJob": ("transform-job", "TransformJobName"),
    "Model": ("model", "ModelName"),
    "EndpointConfig": ("endpoint-config", "EndpointConfigName"),
    "Endpoint": ("endpoint", "EndpointName"),
    "ModelPackageGroup": ("model-package-group", "ModelPackageGroupName"),
    "LabelingJob": ("labeling-job", "LabelingJobName"),
    "Workteam": ("workteam/private-crowd", "WorkteamName"),
    "Workforce": ("workforce", "WorkforceName"),
}
_VERBS = ("Create", "Describe", "Update", "Delete", "Stop")


def resource(request: Request) -> str:
    """The ARN that the caller's policies must allow; `*` for operations that name no resource."""
    if request.path.startswith("/endpoints/"):
        return arn("endpoint", urllib.parse.unquote(request.path.split("/")[2]))
    return named(request.operation, _parameters(request))


def named(operation: str, parameters: Document) -> str:
    """The ARN of what an operation of the control plane names; `*` if it names nothing."""
    if operation in ("AddTags", "DeleteTags", "ListTags"):
        return str(parameters.get("ResourceArn", "*"))
    if operation.endswith("ModelPackage"):
        return _package(operation, parameters)
    for verb in _VERBS:
        kind = _KINDS.get(operation.removeprefix(verb))
        if operation.startswith(verb) and kind is not None:
            name = str(parameters.get(kind[1], ""))
            return name if name.startswith("arn:") else arn(kind[0], name)
    return "*"


def _package(operation: str, parameters: Document) -> str:
    named = parameters.get("ModelPackageArn") or parameters.get("ModelPackageName")
    if named:
        return str(named)
    group = str(parameters.get("ModelPackageGroupName", "")).rpartition("/")[2]
    return arn("model-package", f"{group}/*") if operation == "CreateModelPackage" else "*"


def passed_roles(request: Request) -> list[str]:
    """The roles that SageMaker is to act with, for which the caller needs iam:PassRole."""
    if request.operation not in ("CreateTrainingJob", "CreateModel", "CreateLabelingJob"):
        return []
    parameters = _parameters(request)
    roles = (parameters.get("RoleArn"), parameters.get("ExecutionRoleArn"))
    return [str(role) for role in roles if role]


def _parameters(request: Request) -> Document:
    try:
        parameters = json.loads(request.body or b"{}")
    except ValueError:
        return {}
    return parameters if isinstance(parameters, dict) else {}
