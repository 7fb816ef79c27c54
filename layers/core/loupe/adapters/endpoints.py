"""Models in service on SageMaker, behind `loupe.ports.InvokesEndpoints`."""

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from loupe.domain.errors import ModelError, StoreUnavailable

if TYPE_CHECKING:
    from mypy_boto3_sagemaker_runtime.client import SageMakerRuntimeClient


class SageMakerEndpoints:
    """Invokes endpoints whose models answer as trainer/inference.py does."""

    def __init__(self, client: "SageMakerRuntimeClient") -> None:
        self._client = client

    def invoke(self, endpoint: str, image: bytes, content_type: str) -> list[dict[str, Any]]:
        try:
            answer = self._client.invoke_endpoint(
                EndpointName=endpoint, Body=image, ContentType=content_type, Accept="application/json"
            )
            content = answer["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] == "ModelError":
                raise ModelError(f"endpoint {endpoint}: {error}") from error
            raise StoreUnavailable(f"endpoint {endpoint}: {error}") from error
        except BotoCoreError as error:
            raise StoreUnavailable(f"endpoint {endpoint}: {error}") from error
        try:
            predictions = json.loads(content)["predictions"]
            return [{"label": p["label"], "confidence": float(p["confidence"])} for p in predictions]
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"endpoint {endpoint} answered {content[:200]!r}") from error
