"""Every few minutes: stops models that cost by the hour and that nobody calls."""

from dataclasses import asdict
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap
from loupe.logs import logged

logger = Logger(service="stop_idle_models")


@logged(logger)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """The schedule's event in, `{"stopped": [{"project", "version", "reason"}]}` out."""
    stopped = [asdict(each) for each in bootstrap.stop_idle_models()()]
    logger.info("looked at the models", stopped=stopped)
    return {"stopped": stopped}
