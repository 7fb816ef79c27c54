"""The errors of the Application Auto Scaling API, with the codes that AWS uses."""

from __future__ import annotations

from local.errors import ApiError, NotServedError


class AutoScalingError(ApiError):
    """A refusal of Application Auto Scaling."""

    code = "ValidationException"


class ValidationError(AutoScalingError):
    """The request is not valid, or names something that can't be scaled."""


class ObjectNotFoundError(AutoScalingError):
    code = "ObjectNotFoundException"


class InvalidNextTokenError(AutoScalingError):
    code = "InvalidNextTokenException"


class NotAvailableError(NotServedError, AutoScalingError):
    """Application Auto Scaling has this, the local cloud does not."""
