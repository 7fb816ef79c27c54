import pytest

from tests.unit.training.world import World


@pytest.fixture
def world() -> World:
    return World()
