"""Names of what is scaled, and of what scales it."""

from __future__ import annotations

import hashlib
import re
import uuid
from dataclasses import dataclass

from local.autoscaling.errors import NotAvailableError, ValidationError
from local.home import ACCOUNT_ID, REGION

NAMESPACE = "sagemaker"
DIMENSION = "sagemaker:variant:DesiredInstanceCount"

LINKED_SERVICE = "sagemaker.application-autoscaling.amazonaws.com"
SERVICE_LINKED_ROLE = (
    f"arn:aws:iam::{ACCOUNT_ID}:role/aws-service-role/{LINKED_SERVICE}/"
    "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
)

_RESOURCE_ID = re.compile(r"endpoint/([^/]+)/variant/([^/]+)")


@dataclass(frozen=True)
class VariantId:
    """A variant of an endpoint, named `endpoint/<endpoint>/variant/<variant>`."""

    endpoint: str
    variant: str

    @classmethod
    def of(cls, resource_id: str) -> VariantId:
        """Raises ValidationError."""
        matched = _RESOURCE_ID.fullmatch(resource_id)
        if matched is None:
            raise ValidationError(
                f"Unsupported resource ID: {resource_id}; it has to be endpoint/<endpoint>/variant/<variant>"
            )
        return cls(matched[1], matched[2])


def check_kind(namespace: str, dimension: str | None) -> None:
    """Raises NotAvailableError for anything but the number of instances of a SageMaker variant."""
    if namespace != NAMESPACE:
        raise NotAvailableError(f"scaling of {namespace}")
    if dimension not in (None, DIMENSION):
        raise NotAvailableError(f"scaling of {dimension}")


def target_arn(resource_id: str) -> str:
    """The same for a target that is registered anew, so that it can be asked for beforehand."""
    digest = hashlib.sha256(f"{NAMESPACE}/{resource_id}/{DIMENSION}".encode()).hexdigest()[:32]
    return f"arn:aws:application-autoscaling:{REGION}:{ACCOUNT_ID}:scalable-target/{digest}"


def policy_arn(resource_id: str, name: str) -> str:
    return (
        f"arn:aws:autoscaling:{REGION}:{ACCOUNT_ID}:scalingPolicy:{uuid.uuid4()}:"
        f"resource/{NAMESPACE}/{resource_id}:policyName/{name}"
    )
