"""Requests checked against botocore's model of a service, so that what AWS refuses is refused here.

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

_PAIRS = r"\uD800\uDC00-\uDBFF\uDFFF"


class ApiModel:
    """What botocore knows of a service's operations."""

    def __init__(self, service: str) -> None:
        self._model: ServiceModel = botocore.session.get_session().get_service_model(service)

    def operation(self, name: str) -> OperationModel | None:
        """None for an operation that the service does not have."""
        return self._model.operation_model(name) if name in self._model.operation_names else None

    def faults(self, operation: str, parameters: Mapping[str, Any]) -> str | None:
        """Every constraint that the request breaks, in words; None if it breaks none."""
        model = self._model.operation_model(operation)
        shape = model.input_shape
        if shape is None:
            return None
        report = ParamValidator().validate(dict(parameters), shape)
        if report.has_errors():
            text: str = report.generate_report()
            return text
        broken = list(_broken(shape, parameters, ""))
        if not broken:
            return None
        plural = "error" if len(broken) == 1 else "errors"
        return f"{len(broken)} validation {plural} detected: {'; '.join(broken)}"

    def only_members(self, operation: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """What of a document the operation's answer has a place for."""
        shape = self._model.operation_model(operation).output_shape
        members = shape.members if isinstance(shape, StructureShape) else {}
        return {name: value for name, value in document.items() if name in members and value is not None}


@functools.cache
def api_model(service: str) -> ApiModel:
    return ApiModel(service)


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
    """The models' patterns are Java's, with classes of Unicode properties that `re` does not have, and with
    the characters beyond U+FFFF as a range of surrogate pairs."""
    return regex.compile(pattern.replace(_PAIRS, r"\U00010000-\U0010FFFF"))
