"""SageMaker Ground Truth as a labeling provider."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from loupe.domain.errors import StoreUnavailable
from loupe.domain.labeling.starting import LabelingRefused
from loupe.domain.manifests import read_rows
from loupe.domain.workspace import Workspace
from loupe.ports.labeling import JobCard, ProviderProgress
from loupe.ports.objects import StoresObjects

if TYPE_CHECKING:
    from mypy_boto3_sagemaker.client import SageMakerClient
    from mypy_boto3_sagemaker.type_defs import DescribeLabelingJobResponseTypeDef

_MAY_PASS = {
    "InternalFailure",
    "InternalServerException",
    "RequestLimitExceeded",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}
_NOT_OPEN = {"AccessDenied", "AccessDeniedException", "OptInRequired", "SubscriptionRequiredException"}
_NOT_THERE = re.compile("ResourceNotFound|not found|could not find|does not exist", re.IGNORECASE)
_STATES: dict[str, Literal["running", "completed", "failed", "stopped"]] = {
    "Completed": "completed",
    "Failed": "failed",
    "Stopped": "stopped",
}


class GroundTruthJobs:
    """Implements `loupe.ports.labeling.WatchesLabelingJobs`."""

    def __init__(self, client: "SageMakerClient") -> None:
        self._client = client

    def progress(self, job: str) -> ProviderProgress | None:
        found = self.describe(job)
        if found is None:
            return None
        counters = found["LabelCounters"]
        return ProviderProgress(
            state=_STATES.get(found["LabelingJobStatus"], "running"),
            labeled=counters.get("TotalLabeled", 0),
            failed=counters.get("FailedNonRetryableError", 0),
            reason=found.get("FailureReason"),
        )

    def describe(self, job: str) -> "DescribeLabelingJobResponseTypeDef | None":
        """The answer of DescribeLabelingJob; None if there is no such job. Raises `StoreUnavailable`."""
        try:
            return self._client.describe_labeling_job(LabelingJobName=job)
        except ClientError as error:
            if _NOT_THERE.search(str(error)):
                return None
            raise StoreUnavailable(f"SageMaker did not tell about the job {job}: {error}") from error
        except BotoCoreError as error:
            raise StoreUnavailable(f"SageMaker could not be reached: {error}") from error


class GroundTruthProvider(GroundTruthJobs):
    """Implements `loupe.ports.labeling.StartsLabelingJobs`, too.

    `request` gives the parameters of CreateLabelingJob for a job, the same ones each time.
    """

    def __init__(
        self,
        client: "SageMakerClient",
        workspace: StoresObjects,
        request: Callable[[JobCard], dict[str, Any]],
    ) -> None:
        super().__init__(client)
        self._workspace = workspace
        self._request = request

    def start(self, card: JobCard) -> int:
        manifest = Workspace(card.project).input_manifest(card.job)
        images = sum(1 for _ in read_rows(self._workspace.lines(manifest)))
        if images:
            self._create(self._request(card))
        return images

    def _create(self, request: dict[str, Any]) -> None:
        job = request["LabelingJobName"]
        try:
            self._client.create_labeling_job(**request)
        except ParamValidationError as error:
            raise LabelingRefused(f"Ground Truth can't be asked for the job {job}: {error}") from error
        except ClientError as error:
            if _code(error) != "ResourceInUse":
                raise _refusal(job, error) from error
            self._check_is_the_same(request, error)
        except BotoCoreError as error:
            raise StoreUnavailable(f"SageMaker could not be reached: {error}") from error

    def _check_is_the_same(self, request: dict[str, Any], error: ClientError) -> None:
        """A name that is taken is taken by an earlier start of the job, or by somebody else's job."""
        job = request["LabelingJobName"]
        found = self.describe(job)
        if found is None or found["InputConfig"]["DataSource"] != request["InputConfig"]["DataSource"]:
            raise LabelingRefused(
                f"Ground Truth has a labeling job {job} that is not this stack's; the next one "
                "has another name"
            ) from error


def _code(error: ClientError) -> str:
    return error.response["Error"]["Code"]


def _refusal(job: str, error: ClientError) -> LabelingRefused | StoreUnavailable:
    """What CreateLabelingJob's error means, and what to do about it."""
    code, said = _code(error), error.response["Error"].get("Message") or str(error)
    if code in _MAY_PASS or error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
        return StoreUnavailable(f"SageMaker did not take the labeling job {job} now: {said}")
    if code in _NOT_OPEN:
        return LabelingRefused(
            f"AWS does not let Loupe start a Ground Truth job: {said} Accounts that had no Ground Truth jobs "
            "by 30 July 2026 get none; set labeling.provider to portal there. Else Loupe's role lacks the "
            "permission that is named"
        )
    if code == "ResourceLimitExceeded":
        return LabelingRefused(
            f"the account has as many Ground Truth jobs as it may: {said} Loupe tries again later; "
            "Service Quotas raises the limit"
        )
    if "workteam" in said.lower():
        return LabelingRefused(
            f"Ground Truth can't use the workteam: {said} Put labeling.ground_truth.workteam right, or the "
            "stack's parameter WorkteamArn"
        )
    return LabelingRefused(f"Ground Truth refused the labeling job: {code}: {said}")
