"""The state-change events of SageMaker, in the shapes that EventBridge delivers on AWS."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

TRAINING_JOB = "SageMaker Training Job State Change"
TRANSFORM_JOB = "SageMaker Transform Job State Change"
ENDPOINT = "SageMaker Endpoint State Change"
DEPLOYMENT = "SageMaker Endpoint Deployment State Change"
MODEL_PACKAGE = "SageMaker Model Package State Change"
LABELING_JOB = "SageMaker Ground Truth Labeling Job State Change"

Document = Mapping[str, Any]

_TRAINING_MEMBERS = (
    "TrainingJobName",
    "TrainingJobArn",
    "ModelArtifacts",
    "TrainingJobStatus",
    "SecondaryStatus",
    "FailureReason",
    "HyperParameters",
    "AlgorithmSpecification",
    "RoleArn",
    "InputDataConfig",
    "OutputDataConfig",
    "ResourceConfig",
    "VpcConfig",
    "StoppingCondition",
)
_TRANSFORM_MEMBERS = (
    "TransformJobName",
    "TransformJobArn",
    "TransformJobStatus",
    "FailureReason",
    "ModelName",
    "MaxConcurrentTransforms",
    "MaxPayloadInMB",
    "BatchStrategy",
    "Environment",
    "TransformInput",
    "TransformOutput",
    "TransformResources",
)
_TRANSFORM_TIMES = ("CreationTime", "TransformStartTime", "TransformEndTime")
_TRAINING_TIMES = ("CreationTime", "TrainingStartTime", "TrainingEndTime", "LastModifiedTime")


def training_job(document: Document) -> dict[str, Any]:
    """Times are strings of epoch milliseconds here, and only here."""
    detail = {name: document[name] for name in _TRAINING_MEMBERS if name in document}
    detail |= {name: str(_milliseconds(document[name])) for name in _TRAINING_TIMES if name in document}
    detail["SecondaryStatusTransitions"] = [
        {name: _milliseconds(value) if name.endswith("Time") else value for name, value in transition.items()}
        for transition in document["SecondaryStatusTransitions"]
    ]
    detail["Tags"] = _tags(document)
    return detail


def labeling_job(document: Document) -> dict[str, Any]:
    """The status alone; which job it is stands in the event's resources."""
    return {"LabelingJobStatus": document["LabelingJobStatus"]}


def transform_job(document: Document) -> dict[str, Any]:
    """Times are epoch milliseconds."""
    detail = {name: document[name] for name in _TRANSFORM_MEMBERS if name in document}
    detail |= {name: _milliseconds(document[name]) for name in _TRANSFORM_TIMES if name in document}
    return detail | {"Tags": _tags(document)}


def endpoint(document: Document) -> dict[str, Any]:
    """The status is spelled IN_SERVICE here, and InService by the API."""
    return {
        "EndpointName": document["EndpointName"],
        "EndpointArn": document["EndpointArn"],
        "EndpointConfigName": document["EndpointConfigName"],
        "ProductionVariants": [
            {
                "VariantName": variant["VariantName"],
                "DesiredWeight": variant.get("DesiredWeight", 1.0),
                "DesiredInstanceCount": float(variant.get("DesiredInstanceCount", 0)),
            }
            for variant in document.get("ProductionVariants", [])
        ],
        "EndpointStatus": re.sub(r"(?<=[a-z])(?=[A-Z])", "_", document["EndpointStatus"]).upper(),
        **({"FailureReason": document["FailureReason"]} if "FailureReason" in document else {}),
        "CreationTime": float(_milliseconds(document["CreationTime"])),
        "LastModifiedTime": float(_milliseconds(document["LastModifiedTime"])),
        "Tags": _tags(document),
    }


def deployment(document: Document) -> dict[str, Any]:
    """An endpoint's event with how far its deployment is."""
    pending = document["PendingDeploymentSummary"]
    variants = [
        {
            "VariantName": variant["VariantName"],
            "VariantStatus": [
                {**status, "StartTime": float(_milliseconds(status["StartTime"]))}
                for status in variant["VariantStatus"]
            ],
        }
        for variant in pending["ProductionVariants"]
    ]
    summary = {"EndpointConfigName": pending["EndpointConfigName"], "ProductionVariants": variants}
    return {**endpoint(document), "PendingDeploymentSummary": summary}


def model_package(document: Document) -> dict[str, Any]:
    members = (
        "ModelPackageGroupName",
        "ModelPackageVersion",
        "ModelPackageArn",
        "ModelPackageDescription",
        "InferenceSpecification",
        "ModelPackageStatus",
        "ModelApprovalStatus",
        "ApprovalDescription",
        "CustomerMetadataProperties",
        "ModelMetrics",
    )
    detail = {name: document[name] for name in members if name in document}
    times = ("CreationTime", "LastModifiedTime")
    detail |= {name: str(_milliseconds(document[name])) for name in times if name in document}
    return detail | {"CertifyForMarketplace": document.get("CertifyForMarketplace", False)}


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _tags(document: Document) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in document.get("Tags", [])}
