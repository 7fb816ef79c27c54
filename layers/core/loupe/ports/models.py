"""Models in service and in the registry."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from loupe.domain.projects import Hosting
from loupe.ports.loops import Champion, HostingState, ServedModel

PackageApproval = Literal["Approved", "Rejected", "PendingManualApproval"]


class ApprovesPackages(Protocol):
    """The model registry's approval of a model package."""

    def describe(self, package: str) -> Mapping[str, Any]:
        """What DescribeModelPackage tells of it, by its ARN; nothing if it is gone. Raises
        `StoreUnavailable`."""
        ...

    def set_approval(self, package: str, status: PackageApproval, reason: str) -> None:
        """Set it, by the package's ARN; nothing changes where it has that status, or is gone. Raises
        `StoreUnavailable`."""
        ...


@dataclass(frozen=True)
class HostedVersion:
    """A model that costs by the hour while it runs. `endpoint` is a version's ARN in Rekognition, or the name
    of a realtime endpoint; `name` is the model's, as its plan has it. One that never
    started is stopped."""

    endpoint: str
    name: str
    state: HostingState


class RunsModels(Protocol):
    """Models that cost by the hour while they run. All methods raise `StoreUnavailable`."""

    def versions(self, host: str) -> list[HostedVersion]:
        """All versions of the Rekognition project of that name; or all endpoints whose names begin with it
        (`loupe.domain.serving.endpoints`), serverless ones, too. Those that were stopped are gone."""
        ...

    def start(self, project: str, champion: Champion, hosting: Hosting) -> None:
        """Begin to start a project's champion, which takes minutes; changes nothing for one that runs or
        starts. Raises `Conflict` while it is being stopped, where it failed to start before, which is cleared
        away then, and where the account has no room for another running model."""
        ...

    def stop(self, endpoint: str) -> None:
        """Begin to stop a version; changes nothing for one that is stopped.

        Raises `Conflict` for one that can't be stopped now, since it starts or is being changed.
        """
        ...


class ScalesEndpoints(Protocol):
    """How many instances a realtime endpoint has. All methods raise `StoreUnavailable`."""

    def project_of(self, endpoint: str) -> str | None:
        """The project of an endpoint on instances, by its tag; None for one that has no instances, is not of
        Loupe's making, or is gone."""
        ...

    def scale(self, endpoint: str, least: int, most: int, calls_per_instance: int) -> None:
        """Have it scale between so many instances, so that each gets about that many calls a minute."""
        ...

    def keep(self, endpoint: str) -> None:
        """Have it keep the instances that it has."""
        ...


class InvokesEndpoints(Protocol):
    """Models in service."""

    def invoke(self, model: ServedModel, image: bytes, content_type: str) -> list[dict[str, Any]]:
        """The model's predictions for an image as the API gives them, best first:

            image-classification         {"label", "confidence"} of every label
            multi-label-classification   {"label", "confidence", "threshold"} of every label, which applies
                                         where its confidence is at least its threshold
            bounding-box                 {"label", "confidence", "box": {"left", "top", "width", "height"}} in
                                         pixels of the image sent, as stored

        Raises `ModelError` when the model fails on this image or does not answer as agreed, and
        `StoreUnavailable` when the endpoint is not there or the service did not answer. A model that
        costs by the hour raises `ModelNotRunning` when it does not run. One that Rekognition hosts gives
        those labels alone that it means to apply, without their thresholds.
        """
        ...
