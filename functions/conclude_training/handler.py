"""Step Functions task: write down what came of a turn, and tell of it."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap
from loupe.domain.training.turns import Result

logger = Logger(service="conclude_training")


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """The fields of a `Result` in, and the `request` that a release was asked for by, null for a turn of the
    loop; `{"reason"}` in words out."""
    request = event.get("request")
    result = Result(**{name: value for name, value in event.items() if name != "request"})
    reason = (
        bootstrap.conclude_release()(request, result) if request else bootstrap.conclude_training()(result)
    )
    logger.info(
        "concluded", project=result.project, version=result.version, outcome=result.outcome, reason=reason
    )
    return {"reason": reason}
