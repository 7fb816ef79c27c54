"""Projects in memory, behind `loupe.ports.projects.KeepsProjects`."""

from collections import Counter, defaultdict
from collections.abc import Mapping

from loupe.domain.projects import ProjectConfig
from loupe.ports.projects import ImageCounts, ProjectRecord


class FakeProjects:
    """Configurations and counts of all projects; FakeImages changes the counts."""

    def __init__(self) -> None:
        self._records: dict[str, ProjectRecord] = {}
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def project(self, project: str) -> ProjectRecord | None:
        return self._records.get(project)

    def projects(self) -> list[ProjectRecord]:
        return [self._records[name] for name in sorted(self._records)]

    def introduce(self, project: str, error: str) -> None:
        self._records.setdefault(project, ProjectRecord(project, None, error, None))

    def save_config(
        self, project: str, config: ProjectConfig | None, error: str | None, etag: str | None
    ) -> None:
        self._records[project] = ProjectRecord(project, config, error, etag)

    def counts(self, project: str) -> ImageCounts:
        return ImageCounts(**self._counts[project])

    def count(self, project: str, change: Mapping[str, int]) -> None:
        """Add so much to the counts of a project."""
        self._counts[project].update(change)
