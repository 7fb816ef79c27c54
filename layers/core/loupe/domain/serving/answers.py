"""What models answer, made into predictions as the API gives them (`loupe.ports.models.InvokesEndpoints`).

Loupe's own trainer answers in that form already:

    {"predictions": [{"label", "confidence", "threshold"?, "box"?}, ...]}

SageMaker's built-in algorithms answer by class index: image classification with a list of probabilities,
alone or as `{"prediction": [...]}`; object detection with
`{"prediction": [[class, score, left, top, right, bottom], ...]}`, in any order, with sides from 0 to 1 and,
where a place is left empty, class -1.

Rekognition answers with `[{"Name", "Confidence", "Geometry"?}, ...]`: confidences to 100, and the box's sides
from 0 to 1.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any

from loupe.domain.errors import ModelError
from loupe.domain.images.inspection import ImageRejected, dimensions
from loupe.domain.projects import TaskType, Trainer
from loupe.ports.loops import ServedModel

Prediction = dict[str, Any]

BUILTIN_THRESHOLD = 0.5
"""From which probability on a built-in multi-label model means a label; the algorithm has no other."""

BUILTIN_LEAST_CONFIDENCE = 0.2
"""From which confidence on a box of a built-in model is shown."""

_BOX = ("left", "top", "width", "height")


def read_answer(model: ServedModel, content: bytes, size: tuple[int, int]) -> list[Prediction]:
    """Predictions of a model that SageMaker hosts, best first. `size` is the width and height in pixels of
    the image that was asked about. Raises `ModelError`."""
    try:
        document = json.loads(content)
        if model.trainer == "builtin":
            return _READERS[model.task](document, model.labels, size)
        return [_prediction(given) for given in document["predictions"]]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ModelError(f"{model.endpoint} answered {content[:200]!r}") from error


def read_custom_labels(
    model: ServedModel, found: Iterable[Mapping[str, Any]], size: tuple[int, int]
) -> list[Prediction]:
    """Predictions of a model that Rekognition hosts, best first, from the `CustomLabels` of its answer.
    `size` is as for `read_answer`. Raises `ModelError` for a box model's label without a box."""
    return best_first(_custom_labels(model, found, size))


def size_of(model: ServedModel, image: bytes) -> tuple[int, int]:
    """Width and height in pixels of an image that a model was asked about, where its answer's meaning depends
    on them; else zeros. Raises `ModelError`."""
    if model.task != "bounding-box":
        return 0, 0
    try:
        return dimensions(image)
    except ImageRejected as rejected:
        raise ModelError(f"{model.endpoint} answered to what is no image: {rejected.detail}") from rejected


def best_first(predictions: Iterable[Prediction]) -> list[Prediction]:
    return sorted(predictions, key=itemgetter("confidence"), reverse=True)


def scaled(
    predictions: Iterable[Prediction], size: tuple[int, int], wanted: tuple[int, int]
) -> list[Prediction]:
    """Predictions about a copy of an image as predictions about the image; sizes are widths and heights."""
    across, down = wanted[0] / size[0], wanted[1] / size[1]
    by = {"left": across, "top": down, "width": across, "height": down}
    return [
        {**each, "box": {side: length * by[side] for side, length in each["box"].items()}}
        if "box" in each
        else each
        for each in predictions
    ]


def worth_showing(model: ServedModel, predictions: list[Prediction]) -> list[Prediction]:
    """Predictions without the boxes that built-in object detection itself hardly believes in: it has no
    threshold, and answers with everything that its network proposes."""
    return believed(predictions, least_confidence(model.trainer, model.task))


def least_confidence(trainer: Trainer, task: TaskType) -> float:
    """From which confidence on the predictions of a model are taken for its answer."""
    return BUILTIN_LEAST_CONFIDENCE if (trainer, task) == ("builtin", "bounding-box") else 0.0


def believed(predictions: list[Prediction], least: float) -> list[Prediction]:
    """Those of at least that confidence."""
    return [each for each in predictions if each["confidence"] >= least]


def _prediction(given: dict[str, Any]) -> Prediction:
    prediction: Prediction = {"label": given["label"], "confidence": float(given["confidence"])}
    if "threshold" in given:
        prediction["threshold"] = float(given["threshold"])
    if "box" in given:
        prediction["box"] = {side: float(given["box"][side]) for side in _BOX}
    return prediction


def _one(document: Any, labels: tuple[str, ...], _: tuple[int, int]) -> list[Prediction]:
    confidences = _probabilities(document, labels)
    return best_first(
        {"label": label, "confidence": confidence}
        for label, confidence in zip(labels, confidences, strict=True)
    )


def _several(document: Any, labels: tuple[str, ...], size: tuple[int, int]) -> list[Prediction]:
    return [{**each, "threshold": BUILTIN_THRESHOLD} for each in _one(document, labels, size)]


def _probabilities(document: Any, labels: tuple[str, ...]) -> list[float]:
    values = document["prediction"] if isinstance(document, dict) else document
    if len(values) != len(labels):
        raise ValueError(f"{len(values)} probabilities for {len(labels)} labels")
    return [float(value) for value in values]


def _boxes(document: Any, labels: tuple[str, ...], size: tuple[int, int]) -> list[Prediction]:
    found = []
    for number, score, *sides in document["prediction"]:
        if number < 0:
            continue
        left, top, right, bottom = (min(1.0, max(0.0, float(side))) for side in sides)
        box = _in_pixels(left, top, right - left, bottom - top, size)
        if not math.isfinite(score) or min(box["width"], box["height"]) <= 0:
            continue  # reaches nowhere, or lies outside the image altogether
        found.append({"label": labels[int(number)], "confidence": float(score), "box": box})
    return best_first(found)


def _custom_labels(
    model: ServedModel, found: Iterable[Mapping[str, Any]], size: tuple[int, int]
) -> Iterator[Prediction]:
    for label in found:
        prediction: Prediction = {"label": label["Name"], "confidence": label["Confidence"] / 100}
        if model.task == "bounding-box":
            if "Geometry" not in label:
                raise ModelError(f"{model.endpoint} answered {label['Name']!r} without a box")
            box = label["Geometry"]["BoundingBox"]
            prediction["box"] = _in_pixels(box["Left"], box["Top"], box["Width"], box["Height"], size)
        yield prediction


def _in_pixels(
    left: float, top: float, width: float, height: float, size: tuple[int, int]
) -> dict[str, float]:
    """A box whose sides are shares of the image's."""
    return {
        "left": left * size[0],
        "top": top * size[1],
        "width": width * size[0],
        "height": height * size[1],
    }


_READERS = {
    "image-classification": _one,
    "multi-label-classification": _several,
    "bounding-box": _boxes,
}
