"""What Ground Truth is asked for: taken by botocore's model, or refused with a reason before the call."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from local.validation import api_model
from loupe.domain.labeling.ground_truth import (
    ACCOUNTS,
    GroundTruthSetup,
    check_images,
    labeling_job_request,
    worker_task,
)
from loupe.domain.labeling.starting import LabelingRefused
from loupe.domain.projects import GroundTruth, TaskType
from loupe.ports.labeling import JobCard, ReviewKind

TEAM = "arn:aws:sagemaker:eu-central-1:111122223333:workteam/private-crowd/labelers"
SETUP = GroundTruthSetup(
    stack="loupe",
    region="eu-central-1",
    role_arn="arn:aws:iam::111122223333:role/loupe-GroundTruthRole-1A2B",
    workspace_bucket="loupe-workspace",
    workteam=TEAM,
)
CARD = JobCard(
    project="digits",
    job="digits-20261121t101500-1a2b",
    provider="ground-truth",
    task="image-classification",
    labels=("ok", "scratch"),
    instructions="Look closely.",
    batch_size=3,
    created_at=datetime(2026, 11, 21, 10, 15, tzinfo=UTC),
)
TASKS: list[tuple[TaskType, ReviewKind | None]] = [
    ("image-classification", None),
    ("multi-label-classification", None),
    ("bounding-box", None),
    ("image-classification", "adjustment"),
    ("multi-label-classification", "adjustment"),
    ("bounding-box", "adjustment"),
    ("bounding-box", "verification"),
]
FULL = GroundTruth(
    title="Find scratches",
    description="Metal plates",
    keywords=("plates", "surface defects"),
    task_seconds=60,
    task_available_hours=24,
    max_concurrent_tasks=50,
    tags={"team": "quality", "cost-center": "42"},
)


def assert_sagemaker_takes(operation: str, request: dict[str, Any]) -> None:
    assert api_model("sagemaker").faults(operation, request) is None


def rows(count: int, width: int = 64, height: int = 48, name: str = "a.png") -> list[dict[str, Any]]:
    row = {"source-ref": f"s3://raw-data/digits/{name}", "image-width": width, "image-height": height}
    return [row] * count


@pytest.mark.parametrize(("task", "review"), TASKS)
@pytest.mark.parametrize("region", sorted(ACCOUNTS))
def test_sagemaker_takes_the_request_of_every_task_in_every_region(
    task: TaskType, review: ReviewKind | None, region: str
) -> None:
    setup = replace(SETUP, region=region, workteam=TEAM.replace("eu-central-1", region))
    card = replace(CARD, task=task, review=review, review_of="v0001" if review else None)
    for config in (GroundTruth(), FULL):
        request = labeling_job_request(card, config, 3, setup)
        assert_sagemaker_takes("CreateLabelingJob", request)
        human_task = request["HumanTaskConfig"]
        function = f"arn:aws:lambda:{region}:{ACCOUNTS[region]}:function"
        name = worker_task(task, review).function
        assert human_task["PreHumanTaskLambdaArn"] == f"{function}:PRE-{name}"
        consolidation = human_task["AnnotationConsolidationConfig"]["AnnotationConsolidationLambdaArn"]
        assert consolidation == f"{function}:ACS-{name}"


def test_the_longest_names_are_taken() -> None:
    project = "a" * 32
    card = replace(CARD, project=project, job=f"{project}-20261121t101500-1a2b")
    assert_sagemaker_takes("CreateLabelingJob", labeling_job_request(card, GroundTruth(), 9, SETUP))


def test_the_request_says_where_everything_lies() -> None:
    request = labeling_job_request(CARD, FULL, 1, SETUP)
    folder = f"s3://loupe-workspace/projects/digits/labeling-jobs/{CARD.job}"
    assert request["LabelingJobName"] == CARD.job
    assert request["LabelAttributeName"] == "label"
    assert request["InputConfig"]["DataSource"]["S3DataSource"]["ManifestS3Uri"] == f"{folder}/input.manifest"
    assert request["LabelCategoryConfigS3Uri"] == f"{folder}/label-categories.json"
    assert request["HumanTaskConfig"]["UiConfig"]["UiTemplateS3Uri"] == f"{folder}/template.liquid"
    assert request["OutputConfig"] == {"S3OutputPath": "s3://loupe-workspace/projects/digits/labeling-jobs"}
    assert {tag["Key"]: tag["Value"] for tag in request["Tags"]} == {
        "team": "quality",
        "cost-center": "42",
        "loupe:project": "digits",
        "loupe:stack": "loupe",
    }


def test_project_yaml_says_who_labels_how_and_how_long() -> None:
    human_task = labeling_job_request(CARD, FULL, 3, SETUP)["HumanTaskConfig"]
    assert human_task["WorkteamArn"] == TEAM
    assert human_task["TaskTitle"] == "Find scratches"
    assert human_task["TaskDescription"] == "Metal plates"
    assert human_task["TaskKeywords"] == ["plates", "surface defects"]
    assert human_task["NumberOfHumanWorkersPerDataObject"] == 3
    assert human_task["TaskTimeLimitInSeconds"] == 60
    assert human_task["TaskAvailabilityLifetimeInSeconds"] == 24 * 3600
    assert human_task["MaxConcurrentTaskCount"] == 50
    other = GroundTruth(workteam=TEAM.replace("private", "vendor"))
    vendor = labeling_job_request(CARD, other, 1, SETUP)["HumanTaskConfig"]
    assert vendor["WorkteamArn"] == other.workteam


def test_a_review_has_an_attribute_and_an_output_of_its_own() -> None:
    card = replace(CARD, task="bounding-box", review="adjustment", review_of="v0001")
    request = labeling_job_request(card, GroundTruth(automated_labeling=True), 1, SETUP)
    assert request["LabelAttributeName"] == "boxes-adjusted"
    assert request["OutputConfig"]["S3OutputPath"].endswith(f"/labeling-jobs/{card.job}/review")
    assert "LabelingJobAlgorithmsConfig" not in request


def test_the_stacks_keys_encrypt_output_and_volumes() -> None:
    setup = replace(SETUP, output_key="arn:aws:kms:eu-central-1:111122223333:key/o", volume_key="alias/v")
    request = labeling_job_request(CARD, GroundTruth(automated_labeling=True), 1, setup)
    assert_sagemaker_takes("CreateLabelingJob", request)
    assert request["OutputConfig"]["KmsKeyId"] == setup.output_key
    algorithms = request["LabelingJobAlgorithmsConfig"]
    assert algorithms["LabelingJobResourceConfig"] == {"VolumeKmsKeyId": "alias/v"}
    assert algorithms["LabelingJobAlgorithmSpecificationArn"] == (
        "arn:aws:sagemaker:eu-central-1:027400017018:labeling-job-algorithm-specification/image-classification"
    )
    assert "KmsKeyId" not in labeling_job_request(CARD, GroundTruth(), 1, SETUP)["OutputConfig"]


@pytest.mark.parametrize(
    ("card", "config", "setup", "reason"),
    [
        (CARD, GroundTruth(), replace(SETUP, region="eu-north-1"), "not in the region eu-north-1"),
        (CARD, GroundTruth(), replace(SETUP, workteam=""), "labeling.ground_truth.workteam"),
        (CARD, GroundTruth(), replace(SETUP, region="us-east-1"), "is not in the region of the stack"),
        (CARD, GroundTruth(title="Find 🙂"), SETUP, "emoji"),
        (CARD, GroundTruth(description="two\nlines"), SETUP, "one line"),
        (CARD, GroundTruth(tags={"aws:x": "y"}), SETUP, "'aws:x' can't be a tag"),
        (CARD, GroundTruth(tags={"": "y"}), SETUP, "'' can't be a tag"),
        (CARD, GroundTruth(tags={"loupe:stack": "y"}), SETUP, "can't be a tag"),
        (CARD, GroundTruth(task_seconds=7200, task_available_hours=1), SETUP, "task_available_hours"),
        (
            replace(CARD, task="bounding-box", labels=tuple(f"l{n}" for n in range(51))),
            GroundTruth(),
            SETUP,
            "at most 50 labels",
        ),
        (
            replace(CARD, task="multi-label-classification"),
            GroundTruth(automated_labeling=True),
            SETUP,
            "no automated labeling of multi-label-classification",
        ),
        (replace(CARD, review="verification", review_of="v0001"), GroundTruth(), SETUP, "no verification"),
    ],
)
def test_what_ground_truth_would_not_take_is_refused_with_the_reason(
    card: JobCard, config: GroundTruth, setup: GroundTruthSetup, reason: str
) -> None:
    with pytest.raises(LabelingRefused, match=reason):
        labeling_job_request(card, config, 1, setup)


def test_automated_labeling_needs_many_images_that_are_not_too_large() -> None:
    automated = GroundTruth(automated_labeling=True)
    with pytest.raises(LabelingRefused, match=r"at least 1,250 images a job, and this one has 1,249"):
        check_images(CARD, automated, rows(1_249))
    check_images(CARD, automated, rows(1_250, 2160, 3840))
    with pytest.raises(LabelingRefused, match="3840 by 2160"):
        check_images(CARD, automated, rows(1_250, 3841, 100))
    check_images(CARD, GroundTruth(), rows(3, 9000, 9000))
    check_images(replace(CARD, review="adjustment"), automated, rows(3))


def test_images_must_be_named_as_what_they_are() -> None:
    check_images(CARD, GroundTruth(), rows(1, name="B.JPEG"))
    with pytest.raises(LabelingRefused, match="digits/photo"):
        check_images(CARD, GroundTruth(), rows(1, name="photo"))
