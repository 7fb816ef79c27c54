"""Answers of a built-in algorithm's stand-in: the network's predictions in the algorithm's own formats."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from local.sagemaker.builtin.training import NETWORK, read_description

_JSON = "application/json"
_JSON_LINES = "application/jsonlines"
_ANNOTATION = "application/json;annotation=1"
_ANY = ("", "*/*")

# Boxes are answered unthresholded, which the network's own thresholds are not.
ENVIRONMENT = {"LOUPE_MIN_CONFIDENCE": "0"}


class UnsupportedAcceptError(Exception):
    """The algorithm has no answer of that content type."""

    status_code = 406


class WrongModelError(Exception):
    """The archive holds no model of the algorithm."""


class Predicts(Protocol):
    """A model's own script, with its model loaded."""

    def predict(self, body: bytes, content_type: str) -> Mapping[str, Any]:
        """`predictions` as the script returns them."""


class BuiltinHandler:
    """Answers for one algorithm. In batch transform the default format is JSON Lines."""

    def __init__(self, description: Mapping[str, Any], network: Predicts, *, is_batch: bool) -> None:
        self._algorithm = str(description["algorithm"])
        self._network = network
        self._classes = int(description["hyperparameters"]["num_classes"])
        self._default = _JSON_LINES if is_batch else _JSON

    def answer(self, body: bytes, content_type: str, accept: str) -> tuple[bytes, str]:
        """Body and content type."""
        wanted = accept.replace(" ", "").lower()
        wanted = self._default if wanted in _ANY else wanted
        known = {"image-classification": (_JSON, _JSON_LINES)}.get(
            self._algorithm, (_JSON, _JSON_LINES, _ANNOTATION)
        )
        if wanted not in known:
            raise UnsupportedAcceptError(
                f"Accept {accept} is not supported by {self._algorithm}; it answers with {', '.join(known)}"
            )
        predictions = self._network.predict(body, content_type)["predictions"]
        document = self._document(predictions, body, wanted)
        text = json.dumps(document) + ("\n" if wanted == _JSON_LINES else "")
        return text.encode(), wanted

    def _document(self, predictions: Sequence[Mapping[str, Any]], body: bytes, wanted: str) -> Any:
        if self._algorithm == "image-classification":
            probabilities = class_probabilities(predictions, self._classes)
            return {"prediction": probabilities} if wanted == _JSON_LINES else probabilities
        with Image.open(io.BytesIO(body)) as image:
            size = image.size
        return annotated(predictions, size) if wanted == _ANNOTATION else detections(predictions, size)


def describe(model: Path, algorithm: str) -> Mapping[str, Any]:
    """What an unpacked archive says of its model. Raises WrongModelError if it is not the algorithm's."""
    description = read_description(model)
    if description is None or description["algorithm"] != algorithm:
        raise WrongModelError(f"the model archive holds no model that {algorithm} trained")
    return description


def network_folder(model: Path) -> Path:
    """Where in an unpacked archive the network and its script are."""
    return model / NETWORK


def is_batch() -> bool:
    """Whether this process serves a batch transform job."""
    return os.environ.get("SAGEMAKER_BATCH", "").lower() == "true"


def class_probabilities(predictions: Sequence[Mapping[str, Any]], classes: int) -> list[float]:
    """By class id; 0 for a class that the network did not learn. The network's labels are class ids."""
    found = {int(prediction["label"]): float(prediction["confidence"]) for prediction in predictions}
    return [found.get(class_id, 0.0) for class_id in range(classes)]


def detections(predictions: Sequence[Mapping[str, Any]], size: tuple[int, int]) -> dict[str, Any]:
    """Rows of class, score and the corners xmin, ymin, xmax, ymax as shares of the image's sides."""
    width, height = size
    rows = []
    for prediction in predictions:
        box = prediction["box"]
        left, top = box["left"] / width, box["top"] / height
        right, bottom = left + box["width"] / width, top + box["height"] / height
        corners = [min(1.0, max(0.0, side)) for side in (left, top, right, bottom)]
        rows.append([float(prediction["label"]), float(prediction["confidence"]), *corners])
    return {"prediction": rows}


def annotated(predictions: Sequence[Mapping[str, Any]], size: tuple[int, int]) -> dict[str, Any]:
    """The same as Ground Truth writes boxes, in whole pixels and with their scores."""
    width, height = size
    return {
        "image_size": [{"width": width, "height": height, "depth": 3}],
        "annotations": [
            {
                "class_id": int(prediction["label"]),
                "score": float(prediction["confidence"]),
                **{side: round(prediction["box"][side]) for side in ("left", "top", "width", "height")},
            }
            for prediction in predictions
        ],
    }
