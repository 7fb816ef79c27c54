"""The errors of the Rekognition API, with the codes that AWS uses."""

from __future__ import annotations


class RekognitionError(Exception):
    """A refusal that goes to the caller as `code` and `message`."""

    code = "InvalidParameterException"
    status = 400

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


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


class NotAvailableError(RekognitionError):
    """Rekognition has this, the local cloud does not."""

    code = "UnknownOperationException"

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is not available in the local cloud")
