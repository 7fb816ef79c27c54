"""What an endpoint publishes about a request.

SageMaker developer guide, "Metrics for monitoring Amazon SageMaker AI with Amazon CloudWatch", and
"Auto-rollback configuration and monitoring" for the dimension that tells the fleets of a deployment apart.
"""

from __future__ import annotations

from local.sagemaker.fleets import ServedVariant
from local.sagemaker.platform import MeasuringPlatform

_NAMESPACE = "AWS/SageMaker"
_MICROSECONDS = 1_000_000


def publish(
    platform: MeasuringPlatform, endpoint: str, variant: ServedVariant, status: int, seconds: float
) -> None:
    """One request that the model answered with an HTTP status after some seconds; 500 for no answer."""
    metrics = {
        "Invocations": (1.0, "Count"),
        "Invocation4XXErrors": (float(400 <= status < 500), "Count"),
        "Invocation5XXErrors": (float(status >= 500), "Count"),
        "InvocationModelErrors": (float(not 200 <= status < 300), "Count"),
        # Two digits tell latencies apart well enough, and keep the points of a busy second few.
        "ModelLatency": (float(f"{seconds * _MICROSECONDS:.2g}"), "Microseconds"),
    }
    dimensions = {"EndpointName": endpoint, "VariantName": variant.name}
    platform.measure(_NAMESPACE, dimensions, metrics)
    platform.measure(_NAMESPACE, {**dimensions, "EndpointConfigName": variant.config}, metrics)
