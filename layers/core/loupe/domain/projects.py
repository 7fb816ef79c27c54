"""Projects: their names, where their images lie, and project.yaml."""

import re
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from loupe.domain.errors import BadRequest, InvalidProject

CONFIG_FILE = "project.yaml"
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


def config_key(project: str) -> str:
    """Key of a project's project.yaml in the raw-data bucket."""
    return f"{project}/{CONFIG_FILE}"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Labeling(_Section):
    """How images get their labels."""

    provider: Literal["portal"] = "portal"
    batch_size: int = Field(default=100, ge=1, le=100_000)
    max_wait_minutes: float = Field(default=60, gt=0, le=60 * 24 * 30)
    workers_per_image: Literal[1] = 1


class Training(_Section):
    """How models are trained."""

    trainer: Literal["script"] = "script"
    min_new_labels: int = Field(default=1, ge=1)
    hyperparameters: dict[str, str] = Field(default_factory=dict, max_length=90)
    instance_type: str = Field(default="ml.g5.xlarge", pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")
    max_run_minutes: int = Field(default=240, ge=1, le=60 * 24 * 5)


class Promotion(_Section):
    """When a candidate becomes the champion: both are scores between 0 and 1 on the frozen test set."""

    min_score: float = Field(default=0.0, ge=0, le=1)
    min_gain: float = Field(default=0.0, ge=-1, le=1)


class Hosting(_Section):
    """Where the champion answers."""

    kind: Literal["serverless"] = "serverless"
    memory_mb: Literal[1024, 2048, 3072, 4096, 5120, 6144] = 4096
    max_concurrency: int = Field(default=5, ge=1, le=200)


class Capture(_Section):
    """Which images that the endpoint sees come back for labeling."""

    below_confidence: float = Field(default=0.6, ge=0, le=1)


LabelName = Annotated[str, Field(min_length=1, max_length=256)]


class ProjectConfig(_Section):
    """project.yaml: every field but `task` and `labels` has a default; unknown fields are an error."""

    task: TaskType
    labels: tuple[LabelName, ...]
    instructions: str = Field(default="", max_length=10_000)
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
        if self.task != "image-classification":
            raise ValueError(f"task: {self.task} is not supported by this version; use image-classification")
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
