"""Step Functions task: read how Rekognition measured a candidate, and measure the champion alike."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap

logger = Logger(service="measure_custom_labels")


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """`{"project", "version", "summary"}` in (the key of Rekognition's own summary), `{"score"}` out."""
    score = bootstrap.measure_custom_labels()(event["project"], event["version"], event["summary"])
    logger.info("measured", project=event["project"], version=event["version"], score=score)
    return {"score": score}
