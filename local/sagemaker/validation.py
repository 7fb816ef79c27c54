"""Requests checked against botocore's model of the service, so that what AWS refuses is refused here.

botocore's own validator knows required members, types and unknown names; the constraints that only the
service checks (pattern, longest, largest, enum) are checked here, over any shape.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import botocore.session
import regex
from botocore.model import (
    ListShape,
    MapShape,
    OperationModel,
    ServiceModel,
    Shape,
    StringShape,
    StructureShape,
)
from botocore.validate import ParamValidator

from local.sagemaker.errors import NotAvailableError, ValidationError


@functools.cache
def service_model(name: str = "sagemaker") -> ServiceModel:
    model: ServiceModel = botocore.session.get_session().get_service_model(name)
    return model


def operation_model(operation: str) -> OperationModel:
    """Raises NotAvailableError for an operation that SageMaker does not have."""
    model = service_model()
    if operation not in model.operation_names:
        raise NotAvailableError(operation or "a request without X-Amz-Target")
    return model.operation_model(operation)


def validate(operation: str, parameters: Mapping[str, Any]) -> None:
    """Raises ValidationError naming every constraint that the request breaks."""
    shape = operation_model(operation).input_shape
    if shape is None:
        return
    report = ParamValidator().validate(dict(parameters), shape)
    if report.has_errors():
        raise ValidationError(report.generate_report())
    broken = list(_broken(shape, parameters, ""))
    if broken:
        plural = "error" if len(broken) == 1 else "errors"
        raise ValidationError(f"{len(broken)} validation {plural} detected: {'; '.join(broken)}")


def _broken(shape: Shape, value: Any, path: str) -> Iterator[str]:
    yield from _broken_itself(shape, value, path)
    if isinstance(shape, StructureShape):
        for name, member in shape.members.items():
            if name in value:
                yield from _broken(member, value[name], f"{path}.{_lower(name)}" if path else _lower(name))
    elif isinstance(shape, ListShape):
        for index, item in enumerate(value):
            yield from _broken(shape.member, item, f"{path}.{index + 1}.member")
    elif isinstance(shape, MapShape):
        for key, item in value.items():
            yield from _broken(shape.key, key, f"{path}.key")
            yield from _broken(shape.value, item, f"{path}.{key}.member")


def _broken_itself(shape: Shape, value: Any, path: str) -> Iterator[str]:
    limits = shape.metadata
    if shape.type_name in ("string", "list", "map", "blob"):
        measured, what = len(value), "length"
    elif shape.type_name in ("integer", "long", "float", "double"):
        measured, what = value, "value"
    else:
        return
    if "min" in limits and measured < limits["min"]:
        yield _constraint(value, path, f"Member must have {what} greater than or equal to {limits['min']}")
    if "max" in limits and measured > limits["max"]:
        yield _constraint(value, path, f"Member must have {what} less than or equal to {limits['max']}")
    if not isinstance(shape, StringShape):
        return
    if shape.enum and value not in shape.enum:
        yield _constraint(value, path, f"Member must satisfy enum value set: [{', '.join(shape.enum)}]")
    pattern = limits.get("pattern")
    if pattern and not _compiled(pattern).fullmatch(value):
        yield _constraint(value, path, f"Member must satisfy regular expression pattern: {pattern}")


def _constraint(value: Any, path: str, text: str) -> str:
    return f"Value '{value}' at '{path}' failed to satisfy constraint: {text}"


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]


@functools.cache
def _compiled(pattern: str) -> regex.Pattern[str]:
    """The models' patterns are Java's, with classes of Unicode properties that `re` does not have."""
    return regex.compile(pattern)


def only_members(operation: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """What of a document the operation's answer has a place for."""
    shape = operation_model(operation).output_shape
    members = shape.members if isinstance(shape, StructureShape) else {}
    return {name: value for name, value in document.items() if name in members and value is not None}
