"""Rekognition Custom Labels in the local cloud, through boto3: what it does, and what it refuses."""

from __future__ import annotations

import io
import json
import uuid
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError
from PIL import Image
from sklearn.datasets import load_digits

from tests.local.conftest import LocalCloud
from tests.local.waiting import eventually

LABELS = ("zero", "one")


class Account:
    """A bucket with pictures of digits, and clients with all rights."""

    def __init__(self, cloud: LocalCloud) -> None:
        session: Any = cloud.session()

        def client(service: str) -> Any:
            return session.client(service, endpoint_url=cloud.endpoint_url)

        self.rekognition, self.s3 = client("rekognition"), client("s3")
        self.bucket = f"digits-{uuid.uuid4().hex[:8]}"
        self.s3.create_bucket(Bucket=self.bucket)
        digits = load_digits()
        self._images = [
            (np.kron(image, np.ones((8, 8))) * 15, LABELS[target])
            for image, target in zip(digits.images, digits.target, strict=True)
            if target < len(LABELS)
        ]

    def put_image(self, number: int) -> tuple[str, str]:
        """URI and label of one of the pictures, which is in the bucket then."""
        pixels, label = self._images[number]
        content, key = png(pixels), f"images/{number:03d}.png"
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=content)
        return f"s3://{self.bucket}/{key}", label

    def image(self, number: int) -> tuple[bytes, str]:
        pixels, label = self._images[number]
        return png(pixels), label

    def put_manifest(self, name: str, lines: list[str]) -> dict[str, Any]:
        self.s3.put_object(Bucket=self.bucket, Key=name, Body="".join(f"{line}\n" for line in lines))
        return {"GroundTruthManifest": {"S3Object": {"Bucket": self.bucket, "Name": name}}}

    def new_project(self) -> str:
        arn: str = self.rekognition.create_project(ProjectName=f"p-{uuid.uuid4().hex[:8]}")["ProjectArn"]
        return arn

    def new_dataset(self, project: str, kind: str, lines: list[str]) -> dict[str, Any]:
        """The description of a dataset once it is made."""
        source = self.put_manifest(f"{uuid.uuid4().hex}.manifest", lines)
        arn = self.rekognition.create_dataset(ProjectArn=project, DatasetType=kind, DatasetSource=source)[
            "DatasetArn"
        ]

        def ended() -> dict[str, Any] | None:
            found: dict[str, Any] = self.rekognition.describe_dataset(DatasetArn=arn)["DatasetDescription"]
            return None if found["Status"] == "CREATE_IN_PROGRESS" else {**found, "DatasetArn": arn}

        return eventually(ended, f"the {kind} dataset")

    def version(self, project: str) -> dict[str, Any]:
        found: dict[str, Any] = self.rekognition.describe_project_versions(ProjectArn=project)[
            "ProjectVersionDescriptions"
        ][0]
        return found

    def wait_for(self, project: str, status: str, within: float) -> dict[str, Any]:
        """The version's description in that status; fails at once in another final one."""

        def reached() -> dict[str, Any] | None:
            version = self.version(project)
            assert version["Status"] == status or version["Status"].endswith(("ING", "IN_PROGRESS")), version
            return version if version["Status"] == status else None

        return eventually(reached, f"a version that is {status}", within)


def png(pixels: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


def row(uri: str, label: str, **members: Any) -> str:
    metadata = {
        "class-name": label,
        "confidence": 1,
        "human-annotated": "yes",
        "creation-date": "2026-05-04T09:12:33.481920",
        "type": "groundtruth/image-classification",
    }
    return json.dumps(
        {"source-ref": uri, "label": LABELS.index(label), "label-metadata": metadata, **members}
    )


@pytest.fixture(scope="module")
def account(local_cloud: LocalCloud) -> Account:
    return Account(local_cloud)


@pytest.fixture(scope="module")
def trained(account: Account) -> str:
    """A project whose one version is trained."""
    project = account.new_project()
    rows = [row(*account.put_image(number)) for number in range(100)]
    train = account.new_dataset(project, "TRAIN", rows[:75])
    test = account.new_dataset(project, "TEST", rows[75:])
    assert train["DatasetStats"] == {
        "TotalEntries": 75,
        "LabeledEntries": 75,
        "ErrorEntries": 0,
        "TotalLabels": 2,
    }
    assert test["Status"] == "CREATE_COMPLETE"
    account.rekognition.create_project_version(
        ProjectArn=project,
        VersionName="0001",
        OutputConfig={"S3Bucket": account.bucket, "S3KeyPrefix": "output"},
    )
    account.wait_for(project, "TRAINING_COMPLETED", 240)
    return project


def test_a_version_is_trained_and_its_evaluation_lies_in_the_bucket(account: Account, trained: str) -> None:
    version = account.version(trained)
    place = version["EvaluationResult"]["Summary"]["S3Object"]
    assert place["Name"].startswith("output/EvaluationResultSummary-")
    summary = json.loads(account.s3.get_object(Bucket=place["Bucket"], Key=place["Name"])["Body"].read())
    assert summary["AggregatedEvaluationResults"]["F1Score"] == version["EvaluationResult"]["F1Score"] > 0.9
    assert {result["Label"] for result in summary["LabelEvaluationResults"]} == set(LABELS)
    assert "stands in for Rekognition" in version["StatusMessage"]
    assert version["BillableTrainingTimeInSeconds"] > 0


def test_a_running_version_answers_and_a_stopped_one_does_not(account: Account, trained: str) -> None:
    arn = account.version(trained)["ProjectVersionArn"]
    image, label = account.image(300)
    detect = account.rekognition.detect_custom_labels
    with pytest.raises(ClientError, match="ResourceNotReadyException"):
        detect(ProjectVersionArn=arn, Image={"Bytes": image})
    account.rekognition.start_project_version(ProjectVersionArn=arn, MinInferenceUnits=1)
    account.wait_for(trained, "RUNNING", 60)
    found = detect(ProjectVersionArn=arn, Image={"Bytes": image})["CustomLabels"]
    assert [each["Name"] for each in found] == [label]
    assert 50 <= found[0]["Confidence"] <= 100
    everything = detect(ProjectVersionArn=arn, Image={"Bytes": image}, MinConfidence=0)["CustomLabels"]
    assert {each["Name"] for each in everything} == set(LABELS)
    place = {"Bucket": account.bucket, "Name": "images/000.png"}
    assert detect(ProjectVersionArn=arn, Image={"S3Object": place})["CustomLabels"]
    with pytest.raises(ClientError, match="InvalidImageFormatException"):
        detect(ProjectVersionArn=arn, Image={"Bytes": b"these are words"})
    with pytest.raises(ClientError, match="ResourceInUseException"):
        account.rekognition.start_project_version(ProjectVersionArn=arn, MinInferenceUnits=1)
    account.rekognition.stop_project_version(ProjectVersionArn=arn)
    account.wait_for(trained, "STOPPED", 30)


def test_lines_with_errors_are_named_and_too_many_of_them_fail_the_dataset(account: Account) -> None:
    project = account.new_project()
    good = [row(*account.put_image(number)) for number in range(9)]
    tiny = png(np.zeros((20, 20)))
    account.s3.put_object(Bucket=account.bucket, Key="tiny.png", Body=tiny)
    bad = row(f"s3://{account.bucket}/tiny.png", "zero")
    made = account.new_dataset(project, "TRAIN", [*good, bad])
    assert (made["Status"], made["DatasetStats"]["ErrorEntries"]) == ("CREATE_COMPLETE", 1)
    entries = account.rekognition.list_dataset_entries(DatasetArn=made["DatasetArn"], HasErrors=True)
    assert [json.loads(entry)["cl-metadata"]["errors"] for entry in entries["DatasetEntries"]] == [
        [{"code": "ERROR_INVALID_IMAGE"}]
    ]
    failed = account.new_dataset(project, "TEST", [*good[:3], "", "no json"])
    assert (failed["Status"], failed["StatusMessage"]) == (
        "CREATE_FAILED",
        "ERROR_TOO_MANY_INVALID_ROWS_IN_MANIFEST",
    )


def test_one_dataset_is_distributed_over_two(account: Account) -> None:
    project = account.new_project()
    train = account.new_dataset(project, "TRAIN", [row(*account.put_image(number)) for number in range(40)])
    test = account.rekognition.create_dataset(ProjectArn=project, DatasetType="TEST")["DatasetArn"]
    datasets = [{"Arn": train["DatasetArn"]}, {"Arn": test}]
    eventually(
        lambda: (
            account.rekognition.describe_dataset(DatasetArn=test)["DatasetDescription"]["Status"]
            == "CREATE_COMPLETE"
        ),
        "an empty dataset",
    )
    account.rekognition.distribute_dataset_entries(Datasets=datasets)

    def entries(arn: str) -> int:
        found: int = account.rekognition.describe_dataset(DatasetArn=arn)["DatasetDescription"][
            "DatasetStats"
        ]["TotalEntries"]
        return found

    assert entries(train["DatasetArn"]) + entries(test) == 40
    assert entries(test) in (7, 8)  # a fifth of each label, rounded


def test_what_aws_refuses_is_refused(account: Account) -> None:
    project = account.new_project()
    name = project.split("/")[1]
    with pytest.raises(ClientError, match="ResourceInUseException"):
        account.rekognition.create_project(ProjectName=name)
    with pytest.raises(ClientError, match="InvalidS3ObjectException"):
        account.rekognition.create_dataset(
            ProjectArn=project,
            DatasetType="TRAIN",
            DatasetSource={
                "GroundTruthManifest": {"S3Object": {"Bucket": account.bucket, "Name": "nothing.manifest"}}
            },
        )
    with pytest.raises(ClientError, match="InvalidParameterException"):
        account.rekognition.create_project_version(
            ProjectArn=project, VersionName="1", OutputConfig={"S3Bucket": account.bucket}
        )
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        account.rekognition.start_project_version(
            ProjectVersionArn=f"{project.rpartition('/')[0]}/version/1/1", MinInferenceUnits=1
        )
