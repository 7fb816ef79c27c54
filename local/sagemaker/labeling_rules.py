"""What CreateLabelingJob asks of a request beyond its shape, and of the objects in S3 that it names.

The rules are those of Ground Truth's API reference and guide (input data limits, label category files, worker
templates); what the portal could not do in a worker's place is refused by name.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import liquid
from liquid.exceptions import FilterArgumentError, LiquidError

from local.home import REGION
from local.sagemaker.errors import NotAvailableError, ValidationError
from local.sagemaker.store import Document

Row = dict[str, Any]

# Whose Lambda functions prepare tasks and consolidate answers in each Region.
FUNCTION_ACCOUNTS = {
    "us-east-1": "432418664414",
    "us-east-2": "266458841044",
    "us-west-2": "081040173940",
    "ca-central-1": "918755190332",
    "eu-west-1": "568282634449",
    "eu-west-2": "487402164563",
    "eu-central-1": "203001061592",
    "ap-northeast-1": "477331159723",
    "ap-northeast-2": "845288260483",
    "ap-south-1": "565803892007",
    "ap-southeast-1": "377565633583",
    "ap-southeast-2": "454466003867",
}
_ALGORITHMS = {
    "ImageMultiClass": "image-classification",
    "BoundingBox": "object-detection",
    "AdjustmentBoundingBox": "object-detection",
}
MIN_AUTOMATED = 1_250
_MAX_OBJECTS = 100_000
_MAX_LINE = 100_000
_MAX_VALUE = 20_000
_MAX_LABELS = 50
_MAX_TASK_SECONDS = 28_800
MAX_AVAILABLE_SECONDS = 30 * 24 * 3600
_IMAGES = (".jpg", ".jpeg", ".png")
_FUNCTION = re.compile(r"arn:aws[a-z-]*:lambda:([a-z0-9-]*):(\d{12}):function:(PRE|ACS)-(\w+)")


@dataclass(frozen=True)
class Kind:
    """A built-in task type by the name in its Lambda functions, and the portal's task that stands for it."""

    name: str
    task: str

    @property
    def is_adjustment(self) -> bool:
        return self.name.startswith("Adjustment")


KINDS = {
    kind.name: kind
    for kind in (
        Kind("ImageMultiClass", "image-classification"),
        Kind("ImageMultiClassMultiLabel", "multi-label-classification"),
        Kind("BoundingBox", "bounding-box"),
        Kind("AdjustmentBoundingBox", "bounding-box"),
    )
}


class ManifestError(Exception):
    """The input manifest can't be labeled; the text is for the job's FailureReason."""


# -- the request -------------------------------------------------------------------------------------


def check(request: Document) -> Kind:
    """Raises ValidationError, or NotAvailableError for what is not served here."""
    kind = _kind(request["HumanTaskConfig"])
    _check_attribute(request["LabelAttributeName"])
    _check_times(request["HumanTaskConfig"])
    _check_sources(request)
    _check_algorithm(request, kind)
    if "LabelCategoryConfigS3Uri" not in request:
        raise ValidationError(f"LabelCategoryConfigS3Uri is required for the task type {kind.name}.")
    if request["HumanTaskConfig"]["NumberOfHumanWorkersPerDataObject"] > 1:
        raise NotAvailableError("NumberOfHumanWorkersPerDataObject above 1")
    return kind


def _kind(human: Document) -> Kind:
    """The built-in task type of both Lambda functions."""
    consolidation = human.get("AnnotationConsolidationConfig", {}).get("AnnotationConsolidationLambdaArn")
    before = _function("PreHumanTaskLambdaArn", human.get("PreHumanTaskLambdaArn"), "PRE")
    after = _function("AnnotationConsolidationLambdaArn", consolidation, "ACS")
    if before != after:
        raise ValidationError(
            f"PreHumanTaskLambdaArn (PRE-{before}) and AnnotationConsolidationLambdaArn (ACS-{after}) must "
            "be of the same task type."
        )
    if before not in KINDS:
        raise NotAvailableError(f"the task type {before}, which the labeling portal can't show to workers,")
    return KINDS[before]


def _function(member: str, given: str | None, prefix: str) -> str:
    if given is None:
        raise ValidationError(f"{member} is required for a built-in task type.")
    found = _FUNCTION.fullmatch(given)
    if found is None:
        raise NotAvailableError(f"a labeling job with a Lambda function of one's own ({member} {given})")
    region, account, kind, name = found.groups()
    if (region, account, kind) != (REGION, FUNCTION_ACCOUNTS[REGION], prefix):
        expected = f"arn:aws:lambda:{REGION}:{FUNCTION_ACCOUNTS[REGION]}:function:{prefix}-{name}"
        raise ValidationError(f"{member} {given} is not a function of this Region; expected {expected}.")
    return name


def _check_attribute(name: str) -> None:
    if name.endswith("-metadata") or name in ("source", "source-ref"):
        raise ValidationError(
            f"LabelAttributeName {name!r} is reserved: it must not end with '-metadata' nor be 'source' or "
            "'source-ref'."
        )
    if name.endswith("-ref"):
        raise ValidationError(
            f"LabelAttributeName {name!r} must not end with '-ref', which is for semantic segmentation."
        )


def _check_times(human: Document) -> None:
    if human["TaskTimeLimitInSeconds"] > _MAX_TASK_SECONDS:
        raise ValidationError(f"TaskTimeLimitInSeconds must be at most {_MAX_TASK_SECONDS} for images.")
    available = human.get("TaskAvailabilityLifetimeInSeconds", MAX_AVAILABLE_SECONDS)
    if available > MAX_AVAILABLE_SECONDS:
        raise ValidationError(
            f"TaskAvailabilityLifetimeInSeconds must be at most {MAX_AVAILABLE_SECONDS} for a private "
            "workforce."
        )
    if available < human["TaskTimeLimitInSeconds"]:
        raise ValidationError(
            "TaskAvailabilityLifetimeInSeconds must be greater than or equal to TaskTimeLimitInSeconds."
        )


def _check_sources(request: Document) -> None:
    source = request["InputConfig"]["DataSource"]
    if "SnsDataSource" in source or "SnsTopicArn" in request["OutputConfig"]:
        raise NotAvailableError("a streaming labeling job (SnsDataSource)")
    if "S3DataSource" not in source:
        raise ValidationError("InputConfig.DataSource needs S3DataSource or SnsDataSource.")
    human = request["HumanTaskConfig"]
    if "PublicWorkforceTaskPrice" in human:
        raise ValidationError("PublicWorkforceTaskPrice is for the public workforce only.")
    if "UiTemplateS3Uri" not in human["UiConfig"]:
        raise ValidationError("UiConfig.UiTemplateS3Uri is required for image task types.")


def _check_algorithm(request: Document, kind: Kind) -> None:
    wanted = request.get("LabelingJobAlgorithmsConfig")
    if wanted is None:
        return
    algorithm = _ALGORITHMS.get(kind.name)
    if algorithm is None:
        raise ValidationError(f"Automated data labeling is not supported for the task type {kind.name}.")
    given = wanted["LabelingJobAlgorithmSpecificationArn"]
    expected = f"arn:aws:sagemaker:{REGION}:027400017018:labeling-job-algorithm-specification/{algorithm}"
    if given != expected:
        raise ValidationError(f"LabelingJobAlgorithmSpecificationArn {given} must be {expected}.")


def check_automated(objects: int) -> None:
    """Raises ValidationError for too few objects, NotAvailableError for enough of them."""
    if objects < MIN_AUTOMATED:
        raise ValidationError(
            f"Automated data labeling needs an input manifest of at least {MIN_AUTOMATED} objects, "
            f"not {objects}."
        )
    raise NotAvailableError("automated data labeling (LabelingJobAlgorithmsConfig)")


# -- the objects that it names -----------------------------------------------------------------------


def read_labels(content: bytes, kind: Kind) -> tuple[str, ...]:
    """The labels of a label category file. Raises ValidationError."""
    try:
        document = json.loads(content)
        version, found = document["document-version"], tuple(each["label"] for each in document["labels"])
    except (ValueError, LookupError, TypeError) as error:
        raise ValidationError(
            "The label category configuration file must be JSON of the form "
            f'{{"document-version": "2018-11-28", "labels": [{{"label": "..."}}]}}: {error}'
        ) from error
    if version != "2018-11-28":
        raise ValidationError(f"The label category configuration file has document-version {version!r}.")
    least = 2 if kind.task != "bounding-box" else 1
    if len(found) < least or len(set(found)) < len(found):
        raise ValidationError(
            f"The label category configuration file must have at least {least} labels, each of them once."
        )
    if kind.name != "ImageMultiClass" and len(found) > _MAX_LABELS:
        raise ValidationError(
            f"The task type {kind.name} takes at most {_MAX_LABELS} labels, not {len(found)}."
        )
    wrong = [label for label in found if not isinstance(label, str) or not 1 <= len(label) <= 256]
    if wrong:
        raise ValidationError(f"A label must have 1 to 256 characters, unlike {wrong[0]!r}.")
    return found


def check_template(content: bytes, labels: Sequence[str]) -> None:
    """Raises ValidationError unless it is a Liquid template with a crowd-form that can be rendered."""
    task = {"taskObject": "s3://bucket/image.jpg", "labels": list(labels), "manifestLine": {}}
    try:
        rendered = _liquid().from_string(content.decode()).render(task={"input": task})
    except (UnicodeDecodeError, LiquidError) as error:
        raise ValidationError(f"The worker task template can't be rendered: {error}") from error
    if re.search(r"<crowd-form[\s>]", rendered) is None:
        raise ValidationError("The worker task template has no <crowd-form> element.")


@functools.cache
def _liquid() -> liquid.Environment:
    """Liquid with the filters that Ground Truth adds to it."""
    environment = liquid.Environment()
    environment.add_filter("grant_read_access", _grant_read_access)
    environment.add_filter("to_json", _to_json)
    environment.add_filter("skip_autoescape", str)
    return environment


def _grant_read_access(value: object) -> str:
    if not str(value).startswith("s3://"):
        raise FilterArgumentError(f'"grant_read_access" input is not a valid S3 URI: "{value}"', token=None)
    return f"{value}?X-Amz-Signature=sample"


def _to_json(value: object) -> str:
    return json.dumps(value, default=str)


def rows(lines: Iterable[str]) -> Iterator[Row]:
    """The rows of an input manifest. Raises ManifestError at the first that can't be labeled."""
    number = 0
    for number, line in enumerate((line for line in lines if line.strip()), start=1):
        if number > _MAX_OBJECTS:
            raise ManifestError(f"The input manifest has more than {_MAX_OBJECTS} objects")
        try:
            yield _row(line)
        except ValueError as error:
            raise ManifestError(f"Line {number} of the input manifest: {error}") from error
    if number == 0:
        raise ManifestError("The input manifest has no objects")


def _row(line: str) -> Row:
    """Raises ValueError."""
    if len(line) > _MAX_LINE:
        raise ValueError(f"it has more than {_MAX_LINE} characters")
    row = json.loads(line)
    if not isinstance(row, dict):
        raise ValueError("it is not a JSON object")
    source = row.get("source-ref")
    if not isinstance(source, str) or re.fullmatch(r"s3://[^/]+/.+", source, re.DOTALL) is None:
        raise ValueError("source-ref is not the S3 URI of an image")
    if not source.lower().endswith(_IMAGES):
        raise ValueError(f"{source} does not end in one of {', '.join(_IMAGES)}")
    for name, value in row.items():
        if name.startswith("$"):
            raise ValueError(f"the attribute {name!r} starts with $")
        if len(json.dumps(value, ensure_ascii=False)) > _MAX_VALUE:
            raise ValueError(f"the attribute {name!r} has more than {_MAX_VALUE} characters")
    return row


def audited_attribute(rows: Iterable[Row], attribute: str, kind: Kind) -> str | None:
    """The attribute of the labels that an adjustment starts from, which every row must have; None for other
    jobs. Raises ManifestError."""
    if not kind.is_adjustment:
        return None
    names: set[str] | None = None
    for row in rows:
        labeled = {name for name in row if f"{name}-metadata" in row and name != attribute}
        names = labeled if names is None else names & labeled
    if not names:
        raise ManifestError("The rows of the input manifest have no labels in common that could be adjusted")
    return sorted(names)[-1]
