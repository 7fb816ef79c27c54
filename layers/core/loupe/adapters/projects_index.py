"""Projects in the index, behind `loupe.ports.projects.KeepsProjects`.

    PROJECTS      <project>      configuration as last read
    PROJECT#<p>   COUNTS#<n>     a share of the counts of images by state; their sum is the count

A transaction can't change an item that another one is changing, so the counts are spread over several items
for functions that register and label at the same time.
"""

from collections.abc import Mapping
from random import SystemRandom

from pydantic import ValidationError

from loupe.adapters.table import ConditionFailed, IndexTable, Item, Update
from loupe.domain.projects import ProjectConfig
from loupe.ports.projects import ImageCounts, ProjectRecord

_PROJECTS = "PROJECTS"
_COUNTS = "COUNTS#"
_SHARES = 8
_STATES = ("pending", "labeling", "labeled", "rejected")
_random = SystemRandom()


class IndexedProjects:
    """Configurations and counts of all projects."""

    def __init__(self, table: IndexTable) -> None:
        self._table = table

    def project(self, project: str) -> ProjectRecord | None:
        item = self._table.get(_PROJECTS, project)
        return _record(item) if item else None

    def projects(self) -> list[ProjectRecord]:
        return [_record(item) for item in self._table.query(_PROJECTS)]

    def introduce(self, project: str, error: str) -> None:
        try:
            self._table.put(_item(project, None, error, None), condition="attribute_not_exists(#pk)")
        except ConditionFailed:
            return

    def save_config(
        self, project: str, config: ProjectConfig | None, error: str | None, etag: str | None
    ) -> None:
        self._table.put(_item(project, config, error, etag))

    def counts(self, project: str) -> ImageCounts:
        shares = list(self._table.query(_project(project), begins_with=_COUNTS))
        return ImageCounts(**{state: sum(share.get(state, 0) for share in shares) for state in _STATES})


def count(project: str, change: Mapping[str, int]) -> Update | None:
    """The action that changes a project's counts by so much a state; None if by nothing."""
    change = {state: by for state, by in change.items() if by}
    if not change:
        return None
    additions = ", ".join(f"#{state} :{state}" for state in change)
    share = f"{_COUNTS}{_random.randrange(_SHARES)}"
    return Update(_project(project), share, f"ADD {additions}", change)


def _project(project: str) -> str:
    return f"PROJECT#{project}"


def _item(project: str, config: ProjectConfig | None, error: str | None, etag: str | None) -> Item:
    return {
        "pk": _PROJECTS,
        "sk": project,
        "config": config.model_dump_json() if config else None,
        "config_error": error,
        "config_etag": etag,
    }


def _record(item: Item) -> ProjectRecord:
    config, error = None, item["config_error"]
    if item["config"]:
        try:
            config = ProjectConfig.model_validate_json(item["config"])
        except ValidationError as outdated:  # kept by a version of Loupe that knew other fields
            error = f"project.yaml has to be uploaded again, it does not fit this version: {outdated}"
    return ProjectRecord(item["sk"], config, error, item["config_etag"])
