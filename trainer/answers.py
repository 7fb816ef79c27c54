"""From what a network says of an image to the predictions that its endpoint answers, for each task.

Training measures these same answers, and they go with the model: an evaluation says what callers will get.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from pixels import Frame

CLASSIFICATION = "image-classification"
MULTI_LABEL = "multi-label-classification"
BOXES = "bounding-box"


def one_label(logits: torch.Tensor, labels: Sequence[str], temperature: float) -> list[dict[str, Any]]:
    """All labels, best first, with confidences that sum to 1; `logits` have shape (labels,)."""
    confidences = torch.softmax(logits.double() / temperature, dim=0).tolist()
    return _best_first(
        {"label": label, "confidence": confidence}
        for label, confidence in zip(labels, confidences, strict=True)
    )


def several_labels(
    logits: torch.Tensor, labels: Sequence[str], temperature: float, thresholds: Mapping[str, float]
) -> list[dict[str, Any]]:
    """All labels, best first, each with its own confidence; it applies from its `threshold` on."""
    confidences = torch.sigmoid(logits.double() / temperature).tolist()
    return _best_first(
        {"label": label, "confidence": confidence, "threshold": thresholds[label]}
        for label, confidence in zip(labels, confidences, strict=True)
    )


def boxes(
    found: torch.Tensor,
    labels: Sequence[str],
    frame: Frame,
    thresholds: Mapping[str, float],
) -> list[dict[str, Any]]:
    """What was found, best first, if its confidence reaches its label's threshold; in pixels as stored.

    `found` (N, 6) holds label index, confidence, left, top, right, bottom, in pixels of the network's square.
    """
    corners = frame.to_image(found[:, 2:].double())
    answer = []
    for (index, confidence), (left, top, right, bottom) in zip(
        found[:, :2].tolist(), corners.tolist(), strict=True
    ):
        label = labels[int(index)]
        # The part of the square beside the image holds nothing.
        if confidence < thresholds[label] or right <= left or bottom <= top:
            continue
        box = {"left": left, "top": top, "width": right - left, "height": bottom - top}
        answer.append({"label": label, "confidence": confidence, "box": box})
    return _best_first(answer)


def _best_first(predictions: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(predictions, key=lambda prediction: -prediction["confidence"])
