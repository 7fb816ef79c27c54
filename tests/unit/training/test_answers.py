"""What models answer becomes predictions as the API gives them."""

import json
from typing import Any

import pytest

from loupe.domain.errors import ModelError
from loupe.domain.projects import TaskType, Trainer
from loupe.domain.serving.answers import BUILTIN_LEAST_CONFIDENCE, read_answer, scaled, worth_showing
from loupe.ports.loops import ServedModel


def model(task: TaskType, trainer: Trainer = "builtin") -> ServedModel:
    return ServedModel("serverless", trainer, task, ("a", "b"), "loupe-parts")


def read(task: TaskType, document: Any, trainer: Trainer = "builtin") -> list[dict[str, Any]]:
    return read_answer(model(task, trainer), json.dumps(document).encode(), (200, 100))


@pytest.mark.parametrize("document", [[0.25, 0.75], {"prediction": [0.25, 0.75]}])
def test_probabilities_by_class_are_labels_best_first(document: Any) -> None:
    assert read("image-classification", document) == [
        {"label": "b", "confidence": 0.75},
        {"label": "a", "confidence": 0.25},
    ]
    assert read("multi-label-classification", document) == [
        {"label": "b", "confidence": 0.75, "threshold": 0.5},
        {"label": "a", "confidence": 0.25, "threshold": 0.5},
    ]


def test_shares_of_the_image_are_pixels_of_it() -> None:
    document = {
        "prediction": [
            [1.0, 0.25, 0.5, 0.5, 1.0, 1.0],
            [0.0, 0.75, -0.25, 0.0, 0.5, 0.5],
            [-1.0, 0.9, 0.0, 0.0, 1.0, 1.0],
            [0.0, 0.9, 0.5, 0.5, 0.5, 0.75],
        ]
    }
    assert read("bounding-box", document) == [
        {"label": "a", "confidence": 0.75, "box": {"left": 0, "top": 0, "width": 100, "height": 50}},
        {"label": "b", "confidence": 0.25, "box": {"left": 100, "top": 50, "width": 100, "height": 50}},
    ]


def test_the_trainers_answers_are_predictions_already() -> None:
    box = {"left": 1.0, "top": 2.0, "width": 3.0, "height": 4.0}
    for predictions in (
        [{"label": "a", "confidence": 0.9}],
        [{"label": "a", "confidence": 0.9, "threshold": 0.4}],
        [{"label": "a", "confidence": 0.9, "box": box}],
        [],
    ):
        assert read("bounding-box", {"predictions": predictions}, "script") == predictions


@pytest.mark.parametrize(
    ("task", "document"),
    [
        ("image-classification", [0.5]),
        ("image-classification", {"predictions": []}),
        ("multi-label-classification", "broken"),
        ("bounding-box", [0.5, 0.5]),
        ("bounding-box", {"prediction": [[2.0, 0.5, 0, 0, 1, 1]]}),
        ("bounding-box", {"prediction": [[0.0, 0.5, 0, 0]]}),
    ],
)
def test_an_answer_of_another_shape_is_the_models_error(task: TaskType, document: Any) -> None:
    with pytest.raises(ModelError, match="loupe-parts answered"):
        read(task, document)


def test_boxes_of_a_smaller_copy_are_scaled_to_the_image() -> None:
    boxes = [{"label": "a", "confidence": 0.9, "box": {"left": 10, "top": 10, "width": 20, "height": 5}}]
    assert scaled(boxes, (100, 50), (400, 100))[0]["box"] == {
        "left": 40,
        "top": 20,
        "width": 80,
        "height": 10,
    }
    labels = [{"label": "a", "confidence": 0.9}]
    assert scaled(labels, (100, 50), (400, 100)) == labels


def test_boxes_that_the_algorithm_itself_hardly_believes_in_are_not_shown() -> None:
    boxes = [{"label": "a", "confidence": confidence} for confidence in (0.9, BUILTIN_LEAST_CONFIDENCE, 0.1)]
    assert worth_showing(model("bounding-box"), boxes) == boxes[:2]
    assert worth_showing(model("bounding-box", "script"), boxes) == boxes
    assert worth_showing(model("image-classification"), boxes) == boxes
