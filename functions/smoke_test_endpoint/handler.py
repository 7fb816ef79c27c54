"""Step Functions task: ask the new endpoint about test images before any app does."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap

logger = Logger(service="smoke_test_endpoint")


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """`{"project", "version", "endpoint"?}` in, `{"images"}` (how many were asked about) out."""
    images = bootstrap.smoke_test_endpoint()(event["project"], event["version"], event.get("endpoint"))
    logger.info("smoke test passed", project=event["project"], version=event["version"], images=images)
    return {"images": images}
