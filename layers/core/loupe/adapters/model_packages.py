"""The model registry of SageMaker, behind `loupe.ports.models.ApprovesPackages`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from loupe.domain.errors import StoreUnavailable
from loupe.ports.models import PackageApproval

if TYPE_CHECKING:
    from mypy_boto3_sagemaker.client import SageMakerClient

_MAX_REASON = 1024


class ModelRegistry:
    """Reads model packages, and sets their approval."""

    def __init__(self, client: "SageMakerClient") -> None:
        self._client = client

    def describe(self, package: str) -> Mapping[str, Any]:
        found: dict[str, Any] = {}
        with _patient(f"{package} could not be read"):
            found.update(self._client.describe_model_package(ModelPackageName=package))
        return found

    def set_approval(self, package: str, status: PackageApproval, reason: str) -> None:
        with _patient(f"the approval of {package} could not be set"):
            known = self._client.describe_model_package(ModelPackageName=package)["ModelApprovalStatus"]
            if known != status:
                self._client.update_model_package(
                    ModelPackageArn=package,
                    ModelApprovalStatus=status,
                    ApprovalDescription=reason[:_MAX_REASON],
                )


@contextmanager
def _patient(what_failed: str) -> Iterator[None]:
    """Passes over a package that is gone; raises `StoreUnavailable` for whatever else SageMaker refuses."""
    try:
        yield
    except ClientError as error:
        # SageMaker has one code for whatever is wrong with a request; its text tells a missing package.
        if "does not exist" not in error.response["Error"]["Message"]:
            raise StoreUnavailable(f"{what_failed}: {error}") from error
    except BotoCoreError as error:
        raise StoreUnavailable(f"SageMaker could not be reached: {error}") from error
