"""Projects in the index."""

from dataclasses import dataclass
from typing import Protocol

from loupe.domain.projects import ProjectConfig


@dataclass(frozen=True)
class ImageCounts:
    """Images of a project by state."""

    pending: int = 0
    labeling: int = 0
    labeled: int = 0
    rejected: int = 0


@dataclass(frozen=True)
class ProjectRecord:
    """What the index knows of a project's configuration. `config` is None while project.yaml is not valid
    (`config_error` says why) or missing; then images stay pending."""

    project: str
    config: ProjectConfig | None
    config_error: str | None
    config_etag: str | None


class KeepsProjects(Protocol):
    """Projects and their configuration, as last read from project.yaml."""

    def project(self, project: str) -> ProjectRecord | None: ...

    def introduce(self, project: str, error: str) -> None:
        """Remember that there is such a project, with `error` in place of its configuration; changes nothing
        for a project that is known."""
        ...

    def projects(self) -> list[ProjectRecord]: ...

    def save_config(
        self, project: str, config: ProjectConfig | None, error: str | None, etag: str | None
    ) -> None:
        """Remember what project.yaml says. With `config` None and an `error`, images stay pending."""
        ...

    def counts(self, project: str) -> ImageCounts: ...
