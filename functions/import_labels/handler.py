"""What `loupe import` needs of the index: which images are registered, and to take a whole import over."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap
from loupe.logs import ids_of, logged

logger = Logger(service="import_labels")


@logged(logger)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """What `ImportLabels.do` takes in, what it returns out."""
    logger.append_keys(**ids_of(event))
    told = bootstrap.import_labels().do(event)
    logger.info("done", action=event["action"])
    return told
