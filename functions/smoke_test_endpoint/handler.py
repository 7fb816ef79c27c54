"""Step Functions task: ask the new endpoint about test images before any app does."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap
from loupe.logs import ids_of, logged

logger = Logger(service="smoke_test_endpoint")


@logged(logger)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """`{"project", "version", "endpoint"?, "correlation_id"}` in, `{"images"}` (how many were asked about)
    out."""
    logger.append_keys(**ids_of(event))
    images = bootstrap.smoke_test_endpoint()(event["project"], event["version"], event.get("endpoint"))
    logger.info("smoke test passed", version=event["version"], images=images)
    return {"images": images}
