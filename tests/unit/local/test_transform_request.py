"""Which transform jobs are taken."""

from __future__ import annotations

from typing import Any

import pytest

from local.sagemaker.errors import NotAvailableError, ValidationError
from local.sagemaker.transform import check_request
from local.sagemaker.validation import validate


def request(**changes: Any) -> dict[str, Any]:
    return {
        "TransformJobName": "digits-0001",
        "ModelName": "digits-0001",
        "TransformInput": {
            "DataSource": {"S3DataSource": {"S3DataType": "ManifestFile", "S3Uri": "s3://b/m.json"}},
            "ContentType": "application/x-image",
            **changes.pop("given", {}),
        },
        "TransformOutput": {"S3OutputPath": "s3://b/out", **changes.pop("wanted", {})},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        **changes,
    }


def source(kind: str, uri: str = "s3://b/m") -> dict[str, Any]:
    return {"DataSource": {"S3DataSource": {"S3DataType": kind, "S3Uri": uri}}}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"given": {**source("S3Prefix"), "SplitType": "None", "CompressionType": "None"}},
        {"wanted": {"Accept": "application/jsonlines", "AssembleWith": "Line"}},
        {"MaxPayloadInMB": 20, "MaxConcurrentTransforms": 5, "BatchStrategy": "SingleRecord"},
        {"ModelClientConfig": {"InvocationsTimeoutInSeconds": 60, "InvocationsMaxRetries": 0}},
        {"DataProcessing": {"JoinSource": "None", "InputFilter": "$"}},
    ],
)
def test_jobs_over_whole_objects_are_taken(changes: dict[str, Any]) -> None:
    given = request(**changes)
    validate("CreateTransformJob", given)
    check_request(given)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"given": source("AugmentedManifestFile")}, "S3DataType AugmentedManifestFile"),
        ({"given": {"SplitType": "Line"}}, "SplitType Line"),
        ({"given": {"CompressionType": "Gzip"}}, "CompressionType Gzip"),
        ({"given": source("S3Prefix", "https://b.s3.amazonaws.com/m")}, "https addresses"),
        ({"DataProcessing": {"JoinSource": "Input"}}, "DataProcessing"),
        ({"DataProcessing": {"OutputFilter": "$.a"}}, "DataProcessing"),
        ({"DataCaptureConfig": {"DestinationS3Uri": "s3://b/captured"}}, "DataCaptureConfig"),
        ({"MaxPayloadInMB": 0}, "MaxPayloadInMB 0"),
    ],
)
def test_what_is_missing_here_is_refused_by_name(changes: dict[str, Any], what: str) -> None:
    given = request(**changes)
    validate("CreateTransformJob", given)
    with pytest.raises(NotAvailableError, match=f"{what}.*not available in the local cloud"):
        check_request(given)


@pytest.mark.parametrize(
    "changes", [{"MaxPayloadInMB": 101}, {"MaxPayloadInMB": 26, "MaxConcurrentTransforms": 4}]
)
def test_payloads_are_at_most_100_megabytes_together(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="cannot be greater than 100"):
        check_request(request(**changes))
