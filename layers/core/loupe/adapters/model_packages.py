"""The model registry of SageMaker, behind `loupe.ports.ApprovesPackages`."""

from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from loupe.domain.errors import StoreUnavailable
from loupe.ports import PackageApproval

if TYPE_CHECKING:
    from mypy_boto3_sagemaker.client import SageMakerClient

_MAX_REASON = 1024


class ModelRegistry:
    """Sets the approval of model packages."""

    def __init__(self, client: "SageMakerClient") -> None:
        self._client = client

    def set_approval(self, package: str, status: PackageApproval, reason: str) -> None:
        try:
            known = self._client.describe_model_package(ModelPackageName=package)["ModelApprovalStatus"]
            if known != status:
                self._client.update_model_package(
                    ModelPackageArn=package,
                    ModelApprovalStatus=status,
                    ApprovalDescription=reason[:_MAX_REASON],
                )
        except ClientError as error:
            # SageMaker has one code for whatever is wrong with a request; its text tells a missing package.
            if "does not exist" in error.response["Error"]["Message"]:
                return
            raise StoreUnavailable(f"the approval of {package} could not be set: {error}") from error
        except BotoCoreError as error:
            raise StoreUnavailable(f"SageMaker could not be reached: {error}") from error
