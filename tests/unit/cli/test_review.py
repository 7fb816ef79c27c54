"""`loupe review` on a stack in memory."""

import json

from tests.unit.cli.conftest import Loupe
from tests.unit.cli.fake_stack import FakeStack


def test_a_review_is_started_with_what_was_asked_for(loupe: Loupe, stack: FakeStack, project: str) -> None:
    told = loupe(
        *("review", project, "--provider", "ground-truth", "--version", "0002", "--label", "1"),
        *("--limit", "1500", "--kind", "verification"),
    ).stdout
    assert stack.reviews == [
        {"project": project, "version": "0002", "label": "1", "limit": 1500, "kind": "verification"}
    ]
    assert "1,500 images of dataset version 0002" in told
    assert "2 more have too many boxes" in told


def test_json_has_the_job(loupe: Loupe, project: str) -> None:
    told = json.loads(loupe("review", project, "--provider", "ground-truth", "--json").stdout)
    assert (told["provider"], told["job"], told["images"]) == ("ground-truth", "job-9", 100)


def test_the_project_must_be_there_and_the_provider_be_named(loupe: Loupe, project: str) -> None:
    assert "There is no project" in loupe("review", "nuts", "--provider", "ground-truth", exit_code=1).stderr
    assert "--provider" in loupe("review", project, exit_code=2).stderr
