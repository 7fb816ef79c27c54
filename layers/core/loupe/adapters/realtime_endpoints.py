"""Endpoints of SageMaker on instances: whether they run, and how they scale."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from loupe.domain.errors import Conflict, ObjectMissing, StoreUnavailable
from loupe.domain.projects import Hosting
from loupe.domain.serving.endpoints import VARIANT, endpoint_prefix
from loupe.ports.loops import Champion, HostingState
from loupe.ports.models import HostedVersion

if TYPE_CHECKING:
    from mypy_boto3_application_autoscaling.client import ApplicationAutoScalingClient
    from mypy_boto3_sagemaker.client import SageMakerClient
    from mypy_boto3_sagemaker.type_defs import DescribeEndpointOutputTypeDef

_STATES: dict[str, HostingState] = {"Creating": "starting", "Deleting": "stopping", "Failed": "stopped"}
"""In all other statuses instances run, and are paid for."""
_AT_WORK = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack"})
_DIMENSION: Final = "sagemaker:variant:DesiredInstanceCount"
_COOL_SECONDS, _WARM_SECONDS = 300, 60
"""How long scaling waits before it takes instances away, and before it adds more."""


class RealtimeEndpoints:
    """Implements `loupe.ports.models.RunsModels`: a model is stopped by deleting its endpoint, and started by
    making it anew of its configuration, which stays. SageMaker deletes none that it is at work on."""

    def __init__(self, client: "SageMakerClient") -> None:
        self._client = client

    def versions(self, host: str) -> list[HostedVersion]:
        prefix = endpoint_prefix(host)
        with _translated(f"the endpoints of {host}"):
            pages = self._client.get_paginator("list_endpoints").paginate(NameContains=prefix)
            names = [each["EndpointName"] for page in pages for each in page["Endpoints"]]
            versions = []
            for name in names:
                with suppress(ObjectMissing):  # gone meanwhile
                    if name.startswith(prefix):
                        found = self._describe(name)
                        state = _STATES.get(found["EndpointStatus"], "running")
                        versions.append(HostedVersion(name, found["EndpointConfigName"], state))
            return versions

    def _describe(self, endpoint: str) -> "DescribeEndpointOutputTypeDef":
        """Raises `ObjectMissing`."""
        with _missing(endpoint):
            return self._client.describe_endpoint(EndpointName=endpoint)

    def start(self, project: str, champion: Champion, hosting: Hosting) -> None:  # noqa: ARG002 - the configuration has it
        endpoint, config = champion.model.endpoint, champion.endpoint_config
        if config is None:
            raise Conflict(f"model {champion.version} of {project} has no endpoint configuration")
        with _translated(f"starting {endpoint}"):
            try:
                self._client.create_endpoint(
                    EndpointName=endpoint,
                    EndpointConfigName=config,
                    Tags=[{"Key": "loupe:project", "Value": project}],
                )
            except ClientError as error:
                if "already existing endpoint" not in _message(error):
                    raise
                self._require_on_its_way(endpoint)

    def _require_on_its_way(self, endpoint: str) -> None:
        """What is there may also be one that is being deleted, or that never came up."""
        try:
            found = self._describe(endpoint)
        except ObjectMissing:
            raise Conflict(f"{endpoint} was stopped just now: try again") from None
        match found["EndpointStatus"]:
            case "Deleting":
                raise Conflict(f"{endpoint} is being stopped: try again in a minute")
            case "Failed":
                self._client.delete_endpoint(EndpointName=endpoint)
                reason = found.get("FailureReason", "SageMaker gave no reason")
                raise Conflict(f"{endpoint} did not start before: {reason}. Try again in a minute")

    def stop(self, endpoint: str) -> None:
        with suppress(ObjectMissing), _translated(f"stopping {endpoint}"), _missing(endpoint):
            status = self._describe(endpoint)["EndpointStatus"]
            if status in _AT_WORK:
                raise Conflict(f"{endpoint} can't be stopped while it is {status}: try again in some minutes")
            self._client.delete_endpoint(EndpointName=endpoint)


class EndpointScaling:
    """Implements `loupe.ports.models.ScalesEndpoints` by Application Auto Scaling, to a target of calls a
    minute and instance."""

    def __init__(self, client: "ApplicationAutoScalingClient", sagemaker: "SageMakerClient") -> None:
        self._client = client
        self._sagemaker = sagemaker

    def project_of(self, endpoint: str) -> str | None:
        with suppress(ObjectMissing), _translated(f"looking at {endpoint}"), _missing(endpoint):
            found = self._sagemaker.describe_endpoint(EndpointName=endpoint)
            name = found["EndpointConfigName"]
            config = self._sagemaker.describe_endpoint_config(EndpointConfigName=name)
            if not any("InstanceType" in variant for variant in config["ProductionVariants"]):
                return None
            tags = self._sagemaker.list_tags(ResourceArn=found["EndpointArn"])["Tags"]
            return next((tag["Value"] for tag in tags if tag["Key"] == "loupe:project"), None)
        return None

    def scale(self, endpoint: str, least: int, most: int, calls_per_instance: int) -> None:
        resource = _resource(endpoint)
        with _translated(f"scaling {endpoint}"):
            self._client.register_scalable_target(
                ServiceNamespace="sagemaker",
                ResourceId=resource,
                ScalableDimension=_DIMENSION,
                MinCapacity=least,
                MaxCapacity=most,
            )
            self._client.put_scaling_policy(
                PolicyName="calls-per-instance",
                ServiceNamespace="sagemaker",
                ResourceId=resource,
                ScalableDimension=_DIMENSION,
                PolicyType="TargetTrackingScaling",
                TargetTrackingScalingPolicyConfiguration={
                    "TargetValue": float(calls_per_instance),
                    "PredefinedMetricSpecification": {
                        "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"
                    },
                    "ScaleInCooldown": _COOL_SECONDS,
                    "ScaleOutCooldown": _WARM_SECONDS,
                },
            )

    def keep(self, endpoint: str) -> None:
        is_not_there = suppress(self._client.exceptions.ObjectNotFoundException)
        with _translated(f"scaling {endpoint}"), is_not_there:
            self._client.deregister_scalable_target(
                ServiceNamespace="sagemaker", ResourceId=_resource(endpoint), ScalableDimension=_DIMENSION
            )


def _resource(endpoint: str) -> str:
    return f"endpoint/{endpoint}/variant/{VARIANT}"


@contextmanager
def _missing(endpoint: str) -> Iterator[None]:
    """SageMaker has one code for whatever is wrong with a request; its text tells what is not there."""
    try:
        yield
    except ClientError as error:
        if "Could not find" in _message(error):
            raise ObjectMissing(endpoint) from error
        raise


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] in ("ResourceLimitExceeded", "LimitExceededException"):
            raise Conflict(
                f"{doing}: {_message(error)}. The account's quota of instances is used up: stop another "
                "model, or have the quota raised"
            ) from error
        raise StoreUnavailable(f"{doing}: {error}") from error
    except BotoCoreError as error:
        raise StoreUnavailable(f"{doing}: {error}") from error


def _message(error: ClientError) -> str:
    return str(error.response["Error"].get("Message", error))
