"""The configuration that a project must have before anything can be done for it."""

from loupe.domain.errors import InvalidProject, ProjectNotFound
from loupe.domain.projects import ProjectConfig
from loupe.ports.projects import KeepsProjects


def valid_config(projects: KeepsProjects, project: str) -> ProjectConfig:
    """Raises `ProjectNotFound` and `InvalidProject`."""
    record = projects.project(project)
    if record is None:
        raise ProjectNotFound(f"there is no project {project!r}: put {project}/project.yaml in the bucket")
    if record.config is None:
        raise InvalidProject(record.config_error or f"{project}/project.yaml is missing")
    return record.config
