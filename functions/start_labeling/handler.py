"""Cuts labeling jobs: for one project when something changed there, for all each minute."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap
from loupe.logs import logged

logger = Logger(service="start_labeling")


@logged(logger)
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """EventBridge event: one of Loupe's own, whose detail names a project, or the schedule's."""
    project = event["detail"].get("project")
    logger.append_keys(project=project)
    if project is None:
        bootstrap.start_labeling().for_all()
    else:
        at_once = event["detail-type"] == "LabelingRequested"
        bootstrap.start_labeling()(project, at_once=at_once)
    logger.info("looked for work", cause=event["detail-type"])
