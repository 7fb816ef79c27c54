"""Step Functions task: write down what came of a turn, and tell of it."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap
from loupe.domain.training.turns import Result
from loupe.logs import ids_of, logged

logger = Logger(service="conclude_training")

_NO_RESULT = {"request", "correlation_id"}


@logged(logger)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """The fields of a `Result` in, the `request` that a release was asked for by, null for a turn of the
    loop, and the turn's `correlation_id`; `{"reason"}` in words out."""
    logger.append_keys(**ids_of(event))
    request = event.get("request")
    result = Result(**{name: value for name, value in event.items() if name not in _NO_RESULT})
    reason = (
        bootstrap.conclude_release()(request, result) if request else bootstrap.conclude_training()(result)
    )
    logger.info("concluded", version=result.version, outcome=result.outcome, reason=reason)
    return {"reason": reason}
