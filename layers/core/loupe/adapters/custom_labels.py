"""Models of Rekognition Custom Labels: their answers, and whether they run."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from loupe.domain.errors import Conflict, ModelError, ModelNotRunning, StoreUnavailable
from loupe.domain.projects import Hosting
from loupe.domain.serving.answers import read_custom_labels, size_of
from loupe.ports.loops import Champion, HostingState, ServedModel
from loupe.ports.models import HostedVersion

if TYPE_CHECKING:
    from mypy_boto3_rekognition.client import RekognitionClient

_IMAGE_AT_FAULT = frozenset(
    {"InvalidImageFormatException", "ImageTooLargeException", "InvalidParameterException"}
)
_STATES: dict[str, HostingState] = {"STARTING": "starting", "RUNNING": "running", "STOPPING": "stopping"}
"""All other statuses are of versions that do not run, and cost nothing."""


class CustomLabelsModels:
    """Implements `loupe.ports.models.InvokesEndpoints` and `loupe.ports.models.RunsModels`."""

    def __init__(self, client: "RekognitionClient") -> None:
        self._client = client

    def invoke(
        self,
        model: ServedModel,
        image: bytes,
        content_type: str,  # noqa: ARG002 - Rekognition looks for itself
    ) -> list[dict[str, Any]]:
        """Asked without MinConfidence, so that each label's own threshold applies, which training found."""
        try:
            answer = self._client.detect_custom_labels(
                ProjectVersionArn=model.endpoint, Image={"Bytes": image}
            )
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in ("ResourceNotReadyException", "ResourceNotFoundException"):
                raise ModelNotRunning(f"{model.endpoint} does not run: {_message(error)}") from error
            if code in _IMAGE_AT_FAULT:
                raise ModelError(f"{model.endpoint}: {_message(error)}") from error
            # Also ProvisionedThroughputExceededException: more calls than the inference units can answer.
            raise StoreUnavailable(f"{model.endpoint}: {error}") from error
        except BotoCoreError as error:
            raise StoreUnavailable(f"{model.endpoint}: {error}") from error
        return read_custom_labels(model, answer["CustomLabels"], size_of(model, image))

    def versions(self, host: str) -> list[HostedVersion]:
        with _translated(f"the versions of {host}"):
            projects = self._client.describe_projects(ProjectNames=[host])["ProjectDescriptions"]
            return [
                HostedVersion(
                    version["ProjectVersionArn"],
                    _name(version["ProjectVersionArn"]),
                    _STATES.get(version["Status"], "stopped"),
                )
                for project in projects
                for page in self._client.get_paginator("describe_project_versions").paginate(
                    ProjectArn=project["ProjectArn"]
                )
                for version in page["ProjectVersionDescriptions"]
            ]

    def start(self, project: str, champion: Champion, hosting: Hosting) -> None:  # noqa: ARG002 - no tags here
        endpoint, (least, most) = champion.model.endpoint, hosting.units
        with _translated(f"starting {endpoint}"):
            try:
                if most is None:
                    self._client.start_project_version(ProjectVersionArn=endpoint, MinInferenceUnits=least)
                else:
                    self._client.start_project_version(
                        ProjectVersionArn=endpoint, MinInferenceUnits=least, MaxInferenceUnits=most
                    )
            except self._client.exceptions.ResourceInUseException:
                # In use is what runs already or is on its way, but also what still stops.
                if self._state_of(endpoint) == "stopping":
                    raise Conflict(f"{endpoint} is being stopped: try again in a few minutes") from None

    def stop(self, endpoint: str) -> None:
        with _translated(f"stopping {endpoint}"):
            try:
                self._client.stop_project_version(ProjectVersionArn=endpoint)
            except self._client.exceptions.ResourceInUseException:
                self._require_on_its_way(endpoint)

    def _require_on_its_way(self, endpoint: str) -> None:
        """In use is what stops already, but also what still starts and would run on."""
        state = self._state_of(endpoint)
        if state in ("starting", "running"):
            raise Conflict(f"{endpoint} is {state} and can't be stopped yet: try again in a few minutes")

    def _state_of(self, endpoint: str) -> HostingState | None:
        states = {version.endpoint: version.state for version in self.versions(_project(endpoint))}
        return states.get(endpoint)


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        match error.response["Error"]["Code"]:
            case "LimitExceededException" | "ServiceQuotaExceededException":
                raise Conflict(
                    f"{doing}: {_message(error)}. The account's quota of running models or inference units "
                    "is used up: stop another model, or have the quota raised"
                ) from error
            case _:
                raise StoreUnavailable(f"{doing}: {error}") from error
    except BotoCoreError as error:
        raise StoreUnavailable(f"{doing}: {error}") from error


def _project(arn: str) -> str:
    """`<project>` of `arn:...:project/<project>/version/<version>/<time>`."""
    return arn.split("/")[1]


def _name(arn: str) -> str:
    """`<version>` of `arn:...:project/<project>/version/<version>/<time>`."""
    return arn.split("/")[3]


def _message(error: ClientError) -> str:
    return str(error.response["Error"].get("Message", error))
