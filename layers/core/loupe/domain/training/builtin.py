"""Training by SageMaker's built-in algorithms: image classification and object detection.

The algorithm reads augmented manifests of its own: rows with the image, the label and the label's metadata,
and nothing else. Hyperparameters that follow from the data are derived from those manifests; what
project.yaml says goes before every other default, but can't contradict the data.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

from loupe.domain.errors import AlreadyWritten, DomainError, InvalidProject
from loupe.domain.label_attributes import has_label
from loupe.domain.manifests import Row, S3Uri, read_rows, write_rows
from loupe.domain.projects import LABEL_ATTRIBUTES, ProjectConfig, TaskType
from loupe.domain.training.builtin_rules import ALGORITHMS, algorithm_image, with_defaults
from loupe.domain.training.plans import TrainingPlan, TrainingSetup, endpoint_release, training_request
from loupe.domain.training.transforms import PlanTransforms
from loupe.domain.workspace import Workspace
from loupe.ports.objects import StoresObjects

Channel = Literal["train", "validation"]

_BATCH = 32
_LABEL_WIDTH = 350
"""The algorithm's own default, which has room for 68 boxes an image."""
_BOX_WIDTH, _HEADER_WIDTH = 5, 10
"""Numbers that an image's label has for each box, and at most before them."""
_SHUFFLE_SEED = 7


class NothingToTrainOn(DomainError):
    """The dataset has no image that the algorithm can use; the message says what is missing."""

    status, slug, title = 422, "nothing-to-train-on", "There is nothing to train on"


@dataclass(frozen=True)
class ChannelData:
    """What a channel's manifest holds: rows, and boxes of the image that has most."""

    rows: int = 0
    most_boxes: int = 0


@dataclass(frozen=True)
class BuiltinTraining:
    """Plans training jobs that run a built-in algorithm, the batch transforms that measure their models, and
    the release. `images` are container images by algorithm, and go before those of the region."""

    workspace: StoresObjects
    setup: TrainingSetup
    region: str
    images: Mapping[str, str]
    transforms: PlanTransforms

    def complete(self, plan: TrainingPlan, config: ProjectConfig) -> TrainingPlan:
        """Behind `loupe.domain.training.plans.PlansTraining`; raises `NothingToTrainOn`, too."""
        image = self._image(ALGORITHMS[plan.task])
        return replace(
            plan,
            training_job=self._request(plan, config, image),
            release=endpoint_release(plan, config, self.setup, self.workspace.bucket, image, {}),
            transforms=self.transforms.of_both(plan, config),
        )

    def _image(self, algorithm: str) -> str:
        image = self.images.get(algorithm) or algorithm_image(algorithm, self.region)
        if not image:
            raise InvalidProject(
                f"training.trainer: Loupe does not know the image of the built-in algorithm {algorithm} in "
                f"region {self.region}; give it as a parameter of the stack"
            )
        return image

    def _request(self, plan: TrainingPlan, config: ProjectConfig, image: str) -> dict[str, Any]:
        train, validation = self._write(plan, "train"), self._write(plan, "validation")
        return {
            **training_request(plan, config, self.setup.role_arn, self.workspace.bucket),
            "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "Pipe"},
            "HyperParameters": hyperparameters(plan, config.training.hyperparameters, train, validation),
            "InputDataConfig": [self._channel(plan, "train"), self._channel(plan, "validation")],
            # The algorithm may fetch the weights that it starts from.
            "EnableNetworkIsolation": False,
        }

    def _channel(self, plan: TrainingPlan, channel: Channel) -> dict[str, Any]:
        manifest = Workspace(plan.project).builtin_manifest(plan.dataset_version, channel)
        # Without the parameter, several labels would have to be a 0 or 1 for each class.
        several = plan.task == "multi-label-classification"
        return {
            "ChannelName": channel,
            "ContentType": f"application/x-recordio{'; label-format=class-id' if several else ''}",
            "InputMode": "Pipe",
            "RecordWrapperType": "RecordIO",
            "CompressionType": "None",
            "DataSource": {
                "S3DataSource": {
                    "S3DataType": "AugmentedManifestFile",
                    "S3Uri": str(S3Uri(self.workspace.bucket, manifest)),
                    "S3DataDistributionType": "FullyReplicated",
                    "AttributeNames": ["source-ref", LABEL_ATTRIBUTES[plan.task]],
                }
            },
            **({"ShuffleConfig": {"Seed": _SHUFFLE_SEED}} if channel == "train" else {}),
        }

    def _write(self, plan: TrainingPlan, channel: Channel) -> ChannelData:
        names = Workspace(plan.project)
        manifest = names.builtin_manifest(plan.dataset_version, channel)
        with suppress(AlreadyWritten):
            rows = read_rows(self.workspace.lines(names.split(plan.dataset_version, channel)))
            self.workspace.write_lines_once(manifest, write_rows(_usable(plan, rows)))
        data = ChannelData()
        for row in read_rows(self.workspace.lines(manifest)):
            boxes = len(row["boxes"]["annotations"]) if plan.task == "bounding-box" else 0
            data = ChannelData(data.rows + 1, max(data.most_boxes, boxes))
        if not data.rows:
            what = "box" if plan.task == "bounding-box" else "label"
            raise NothingToTrainOn(
                f"no image of the {channel} split of dataset version {plan.dataset_version} has a {what}"
            )
        return data


def hyperparameters(
    plan: TrainingPlan, given: Mapping[str, str], train: ChannelData, validation: ChannelData
) -> dict[str, str]:
    """Those of the training job: what the data dictates, what project.yaml says, and defaults.

    Raises `InvalidProject` for a value that contradicts the data.
    """
    facts = {"num_classes": str(len(plan.labels)), "num_training_samples": str(train.rows)}
    values = {"mini_batch_size": str(min(_BATCH, train.rows)), **with_defaults(plan.task, given)}
    if plan.task == "bounding-box":
        most_boxes = max(train.most_boxes, validation.most_boxes)
        width = most_boxes * _BOX_WIDTH + _HEADER_WIDTH
        values.setdefault("label_width", str(max(_LABEL_WIDTH, width)))
        if int(values["label_width"]) < width:
            raise InvalidProject(
                f"training.hyperparameters.label_width: {values['label_width']} is too small for the "
                f"{most_boxes} boxes of one image, which need at least {width}"
            )
    elif plan.task == "multi-label-classification":
        facts["multi_label"] = "1"
    wrong = [
        f"training.hyperparameters.{name}: is {values[name]}, but the dataset has {fact}; leave it out"
        for name, fact in facts.items()
        if int(values.get(name, fact)) != int(fact)
    ]
    if int(values["mini_batch_size"]) > train.rows:
        wrong.append(
            f"training.hyperparameters.mini_batch_size: {values['mini_batch_size']} is more than the "
            f"{train.rows} images to train on"
        )
    if wrong:
        raise InvalidProject("; ".join(wrong))
    return {**values, **facts}


def _usable(plan: TrainingPlan, rows: Iterator[Row]) -> Iterator[Row]:
    """Rows as the algorithm wants them."""
    attribute = LABEL_ATTRIBUTES[plan.task]
    for row in rows:
        if has_label(row, attribute) and _says_something(row[attribute], plan.task):
            yield {name: row[name] for name in ("source-ref", attribute, f"{attribute}-metadata")}


def _says_something(value: Any, task: TaskType) -> bool:
    """Whether a label attribute's value names a class. What the algorithms do with an image that has none of
    the labels, or no box, is not documented: it may stop them."""
    match task:
        case "image-classification":
            return True
        case "multi-label-classification":
            return bool(value)
        case "bounding-box":
            return bool(value["annotations"])
