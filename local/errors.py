"""What the errors of the services that are added to the emulator have in common."""

from __future__ import annotations


class ApiError(Exception):
    """A refusal that goes to the caller as `code` and `message`."""

    code = ""
    status = 400

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NotServedError(ApiError):
    """AWS has this, the local cloud does not."""

    code = "UnknownOperationException"

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is not available in the local cloud")
