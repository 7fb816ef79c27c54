"""What Ground Truth refuses about a labeling job, and what it reads in the objects that a job names."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local.sagemaker import labeling_rules
from local.sagemaker.errors import NotAvailableError, ValidationError
from local.sagemaker.labeling_rules import KINDS, ManifestError
from local.sagemaker.validation import validate

ACCOUNT = "432418664414"
PAGE = '<crowd-form><x src="{{ task.input.taskObject | grant_read_access }}"></x></crowd-form>'


def function(prefix: str, kind: str, account: str = ACCOUNT, region: str = "us-east-1") -> str:
    return f"arn:aws:lambda:{region}:{account}:function:{prefix}-{kind}"


def request(
    kind: str = "ImageMultiClass", human: dict[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    return {
        "LabelingJobName": "parts-0001",
        "LabelAttributeName": "label",
        "InputConfig": {"DataSource": {"S3DataSource": {"ManifestS3Uri": "s3://work/input.manifest"}}},
        "OutputConfig": {"S3OutputPath": "s3://work/jobs"},
        "RoleArn": "arn:aws:iam::000000000000:role/ground-truth",
        "LabelCategoryConfigS3Uri": "s3://work/labels.json",
        "HumanTaskConfig": {
            "WorkteamArn": "arn:aws:sagemaker:us-east-1:000000000000:workteam/private-crowd/parts",
            "UiConfig": {"UiTemplateS3Uri": "s3://work/template.liquid"},
            "PreHumanTaskLambdaArn": function("PRE", kind),
            "AnnotationConsolidationConfig": {"AnnotationConsolidationLambdaArn": function("ACS", kind)},
            "TaskTitle": "Parts",
            "TaskDescription": "Mark the worst defect",
            "NumberOfHumanWorkersPerDataObject": 1,
            "TaskTimeLimitInSeconds": 600,
            **(human or {}),
        },
        **changes,
    }


@pytest.mark.parametrize(
    ("kind", "task"),
    [
        ("ImageMultiClass", "image-classification"),
        ("ImageMultiClassMultiLabel", "multi-label-classification"),
        ("BoundingBox", "bounding-box"),
        ("AdjustmentBoundingBox", "bounding-box"),
    ],
)
def test_a_built_in_task_type_becomes_a_task_of_the_portal(kind: str, task: str) -> None:
    given = request(kind)
    validate("CreateLabelingJob", given)
    assert labeling_rules.check(given).task == task


@pytest.mark.parametrize(
    ("changes", "human", "said"),
    [
        ({"LabelAttributeName": "label-metadata"}, {}, "must not end with '-metadata'"),
        ({"LabelAttributeName": "source-ref"}, {}, "'source-ref' is reserved"),
        ({"LabelAttributeName": "mask-ref"}, {}, "must not end with '-ref'"),
        ({}, {"PreHumanTaskLambdaArn": function("PRE", "BoundingBox")}, "must be of the same task type"),
        (
            {},
            {"PreHumanTaskLambdaArn": function("PRE", "ImageMultiClass", "111122223333")},
            "expected arn:aws",
        ),
        (
            {},
            {"PreHumanTaskLambdaArn": function("PRE", "ImageMultiClass", region="eu-west-1")},
            "is not a function of this Region",
        ),
        ({}, {"PreHumanTaskLambdaArn": function("ACS", "ImageMultiClass")}, "function:PRE-ImageMultiClass"),
        ({}, {"TaskTimeLimitInSeconds": 28_801}, "at most 28800"),
        ({}, {"TaskAvailabilityLifetimeInSeconds": 2_592_001}, "at most 2592000"),
        ({}, {"TaskAvailabilityLifetimeInSeconds": 60}, "greater than or equal to TaskTimeLimit"),
        ({}, {"PublicWorkforceTaskPrice": {"AmountInUsd": {"Cents": 1}}}, "public workforce only"),
        ({}, {"UiConfig": {}}, "UiTemplateS3Uri is required"),
        ({"InputConfig": {"DataSource": {}}}, {}, "S3DataSource"),
        (
            {"LabelingJobAlgorithmsConfig": {"LabelingJobAlgorithmSpecificationArn": "arn:aws:x"}},
            {},
            "labeling-job-algorithm-specification/image-classification",
        ),
    ],
)
def test_what_ground_truth_refuses_is_refused(
    changes: dict[str, Any], human: dict[str, Any], said: str
) -> None:
    given = request(human=human, **changes)
    with pytest.raises(ValidationError, match=said):
        labeling_rules.check(given)


@pytest.mark.parametrize("member", ["PreHumanTaskLambdaArn", "AnnotationConsolidationConfig"])
def test_built_in_task_types_need_both_functions(member: str) -> None:
    given = request()
    del given["HumanTaskConfig"][member]
    with pytest.raises(ValidationError, match="is required for a built-in task type"):
        labeling_rules.check(given)


def test_there_is_no_automated_labeling_of_several_labels() -> None:
    algorithm = {"LabelingJobAlgorithmSpecificationArn": "arn:aws:x"}
    given = request("ImageMultiClassMultiLabel", LabelingJobAlgorithmsConfig=algorithm)
    with pytest.raises(ValidationError, match="not supported for the task type ImageMultiClassMultiLabel"):
        labeling_rules.check(given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (request("SemanticSegmentation"), "the task type SemanticSegmentation"),
        (request("VerificationBoundingBox"), "the task type VerificationBoundingBox"),
        (
            request(human={"PreHumanTaskLambdaArn": "arn:aws:lambda:us-east-1:000000000000:function:mine"}),
            "a Lambda function of one's own",
        ),
        (
            request(human={"NumberOfHumanWorkersPerDataObject": 3}),
            "NumberOfHumanWorkersPerDataObject above 1",
        ),
        (
            request(InputConfig={"DataSource": {"SnsDataSource": {"SnsTopicArn": "arn:aws:sns:x"}}}),
            "a streaming labeling job",
        ),
    ],
)
def test_what_the_portal_can_not_do_is_refused_by_name(given: dict[str, Any], said: str) -> None:
    with pytest.raises(NotAvailableError, match=f"{said}.* is not available in the local cloud"):
        labeling_rules.check(given)


def test_automated_labeling_is_refused_below_1250_objects_and_named_above() -> None:
    with pytest.raises(ValidationError, match="at least 1250 objects, not 1249"):
        labeling_rules.check_automated(1_249)
    with pytest.raises(NotAvailableError, match="automated data labeling"):
        labeling_rules.check_automated(1_250)


# Objects --------------------------------------------------------------------------------------------


def categories(*labels: Any, version: str = "2018-11-28") -> bytes:
    return json.dumps(
        {"document-version": version, "labels": [{"label": label} for label in labels]}
    ).encode()


def test_labels_are_read_in_the_order_of_their_classes() -> None:
    assert labeling_rules.read_labels(categories("b", "a"), KINDS["ImageMultiClass"]) == ("b", "a")
    assert labeling_rules.read_labels(categories("bolt"), KINDS["BoundingBox"]) == ("bolt",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no json", "must be JSON of the form"),
        (b"[]", "must be JSON of the form"),
        (categories("a", "b", version="2019"), "document-version '2019'"),
        (categories("a"), "at least 2 labels"),
        (categories("a", "a"), "each of them once"),
        (categories("a", "b" * 257), "1 to 256 characters"),
        (categories("a", ""), "1 to 256 characters"),
    ],
)
def test_a_label_category_file_that_can_not_be_used_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        labeling_rules.read_labels(content, KINDS["ImageMultiClass"])


@pytest.mark.parametrize("kind", ["ImageMultiClassMultiLabel", "BoundingBox"])
def test_only_single_label_jobs_take_more_than_fifty_labels(kind: str) -> None:
    many = categories(*map(str, range(51)))
    assert len(labeling_rules.read_labels(many, KINDS["ImageMultiClass"])) == 51
    with pytest.raises(ValidationError, match="at most 50 labels, not 51"):
        labeling_rules.read_labels(many, KINDS[kind])


@pytest.mark.parametrize(
    "page",
    [
        PAGE,
        "<crowd-form>{{ task.input.labels | to_json | escape }}</crowd-form>",
        "<crowd-form\n>{% for box in task.input.manifestLine.boxes.annotations %}x{% endfor %}</crowd-form>",
    ],
)
def test_a_worker_template_is_liquid_with_a_crowd_form(page: str) -> None:
    labeling_rules.check_template(page.encode(), ["ok", "<b>"])


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("<form></form>", "no <crowd-form> element"),
        ("<crowd-form>{% if x %}</crowd-form>", "can't be rendered"),
        ("<crowd-form>{{ x | grant_acces }}</crowd-form>", "unknown filter 'grant_acces'"),
        ("<crowd-form>{{ x | grant_read_access }}</crowd-form>", "not a valid S3 URI"),
    ],
)
def test_a_broken_worker_template_is_found(page: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        labeling_rules.check_template(page.encode(), ["ok"])


def test_a_worker_template_is_utf_8() -> None:
    with pytest.raises(ValidationError, match="can't be rendered"):
        labeling_rules.check_template(b"\xff<crowd-form>", ["ok"])


def line(**members: Any) -> str:
    return json.dumps({"source-ref": "s3://raw/a.png", **members})


def test_rows_of_a_manifest_keep_their_members_and_blank_lines_count_for_nothing() -> None:
    rows = list(labeling_rules.rows([line(camera="7") + "\r\n", "\n", line()]))
    assert rows == [{"source-ref": "s3://raw/a.png", "camera": "7"}, {"source-ref": "s3://raw/a.png"}]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "has no objects"),
        ([line(), "{"], "Line 2 of the input manifest"),
        (["[]"], "not a JSON object"),
        (['{"source": "text"}'], "source-ref is not the S3 URI"),
        ([line(**{"source-ref": "s3://raw"})], "source-ref is not the S3 URI"),
        ([line(**{"$x": 1})], "starts with \\$"),
        ([line(**{"source-ref": "s3://raw/a.gif"})], "does not end in one of .jpg, .jpeg, .png"),
        ([line(note="x" * 20_001)], "'note' has more than 20000 characters"),
        ([line(**{str(n): "x" * 19_000 for n in range(6)})], "more than 100000 characters"),
    ],
)
def test_a_manifest_that_can_not_be_labeled_names_the_line(lines: list[str], said: str) -> None:
    with pytest.raises(ManifestError, match=said):
        list(labeling_rules.rows(lines))


def test_a_job_has_at_most_100000_objects() -> None:
    with pytest.raises(ManifestError, match="more than 100000 objects"):
        for _ in labeling_rules.rows(line() for _ in range(100_001)):
            pass


def test_an_adjustment_starts_from_the_labels_that_every_row_has() -> None:
    boxes: dict[str, Any] = {"boxes": {}, "boxes-metadata": {}}
    kind = KINDS["AdjustmentBoundingBox"]
    rows: list[dict[str, Any]] = [boxes | {"other": 1, "other-metadata": {}}, boxes]
    assert labeling_rules.audited_attribute(rows, "boxes-adjusted", kind) == "boxes"
    with pytest.raises(ManifestError, match="no labels in common"):
        labeling_rules.audited_attribute([boxes, {}], "boxes-adjusted", kind)
    assert labeling_rules.audited_attribute([{}], "boxes", KINDS["BoundingBox"]) is None
