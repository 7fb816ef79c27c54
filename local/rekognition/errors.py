"""The errors of the Rekognition API, with the codes that AWS uses."""

from __future__ import annotations

from local.errors import ApiError, NotServedError


class RekognitionError(ApiError):
    """A refusal of Rekognition."""

    code = "InvalidParameterException"


class InvalidParameterError(RekognitionError):
    """The request is not valid."""


class NotFoundError(RekognitionError):
    code = "ResourceNotFoundException"

    def __init__(self, arn: str) -> None:
        super().__init__(f"{arn} does not exist")


class InUseError(RekognitionError):
    code = "ResourceInUseException"


class AlreadyExistsError(RekognitionError):
    code = "ResourceAlreadyExistsException"


class NotReadyError(RekognitionError):
    code = "ResourceNotReadyException"


class InvalidS3ObjectError(RekognitionError):
    code = "InvalidS3ObjectException"


class ImageTooLargeError(RekognitionError):
    code = "ImageTooLargeException"


class InvalidImageFormatError(RekognitionError):
    code = "InvalidImageFormatException"


class NotAvailableError(NotServedError, RekognitionError):
    """Rekognition has this, the local cloud does not."""
