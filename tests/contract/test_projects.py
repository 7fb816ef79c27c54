"""What every keeper of projects does: the fake and the index alike."""

import pytest

from loupe.adapters.projects_index import IndexedProjects, count
from loupe.adapters.table import IndexTable
from loupe.domain.projects import parse_project_yaml
from loupe.ports.projects import ImageCounts, KeepsProjects, ProjectRecord
from tests.fakes.projects import FakeProjects

CONFIG = parse_project_yaml(
    "task: image-classification\nlabels: ['0', 'é \"quoted\"']\ntraining: {min_new_labels: 5}\n"
    "examples: [{file: zero.png, label: '0', caption: round}]"
)


@pytest.fixture(params=["fake", "moto"])
def projects(request: pytest.FixtureRequest) -> KeepsProjects:
    if request.param == "fake":
        return FakeProjects()
    return IndexedProjects(request.getfixturevalue("index_table"))


def test_an_unknown_project_is_none_and_has_no_images(projects: KeepsProjects) -> None:
    assert projects.project("digits") is None
    assert projects.projects() == []
    assert projects.counts("digits") == ImageCounts()


def test_a_configuration_comes_back_as_it_was_saved(projects: KeepsProjects) -> None:
    projects.save_config("digits", CONFIG, None, "etag")
    assert projects.project("digits") == ProjectRecord("digits", CONFIG, None, "etag")


def test_an_error_takes_the_configurations_place(projects: KeepsProjects) -> None:
    projects.save_config("digits", CONFIG, None, "etag")
    projects.save_config("digits", None, "labels: is missing", "other")
    assert projects.project("digits") == ProjectRecord("digits", None, "labels: is missing", "other")


def test_all_projects_are_listed_by_name(projects: KeepsProjects) -> None:
    projects.save_config("b", CONFIG, None, None)
    projects.introduce("a", "project.yaml is missing")
    assert [record.project for record in projects.projects()] == ["a", "b"]


def test_a_known_project_is_not_introduced_again(projects: KeepsProjects) -> None:
    projects.introduce("digits", "project.yaml is missing")
    projects.introduce("digits", "another error")
    assert projects.project("digits") == ProjectRecord("digits", None, "project.yaml is missing", None)
    projects.save_config("digits", CONFIG, None, "etag")
    projects.introduce("digits", "project.yaml is missing")
    assert projects.project("digits") == ProjectRecord("digits", CONFIG, None, "etag")


def test_shares_of_the_counts_add_up(index_table: IndexTable) -> None:
    projects = IndexedProjects(index_table)
    for by in (3, 4, -2, 10, 5, -1):
        action = count("digits", {"pending": by, "labeling": -by, "labeled": 0})
        assert action is not None
        index_table.transact([action])
    assert projects.counts("digits") == ImageCounts(pending=19, labeling=-19)
    assert count("digits", {"pending": 0}) is None


def test_a_configuration_that_an_earlier_version_kept_asks_for_a_new_upload(index_table: IndexTable) -> None:
    projects = IndexedProjects(index_table)
    projects.save_config("digits", CONFIG, None, "etag")
    index_table.update("PROJECTS", "digits", "SET #config = :old", {"old": '{"task": "poetry"}'})
    record = projects.project("digits")
    assert record is not None
    assert record.config is None
    assert "uploaded again" in (record.config_error or "")
