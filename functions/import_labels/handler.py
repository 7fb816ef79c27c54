"""What `loupe import` needs of the index: which images are registered, and to take a whole import over.

Invoked with `{"project": name, "keys": [...], "sha256s": [...]}` it tells what is known of those; with
`{"project": name, "job": job}` it makes the import a finished job, and the loop goes on with its labels.
"""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap
from loupe.domain.projects import check_project_name

logger = Logger(service="import_labels")


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Returns what `ImportLabels.known` or `ImportLabels.finish` does."""
    import_labels, project = bootstrap.import_labels(), check_project_name(event["project"])
    if "job" in event:
        finished = import_labels.finish(project, event["job"])
        logger.info("import finished", project=project, **finished)
        return finished
    known = import_labels.known(project, event.get("keys", []), event.get("sha256s", []))
    logger.info("told of images", project=project, images=len(known["images"]))
    return known
