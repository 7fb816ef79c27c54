"""Ends a labeling job of Ground Truth when SageMaker says that it ended."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap
from loupe.domain.labeling.provided_labels import project_of_job
from loupe.logs import logged

logger = Logger(service="conclude_labeling_job")


@logged(logger)
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """EventBridge event of SageMaker; the job's name is in its ARN, `resources[0]`. Jobs that Loupe did not
    start are passed over."""
    job = event["resources"][0].rpartition("/")[2]
    project = project_of_job(job)
    logger.append_keys(project=project, correlation_id=job if project else None)
    state = bootstrap.conclude_labeling_job()(project, job) if project else None
    logger.info("looked at the job", job=job, state=state)
