"""Approves and rejects candidates, rolls back, and lets promotion go on; `loupe model` calls it."""

from dataclasses import asdict
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap
from loupe.logs import ids_of, logged

logger = Logger(service="decide_on_model")


@logged(logger)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """`{"project", "action", "version", "by"}` in: approve, reject, rollback or resume, and who says so;
    `{"state", "version", "told"}` out."""
    logger.append_keys(**ids_of(event))
    project, action = event["project"], event["action"]
    decided = bootstrap.decide_on_model().do(project, action, event.get("version"), event["by"])
    logger.info("decided", action=action, version=decided.version, by=event["by"])
    return asdict(decided)
