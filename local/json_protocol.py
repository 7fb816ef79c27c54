"""Answers of services that speak JSON 1.1."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from local.emulator import Response
from local.errors import ApiError

_CONTENT_TYPE = "application/x-amz-json-1.1"


def success(answer: Mapping[str, Any]) -> Response:
    return Response(200, {"Content-Type": _CONTENT_TYPE}, json.dumps(answer).encode())


def refusal(error: ApiError) -> Response:
    return failure(error.status, error.code, error.message)


def failure(status: int, code: str, message: str) -> Response:
    body = {"__type": code, "message": message, "Message": message}
    return Response(
        status, {"Content-Type": _CONTENT_TYPE, "x-amzn-ErrorType": code}, json.dumps(body).encode()
    )
