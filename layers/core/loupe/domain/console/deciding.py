"""What people decide of models in the console: what `loupe model` does, by those who may."""

from collections.abc import Set
from dataclasses import asdict, dataclass
from typing import Any, Literal

from loupe.domain.errors import NotAllowed, ProjectNotFound
from loupe.domain.projects import check_project_name
from loupe.domain.serving.releases import DecideOnModel
from loupe.ports.projects import KeepsProjects

RELEASERS = "releasers"
"""The group of the user pool whose members decide which model answers."""

Action = Literal["approve", "reject", "rollback", "resume"]


class NotAReleaser(NotAllowed):
    """Workers label and correct; which model answers is decided by fewer people."""

    slug, title = "not-a-releaser", "You may not decide which model answers"


def may_release(groups: Set[str]) -> bool:
    """Whether somebody in those groups of the user pool may decide which model answers."""
    return RELEASERS in groups


@dataclass(frozen=True)
class DecideInConsole:
    """Does what a signed-in person decides, if that person may."""

    projects: KeepsProjects
    decide: DecideOnModel

    def __call__(
        self, project: str, action: Action, version: str | None, by: str, groups: Set[str]
    ) -> dict[str, Any]:
        """`{"state", "version", "told"}` of `Decided`. Raises `NotAReleaser`, `ProjectNotFound`, and what
        `DecideOnModel.do` raises."""
        if not may_release(groups):
            raise NotAReleaser(
                f"{by} is not one of those who release models: `loupe worker role {by} releaser` makes {by} "
                "one of them, from the next sign-in on"
            )
        if self.projects.project(check_project_name(project)) is None:
            raise ProjectNotFound(f"there is no project {project!r}; `loupe project create` makes one")
        return asdict(self.decide.do(project, action, version, by))
