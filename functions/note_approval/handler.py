"""EventBridge event of SageMaker: the approval of a model package was changed, or a package was made."""

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap

logger = Logger(service="note_approval")

_MADE_WITHIN_MS = 1000


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """A "SageMaker Model Package State Change" in. Packages that are not of Loupe's making are left alone."""
    package = event["detail"]
    made_for = package.get("CustomerMetadataProperties") or {}
    project, version = made_for.get("project"), made_for.get("model_version")
    if not project or not version:
        logger.info("not of Loupe's making", package=package["ModelPackageArn"])
        return
    age = int(package["LastModifiedTime"]) - int(package["CreationTime"])
    status = package["ModelApprovalStatus"]
    told = bootstrap.note_approval()(
        project, version, package["ModelPackageArn"], status, is_new=age < _MADE_WITHIN_MS
    )
    logger.info("noted", project=project, version=version, status=status, told=told)
