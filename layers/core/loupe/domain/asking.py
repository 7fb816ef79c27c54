"""Asking a model about an image, however large that is."""

from loupe.domain.answers import Prediction, scaled
from loupe.domain.images import dimensions, media_type
from loupe.domain.reduction import reduced
from loupe.ports import InvokesEndpoints, ServedModel

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
