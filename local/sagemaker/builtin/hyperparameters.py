"""Hyperparameters of the built-in algorithms: names, values and defaults as the developer guide has them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from local.sagemaker.jobs import JobFailedError

LARGE_IMAGE_LAYERS = ("18", "34", "50", "101", "152", "200")
SMALL_IMAGE_LAYERS = ("20", "32", "44", "56", "110")
_PRETRAINED_SHAPE = (3, 224, 224)
_HEADER_WIDTH = 2
_BOX_WIDTH = 5


@dataclass(frozen=True)
class Rule:
    """What a value must be, in words and as a test. `default` is None where the algorithm has none."""

    expected: str
    accepts: Callable[[str], bool]
    default: str | None = None
    is_required: bool = False


def _whole(default: int | None = None, *, at_least: int = 1, required: bool = False) -> Rule:
    def accepts(text: str) -> bool:
        return re.fullmatch(r"\d+", text, re.ASCII) is not None and int(text) >= at_least

    expected = "a positive integer" if at_least == 1 else f"an integer of at least {at_least}"
    return Rule(expected, accepts, None if default is None else str(default), required)


def _real(default: str, *, low_open: bool = False, high_open: bool = False) -> Rule:
    def accepts(text: str) -> bool:
        try:
            value = float(text)
        except ValueError:
            return False
        above = value > 0 if low_open else value >= 0
        below = value < 1 if high_open else value <= 1
        return math.isfinite(value) and above and below

    return Rule(f"a float in {'(' if low_open else '['}0, 1{')' if high_open else ']'}", accepts, default)


def _one_of(*values: str, default: str | None = None) -> Rule:
    return Rule(f"one of {', '.join(values)}", values.__contains__, default)


def _truth(default: str = "False") -> Rule:
    return Rule("True or False", lambda text: text.lower() in ("true", "false"), default)


def _matching(pattern: str, expected: str, default: str | None = None) -> Rule:
    return Rule(expected, lambda text: re.fullmatch(pattern, text, re.ASCII) is not None, default)


def _early_stopping() -> dict[str, Rule]:
    return {
        "early_stopping": _truth(),
        "early_stopping_min_epochs": _whole(10),
        "early_stopping_patience": _whole(5),
        "early_stopping_tolerance": _real("0.0"),
    }


_EPOCHS_LIST = _matching(r"\s*(\d+(\s*,\s*\d+)*)?\s*", 'epochs separated by commas, as "10, 20"')
_SYNCHRONIZATION = _one_of("dist_sync", "dist_async")

IMAGE_CLASSIFICATION: Mapping[str, Rule] = {
    "num_classes": _whole(required=True),
    "num_training_samples": _whole(required=True),
    "augmentation_type": _one_of("crop", "crop_color", "crop_color_transform"),
    "beta_1": _real("0.9"),
    "beta_2": _real("0.999"),
    "checkpoint_frequency": _whole(),
    **_early_stopping(),
    "epochs": _whole(30),
    "eps": _real("1e-8"),
    "gamma": _real("0.9"),
    "image_shape": _matching(
        r"\s*[13]\s*(,\s*[1-9]\d*\s*){2}", 'channels, height and width, as "3,224,224"', "3,224,224"
    ),
    "kv_store": _SYNCHRONIZATION,
    "learning_rate": _real("0.1"),
    "lr_scheduler_factor": _real("0.1"),
    "lr_scheduler_step": _EPOCHS_LIST,
    "mini_batch_size": _whole(32),
    "momentum": _real("0.9"),
    "multi_label": _one_of("0", "1", default="0"),
    "num_layers": _one_of(*LARGE_IMAGE_LAYERS, *SMALL_IMAGE_LAYERS, default="152"),
    "optimizer": _one_of("sgd", "adam", "rmsprop", "nag", default="sgd"),
    "precision_dtype": _one_of("float32", "float16", default="float32"),
    "resize": _whole(),
    "top_k": _whole(at_least=2),
    "use_pretrained_model": _one_of("0", "1", default="0"),
    "use_weighted_loss": _one_of("0", "1", default="0"),
    "weight_decay": _real("0.0001"),
}

OBJECT_DETECTION: Mapping[str, Rule] = {
    "num_classes": _whole(required=True),
    "num_training_samples": _whole(required=True),
    "base_network": _one_of("vgg-16", "resnet-50", default="vgg-16"),
    **_early_stopping(),
    "epochs": _whole(30),
    "freeze_layer_pattern": Rule("a regular expression", lambda _: True),
    "image_shape": _whole(300, at_least=300),
    "kv_store": _SYNCHRONIZATION,
    "label_width": _whole(350),
    "learning_rate": _real("0.001", low_open=True),
    "lr_scheduler_factor": _real("0.1", low_open=True, high_open=True),
    "lr_scheduler_step": _EPOCHS_LIST,
    "mini_batch_size": _whole(32),
    "momentum": _real("0.9", low_open=True),
    "nms_threshold": _real("0.45", low_open=True),
    "optimizer": _one_of("sgd", "adam", "rmsprop", "adadelta", default="sgd"),
    "overlap_threshold": _real("0.5", low_open=True),
    "use_pretrained_model": _one_of("0", "1", default="1"),
    "weight_decay": _real("0.0005", low_open=True),
}


def check(rules: Mapping[str, Rule], given: Mapping[str, str]) -> dict[str, str]:
    """The values with the defaults of those left out. Raises JobFailedError naming all that is wrong."""
    wrong = [f"'{name}' is a required hyperparameter" for name in _missing(rules, given)]
    wrong += [f"Additional hyperparameters are not allowed ('{name}')" for name in given if name not in rules]
    wrong += [
        f"{name} is {text!r}; it must be {rules[name].expected}"
        for name, text in given.items()
        if name in rules and not rules[name].accepts(text)
    ]
    if not wrong:
        values = {name: rule.default for name, rule in rules.items() if rule.default is not None} | dict(
            given
        )
        wrong = _contradictions(values)
        if not wrong:
            return values
    raise JobFailedError(f"ClientError: {'; '.join(wrong)}")


def _missing(rules: Mapping[str, Rule], given: Mapping[str, str]) -> list[str]:
    return [name for name, rule in rules.items() if rule.is_required and name not in given]


def _contradictions(values: Mapping[str, str]) -> list[str]:
    """What each value allows alone, but not beside the others."""
    samples, batch = int(values["num_training_samples"]), int(values["mini_batch_size"])
    found = []
    if batch > samples:
        found.append(
            "The number of input images must be bigger or equal to the mini_batch_size: there are "
            f"{samples} and {batch}"
        )
    if int(values.get("checkpoint_frequency", 1)) > int(values["epochs"]):
        found.append("checkpoint_frequency must not be greater than epochs")
    if "num_layers" in values:
        found += _shape_contradictions(values)
    return found


def _shape_contradictions(values: Mapping[str, str]) -> list[str]:
    """Of image classification, whose networks take images of any shape."""
    shape = image_shape(values)
    found = []
    if "resize" in values and int(values["resize"]) <= max(shape[1:]):
        found.append(
            f"resize is {values['resize']}; it must be larger than the height and width of image_shape, "
            f"{shape[1]} and {shape[2]}"
        )
    if values["use_pretrained_model"] == "1":
        if values["num_layers"] not in LARGE_IMAGE_LAYERS:
            found.append(
                f"num_layers is {values['num_layers']}; with use_pretrained_model it must be one of "
                f"{', '.join(LARGE_IMAGE_LAYERS)}"
            )
        if shape != _PRETRAINED_SHAPE:
            found.append("image_shape must be 3,224,224 with use_pretrained_model")
    return found


def image_shape(values: Mapping[str, str]) -> tuple[int, ...]:
    """Channels, height and width of image classification."""
    return tuple(int(part) for part in values["image_shape"].split(","))


def needed_label_width(boxes: int) -> int:
    """The smallest `label_width` for images with up to that many boxes."""
    return boxes * _BOX_WIDTH + _HEADER_WIDTH
