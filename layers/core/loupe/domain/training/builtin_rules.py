"""What SageMaker's built-in image algorithms ask for: hyperparameters, instances, container images.

Names, values and limits are those of the developer guide's pages "Image Classification Hyperparameters" and
"Object Detection Hyperparameters". A value that the algorithm would refuse fails a paid training after
minutes; here it is refused with project.yaml.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

GPU_FAMILIES = ("p2", "p3", "g4dn", "g5")
"""Families of instances that the algorithms train on."""

ALGORITHMS = {
    "image-classification": "image-classification",
    "multi-label-classification": "image-classification",
    "bounding-box": "object-detection",
}
"""Algorithm by task type; it is the name of its repository, too."""

REGISTRIES = {
    "us-east-1": "811284229777",
    "us-east-2": "825641698319",
    "us-west-1": "632365934929",
    "us-west-2": "433757028032",
    "ca-central-1": "469771592824",
    "eu-west-1": "685385470294",
    "eu-west-2": "644912444149",
    "eu-west-3": "749696950732",
    "eu-central-1": "813361260812",
    "eu-north-1": "669576153137",
    "ap-northeast-1": "501404015308",
    "ap-northeast-2": "306986355934",
    "ap-south-1": "991648021394",
    "ap-southeast-1": "475088953585",
    "ap-southeast-2": "544295431143",
    "sa-east-1": "855470959533",
}
"""Account whose registry has the algorithms' images, by region."""

PRETRAINED_SHAPE = "3,224,224"
"""The one shape of images that pretrained image classification takes."""

_LARGE_IMAGE_LAYERS = ("18", "34", "50", "101", "152", "200")
_EPOCHS = Field(pattern=r"^\s*\d+(\s*,\s*\d+)*\s*$")

Fraction = Annotated[float, Field(ge=0, le=1)]
PositiveFraction = Annotated[float, Field(gt=0, le=1)]
Switch = Literal["0", "1"]
Truth = Annotated[str, Field(pattern=r"^([Tt]rue|[Ff]alse)$")]


class _Hyperparameters(BaseModel):
    """Values are text, as CreateTrainingJob takes them; the types say what the text must be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    num_classes: PositiveInt = 1
    num_training_samples: PositiveInt = 1
    early_stopping: Truth = "False"
    early_stopping_min_epochs: PositiveInt = 10
    early_stopping_patience: PositiveInt = 5
    early_stopping_tolerance: Fraction = 0.0
    epochs: PositiveInt = 30
    kv_store: Literal["dist_sync", "dist_async"] = "dist_sync"
    learning_rate: Fraction = 0.1
    lr_scheduler_factor: Fraction = 0.1
    lr_scheduler_step: Annotated[str, _EPOCHS] = "10"
    mini_batch_size: PositiveInt = 32
    momentum: Fraction = 0.9
    use_pretrained_model: Switch = "1"
    weight_decay: Fraction = 0.0001


class _ImageClassification(_Hyperparameters):
    augmentation_type: Literal["crop", "crop_color", "crop_color_transform"] = "crop"
    beta_1: Fraction = 0.9
    beta_2: Fraction = 0.999
    checkpoint_frequency: PositiveInt = 1
    eps: Fraction = 1e-8
    gamma: Fraction = 0.9
    image_shape: Annotated[str, Field(pattern=r"^\s*[13]\s*(,\s*[1-9]\d*\s*){2}$")] = PRETRAINED_SHAPE
    multi_label: Switch = "0"
    num_layers: Literal["18", "34", "50", "101", "152", "200", "20", "32", "44", "56", "110"] = "152"
    optimizer: Literal["sgd", "adam", "rmsprop", "nag"] = "sgd"
    precision_dtype: Literal["float32", "float16"] = "float32"
    resize: PositiveInt = 256
    top_k: Annotated[int, Field(ge=2)] = 2
    use_weighted_loss: Switch = "0"


class _ObjectDetection(_Hyperparameters):
    base_network: Literal["vgg-16", "resnet-50"] = "vgg-16"
    freeze_layer_pattern: str = ""
    image_shape: Annotated[int, Field(ge=300)] = 300
    label_width: PositiveInt = 350
    learning_rate: PositiveFraction = 0.001
    lr_scheduler_factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    momentum: PositiveFraction = 0.9
    nms_threshold: PositiveFraction = 0.45
    optimizer: Literal["sgd", "adam", "rmsprop", "adadelta"] = "sgd"
    overlap_threshold: PositiveFraction = 0.5
    weight_decay: PositiveFraction = 0.0005


_MODELS: dict[str, type[_Hyperparameters]] = {
    "image-classification": _ImageClassification,
    "object-detection": _ObjectDetection,
}


def with_defaults(task: str, given: Mapping[str, str]) -> dict[str, str]:
    """The values that were given, and Loupe's defaults where they differ from the algorithm's.

    Image classification starts from pretrained weights, since labels are few, in a network that small GPUs
    hold; the learning rate is one for fine-tuning. Images are resized before they are cropped to
    `image_shape`, since one that is smaller fails the training.
    """
    if ALGORITHMS[task] == "object-detection":
        return dict(given)
    values = {"use_pretrained_model": "1", "num_layers": "50", "image_shape": PRETRAINED_SHAPE, **given}
    if values["use_pretrained_model"] == "1":
        values.setdefault("learning_rate", "0.01")
    longer = max(_sides(values["image_shape"]))
    values.setdefault("resize", str(longer + max(1, longer // 7)))
    return values


def problems(task: str, given: Mapping[str, str]) -> list[str]:
    """What is wrong with hyperparameters before there is any data, each with the name of the one at fault."""
    model = _MODELS[ALGORITHMS[task]]
    try:
        model.model_validate(dict(given))
    except ValidationError as error:
        return [_explain(problem, model) for problem in error.errors()]
    values = with_defaults(task, given)
    if "num_layers" not in values:
        return []
    found = []
    if values["use_pretrained_model"] == "1" and values["num_layers"] not in _LARGE_IMAGE_LAYERS:
        found.append(
            f"num_layers: pretrained are networks of {', '.join(_LARGE_IMAGE_LAYERS)} layers, not of "
            f"{values['num_layers']}; or set use_pretrained_model to 0"
        )
    if values["use_pretrained_model"] == "1" and values["image_shape"].replace(" ", "") != PRETRAINED_SHAPE:
        found.append(
            f"image_shape: pretrained networks take {PRETRAINED_SHAPE} only; or set use_pretrained_model to 0"
        )
    if int(values["resize"]) <= max(_sides(values["image_shape"])):
        found.append(
            f"resize: {values['resize']} must be larger than both sides of image_shape, "
            f"{values['image_shape']}"
        )
    if int(values.get("checkpoint_frequency", 1)) > int(values.get("epochs", 30)):
        found.append(f"checkpoint_frequency: {values['checkpoint_frequency']} is more than there are epochs")
    multi_label = "1" if task == "multi-label-classification" else "0"
    if given.get("multi_label", multi_label) != multi_label:
        found.append(f"multi_label: is {multi_label} for {task}, and follows from the task: leave it out")
    return found


def trains_on(instance_type: str) -> bool:
    """Whether the algorithms train on instances of that type."""
    return instance_type.split(".")[1] in GPU_FAMILIES


def algorithm_image(algorithm: str, region: str) -> str | None:
    """The algorithm's container image in a region; None where it is not known."""
    account = REGISTRIES.get(region)
    return account and f"{account}.dkr.ecr.{region}.amazonaws.com/{algorithm}:1"


def _sides(image_shape: str) -> list[int]:
    """Height and width in `channels,height,width`."""
    return [int(side) for side in re.findall(r"\d+", image_shape)[1:]]


def _explain(problem: Any, model: type[_Hyperparameters]) -> str:
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"{name}: the algorithm has no such hyperparameter; it has {', '.join(model.model_fields)}"
    if problem["type"] == "literal_error":
        return f"{name}: must be {problem['ctx']['expected']}, not {problem['input']!r}"
    return f"{name}: {problem['msg'][0].lower()}{problem['msg'][1:]} (it is {problem['input']!r})"
