"""Asking a model about an image, however large that is."""

from loupe.domain.images.inspection import dimensions, media_type
from loupe.domain.images.reduction import reduced
from loupe.domain.serving.answers import Prediction, scaled
from loupe.ports.loops import ServedModel
from loupe.ports.models import InvokesEndpoints

MAX_ENDPOINT_BYTES = 4_000_000
"""What a serverless endpoint takes, and Rekognition; a larger image is sent reduced."""


def ask(endpoints: InvokesEndpoints, model: ServedModel, image: bytes) -> list[Prediction]:
    """The model's predictions, best first, with boxes in pixels of `image`, as stored.

    Raises `ImageRejected` for what is neither JPEG nor PNG or can't be reduced, and the errors of
    `InvokesEndpoints`.
    """
    if len(image) <= MAX_ENDPOINT_BYTES:
        return endpoints.invoke(model, image, media_type(image))
    small = reduced(image)
    predictions = endpoints.invoke(model, small, media_type(small))
    return scaled(predictions, dimensions(small), dimensions(image))
