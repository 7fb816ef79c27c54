"""Ends a labeling job of Ground Truth when SageMaker says that it ended."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap
from loupe.domain.labeling.provided_labels import project_of_job

logger = Logger(service="conclude_labeling_job")


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """EventBridge event of SageMaker; the job's name is in its ARN, `resources[0]`. Jobs that Loupe did not
    start are passed over."""
    job = event["resources"][0].rpartition("/")[2]
    project = project_of_job(job)
    state = bootstrap.conclude_labeling_job()(project, job) if project else None
    logger.info("looked at the job", project=project, job=job, state=state)
