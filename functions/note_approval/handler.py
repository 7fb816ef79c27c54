"""EventBridge event of SageMaker: the approval of a model package was changed, or a package was made."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap
from loupe.logs import logged

logger = Logger(service="note_approval")

_MADE_WITHIN_SECONDS = 1
_NEEDED = {"CustomerMetadataProperties", "CreationTime", "LastModifiedTime"}


@logged(logger)
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """A "SageMaker Model Package State Change" in. Packages that are not of Loupe's making are left alone."""
    package, noting = event["detail"], bootstrap.note_approval()
    if not package.keys() >= _NEEDED:  # AWS's own example has no metadata
        package = {**noting.decide.packages.describe(package["ModelPackageArn"]), **package}
    made_for = package.get("CustomerMetadataProperties") or {}
    project, version = made_for.get("project"), made_for.get("model_version")
    if not project or not version:
        logger.info("not of Loupe's making", package=package["ModelPackageArn"])
        return
    logger.append_keys(project=project, correlation_id=made_for.get("correlation_id"))
    status = package["ModelApprovalStatus"]
    told = noting(project, version, package["ModelPackageArn"], status, is_new=_is_new(package))
    logger.info("noted", version=version, status=status, told=told)


def _is_new(package: Mapping[str, Any]) -> bool:
    """Whether it was not changed since it was made, as far as that is known."""
    made, changed = package.get("CreationTime"), package.get("LastModifiedTime")
    if made is None or changed is None:
        return False
    return _seconds(changed) - _seconds(made) < _MADE_WITHIN_SECONDS


def _seconds(time: str | float | datetime) -> float:
    """Of a time as events have it, in ISO 8601 or in milliseconds, or as boto3 has it."""
    if isinstance(time, datetime):
        return time.timestamp()
    if isinstance(time, str) and not time.isdecimal():
        return datetime.fromisoformat(time).timestamp()
    return float(time) / 1000
