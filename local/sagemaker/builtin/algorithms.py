"""The built-in algorithms: which there are, and what they ask of a training job besides its data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local.sagemaker.builtin.hyperparameters import IMAGE_CLASSIFICATION, OBJECT_DETECTION, Rule, check
from local.sagemaker.errors import NotAvailableError, ValidationError
from local.sagemaker.jobs import JobFailedError

_IMAGE = re.compile(
    r"\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?/(?P<name>[a-z-]+):(?:1|latest)", re.ASCII
)
_GPU_FAMILIES = ("p2", "p3", "g4dn", "g5")
_IMAGE_TYPES = ("image/jpeg", "image/png", "application/x-image")
_RECORDIO = "application/x-recordio"
_MODEL_TYPE = "application/x-sagemaker-model"
DATA_CHANNELS = ("train", "validation")
MODEL_CHANNEL = "model"


@dataclass(frozen=True)
class Algorithm:
    """`architecture` names the hyperparameters that a model for incremental training must share; `metrics`
    are those of the MetricDefinitions that the service itself brings along which the stand-in has figures
    for."""

    name: str
    hyperparameters: Mapping[str, Rule]
    architecture: tuple[str, ...]
    metrics: tuple[Mapping[str, str], ...]


ALGORITHMS = {
    algorithm.name: algorithm
    for algorithm in (
        Algorithm(
            "image-classification",
            IMAGE_CLASSIFICATION,
            ("num_layers", "image_shape", "num_classes"),
            ({"Name": "validation:accuracy", "Regex": r"Epoch\[\d+\] Validation-accuracy=(\S+)"},),
        ),
        Algorithm(
            "object-detection",
            OBJECT_DETECTION,
            ("base_network", "num_classes"),
            (
                {
                    "Name": "validation:mAP",
                    "Regex": r"#quality_metric: host=\S+, epoch=\S+, validation mAP <score>=\((\S+)\)",
                },
            ),
        ),
    )
}


def algorithm_of(image: str) -> Algorithm | None:
    """The algorithm whose image that is, in the registry of any region."""
    found = _IMAGE.fullmatch(image)
    return ALGORITHMS.get(found["name"]) if found else None


@dataclass(frozen=True)
class DataChannel:
    """A channel of labeled images. `attribute` is the label attribute of its manifest."""

    name: str
    manifest: str
    attribute: str
    has_class_ids: bool
    """Whether several labels come as a list of class ids; else as a vector with a 0 or 1 for each class."""


@dataclass(frozen=True)
class Contract:
    """A training request that keeps to the algorithm's rules, as far as can be told without its data.

    `values` are the hyperparameters with the algorithm's defaults filled in.
    """

    algorithm: Algorithm
    values: Mapping[str, str]
    train: DataChannel
    validation: DataChannel
    base_model: str | None
    """The archive of the model to go on from, for incremental training."""
    seed: int

    def number(self, name: str) -> int:
        return int(self.values[name])

    def is_on(self, name: str) -> bool:
        return self.values.get(name, "0") == "1"


def check_request(request: Mapping[str, Any]) -> None:
    """Raises ValidationError or NotAvailableError for what CreateTrainingJob itself refuses."""
    if request["AlgorithmSpecification"].get("MetricDefinitions"):
        raise ValidationError(
            "You can't override the metric definitions for Amazon SageMaker algorithms. Please retry your "
            "request without specifying metric definitions."
        )
    default_mode = request["AlgorithmSpecification"]["TrainingInputMode"]
    for channel in request.get("InputDataConfig", []):
        source = channel["DataSource"].get("S3DataSource")
        if source is None:
            raise NotAvailableError("FileSystemDataSource")
        if channel["ChannelName"] == MODEL_CHANNEL:
            continue
        if source["S3DataType"] != "AugmentedManifestFile":
            raise NotAvailableError(
                f"training a built-in algorithm from {source['S3DataType']} (only AugmentedManifestFile)"
            )
        if channel.get("InputMode", default_mode) != "Pipe":
            raise ValidationError(
                f"The channel {channel['ChannelName']} has S3DataType AugmentedManifestFile, which is "
                "supported in Pipe mode only"
            )


def read_request(algorithm: Algorithm, request: Mapping[str, Any]) -> Contract:
    """Raises JobFailedError for what the algorithm refuses when it starts."""
    instance = request["ResourceConfig"].get("InstanceType", "")
    if instance.split(".")[1:2] not in [[family] for family in _GPU_FAMILIES]:
        raise JobFailedError(
            f"ClientError: {algorithm.name} trains on GPU instances only ({', '.join(_GPU_FAMILIES)}), not "
            f"on {instance or 'an unnamed instance type'}"
        )
    channels = {channel["ChannelName"]: channel for channel in request.get("InputDataConfig", [])}
    unknown = sorted(set(channels) - {*DATA_CHANNELS, MODEL_CHANNEL})
    if unknown:
        raise JobFailedError(f"ClientError: Additional channels are not allowed ({', '.join(unknown)})")
    values = check(algorithm.hyperparameters, request.get("HyperParameters", {}))
    train, validation = (_data_channel(channels, name, values) for name in DATA_CHANNELS)
    return Contract(
        algorithm,
        values,
        train,
        validation,
        _base_model(channels, request["AlgorithmSpecification"]["TrainingInputMode"]),
        channels["train"].get("ShuffleConfig", {}).get("Seed", 0),
    )


def _data_channel(
    channels: Mapping[str, Mapping[str, Any]], name: str, values: Mapping[str, str]
) -> DataChannel:
    channel = channels.get(name)
    if channel is None:
        raise JobFailedError(f"ClientError: The channel {name!r} is required")
    if channel.get("RecordWrapperType", "None") != "RecordIO":
        raise JobFailedError(
            f"ClientError: The channel {name!r} has an augmented manifest: its RecordWrapperType must be "
            "RecordIO"
        )
    if channel.get("CompressionType", "None") != "None":
        raise JobFailedError(f"ClientError: The channel {name!r} cannot be compressed")
    source = channel["DataSource"]["S3DataSource"]
    attributes = source.get("AttributeNames", [])
    if len(attributes) != 2 or not attributes[0].endswith("-ref") or attributes[1].endswith("-ref"):
        raise JobFailedError(
            "ClientError: Got empty batch from pipe: AttributeNames does not match. The channel "
            f"{name!r} needs the image's attribute and then the label's, not {attributes}"
        )
    return DataChannel(name, source["S3Uri"], attributes[1], _has_class_ids(channel, name, values))


def _has_class_ids(channel: Mapping[str, Any], name: str, values: Mapping[str, str]) -> bool:
    given = channel.get("ContentType", "")
    media_type, *parameters = (part.strip().lower() for part in given.split(";"))
    if media_type not in (_RECORDIO, *_IMAGE_TYPES):
        raise JobFailedError(
            f"ClientError: The content type {given!r} of the channel {name!r} is not supported; it must be "
            f"{_RECORDIO} or, for images, one of {', '.join(_IMAGE_TYPES)}"
        )
    if media_type in _IMAGE_TYPES and "num_layers" in values and "resize" not in values:
        raise JobFailedError(
            f"ClientError: The hyperparameter resize is required with the content type {given} of the "
            f"channel {name!r}"
        )
    formats = {"label-format=class-id": True, "label-format=multi-hot": False}
    unknown = [parameter for parameter in parameters if parameter not in formats]
    if unknown:
        raise JobFailedError(
            f"ClientError: The content type {given!r} of the channel {name!r} has the unknown parameter "
            f"{unknown[0]!r}; label-format is class-id or multi-hot"
        )
    return any(formats[parameter] for parameter in parameters)


def _base_model(channels: Mapping[str, Mapping[str, Any]], default_mode: str) -> str | None:
    channel = channels.get(MODEL_CHANNEL)
    if channel is None:
        return None
    if channel.get("ContentType") != _MODEL_TYPE:
        raise JobFailedError(f"ClientError: The content type of the channel 'model' must be {_MODEL_TYPE}")
    if channel.get("InputMode", default_mode) != "File":
        raise JobFailedError("ClientError: The channel 'model' must have InputMode File")
    uri: str = channel["DataSource"]["S3DataSource"]["S3Uri"]
    return uri
