"""Faults that end a command: what happened in the user's words, and what to do about it."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from loupe.domain.errors import DomainError


class CommandFault(click.ClickException):
    """An expected fault: printed without a traceback, exit code 1.

    `hint` is the next step for the user, printed on a line of its own.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint

    def format_message(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n{self.hint}"


@contextmanager
def domain_errors_as_faults() -> Iterator[None]:
    """What Loupe's own code says of a file or an object, as the fault that ends the command."""
    try:
        yield
    except DomainError as error:
        raise CommandFault(error.detail) from error


class StackMissing(CommandFault):
    """The stack is not there, or is not a whole Loupe."""


class NotRegisteredYet(CommandFault):
    """The project's project.yaml is stored, and the stack has not taken note of it so far."""


class ApiProblem(CommandFault):
    """An answer of one of Loupe's APIs that is not a success (RFC 9457 problem document).

    `status` is the HTTP status, `slug` the last part of the problem's type (`lease-lost`), `detail` its text.
    """

    def __init__(self, status: int, slug: str, detail: str) -> None:
        super().__init__(detail, hint=None)
        self.status = status
        self.slug = slug
        self.detail = detail
