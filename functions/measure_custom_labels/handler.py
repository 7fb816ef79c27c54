"""Step Functions task: read how Rekognition measured a candidate, and measure the champion alike."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap
from loupe.logs import ids_of, logged

logger = Logger(service="measure_custom_labels")


@logged(logger)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """`{"project", "version", "summary", "correlation_id"}` in, `summary` the key of Rekognition's own;
    `{"score"}` out."""
    logger.append_keys(**ids_of(event))
    score = bootstrap.measure_custom_labels()(event["project"], event["version"], event["summary"])
    logger.info("measured", version=event["version"], score=score)
    return {"score": score}
