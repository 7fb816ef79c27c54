"""EventBridge event of SageMaker: an endpoint came into service."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap
from loupe.logs import logged

logger = Logger(service="scale_endpoint")


@logged(logger)
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """A "SageMaker Endpoint State Change" in. Endpoints that are not of Loupe's making are left alone."""
    endpoint = event["detail"]["EndpointName"]
    told = bootstrap.scale_endpoint()(endpoint)
    logger.info("looked", endpoint=endpoint, told=told)
