"""Requests as AWS would judge them: by botocore's own model of the service."""

import re
from functools import cache
from typing import Any

import botocore.session
from botocore.model import ServiceModel, Shape
from botocore.validate import ParamValidator


@cache
def model_of(service: str) -> ServiceModel:
    """Read once: SageMaker's is megabytes of JSON."""
    return botocore.session.get_session().get_service_model(service)


def check(shape: Shape, value: Any, where: str) -> None:
    """Hold a value to the patterns and enumerations of botocore's model, which its validator passes over."""
    match shape.type_name:
        case "structure":
            for name, member in value.items():
                check(shape.members[name], member, f"{where}.{name}")  # type: ignore[attr-defined]
        case "list":
            assert len(value) <= shape.metadata.get("max", len(value)), where
            for member in value:
                check(shape.member, member, where)  # type: ignore[attr-defined]
        case "map":
            assert len(value) <= shape.metadata.get("max", len(value)), where
            for name, member in value.items():
                check(shape.key, name, where)  # type: ignore[attr-defined]
                check(shape.value, member, f"{where}.{name}")  # type: ignore[attr-defined]
        case "string":
            assert len(value) <= shape.metadata.get("max", len(value)), where
            pattern = shape.metadata.get("pattern")
            if pattern and not any(java in pattern for java in ("\\p{", "\\uD")):
                assert re.fullmatch(pattern, value), where
            assert value in (shape.enum or [value]), where  # type: ignore[attr-defined]
        case "integer":
            assert shape.metadata.get("min", value) <= value <= shape.metadata.get("max", value), where


def assert_sagemaker_takes(operation: str, request: dict[str, Any]) -> None:
    assert_aws_takes("sagemaker", operation, request)


def assert_aws_takes(service: str, operation: str, request: dict[str, Any]) -> None:
    shape = model_of(service).operation_model(operation).input_shape
    assert shape is not None
    report = ParamValidator().validate(request, shape)
    assert not report.has_errors(), report.generate_report()
    check(shape, request, operation)
