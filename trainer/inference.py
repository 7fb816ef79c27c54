"""Answers an endpoint's requests: the four functions that SageMaker's inference toolkit looks for.

It lies in the model's own archive under code/, with the modules it imports, so that a model is always served
by the code it was trained with.
"""

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from answers import BOXES, MULTI_LABEL, boxes, one_label, several_labels
from detector import find_objects
from model_files import ModelCard, load_model
from networks import RESNET_SMALL
from pixels import Frame, UnreadableImageError, normalise, to_square

try:
    from sagemaker_inference.errors import BaseInferenceToolkitError  # type: ignore[import-not-found]
except ImportError:

    class BaseInferenceToolkitError(Exception):  # type: ignore[no-redef]
        """The toolkit's error with a status for the caller, where the toolkit itself isn't there."""

        def __init__(self, status_code: int, message: str, phrase: str) -> None:
            super().__init__(status_code, message, phrase)
            self.status_code = status_code
            self.message = message
            self.phrase = phrase


MIN_CONFIDENCE = "LOUPE_MIN_CONFIDENCE"
CONTENT_TYPES = ("image/jpeg", "image/png", "application/x-image")
# Requests come side by side, so more threads for one would only wait for each other; a large network gains
# by two.
_THREADS_SMALL, _THREADS_LARGE = 1, 2


class RefusedRequestError(BaseInferenceToolkitError, ValueError):  # type: ignore[misc]
    """The request is at fault, not the model: `status_code` is 415 or 422, `message` says what is wrong."""

    def __init__(self, status_code: int, message: str) -> None:
        super().__init__(status_code, message, message)

    def __str__(self) -> str:
        return str(self.message)


@dataclass(frozen=True)
class Model:
    """A loaded model, and the device it answers on; `min_confidence`, if any, replaces its thresholds."""

    card: ModelCard
    network: nn.Module
    device: torch.device
    min_confidence: float | None


def model_fn(model_dir: str) -> Model:
    """Load the model, onto a GPU if there is one, and run it once so that no caller waits for that."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    card, network = load_model(Path(model_dir), device)
    torch.set_num_threads(_THREADS_SMALL if card.backbone == RESNET_SMALL else _THREADS_LARGE)
    model = Model(card, network, device, _min_confidence())
    _outputs(model, torch.zeros(3, card.image_size, card.image_size, dtype=torch.uint8))
    return model


def input_fn(body: bytes | bytearray, content_type: str) -> bytes:
    """Take the image as sent: predict_fn decodes it at the model's size. 415 for another content type."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in CONTENT_TYPES:
        raise RefusedRequestError(
            415, f"content type {content_type!r} is not one of {', '.join(CONTENT_TYPES)}"
        )
    return bytes(body)


def predict_fn(image: bytes, model: Model) -> dict[str, list[dict[str, Any]]]:
    """The predictions for an image, best first (see answer_of); 422 if the image can't be read."""
    card = model.card
    try:
        pixels, frame = to_square(image, card.image_size, letterboxed=card.task == BOXES)
    except UnreadableImageError as error:
        raise RefusedRequestError(422, str(error)) from error
    return {"predictions": answer_of(card, _outputs(model, pixels), frame, model.min_confidence)}


def answer_of(
    card: ModelCard, outputs: torch.Tensor, frame: Frame, min_confidence: float | None
) -> list[dict[str, Any]]:
    """What a model answers where its network says `outputs` (for one image), confidences calibrated, 0 to 1.

    image-classification: all labels. multi-label-classification: all labels, with the threshold from which
    each applies. bounding-box: the boxes that reach their label's threshold. `min_confidence`: see Model.
    """
    thresholds = card.thresholds if min_confidence is None else dict.fromkeys(card.labels, min_confidence)
    if card.task == BOXES:
        [found] = find_objects(outputs.unsqueeze(0), card.temperature, card.shift)
        return boxes(found, card.labels, frame, thresholds)
    if card.task == MULTI_LABEL:
        return several_labels(outputs, card.labels, card.temperature, thresholds)
    return one_label(outputs, card.labels, card.temperature)


def output_fn(prediction: dict[str, list[dict[str, Any]]], accept: str) -> tuple[str, str]:  # noqa: ARG001 - given by the toolkit
    """The answer as JSON text, and its content type: whatever `accept` asks for, there is no other form."""
    return json.dumps(prediction, ensure_ascii=False), "application/json"


def _min_confidence() -> float | None:
    """What the environment asks for instead of the model's thresholds; ValueError if it is no confidence."""
    text = os.environ.get(MIN_CONFIDENCE)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise ValueError(f"{MIN_CONFIDENCE} is {text!r}, not a number from 0 to 1")
    return value


def _outputs(model: Model, pixels: torch.Tensor) -> torch.Tensor:
    """What the network says of one image, on the CPU."""
    batch = pixels.unsqueeze(0).to(model.device, torch.float32).div(255)
    with torch.inference_mode():
        outputs: torch.Tensor = model.network(normalise(batch, model.card.mean, model.card.std))
    return outputs[0].float().cpu()
