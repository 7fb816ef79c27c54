"""SageMaker's requests, checked against botocore's model of the service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.model import OperationModel

from local.sagemaker.errors import NotAvailableError, ValidationError
from local.validation import api_model

_SERVICE = "sagemaker"


def operation_model(operation: str) -> OperationModel:
    """Raises NotAvailableError for an operation that SageMaker does not have."""
    model = api_model(_SERVICE).operation(operation)
    if model is None:
        raise NotAvailableError(operation or "a request without X-Amz-Target")
    return model


def validate(operation: str, parameters: Mapping[str, Any]) -> None:
    """Raises ValidationError naming every constraint that the request breaks."""
    operation_model(operation)
    faults = api_model(_SERVICE).faults(operation, parameters)
    if faults:
        raise ValidationError(faults)


def only_members(operation: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """What of a document the operation's answer has a place for."""
    return api_model(_SERVICE).only_members(operation, document)
