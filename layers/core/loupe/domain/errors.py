"""Errors in the user's words: what happened, and what to do about it.

Each class carries the HTTP status and the problem slug under which an API answers it, so that the
mapping to a problem document (RFC 9457) happens in one place.
"""

from typing import Any, ClassVar


class DomainError(Exception):
    """Something that a user or operator can understand and mend. `str(error)` is meant for them."""

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "Something went wrong"

    def __init__(self, detail: str, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extra = extra


class BadRequest(DomainError):
    """The request itself is malformed."""

    status, slug, title = 400, "bad-request", "The request can't be understood"


class NotAllowed(DomainError):
    """Who asks is known, and may not do this."""

    status, slug, title = 403, "not-allowed", "You may not do that"


class NotFound(DomainError):
    """A thing that was named does not exist."""

    status, slug, title = 404, "not-found", "Not found"


class ProjectNotFound(NotFound):
    """No project of that name has a project.yaml."""

    slug, title = "project-not-found", "There is no such project"


class InvalidProject(DomainError):
    """A project.yaml that can't be used; the message names each field at fault."""

    status, slug, title = 422, "invalid-project", "project.yaml is not valid"


class Conflict(DomainError):
    """The state of things does not allow the request now."""

    status, slug, title = 409, "conflict", "That is not possible now"


class StoreUnavailable(DomainError):
    """A service behind a port throttled or failed; the same call may go through later."""

    status, slug, title = 503, "try-again", "A service that Loupe needs did not answer"


class ObjectMissing(DomainError):
    """An object in S3 that was asked for is not there (any more)."""

    status, slug, title = 404, "object-missing", "The object is not there"


class AlreadyWritten(DomainError):
    """A write-once object exists already."""

    status, slug, title = 409, "already-written", "The object exists already"


class ModelError(DomainError):
    """The endpoint is there, and its model failed on this input."""

    status, slug, title = 502, "model-unavailable", "The model did not answer"


class ModelNotRunning(Conflict):
    """The model is there, and does not run now."""

    slug, title = "model-stopped", "The model is stopped"
