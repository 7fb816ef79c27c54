"""What the stand-ins print and answer: the formats of the algorithms."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from local.sagemaker.builtin.algorithms import ALGORITHMS
from local.sagemaker.builtin.serving import BuiltinHandler, UnsupportedAcceptError, WrongModelError, describe
from local.sagemaker.builtin.training import metric_lines
from tests.unit.local.pictures import picture


class Network:
    """Always predicts the same."""

    def __init__(self, *predictions: dict[str, Any]) -> None:
        self._predictions = list(predictions)

    def predict(self, body: bytes, content_type: str) -> Mapping[str, Any]:
        return {"predictions": self._predictions}


def handler(algorithm: str, *predictions: dict[str, Any], is_batch: bool = False) -> BuiltinHandler:
    description = {"algorithm": algorithm, "hyperparameters": {"num_classes": "4"}}
    return BuiltinHandler(description, Network(*predictions), is_batch=is_batch)


LABELS = ({"label": "2", "confidence": 0.75}, {"label": "0", "confidence": 0.25})
BOX = {"label": "3", "confidence": 0.5, "box": {"left": 10, "top": 15, "width": 20, "height": 7.5}}


@pytest.mark.parametrize("accept", ["*/*", "application/json", "Application/JSON"])
def test_image_classification_answers_with_probabilities_in_the_order_of_the_classes(accept: str) -> None:
    body, content_type = handler("image-classification", *LABELS).answer(b"", "image/png", accept)
    assert json.loads(body) == [0.25, 0.0, 0.75, 0.0]
    assert content_type == "application/json"


@pytest.mark.parametrize(("accept", "is_batch"), [("application/jsonlines", False), ("*/*", True)])
def test_in_json_lines_and_batch_transform_they_are_the_prediction(accept: str, is_batch: bool) -> None:
    answers = handler("image-classification", *LABELS, is_batch=is_batch)
    body, _ = answers.answer(b"", "image/png", accept)
    assert body == b'{"prediction": [0.25, 0.0, 0.75, 0.0]}\n'


def test_object_detection_answers_with_corners_as_shares_of_the_image() -> None:
    body, _ = handler("object-detection", BOX).answer(picture(40, 30), "image/png", "*/*")
    assert json.loads(body) == {"prediction": [[3.0, 0.5, 0.25, 0.5, 0.75, 0.75]]}


def test_corners_stay_within_the_image() -> None:
    beyond = {**BOX, "box": {"left": -4, "top": 0, "width": 100, "height": 30}}
    body, _ = handler("object-detection", beyond).answer(picture(40, 30), "image/png", "*/*")
    assert json.loads(body)["prediction"][0][2:] == [0.0, 0.0, 1.0, 1.0]


def test_object_detection_answers_as_ground_truth_writes_boxes_if_asked() -> None:
    answers = handler("object-detection", BOX)
    body, _ = answers.answer(picture(40, 30), "image/png", "application/json; annotation=1")
    assert json.loads(body) == {
        "image_size": [{"width": 40, "height": 30, "depth": 3}],
        "annotations": [
            {"class_id": 3, "score": 0.5, "left": 10, "top": 15, "width": 20, "height": round(7.5)}
        ],
    }


@pytest.mark.parametrize(
    ("algorithm", "accept"),
    [("image-classification", "text/csv"), ("image-classification", "application/json;annotation=1")],
)
def test_other_formats_are_refused(algorithm: str, accept: str) -> None:
    with pytest.raises(UnsupportedAcceptError, match=re.escape(f"Accept {accept} is not supported")):
        handler(algorithm, *LABELS).answer(b"", "image/png", accept)


def test_an_archive_of_another_kind_is_not_served(tmp_path: Path) -> None:
    with pytest.raises(WrongModelError, match="no model that object-detection trained"):
        describe(tmp_path, "object-detection")
    (tmp_path / "algorithm.json").write_text('{"algorithm": "image-classification"}')
    with pytest.raises(WrongModelError):
        describe(tmp_path, "object-detection")
    assert describe(tmp_path, "image-classification")["algorithm"] == "image-classification"


@pytest.mark.parametrize(
    ("algorithm", "printed", "metric"),
    [
        (
            "image-classification",
            "validation:loss=0.4231; validation:accuracy=0.8750;",
            "validation:accuracy",
        ),
        ("object-detection", "validation:loss=0.4231; validation:mAP=0.8750;", "validation:mAP"),
    ],
)
def test_an_epochs_metric_is_printed_as_the_algorithm_does(algorithm: str, printed: str, metric: str) -> None:
    (line,) = metric_lines(algorithm, f"epoch 3/20: train:loss=1.2000; {printed} 0.4 s")
    definitions = {found["Name"]: found["Regex"] for found in ALGORITHMS[algorithm].metrics}
    found = re.search(definitions[metric], line)
    assert found is not None
    assert float(found.group(1)) == 0.875
    assert re.search(r"Epoch\[2\]|epoch=2", line)


def test_other_lines_have_no_metrics() -> None:
    assert metric_lines("image-classification", "validation was no better for 6 epochs: stopping") == []
    assert metric_lines("image-classification", "epoch 1/20: train:loss=1.2;") == []
