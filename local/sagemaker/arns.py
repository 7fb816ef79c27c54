"""Names of SageMaker's resources."""

from __future__ import annotations

from local.home import ACCOUNT_ID, REGION


def arn(kind: str, name: str) -> str:
    """`kind` is the resource type of the ARN: training-job, model, endpoint-config, endpoint, ..."""
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT_ID}:{kind}/{name}"


def log_group(kind: str) -> str:
    return f"/aws/sagemaker/{kind}"
