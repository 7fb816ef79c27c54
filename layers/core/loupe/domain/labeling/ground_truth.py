"""SageMaker Ground Truth: what a labeling job is asked for, and when it is refused before it is asked.

Sources: the model of CreateLabelingJob (names, patterns, the accounts of the built-in functions) and the
developer guide (limits of labels, images and automated labeling, names of label attributes).
"""

import json
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from string import Template
from typing import Any

from loupe.domain.configuration import valid_config
from loupe.domain.errors import AlreadyWritten, ObjectMissing
from loupe.domain.labeling.starting import LabelingRefused
from loupe.domain.manifests import HEIGHT, WIDTH, Row, S3Uri, read_rows
from loupe.domain.projects import (
    MAX_GROUND_TRUTH_LABELS,
    MIN_AUTOMATED_LABELING,
    GroundTruth,
    TaskType,
)
from loupe.domain.workspace import Workspace
from loupe.ports.labeling import JobCard, ReviewKind
from loupe.ports.objects import StoresObjects
from loupe.ports.projects import KeepsProjects

PROVIDER = "ground-truth"

ACCOUNTS = {
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
"""Regions that have Ground Truth, with the account whose functions prepare and consolidate tasks there."""

MAX_IMAGES = 100_000
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
MAX_AUTOMATED_SIDES = (3840, 2160)
"""Largest image, in pixels, that automated labeling takes."""

_ALGORITHMS_ACCOUNT = "027400017018"
_ALGORITHMS: dict[TaskType, str] = {
    "image-classification": "image-classification",
    "bounding-box": "object-detection",
}
"""Algorithms that label by themselves."""

_TITLE = re.compile("[\t\n\r -\ud7ff\ue000-\ufffd]*")
_WORKTEAM_REGION = re.compile(r"arn:[^:]+:sagemaker:([^:]+):")


@dataclass(frozen=True)
class GroundTruthSetup:
    """What of the stack a request needs. Empty text where the stack has no such thing: `workteam` is an ARN,
    `output_key` and `volume_key` are KMS keys."""

    stack: str
    region: str
    role_arn: str
    workspace_bucket: str
    workteam: str = ""
    output_key: str = ""
    volume_key: str = ""

    def uri(self, key: str) -> str:
        """Of an object of the workspace bucket."""
        return str(S3Uri(self.workspace_bucket, key))


@dataclass(frozen=True)
class WorkerTask:
    """What workers do: Ground Truth's name of it, Loupe's page for it, and the attribute that the outcome has
    in the output manifest."""

    function: str
    template: str
    attribute: str
    title: str


_TASKS: dict[tuple[TaskType, ReviewKind | None], WorkerTask] = {
    ("image-classification", None): WorkerTask(
        "ImageMultiClass", "image-classification", "label", "Choose the label of each image"
    ),
    ("multi-label-classification", None): WorkerTask(
        "ImageMultiClassMultiLabel",
        "multi-label-classification",
        "labels",
        "Choose all labels that apply to each image",
    ),
    ("bounding-box", None): WorkerTask(
        "BoundingBox", "bounding-box", "boxes", "Draw a box around each object"
    ),
    ("image-classification", "adjustment"): WorkerTask(
        "ImageMultiClass", "image-classification-review", "label-reviewed", "Check the label of each image"
    ),
    ("multi-label-classification", "adjustment"): WorkerTask(
        "ImageMultiClassMultiLabel",
        "multi-label-classification-review",
        "labels-reviewed",
        "Check the labels of each image",
    ),
    ("bounding-box", "adjustment"): WorkerTask(
        "AdjustmentBoundingBox",
        "bounding-box-adjustment",
        "boxes-adjusted",
        "Correct the boxes in each image",
    ),
    ("bounding-box", "verification"): WorkerTask(
        "VerificationBoundingBox",
        "bounding-box-verification",
        "boxes-verified",
        "Say whether the boxes in each image are right",
    ),
}


def worker_task(task: TaskType, review: ReviewKind | None) -> WorkerTask:
    """Raises `LabelingRefused` for a kind of review that Ground Truth has not for that task."""
    found = _TASKS.get((task, review))
    if found is None:
        raise LabelingRefused(
            f"Ground Truth has no {review} of {task}: workers choose anew, with the label of now before them "
            "(--kind adjustment)"
        )
    return found


# The request ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RequestLabelingJob:
    """Decides what Ground Truth is asked for, and writes down the request and its page beside the job.

    The request is written once, so that a start that is repeated asks for the same, whatever became of
    project.yaml meanwhile. `template` gives the page of a name, with `$header` and `$instructions` where a
    job's own words belong.
    """

    projects: KeepsProjects
    workspace: StoresObjects
    template: Callable[[str], str]
    setup: GroundTruthSetup

    def __call__(self, card: JobCard) -> dict[str, Any]:
        """The parameters of CreateLabelingJob. Raises `LabelingRefused`."""
        space = Workspace(card.project)
        with suppress(ObjectMissing):
            return dict(json.loads(self.workspace.read(space.request(card.job))))
        labeling = valid_config(self.projects, card.project).labeling
        request = labeling_job_request(card, labeling.ground_truth, labeling.workers_per_image, self.setup)
        check_images(
            card, labeling.ground_truth, read_rows(self.workspace.lines(space.input_manifest(card.job)))
        )
        page = self.template(worker_task(card.task, card.review).template)
        self.workspace.write(
            space.worker_template(card.job), fill_template(page, card).encode(), "text/html; charset=utf-8"
        )
        content = json.dumps(request, ensure_ascii=False, indent=1).encode()
        try:
            self.workspace.write_once(space.request(card.job), content, "application/json")
        except AlreadyWritten:
            return dict(json.loads(self.workspace.read(space.request(card.job))))
        return request


def labeling_job_request(
    card: JobCard, config: GroundTruth, workers: int, setup: GroundTruthSetup
) -> dict[str, Any]:
    """The parameters of CreateLabelingJob for a job whose manifest is written. Raises `LabelingRefused`."""
    human_task = _human_task(card, config, workers, setup)
    _check_labels(card)
    space = Workspace(card.project)
    manifest = {"ManifestS3Uri": setup.uri(space.input_manifest(card.job))}
    request: dict[str, Any] = {
        "LabelingJobName": card.job,
        "LabelAttributeName": worker_task(card.task, card.review).attribute,
        "InputConfig": {"DataSource": {"S3DataSource": manifest}},
        "OutputConfig": _output(card, setup),
        "RoleArn": setup.role_arn,
        "LabelCategoryConfigS3Uri": setup.uri(space.label_categories(card.job)),
        "HumanTaskConfig": human_task,
        "Tags": _tags(card, config, setup),
    }
    if _is_automated(card, config):
        request["LabelingJobAlgorithmsConfig"] = _automated(card, setup)
    return request


def _human_task(card: JobCard, config: GroundTruth, workers: int, setup: GroundTruthSetup) -> dict[str, Any]:
    """What workers see and do, and for how long. Raises `LabelingRefused`."""
    account = _account(setup.region)
    task = worker_task(card.task, card.review)

    def function(step: str) -> str:
        return f"arn:aws:lambda:{setup.region}:{account}:function:{step}-{task.function}"

    page = Workspace(card.project).worker_template(card.job)
    human_task: dict[str, Any] = {
        "WorkteamArn": _workteam(config, setup),
        "UiConfig": {"UiTemplateS3Uri": setup.uri(page)},
        "PreHumanTaskLambdaArn": function("PRE"),
        "TaskTitle": _title(config.title or f"{task.title}: {card.project}"),
        "TaskDescription": _description(
            config.description or f"{task.title}, for the project {card.project}"
        ),
        "NumberOfHumanWorkersPerDataObject": workers,
        "TaskTimeLimitInSeconds": config.task_seconds,
        "TaskAvailabilityLifetimeInSeconds": _available_seconds(config),
        "MaxConcurrentTaskCount": config.max_concurrent_tasks,
        "AnnotationConsolidationConfig": {"AnnotationConsolidationLambdaArn": function("ACS")},
    }
    if config.keywords:
        human_task["TaskKeywords"] = list(config.keywords)
    return human_task


def _output(card: JobCard, setup: GroundTruthSetup) -> dict[str, Any]:
    space = Workspace(card.project)
    folder = space.review(card.job) if card.review else space.jobs.rstrip("/")
    output = {"S3OutputPath": setup.uri(folder)}
    if setup.output_key:
        output["KmsKeyId"] = setup.output_key
    return output


def _available_seconds(config: GroundTruth) -> int:
    """How long a task waits for a worker."""
    available = config.task_available_hours * 3600
    if available < config.task_seconds:
        raise LabelingRefused(
            f"labeling.ground_truth.task_available_hours: a task can't be gone after {available:,} s while a "
            f"worker has {config.task_seconds:,} s for it (task_seconds)"
        )
    return available


def check_images(card: JobCard, config: GroundTruth, rows: Iterable[Row]) -> None:
    """Raises `LabelingRefused` where Ground Truth takes no job of these images."""
    images = too_large = 0
    longest, shortest = MAX_AUTOMATED_SIDES
    for row in rows:
        images += 1
        if not row["source-ref"].lower().endswith(IMAGE_SUFFIXES):
            raise LabelingRefused(
                f"Ground Truth takes images whose names end in {', '.join(IMAGE_SUFFIXES)}, unlike "
                f"{row['source-ref']}: name it so, or set labeling.provider to portal"
            )
        too_large += max(row[WIDTH], row[HEIGHT]) > longest or min(row[WIDTH], row[HEIGHT]) > shortest
    if images > MAX_IMAGES:
        raise LabelingRefused(f"Ground Truth takes at most {MAX_IMAGES:,} images a job, not {images:,}")
    if not _is_automated(card, config):
        return
    if images < MIN_AUTOMATED_LABELING:
        raise LabelingRefused(
            f"automated labeling needs at least {MIN_AUTOMATED_LABELING:,} images a job, and this one has "
            f"{images:,}: set labeling.ground_truth.automated_labeling to false, or add images"
        )
    if too_large:
        raise LabelingRefused(
            f"automated labeling takes images of at most {longest} by {shortest} pixels, and {too_large:,} "
            f"of {images:,} are larger: set labeling.ground_truth.automated_labeling to false"
        )


def _account(region: str) -> str:
    if region not in ACCOUNTS:
        raise LabelingRefused(
            f"SageMaker Ground Truth is not in the region {region}; it is in {', '.join(sorted(ACCOUNTS))}. "
            "Set labeling.provider to portal, or deploy Loupe there"
        )
    return ACCOUNTS[region]


def _workteam(config: GroundTruth, setup: GroundTruthSetup) -> str:
    workteam = config.workteam or setup.workteam
    if not workteam:
        raise LabelingRefused(
            "nobody is named who labels: set labeling.ground_truth.workteam to the ARN of a private or "
            "vendor workteam, or deploy the stack with CreateWorkforce=true or WorkteamArn"
        )
    region = _WORKTEAM_REGION.match(workteam)
    if region is None or region[1] != setup.region:
        raise LabelingRefused(f"the workteam {workteam} is not in the region of the stack, {setup.region}")
    return workteam


def _check_labels(card: JobCard) -> None:
    if card.task != "image-classification" and len(card.labels) > MAX_GROUND_TRUTH_LABELS:
        raise LabelingRefused(
            f"Ground Truth takes at most {MAX_GROUND_TRUTH_LABELS} labels for {card.task}, "
            f"not {len(card.labels)}"
        )


def _title(text: str) -> str:
    if not _TITLE.fullmatch(text):
        raise LabelingRefused(f"labeling.ground_truth.title: Ground Truth takes no emoji there: {text!r}")
    return text


def _description(text: str) -> str:
    if len(text.splitlines()) > 1:
        raise LabelingRefused("labeling.ground_truth.description: Ground Truth takes one line there")
    return text


def _tags(card: JobCard, config: GroundTruth, setup: GroundTruthSetup) -> list[dict[str, str]]:
    own = {"loupe:project": card.project, "loupe:stack": setup.stack}
    for name in config.tags:
        if not name or len(name) > 128 or name.lower().startswith("aws:") or name in own:
            raise LabelingRefused(
                f"labeling.ground_truth.tags: {name!r} can't be a tag: it must have 1 to 128 characters, not "
                f"begin with aws:, and not be one of {', '.join(own)}"
            )
    return [{"Key": name, "Value": value} for name, value in {**config.tags, **own}.items()]


def _is_automated(card: JobCard, config: GroundTruth) -> bool:
    return config.automated_labeling and card.review is None


def _automated(card: JobCard, setup: GroundTruthSetup) -> dict[str, Any]:
    if card.task not in _ALGORITHMS:
        raise LabelingRefused(
            f"Ground Truth has no automated labeling of {card.task}: set "
            "labeling.ground_truth.automated_labeling to false"
        )
    algorithm = f"labeling-job-algorithm-specification/{_ALGORITHMS[card.task]}"
    specification: dict[str, Any] = {
        "LabelingJobAlgorithmSpecificationArn": (
            f"arn:aws:sagemaker:{setup.region}:{_ALGORITHMS_ACCOUNT}:{algorithm}"
        )
    }
    if setup.volume_key:
        specification["LabelingJobResourceConfig"] = {"VolumeKmsKeyId": setup.volume_key}
    return specification


# The page -------------------------------------------------------------------------------------------


def fill_template(page: str, card: JobCard) -> str:
    """A worker template with the job's words in it; what is left are Ground Truth's own placeholders."""
    task = worker_task(card.task, card.review)
    return Template(page).substitute(
        header=_as_text(task.title),
        instructions=_as_text(card.instructions or "Look at the whole image before you answer."),
    )


def _as_text(text: str) -> str:
    """Text that is neither HTML nor Liquid."""
    return escape(text).replace("{", "&#123;").replace("}", "&#125;")
