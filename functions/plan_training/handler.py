"""Step Functions task: decide on the training of the next model."""

from dataclasses import asdict
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap
from loupe.logs import ids_of, logged

logger = Logger(service="plan_training")


@logged(logger)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """`{"project", "dataset_version", "execution", "correlation_id"}` in, the plan out."""
    logger.append_keys(**ids_of(event))
    plan = bootstrap.plan_training()(event["project"], event["dataset_version"], event["execution"])
    logger.info("planned", version=plan.version, job=plan.model_name)
    return asdict(plan)
