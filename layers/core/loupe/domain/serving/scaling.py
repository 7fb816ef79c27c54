"""Realtime endpoints that get more instances by themselves while they are called much."""

from dataclasses import dataclass

from loupe.domain.configuration import valid_config
from loupe.domain.serving.endpoints import is_endpoint_of
from loupe.domain.training.plans import legal_name
from loupe.ports.models import ScalesEndpoints
from loupe.ports.projects import KeepsProjects


@dataclass(frozen=True)
class ScaleEndpoint:
    """Has an endpoint that came into service scale as project.yaml says. SageMaker announces endpoints after
    each update and each start, so what scales them need not be part of either."""

    projects: KeepsProjects
    scaling: ScalesEndpoints
    stack: str

    def __call__(self, endpoint: str) -> str:
        """What was done, in words. Raises `ProjectNotFound`, `InvalidProject`, `StoreUnavailable`."""
        project = self.scaling.project_of(endpoint)
        if project is None:
            return "it has no instances, or is not of Loupe's making"
        if not is_endpoint_of(legal_name(self.stack, project), endpoint):
            return "it is a rehearsal's, or of another stack"
        hosting = valid_config(self.projects, project).hosting
        if hosting.kind != "realtime":
            return f"project.yaml asks for {hosting.kind} by now"
        least, most = hosting.units
        if most is None or most == least:
            self.scaling.keep(endpoint)
            return "it keeps its number of instances"
        self.scaling.scale(endpoint, least, most, hosting.realtime.calls_per_instance)
        return f"it scales from {least} to {most} instances"
