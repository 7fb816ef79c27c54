"""Custom resources of CloudFormation: a stack waits for an answer, so it always gets one.

The request and the answer are those of CloudFormation's guide (custom resource request and response objects).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.request import Request, urlopen

from aws_lambda_powertools import Logger

from loupe.domain.errors import DomainError

_MAX_REASON = 1_000
"""An answer has at most 4 KB."""
_ANSWER_SECONDS = 30

Send = Callable[[str, bytes], None]
"""Puts an answer to an URL."""


@dataclass(frozen=True)
class Asked:
    """What CloudFormation wants of a resource: `properties` are those of the template, as text."""

    kind: Literal["Create", "Update", "Delete"]
    properties: Mapping[str, str]


def send(url: str, content: bytes) -> None:
    """The URL is presigned for a PUT without content type."""
    request = Request(url, data=content, method="PUT", headers={"Content-Type": ""})  # noqa: S310
    with urlopen(request, timeout=_ANSWER_SECONDS):  # noqa: S310 - the URL is CloudFormation's
        return


def answer(
    event: Mapping[str, Any], work: Callable[[Asked], Mapping[str, str]], logger: Logger, send: Send = send
) -> None:
    """Have the work done and tell CloudFormation how it went; what it returns is what Fn::GetAtt gives.

    The resource's physical id is made of the stack's and its own name: it never changes, so that no update
    replaces it. Raises OSError if the answer did not arrive: then Lambda invokes the function again.
    """
    stack, resource = event["StackId"], event["LogicalResourceId"]
    told: dict[str, Any] = {
        "StackId": stack,
        "RequestId": event["RequestId"],
        "LogicalResourceId": resource,
        "PhysicalResourceId": event.get("PhysicalResourceId") or f"{stack.split('/')[1]}/{resource}",
    }
    try:
        attributes = work(Asked(event["RequestType"], event.get("ResourceProperties", {})))
        told |= {"Status": "SUCCESS", "Data": dict(attributes)}
    except DomainError as error:
        logger.warning("the resource failed", reason=error.detail)
        told |= {"Status": "FAILED", "Reason": error.detail[:_MAX_REASON]}
    except Exception as error:
        # Whatever it is, without an answer the stack would wait for an hour and tell nothing.
        logger.exception("the resource failed")
        reason = f"{type(error).__name__}: {error} The function's log has the details."
        told |= {"Status": "FAILED", "Reason": reason[:_MAX_REASON]}
    send(event["ResponseURL"], json.dumps(told).encode())
