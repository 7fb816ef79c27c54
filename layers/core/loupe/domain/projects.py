"""Projects: their names, where their images lie, and project.yaml."""

import re
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from loupe.domain.errors import BadRequest, InvalidProject
from loupe.domain.training.builtin_rules import GPU_FAMILIES, problems, trains_on

CONFIG_FILE = "project.yaml"
EXAMPLES_FOLDER = "instructions"
"""Folder of a project whose images are examples for the people who label."""
MAX_NAME_LENGTH = 32
MAX_CONFIG_BYTES = 256 * 1024
_NAME = re.compile(r"[a-z0-9](-?[a-z0-9])*")

TaskType = Literal["image-classification", "multi-label-classification", "bounding-box"]

LABEL_ATTRIBUTES: dict[TaskType, str] = {
    "image-classification": "label",
    "multi-label-classification": "labels",
    "bounding-box": "boxes",
}
"""Label attribute in the manifests, by task type."""


def is_project_name(name: str) -> bool:
    """Whether `name` can be a project: `[a-z0-9](-?[a-z0-9])*`, at most 32 characters."""
    return len(name) <= MAX_NAME_LENGTH and _NAME.fullmatch(name) is not None


def check_project_name(name: str) -> str:
    """Return `name`; raise `BadRequest` saying what a project name looks like if it is none."""
    if not is_project_name(name):
        raise BadRequest(
            f"{name!r} can't be a project name: use lower-case letters, digits and single dashes, "
            f"begin and end with a letter or digit, at most {MAX_NAME_LENGTH} characters"
        )
    return name


def project_of_key(key: str) -> str | None:
    """The project that an object key of the raw-data bucket belongs to; None if to no project."""
    project, slash, rest = key.partition("/")
    return project if slash and rest and is_project_name(project) else None


def example_key(project: str, file: str) -> str:
    """Key of an example of the instructions in the raw-data bucket."""
    return f"{project}/{EXAMPLES_FOLDER}/{file}"


def is_example_key(key: str) -> bool:
    """Whether what lies there belongs to the instructions, and is no image to be labeled."""
    return key.split("/", 2)[1:2] == [EXAMPLES_FOLDER] and key.count("/") > 1


def config_key(project: str) -> str:
    """Key of a project's project.yaml in the raw-data bucket."""
    return f"{project}/{CONFIG_FILE}"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Provider = Literal["portal", "ground-truth"]
Trainer = Literal["script", "builtin", "rekognition"]
HostingKind = Literal["serverless", "realtime", "rekognition"]
Shift = Literal["canary", "linear", "all-at-once"]

Keyword = Annotated[str, Field(max_length=30, pattern=r"^[A-Za-z0-9]+( [A-Za-z0-9]+)*$")]
TagText = Annotated[str, Field(max_length=256, pattern=r"^[\w\s.:/=+\-@]*$")]

MIN_AUTOMATED_LABELING = 1_250
"""Ground Truth labels by itself only in jobs of at least so many images."""
MOST_SHIFT_SECONDS = 28_800
"""Longest that SageMaker lets a shift of traffic take."""
MOST_WAIT_SECONDS = MOST_SHIFT_SECONDS - 1_800
"""Most of it that may be waits: instances have to be started, too."""
MIN_LINEAR_STEP = 10
"""Least percentage of SageMaker's LinearStepSize."""
MAX_GROUND_TRUTH_LABELS = 50
"""Most labels of a Ground Truth job for several labels or boxes an image."""


class GroundTruth(_Section):
    """What a SageMaker Ground Truth job is started with; limits are those of CreateLabelingJob."""

    workteam: str | None = Field(
        default=None,
        pattern=r"^arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:\d{12}:workteam/(private|vendor)-crowd/[a-zA-Z0-9-]{1,63}$",
    )
    title: str | None = Field(default=None, min_length=1, max_length=128)
    description: str | None = Field(default=None, min_length=1, max_length=255)
    keywords: tuple[Keyword, ...] = Field(default=(), max_length=5)
    task_seconds: int = Field(default=600, ge=30, le=28_800)
    task_available_hours: int = Field(default=240, ge=1, le=720)
    max_concurrent_tasks: int = Field(default=1_000, ge=1, le=5_000)
    automated_labeling: bool = False
    tags: dict[TagText, TagText] = Field(default_factory=dict, max_length=40)


class Labeling(_Section):
    """How images get their labels."""

    provider: Provider = "portal"
    batch_size: int = Field(default=100, ge=1, le=100_000)
    max_wait_minutes: float = Field(default=60, gt=0, le=60 * 24 * 30)
    workers_per_image: int = Field(default=1, ge=1, le=9)
    suggest: bool = False
    max_workers_per_image: int | None = Field(default=None, ge=1, le=9)
    check_every: int | None = Field(default=None, ge=2, le=1_000)
    min_accuracy: float = Field(default=0.0, ge=0, le=1)
    ground_truth: GroundTruth = GroundTruth()

    @model_validator(mode="after")
    def _is_possible(self) -> "Labeling":
        if self.suggest and self.provider != "portal":
            raise ValueError("suggest: only the portal's page shows what the model suggests")
        for name in ("max_workers_per_image", "check_every", "min_accuracy"):
            if self.provider == "ground-truth" and getattr(self, name):
                raise ValueError(f"{name}: only the portal has it, not ground-truth")
        if self.min_accuracy and not self.check_every:
            raise ValueError("min_accuracy: workers are measured by known answers, so it needs check_every")
        if self.most_workers < self.workers_per_image:
            raise ValueError(
                f"max_workers_per_image: must be at least workers_per_image, {self.workers_per_image}, "
                f"not {self.max_workers_per_image}"
            )
        if self.workers_per_image == 1 < self.most_workers:
            raise ValueError(
                "max_workers_per_image: doubt shows where two workers disagree, so workers_per_image must be "
                "at least 2"
            )
        automated = self.provider == "ground-truth" and self.ground_truth.automated_labeling
        if automated and self.batch_size < MIN_AUTOMATED_LABELING:
            raise ValueError(
                f"batch_size: automated_labeling needs jobs of at least {MIN_AUTOMATED_LABELING:,} images, "
                f"not {self.batch_size:,}"
            )
        return self

    @property
    def most_workers(self) -> int:
        """How many workers an image is shown to at most, because it stays in doubt."""
        return self.max_workers_per_image or self.workers_per_image

    @property
    def waits_for_whole_batches(self) -> bool:
        """Whether jobs are cut from whole batches only: Ground Truth labels no smaller ones by itself."""
        return self.provider == "ground-truth" and self.ground_truth.automated_labeling


class RekognitionTraining(_Section):
    """How Rekognition Custom Labels gets its test images: Loupe's frozen test set as a dataset of its own, or
    whatever Rekognition itself picks from all images (then scores of two models can't be compared)."""

    test_dataset: Literal["separate", "distribute"] = "separate"


class Training(_Section):
    """How models are trained."""

    trainer: Trainer = "script"
    min_new_labels: int = Field(default=1, ge=1)
    hyperparameters: dict[str, str] = Field(default_factory=dict, max_length=90)
    instance_type: str = Field(default="ml.g5.xlarge", pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")
    max_run_minutes: int = Field(default=240, ge=1, le=60 * 24 * 5)
    spot: bool = False
    max_wait_minutes: int | None = Field(default=None, ge=1, le=60 * 24 * 10)
    max_per_day: int | None = Field(default=None, ge=1, le=1_000)
    transform_instance_type: str = Field(default="ml.m5.xlarge", pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")
    rekognition: RekognitionTraining = RekognitionTraining()

    @model_validator(mode="after")
    def _is_possible(self) -> "Training":
        if self.max_wait_minutes is not None and self.max_wait_minutes < self.max_run_minutes:
            raise ValueError(
                f"max_wait_minutes: waiting for spot capacity and training together can't take less than "
                f"max_run_minutes, {self.max_run_minutes}"
            )
        return self


class Promotion(_Section):
    """When a candidate becomes the champion: both are scores between 0 and 1 on the frozen test set."""

    min_score: float = Field(default=0.0, ge=0, le=1)
    min_gain: float = Field(default=0.0, ge=-1, le=1)
    max_label_drop: float | None = Field(default=None, ge=0, le=1)
    min_test_images: int = Field(default=0, ge=0)
    require: Literal["nothing", "approval"] = "nothing"


class Realtime(_Section):
    """A SageMaker endpoint on instances, and how traffic moves to a new model there.

    `canary` sends `shift_percent` of the calls to it and waits for `bake_seconds`, then all of them; `linear`
    takes a step of that size each time. Whatever the shift, the release is undone by itself when within a
    minute more than `max_error_percent` of the calls end in an error, or their 95th percentile takes longer
    than `max_latency_ms`; `bake_seconds` more are waited for that when all traffic has moved.
    """

    instance_type: str = Field(default="ml.c6i.large", pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")
    instances: int = Field(default=1, ge=1, le=100)
    max_instances: int | None = Field(default=None, ge=1, le=100)
    calls_per_instance: int = Field(default=300, ge=1, le=100_000)
    shift: Shift = "canary"
    shift_percent: int = Field(default=10, ge=1, le=50)
    bake_seconds: int = Field(default=300, ge=0, le=3_600)
    max_error_percent: float = Field(default=1.0, ge=0, lt=100)
    max_latency_ms: int = Field(default=10_000, ge=1, le=60_000)

    @property
    def wait_seconds(self) -> int:
        """How long a release waits in all: after each step, and before the old model goes."""
        steps = -(-100 // self.shift_percent) if self.shift == "linear" else 1
        return (steps + 1) * self.bake_seconds

    @model_validator(mode="after")
    def _is_possible(self) -> "Realtime":
        if self.max_instances is not None and self.max_instances < self.instances:
            raise ValueError(f"max_instances: must be at least instances, {self.instances}")
        if self.shift == "linear" and self.shift_percent < MIN_LINEAR_STEP:
            raise ValueError(
                f"shift_percent: a linear shift has steps of at least {MIN_LINEAR_STEP} %, "
                f"not {self.shift_percent}"
            )
        if self.wait_seconds > MOST_WAIT_SECONDS:
            raise ValueError(
                f"bake_seconds: with steps of {self.shift_percent} % a release would wait for "
                f"{self.wait_seconds:,} seconds, and SageMaker allows {MOST_WAIT_SECONDS:,}"
            )
        return self


class Hosting(_Section):
    """Where the champion answers."""

    kind: HostingKind = "serverless"
    memory_mb: int = Field(default=4096, ge=1024, le=6144, multiple_of=1024)
    max_concurrency: int = Field(default=5, ge=1, le=200)
    realtime: Realtime = Realtime()
    inference_units: int = Field(default=1, ge=1, le=100)
    max_inference_units: int | None = Field(default=None, ge=1, le=100)
    stop_after_idle_minutes: int = Field(default=60, ge=0, le=60 * 24 * 30)

    @property
    def units(self) -> tuple[int, int | None]:
        """What a model that costs by the hour has at least, and up to how many it scales by itself, None if
        it does not: instances of a realtime endpoint, or inference units of Rekognition."""
        if self.kind == "realtime":
            return self.realtime.instances, self.realtime.max_instances
        return self.inference_units, self.max_inference_units

    @model_validator(mode="after")
    def _is_possible(self) -> "Hosting":
        if self.max_inference_units is not None and self.max_inference_units < self.inference_units:
            raise ValueError(f"max_inference_units: must be at least inference_units, {self.inference_units}")
        return self


class Capture(_Section):
    """Which images that the endpoint sees come back for labeling."""

    below_confidence: float = Field(default=0.6, ge=0, le=1)


LabelName = Annotated[str, Field(min_length=1, max_length=256)]


class Example(_Section):
    """An image that shows what the instructions mean: a file in the project's folder `instructions/`."""

    file: str = Field(max_length=200, pattern=r"(?i)^[^/]+(/[^/]+)*\.(jpe?g|png|webp)$")
    label: LabelName | None = None
    caption: str = Field(default="", max_length=500)

    @field_validator("file")
    @classmethod
    def _is_inside(cls, file: str) -> str:
        if {".", ".."} & set(file.split("/")):
            raise ValueError("must be a path inside the folder instructions/, without . and ..")
        return file


class ProjectConfig(_Section):
    """project.yaml: every field but `task` and `labels` has a default; unknown fields are an error."""

    task: TaskType
    labels: tuple[LabelName, ...]
    instructions: str = Field(default="", max_length=10_000)
    examples: tuple[Example, ...] = Field(default=(), max_length=20)
    labeling: Labeling = Labeling()
    training: Training = Training()
    promotion: Promotion = Promotion()
    hosting: Hosting = Hosting()
    capture: Capture = Capture()

    @field_validator("labels")
    @classmethod
    def _labels_are_distinct(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        repeated = sorted({label for label in labels if labels.count(label) > 1})
        if repeated:
            raise ValueError(f"{repeated[0]!r} stands more than once")
        blank = [label for label in labels if not label.strip()]
        if blank:
            raise ValueError("a label can't be blank")
        return labels

    @model_validator(mode="after")
    def _number_of_labels(self) -> "ProjectConfig":
        least = 1 if self.task == "bounding-box" else 2
        if len(self.labels) < least:
            raise ValueError(f"labels: {self.task} needs at least {least}, not {len(self.labels)}")
        return self

    @model_validator(mode="after")
    def _examples_are_of_labels(self) -> "ProjectConfig":
        for number, example in enumerate(self.examples):
            if example.label is not None and example.label not in self.labels:
                raise ValueError(f"examples.{number}.label: {example.label!r} is not among the labels")
        return self

    @model_validator(mode="after")
    def _parts_go_together(self) -> "ProjectConfig":
        if (self.training.trainer == "rekognition") != (self.hosting.kind == "rekognition"):
            raise ValueError(
                "training.trainer and hosting.kind: a model that Rekognition trains answers only there, and "
                "no other does: set both to rekognition, or neither"
            )
        if self.training.trainer == "rekognition" and self.promotion.require == "approval":
            raise ValueError(
                "promotion.require: only models that SageMaker hosts can wait for approval, set it to nothing"
            )
        if self.labeling.provider == "ground-truth" and self.task != "image-classification":
            if len(self.labels) > MAX_GROUND_TRUTH_LABELS:
                raise ValueError(
                    f"labels: Ground Truth takes at most {MAX_GROUND_TRUTH_LABELS} for {self.task}, "
                    f"not {len(self.labels)}"
                )
            if self.labeling.ground_truth.automated_labeling and self.task == "multi-label-classification":
                raise ValueError(
                    "labeling.ground_truth.automated_labeling: Ground Truth has none for "
                    "multi-label-classification"
                )
        return self

    @model_validator(mode="after")
    def _built_in_algorithm_takes_it(self) -> "ProjectConfig":
        training = self.training
        if training.trainer != "builtin":
            return self
        wrong = [f"training.hyperparameters.{each}" for each in problems(self.task, training.hyperparameters)]
        if not trains_on(training.instance_type):
            wrong.append(
                f"training.instance_type: built-in algorithms train on GPUs, of the families "
                f"{', '.join(GPU_FAMILIES)}; {training.instance_type} is of none of them"
            )
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    @property
    def label_attribute(self) -> str:
        """Name of the label attribute in this project's manifests."""
        return LABEL_ATTRIBUTES[self.task]


def parse_project_yaml(text: str | bytes) -> ProjectConfig:
    """Read project.yaml. Raises `InvalidProject` whose message names every field at fault and why."""
    if len(text) > MAX_CONFIG_BYTES:
        raise InvalidProject(f"project.yaml is larger than {MAX_CONFIG_BYTES // 1024} KiB")
    try:
        # Every scalar stays text: a label is what was written, be it `0`, `007` or `yes`.
        content = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - BaseLoader makes strings only
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise InvalidProject(f"project.yaml is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise InvalidProject("project.yaml must hold fields such as `task:` and `labels:`")
    try:
        return ProjectConfig.model_validate(content)
    except ValidationError as error:
        raise InvalidProject("; ".join(_explain(problem) for problem in error.errors())) from error


def _explain(problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    match problem["type"]:
        case "extra_forbidden":
            message = "is not a field that Loupe knows"
        case "missing":
            message = "is missing"
        case "value_error":
            message = str(problem["ctx"]["error"])
        case "literal_error":
            message = f"must be {problem['ctx']['expected']}, not {problem['input']!r}"
        case _:
            message = f"{problem['msg'][0].lower()}{problem['msg'][1:]} (it is {problem['input']!r})"
    return f"{where}: {message}" if where else message
