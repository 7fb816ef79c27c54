"""Models in service, behind `loupe.ports.models.InvokesEndpoints`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from loupe.domain.errors import ModelError, ModelNotRunning, StoreUnavailable
from loupe.domain.projects import HostingKind
from loupe.domain.serving.answers import read_answer, size_of, worth_showing
from loupe.ports.loops import ServedModel
from loupe.ports.models import InvokesEndpoints

if TYPE_CHECKING:
    from mypy_boto3_sagemaker_runtime.client import SageMakerRuntimeClient


class HostedModels:
    """Asks each model where it is hosted."""

    def __init__(self, hosts: Mapping[HostingKind, InvokesEndpoints]) -> None:
        self._hosts = hosts

    def invoke(self, model: ServedModel, image: bytes, content_type: str) -> list[dict[str, Any]]:
        return self._hosts[model.hosting].invoke(model, image, content_type)


class SageMakerEndpoints:
    """Invokes endpoints of SageMaker."""

    def __init__(self, client: "SageMakerRuntimeClient") -> None:
        self._client = client

    def invoke(self, model: ServedModel, image: bytes, content_type: str) -> list[dict[str, Any]]:
        endpoint = model.endpoint
        try:
            answer = self._client.invoke_endpoint(
                EndpointName=endpoint, Body=image, ContentType=content_type, Accept="application/json"
            )
            content = answer["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] == "ModelError":
                raise ModelError(f"endpoint {endpoint}: {error}") from error
            if model.hosting == "realtime" and _is_missing(error):
                raise ModelNotRunning(f"endpoint {endpoint} does not run: {error}") from error
            raise StoreUnavailable(f"endpoint {endpoint}: {error}") from error
        except BotoCoreError as error:
            raise StoreUnavailable(f"endpoint {endpoint}: {error}") from error
        return worth_showing(model, read_answer(model, content, size_of(model, image)))


def _is_missing(error: ClientError) -> bool:
    """SageMaker says so of an endpoint that was never made, was deleted, or is still being created."""
    found = error.response["Error"]
    return found["Code"] in ("ValidationError", "ModelNotReadyException") and (
        found["Code"] == "ModelNotReadyException" or "not found" in found.get("Message", "")
    )
