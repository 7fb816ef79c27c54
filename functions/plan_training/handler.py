"""Step Functions task: decide on the training of the next model."""

from dataclasses import asdict
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap

logger = Logger(service="plan_training")


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """`{"project", "dataset_version", "execution"}` in, the plan out."""
    plan = bootstrap.plan_training()(event["project"], event["dataset_version"], event["execution"])
    logger.info("planned", project=plan.project, version=plan.version, job=plan.model_name)
    return asdict(plan)
