"""Log lines of all functions: JSON, each with the project and the correlation id that it is about.

docs/logs.md says which members they have. A handler wears `logged` and adds what it knows as soon as it does:
`logger.append_keys(project=...)`, `logger.set_correlation_id(...)`. What a function learned of one invocation
is forgotten at the next. Functions of the REST API log by `loupe.http.RestApi`.
"""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe.ports.messages import WritesLog

Answer = TypeVar("Answer")
Handler = Callable[[dict[str, Any], LambdaContext], Answer]


def logged(logger: Logger) -> Callable[[Handler[Answer]], Handler[Answer]]:
    """Lines of an invocation name its request and nothing of earlier ones. What a handler raises gets a line,
    too: the one that Lambda writes has no members to find it by."""

    def decorate(handler: Handler[Answer]) -> Handler[Answer]:
        @wraps(handler)
        def run(event: dict[str, Any], context: LambdaContext) -> Answer:
            try:
                return handler(event, context)
            except Exception:
                logger.exception("failed")
                raise

        return logger.inject_lambda_context(run, clear_state=True)

    return decorate


def log_of(service: str) -> WritesLog:
    """The log of the function of that name, for its use case; the function's handler has the same one."""
    logger = Logger(service=service)

    def write(message: str, **members: Any) -> None:
        logger.info(message, extra=members, stacklevel=3)  # `location` names the caller

    return write


def ids_of(event: Mapping[str, Any]) -> dict[str, str | None]:
    """Members for all lines about an event of the state machine, or one of Loupe's own about a job."""
    return {
        "project": event.get("project"),
        "correlation_id": event.get("correlation_id", event.get("job")),
    }
