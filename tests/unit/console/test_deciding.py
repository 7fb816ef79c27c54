"""Who decides of models in the console, and what is written down of it."""

import json

import pytest

from loupe.domain.console.deciding import RELEASERS, Action, DecideInConsole, NotAReleaser, may_release
from loupe.domain.errors import ProjectNotFound
from loupe.domain.serving.releases import UnknownModel
from tests.unit.training.world import NAMES, PROJECT, World

GROUPS = {"loupe-workers", RELEASERS}


@pytest.fixture
def world() -> World:
    return World()


def decide(world: World) -> DecideInConsole:
    return DecideInConsole(world.projects, world.decides)


@pytest.mark.parametrize("action", ["approve", "reject", "rollback", "resume"])
def test_workers_decide_nothing(world: World, action: Action) -> None:
    version = None if action == "resume" else "0001"
    with pytest.raises(NotAReleaser, match="`loupe worker role maria releaser` makes maria"):
        decide(world)(PROJECT, action, version, "maria", {"loupe-workers"})
    assert not may_release({"loupe-workers"})


def test_who_decided_is_written_down(world: World) -> None:
    assert may_release(GROUPS)
    decided = decide(world)(PROJECT, "resume", None, "maria", GROUPS)
    assert decided["state"] == "resumed"
    [pause] = world.workspace.list(NAMES.pauses)
    assert json.loads(world.workspace.read(pause.key))["by"] == "maria"


def test_what_there_is_not_is_named(world: World) -> None:
    with pytest.raises(UnknownModel, match="no model '0009'"):
        decide(world)(PROJECT, "approve", "0009", "maria", GROUPS)
    with pytest.raises(ProjectNotFound, match="nothing"):
        decide(world)("nothing", "resume", None, "maria", GROUPS)
