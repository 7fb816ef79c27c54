"""The errors of the SageMaker API, with the codes and wording that AWS uses."""

from __future__ import annotations

from local.errors import ApiError, NotServedError

MAX_FAILURE_REASON = 1024
"""Characters of a FailureReason."""


class SageMakerError(ApiError):
    """A refusal of SageMaker."""

    code = "ValidationException"


class ValidationError(SageMakerError):
    """The request is not valid, or names something that does not exist."""


class RuntimeValidationError(SageMakerError):
    """The same on the runtime endpoint, which names it differently."""

    code = "ValidationError"


class ResourceInUseError(SageMakerError):
    code = "ResourceInUse"


class ResourceLimitExceededError(SageMakerError):
    code = "ResourceLimitExceeded"


class ResourceNotFoundError(SageMakerError):
    code = "ResourceNotFound"


class NotAvailableError(NotServedError, SageMakerError):
    """SageMaker has this, the local cloud does not."""


class ModelNotReadyError(SageMakerError):
    code = "ModelNotReadyException"
    status = 429


class ModelError(SageMakerError):
    """The container answered an error; `original_status` and `original_message` are its own."""

    code = "ModelError"
    status = 424

    def __init__(self, message: str, original_status: int, original_message: str) -> None:
        super().__init__(message)
        self.original_status = original_status
        self.original_message = original_message
