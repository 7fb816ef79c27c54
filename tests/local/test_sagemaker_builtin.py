"""Built-in algorithms in the local cloud: a small training, its endpoint and a batch transform."""

from __future__ import annotations

import io
import json
import random
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from PIL import Image, ImageDraw

from tests.local.sagemaker_stack import IMAGE, Stack

if TYPE_CHECKING:
    from tests.local.conftest import LocalCloud

REGISTRY = "811284229777.dkr.ecr.us-east-1.amazonaws.com"
CLASSIFICATION, DETECTION = f"{REGISTRY}/image-classification:1", f"{REGISTRY}/object-detection:1"
COLOURS = ("red", "green", "blue")
SIDE, DISC = 48, 18
RECORDIO = "application/x-recordio"


def drawn(*colours: str, seed: int = 0) -> tuple[bytes, list[tuple[int, int]]]:
    """A PNG with a disc of each colour, and where their corners are (left, top)."""
    chance = random.Random(seed)  # noqa: S311
    image = Image.new("RGB", (SIDE, SIDE), "white")
    draw = ImageDraw.Draw(image)
    corners = []
    for colour in colours:
        left, top = chance.randrange(SIDE - DISC), chance.randrange(SIDE - DISC)
        draw.ellipse((left, top, left + DISC, top + DISC), fill=colour)
        corners.append((left, top))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue(), corners


def picture(*colours: str, seed: int = 0) -> bytes:
    return drawn(*colours, seed=seed)[0]


class Studio(Stack):
    """A stack with pictures of coloured discs."""

    def manifest(self, name: str, labels: list[Any], pictures: list[bytes], attribute: str = "label") -> str:
        rows = []
        for number, (label, content) in enumerate(zip(labels, pictures, strict=True)):
            key = f"pictures/{name}/{number} ä.png"
            self.put(key, content)
            rows.append({"source-ref": self.uri(key), attribute: label, f"{attribute}-metadata": {}})
        self.put(f"manifests/{name}.manifest", "".join(json.dumps(row) + "\n" for row in rows).encode())
        return self.uri(f"manifests/{name}.manifest")

    def builtin_job(self, manifests: dict[str, str], **changes: Any) -> dict[str, Any]:
        attribute, content_type = changes.pop("attribute", "label"), changes.pop("content", RECORDIO)
        hyperparameters = {
            "num_classes": "3",
            "num_training_samples": "24",
            "mini_batch_size": "8",
            "epochs": "2",
            **changes.pop("hyperparameters", {"image_shape": "3,32,32"}),
        }
        return {
            "TrainingJobName": f"job-{uuid.uuid4().hex[:8]}",
            "AlgorithmSpecification": {
                "TrainingImage": changes.pop("image", CLASSIFICATION),
                "TrainingInputMode": "Pipe",
            },
            "RoleArn": self.role,
            "HyperParameters": hyperparameters,
            "InputDataConfig": [
                {
                    "ChannelName": name,
                    "ContentType": content_type,
                    "RecordWrapperType": "RecordIO",
                    "CompressionType": "None",
                    "DataSource": {
                        "S3DataSource": {
                            "S3DataType": "AugmentedManifestFile",
                            "S3Uri": manifest,
                            "S3DataDistributionType": "FullyReplicated",
                            "AttributeNames": ["source-ref", attribute],
                        }
                    },
                }
                for name, manifest in manifests.items()
            ],
            "OutputDataConfig": {"S3OutputPath": self.uri("models")},
            "ResourceConfig": {"InstanceType": "ml.g4dn.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 5},
            "StoppingCondition": {"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 3600},
            "EnableManagedSpotTraining": True,
            "CheckpointConfig": {"S3Uri": self.uri("checkpoints"), "LocalPath": "/opt/ml/checkpoints"},
            **changes,
        }

    def train_builtin(self, manifests: dict[str, str], **changes: Any) -> dict[str, Any]:
        request = self.builtin_job(manifests, **changes)
        self.sagemaker.create_training_job(**request)
        return self.ended(request["TrainingJobName"], within=300)


@pytest.fixture(scope="module")
def studio(local_cloud: LocalCloud) -> Studio:
    return Studio(local_cloud)


@pytest.fixture(scope="module")
def manifests(studio: Studio) -> dict[str, str]:
    found = {}
    for name, count in (("train", 24), ("validation", 9)):
        labels = [number % 3 for number in range(count)]
        pictures = [picture(COLOURS[label], seed=number) for number, label in enumerate(labels)]
        found[name] = studio.manifest(name, [str(label) for label in labels], pictures)
    return found


@pytest.fixture(scope="module")
def trained(studio: Studio, manifests: dict[str, str]) -> dict[str, Any]:
    job = studio.train_builtin(manifests)
    assert job["TrainingJobStatus"] == "Completed", job
    return job


def test_a_stand_in_trains_and_says_that_it_is_one(studio: Studio, trained: dict[str, Any]) -> None:
    (metric,) = trained["FinalMetricDataList"]
    assert metric["MetricName"] == "validation:accuracy"
    assert 0 <= metric["Value"] <= 1
    assert trained["BillableTimeInSeconds"] > 0
    messages = [transition["StatusMessage"] for transition in trained["SecondaryStatusTransitions"]]
    assert any("a stand-in for image-classification" in message for message in messages)
    logs = studio.client("logs").get_log_events(
        logGroupName="/aws/sagemaker/TrainingJobs", logStreamName=f"{trained['TrainingJobName']}/algo-1"
    )
    lines = [event["message"] for event in logs["events"]]
    assert "This is a stand-in" in lines[0]
    assert any(line.startswith("Epoch[0] Validation-accuracy=") for line in lines)


def test_an_endpoint_answers_as_image_classification_does(studio: Studio, trained: dict[str, Any]) -> None:
    name = studio.bare_model(trained, CLASSIFICATION)
    studio.sagemaker.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[
            {
                "VariantName": "AllTraffic",
                "ModelName": name,
                "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 2},
            }
        ],
    )
    studio.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    assert studio.settled(name)["EndpointStatus"] == "InService"

    def ask(**arguments: str) -> Any:
        body = picture("green", seed=99)
        return json.loads(
            studio.runtime.invoke_endpoint(EndpointName=name, Body=body, **arguments)["Body"].read()
        )

    probabilities = ask(ContentType="image/png")
    assert len(probabilities) == 3
    assert sum(probabilities) == pytest.approx(1)
    assert ask(ContentType="application/x-image", Accept="application/jsonlines") == {
        "prediction": probabilities
    }
    studio.sagemaker.delete_endpoint(EndpointName=name)


def test_a_batch_transform_has_an_answer_for_each_listed_object(
    studio: Studio, trained: dict[str, Any]
) -> None:
    for name in ("aaa", "bbb", "not-listed"):
        studio.put(f"copies/{name}", picture("blue", seed=7))
    listed = [{"prefix": studio.uri("copies/")}, "aaa", "bbb"]
    studio.put("copies.json", json.dumps(listed).encode())
    job = studio.transform(
        studio.bare_model(trained, CLASSIFICATION),
        {"S3DataType": "ManifestFile", "S3Uri": studio.uri("copies.json")},
    )
    assert job["TransformJobStatus"] == "Completed", job
    outputs = studio.outputs(job)
    assert set(outputs) == {"aaa.out", "bbb.out"}
    assert len(json.loads(outputs["aaa.out"])["prediction"]) == 3


def test_a_job_that_breaks_a_rule_fails_and_says_which(studio: Studio, manifests: dict[str, str]) -> None:
    resources = {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 5}
    job = studio.train_builtin(manifests, ResourceConfig=resources)
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: image-classification trains on GPU instances only")


def test_spot_training_must_say_how_long_it_waits(studio: Studio, manifests: dict[str, str]) -> None:
    request = studio.builtin_job(manifests, StoppingCondition={"MaxRuntimeInSeconds": 600})
    with pytest.raises(ClientError, match="Invalid MaxWaitTimeInSeconds"):
        studio.sagemaker.create_training_job(**request)


def test_a_trained_model_can_be_the_start_of_another(
    studio: Studio, manifests: dict[str, str], trained: dict[str, Any]
) -> None:
    source = {
        "S3DataType": "S3Prefix",
        "S3Uri": trained["ModelArtifacts"]["S3ModelArtifacts"],
        "S3DataDistributionType": "FullyReplicated",
    }
    request = studio.builtin_job(manifests)
    request["InputDataConfig"].append(
        {
            "ChannelName": "model",
            "ContentType": "application/x-sagemaker-model",
            "InputMode": "File",
            "DataSource": {"S3DataSource": source},
        }
    )
    request["HyperParameters"] |= {"epochs": "1", "num_layers": "18"}
    studio.sagemaker.create_training_job(**request)
    job = studio.ended(request["TrainingJobName"])
    assert job["FailureReason"] == (
        "ClientError: num_layers is 18, but the model in the channel 'model' was trained with 152"
    )


def test_the_archive_serves_behind_the_algorithms_image_only(studio: Studio, trained: dict[str, Any]) -> None:
    studio.put("copies/aaa", picture("blue"))
    model = studio.bare_model(trained, IMAGE)
    job = studio.transform(model, {"S3DataType": "S3Prefix", "S3Uri": studio.uri("copies/aaa")})
    assert job["TransformJobStatus"] == "Failed"
    assert "inference.py" in job["FailureReason"]


def test_an_object_that_is_no_image_fails_the_transform_and_leaves_the_others_answers(
    studio: Studio, trained: dict[str, Any]
) -> None:
    studio.put("mixed/good.png", picture("red"))
    studio.put("mixed/bad.png", b"not an image")
    job = studio.transform(
        studio.bare_model(trained, CLASSIFICATION), {"S3DataType": "S3Prefix", "S3Uri": studio.uri("mixed/")}
    )
    assert job["TransformJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: 1 of 2 objects could not be transformed")
    assert (
        f"{studio.uri('mixed/bad.png')}: Bad HTTP status received from algorithm: 422" in job["FailureReason"]
    )
    assert set(studio.outputs(job)) == {"good.png.out"}


def test_several_labels_come_as_class_ids_and_go_as_probabilities(studio: Studio) -> None:
    manifests = {}
    for name, count in (("train", 24), ("validation", 9)):
        labels = [[c for c in range(3) if number >> c & 1] for number in range(count)]
        pictures = [picture(*(COLOURS[c] for c in each), seed=number) for number, each in enumerate(labels)]
        manifests[name] = studio.manifest(f"several-{name}", labels, pictures, "labels")
    job = studio.train_builtin(
        manifests,
        attribute="labels",
        content=f"{RECORDIO}; label-format=class-id",
        hyperparameters={"image_shape": "3,32,32", "multi_label": "1"},
    )
    assert job["TrainingJobStatus"] == "Completed", job
    assert [metric["MetricName"] for metric in job["FinalMetricDataList"]] == ["validation:accuracy"]
    studio.put("several/one.png", picture("red", "blue"))
    source = {"S3DataType": "S3Prefix", "S3Uri": studio.uri("several/")}
    answered = studio.outputs(studio.transform(studio.bare_model(job, CLASSIFICATION), source))
    probabilities = json.loads(answered["one.png.out"])["prediction"]
    assert len(probabilities) == 3
    assert all(0 <= probability <= 1 for probability in probabilities)


def test_boxes_are_learned_and_answered_as_shares_of_the_image(studio: Studio) -> None:
    manifests = {}
    for name, count in (("train", 24), ("validation", 9)):
        labels, pictures = [], []
        for number in range(count):
            content, corners = drawn(COLOURS[number % 3], COLOURS[(number + 1) % 3], seed=number)
            ids = (number % 3, (number + 1) % 3)
            annotations = [
                {"class_id": c, "left": left, "top": top, "width": DISC, "height": DISC}
                for c, (left, top) in zip(ids, corners, strict=True)
            ]
            size = {"width": SIDE, "height": SIDE, "depth": 3}
            labels.append({"image_size": [size], "annotations": annotations})
            pictures.append(content)
        manifests[name] = studio.manifest(f"boxes-{name}", labels, pictures, "boxes")
    job = studio.train_builtin(manifests, attribute="boxes", image=DETECTION, hyperparameters={"epochs": "2"})
    assert job["TrainingJobStatus"] == "Completed", job
    assert [metric["MetricName"] for metric in job["FinalMetricDataList"]] == ["validation:mAP"]
    studio.put("found/one.png", picture("red", "blue"))
    source = {"S3DataType": "S3Prefix", "S3Uri": studio.uri("found/")}
    answered = studio.outputs(studio.transform(studio.bare_model(job, DETECTION), source))
    rows = json.loads(answered["one.png.out"])["prediction"]
    assert rows
    for class_id, score, left, top, right, bottom in rows:
        assert class_id in (0, 1, 2)
        assert 0 <= score <= 1
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1
