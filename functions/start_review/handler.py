"""Called by `loupe review`: people look at labels again."""

from dataclasses import asdict
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap
from loupe.domain.labeling.review import ReviewRequest
from loupe.domain.projects import check_project_name
from loupe.logs import ids_of, logged

logger = Logger(service="start_review")


@logged(logger)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """The fields of a `ReviewRequest` in, those of a `ReviewStarted` out."""
    check_project_name(event["project"])
    logger.append_keys(**ids_of(event))
    started = asdict(bootstrap.start_review()(ReviewRequest(**event)))
    logger.set_correlation_id(started["job"])
    logger.info("review started", **started)
    return started
