"""Compares the buckets with the index and mends the index: every hour, when an execution failed, on demand.

Invoked with `{"project": name}`, or with the detail of an execution's status change (its `input` is text that
holds `{"project": name}`), it looks at that project only; with anything else, at all.
"""

import json
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap
from loupe.domain.projects import check_project_name
from loupe.domain.reconciliation import summary
from loupe.logs import logged

logger = Logger(service="reconcile")


@logged(logger)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Returns `{"projects": {name: counts of what was mended}}`."""
    reconcile = bootstrap.reconcile()
    project = event.get("project") or json.loads(event.get("input", "{}")).get("project")
    logger.append_keys(project=project)
    found = {project: reconcile(check_project_name(project))} if project else reconcile.for_all()
    result = summary(found)
    logger.info("reconciled", projects=result["projects"])
    return result
