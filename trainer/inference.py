"""Answers an endpoint's requests: the four functions that SageMaker's inference toolkit looks for.

It lies in the model's own archive under code/, with the modules it imports, so that a model is always served
by the code it was trained with.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from model_files import ModelCard, load_model
from networks import RESNET_SMALL
from pixels import UnreadableImageError, normalise, to_pixels

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
    """A loaded model, and the device it answers on."""

    card: ModelCard
    network: nn.Module
    device: torch.device


def model_fn(model_dir: str) -> Model:
    """Load the model, onto a GPU if there is one, and run it once so that no caller waits for that."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    card, network = load_model(Path(model_dir), device)
    torch.set_num_threads(_THREADS_SMALL if card.backbone == RESNET_SMALL else _THREADS_LARGE)
    model = Model(card, network, device)
    _confidences(model, torch.zeros(3, card.image_size, card.image_size, dtype=torch.uint8))
    return model


def input_fn(body: bytes | bytearray, content_type: str) -> bytes:
    """Take the image as sent: predict_fn decodes it at the model's size. 415 for another content type."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in CONTENT_TYPES:
        raise RefusedRequestError(
            415, f"content type {content_type!r} is not one of {', '.join(CONTENT_TYPES)}"
        )
    return bytes(body)


def predict_fn(image: bytes, model: Model) -> dict[str, list[dict[str, str | float]]]:
    """Every label with its calibrated confidence (0 to 1), best first; 422 if the image can't be read."""
    try:
        pixels = to_pixels(image, model.card.image_size)
    except UnreadableImageError as error:
        raise RefusedRequestError(422, str(error)) from error
    confidences = _confidences(model, pixels)
    answers = sorted(zip(model.card.labels, confidences, strict=True), key=lambda answer: -answer[1])
    return {"predictions": [{"label": label, "confidence": confidence} for label, confidence in answers]}


def output_fn(prediction: dict[str, list[dict[str, str | float]]], accept: str) -> tuple[str, str]:  # noqa: ARG001 - given by the toolkit
    """The answer as JSON text, and its content type: whatever `accept` asks for, there is no other form."""
    return json.dumps(prediction, ensure_ascii=False), "application/json"


def _confidences(model: Model, pixels: torch.Tensor) -> list[float]:
    batch = pixels.unsqueeze(0).to(model.device, torch.float32).div(255)
    with torch.inference_mode():
        logits = model.network(normalise(batch, model.card.mean, model.card.std))
        confidences: list[float] = torch.softmax(logits[0].double() / model.card.temperature, dim=0).tolist()
    return confidences
