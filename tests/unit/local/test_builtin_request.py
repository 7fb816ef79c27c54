"""What a training request must be for a built-in algorithm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from local.sagemaker.builtin.algorithms import ALGORITHMS, algorithm_of, check_request, read_request
from local.sagemaker.errors import NotAvailableError, ValidationError
from local.sagemaker.jobs import JobFailedError

REGISTRY = "811284229777.dkr.ecr.us-east-1.amazonaws.com"
CLASSIFICATION, DETECTION = ALGORITHMS["image-classification"], ALGORITHMS["object-detection"]


def channel(name: str, **changes: Any) -> dict[str, Any]:
    source = {
        "S3DataType": "AugmentedManifestFile",
        "S3Uri": f"s3://b/{name}.manifest",
        "S3DataDistributionType": "FullyReplicated",
        "AttributeNames": ["source-ref", "label"],
        **changes.pop("source", {}),
    }
    return {
        "ChannelName": name,
        "ContentType": "application/x-recordio",
        "RecordWrapperType": "RecordIO",
        "DataSource": {"S3DataSource": source},
        **changes,
    }


def model_channel(**changes: Any) -> dict[str, Any]:
    return {
        "ChannelName": "model",
        "ContentType": "application/x-sagemaker-model",
        "InputMode": "File",
        "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/model.tar.gz"}},
        **changes,
    }


def request(*channels: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "AlgorithmSpecification": {
            "TrainingImage": f"{REGISTRY}/image-classification:1",
            "TrainingInputMode": "Pipe",
        },
        "HyperParameters": {"num_classes": "3", "num_training_samples": "100"},
        "InputDataConfig": list(channels) or [channel("train"), channel("validation")],
        "ResourceConfig": {"InstanceType": "ml.g5.xlarge"},
        **changes,
    }


@pytest.mark.parametrize(
    ("image", "name"),
    [
        (f"{REGISTRY}/image-classification:1", "image-classification"),
        ("813361260812.dkr.ecr.eu-central-1.amazonaws.com/object-detection:latest", "object-detection"),
        (f"{REGISTRY}/semantic-segmentation:1", None),
        (f"{REGISTRY}/pytorch-training:2.8.0-cpu-py312", None),
        ("image-classification:1", None),
        ("", None),
    ],
)
def test_an_algorithm_is_known_by_its_image(image: str, name: str | None) -> None:
    found = algorithm_of(image)
    assert (found.name if found else None) == name


def test_a_request_that_keeps_to_the_rules_is_read() -> None:
    seeded = channel("train", ShuffleConfig={"Seed": 7})
    contract = read_request(CLASSIFICATION, request(seeded, channel("validation"), model_channel()))
    assert contract.train.manifest == "s3://b/train.manifest"
    assert contract.train.attribute == "label"
    assert contract.seed == 7
    assert contract.base_model == "s3://b/model.tar.gz"
    assert contract.number("mini_batch_size") == 32


def test_labels_are_vectors_unless_the_content_type_says_class_id() -> None:
    typed = channel("train", ContentType="application/x-recordio; label-format=class-id")
    contract = read_request(CLASSIFICATION, request(typed, channel("validation")))
    assert contract.train.has_class_ids
    assert not contract.validation.has_class_ids


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (
            lambda: request(channel("train", InputMode="File")),
            ValidationError,
            "AugmentedManifestFile, which is supported in Pipe mode only",
        ),
        (
            lambda: request(channel("train", source={"S3DataType": "S3Prefix"})),
            NotAvailableError,
            "from S3Prefix",
        ),
        (
            lambda: request(channel("train", DataSource={"FileSystemDataSource": {}})),
            NotAvailableError,
            "FileSystemDataSource",
        ),
    ],
)
def test_what_the_service_refuses_is_refused_at_once(
    make: Callable[[], dict[str, Any]], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        check_request(make())


def test_the_algorithms_metrics_cannot_be_overridden() -> None:
    given = request()
    given["AlgorithmSpecification"]["MetricDefinitions"] = [{"Name": "a", "Regex": "b"}]
    with pytest.raises(ValidationError, match="You can't override the metric definitions"):
        check_request(given)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: request(ResourceConfig={"InstanceType": "ml.m5.xlarge"}), "GPU instances only"),
        (lambda: request(ResourceConfig={}), "unnamed instance type"),
        (lambda: request(channel("train")), "The channel 'validation' is required"),
        (lambda: request(channel("validation")), "The channel 'train' is required"),
        (
            lambda: request(channel("train"), channel("validation"), channel("test")),
            r"Additional channels are not allowed \(test\)",
        ),
        (
            lambda: request(channel("train", RecordWrapperType="None"), channel("validation")),
            "RecordWrapperType must be RecordIO",
        ),
        (
            lambda: request(channel("train", CompressionType="Gzip"), channel("validation")),
            "cannot be compressed",
        ),
        (
            lambda: request(channel("train", ContentType="text/csv"), channel("validation")),
            "content type 'text/csv' .* not supported",
        ),
        (
            lambda: request(channel("train", ContentType="image/png"), channel("validation")),
            "resize is required",
        ),
        (
            lambda: request(
                channel("train", ContentType="application/x-recordio; label-format=names"),
                channel("validation"),
            ),
            "label-format is class-id or multi-hot",
        ),
        (
            lambda: request(
                channel("train", source={"AttributeNames": ["label", "source-ref"]}), channel("validation")
            ),
            "Got empty batch from pipe.*the image's attribute and then the label's",
        ),
        (
            lambda: request(
                channel("train", source={"AttributeNames": ["source-ref", "label", "label-metadata"]}),
                channel("validation"),
            ),
            "Got empty batch from pipe",
        ),
        (
            lambda: request(channel("train"), channel("validation"), model_channel(ContentType="text/plain")),
            "application/x-sagemaker-model",
        ),
        (
            lambda: request(channel("train"), channel("validation"), model_channel(InputMode="Pipe")),
            "InputMode File",
        ),
    ],
)
def test_what_the_algorithm_refuses_fails_the_job(make: Callable[[], dict[str, Any]], said: str) -> None:
    with pytest.raises(JobFailedError, match=f"^ClientError: .*{said}"):
        read_request(CLASSIFICATION, make())


def test_images_need_no_resize_for_object_detection() -> None:
    typed = [channel(name, ContentType="application/x-image") for name in ("train", "validation")]
    assert read_request(DETECTION, request(*typed)).values["image_shape"] == "300"
