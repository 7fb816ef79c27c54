"""Hyperparameters of the built-in algorithms, by the developer guide's rules."""

from __future__ import annotations

import pytest

from local.sagemaker.builtin.algorithms import ALGORITHMS as STAND_INS
from local.sagemaker.builtin.hyperparameters import (
    IMAGE_CLASSIFICATION,
    OBJECT_DETECTION,
    check,
    needed_label_width,
)
from local.sagemaker.jobs import JobFailedError
from loupe.domain.training.builtin_rules import ALGORITHMS, with_defaults

NEEDED = {"num_classes": "3", "num_training_samples": "100"}


def test_what_is_left_out_has_the_algorithms_default() -> None:
    classification, detection = check(IMAGE_CLASSIFICATION, NEEDED), check(OBJECT_DETECTION, NEEDED)
    assert classification["image_shape"] == "3,224,224"
    assert (classification["num_layers"], classification["use_pretrained_model"]) == ("152", "0")
    assert (detection["image_shape"], detection["label_width"]) == ("300", "350")
    assert (detection["base_network"], detection["use_pretrained_model"]) == ("vgg-16", "1")
    assert "resize" not in classification


@pytest.mark.parametrize("name", ["num_classes", "num_training_samples"])
@pytest.mark.parametrize("rules", [IMAGE_CLASSIFICATION, OBJECT_DETECTION])
def test_required_ones_must_be_there(rules: dict[str, object], name: str) -> None:
    given = {other: value for other, value in NEEDED.items() if other != name}
    with pytest.raises(JobFailedError, match=f"^ClientError: '{name}' is a required hyperparameter"):
        check(rules, given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "given",
    [
        {"num_classes": "0"},
        {"num_classes": "3.0"},
        {"epochs": "-1"},
        {"learning_rate": "1.5"},
        {"learning_rate": "nan"},
        {"learning_rate": "fast"},
        {"optimizer": "adadelta"},
        {"num_layers": "19"},
        {"image_shape": "224,224"},
        {"image_shape": "3,0,224"},
        {"image_shape": "4,224,224"},
        {"top_k": "1"},
        {"multi_label": "True"},
        {"early_stopping": "1"},
        {"precision_dtype": "float64"},
        {"lr_scheduler_step": "10;20"},
        {"augmentation_type": "flip"},
    ],
)
def test_image_classification_refuses_other_values(given: dict[str, str]) -> None:
    (name,) = given
    with pytest.raises(JobFailedError, match=f"^ClientError: {name} is '.*'; it must be"):
        check(IMAGE_CLASSIFICATION, NEEDED | given)


@pytest.mark.parametrize(
    "given",
    [
        {"learning_rate": "0"},
        {"lr_scheduler_factor": "1"},
        {"image_shape": "299"},
        {"image_shape": "3,300,300"},
        {"base_network": "resnet-101"},
        {"optimizer": "nag"},
        {"label_width": "0"},
        {"overlap_threshold": "0"},
    ],
)
def test_object_detection_refuses_other_values(given: dict[str, str]) -> None:
    (name,) = given
    with pytest.raises(JobFailedError, match=f"^ClientError: {name} is '.*'; it must be"):
        check(OBJECT_DETECTION, NEEDED | given)


@pytest.mark.parametrize(
    "given",
    [
        {"learning_rate": "0", "momentum": "1", "eps": "1e-8"},
        {"image_shape": "3, 64, 48", "resize": "65", "num_layers": "18"},
        {"lr_scheduler_step": "10, 20", "lr_scheduler_factor": "0.5"},
        {"early_stopping": "true", "early_stopping_patience": "3"},
        {"use_pretrained_model": "1", "num_layers": "50"},
        {"mini_batch_size": "100"},
        {"checkpoint_frequency": "30"},
    ],
)
def test_image_classification_takes_what_the_guide_allows(given: dict[str, str]) -> None:
    assert check(IMAGE_CLASSIFICATION, NEEDED | given).items() >= given.items()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"mini_batch_size": "101"}, "bigger or equal to the mini_batch_size"),
        ({"checkpoint_frequency": "5", "epochs": "4"}, "checkpoint_frequency"),
        ({"resize": "224"}, "resize is 224; it must be larger than the height and width"),
        ({"use_pretrained_model": "1", "num_layers": "20"}, "num_layers is 20"),
        ({"use_pretrained_model": "1", "num_layers": "18", "image_shape": "3,64,64"}, "must be 3,224,224"),
    ],
)
def test_values_must_fit_each_other(given: dict[str, str], said: str) -> None:
    with pytest.raises(JobFailedError, match=said):
        check(IMAGE_CLASSIFICATION, NEEDED | given)


def test_a_default_must_fit_too() -> None:
    with pytest.raises(JobFailedError, match="there are 20 and 32"):
        check(OBJECT_DETECTION, NEEDED | {"num_training_samples": "20"})


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(JobFailedError) as failed:
        check(OBJECT_DETECTION, {"num_classes": "x", "colour": "red"})
    said = str(failed.value)
    assert "'num_training_samples' is a required" in said
    assert "Additional hyperparameters are not allowed ('colour')" in said
    assert "num_classes is 'x'" in said


def test_the_label_width_has_room_for_the_boxes_and_a_header() -> None:
    assert needed_label_width(10) == 52


@pytest.mark.parametrize("task", sorted(ALGORITHMS))
def test_what_loupe_asks_for_by_itself_is_taken(task: str) -> None:
    check(STAND_INS[ALGORITHMS[task]].hyperparameters, NEEDED | with_defaults(task, {}))
