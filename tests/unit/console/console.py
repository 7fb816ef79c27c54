"""The console over a project in memory."""

from loupe.domain.console.correcting import Correct
from loupe.domain.console.datasets import DatasetConsole
from loupe.domain.datasets.galleries import Galleries
from tests.unit.training.world import World


def console(world: World) -> DatasetConsole:
    return DatasetConsole(
        projects=world.projects,
        loops=world.loops,
        galleries=Galleries(world.workspace, world.raw.bucket),
        raw_data=world.raw,
        workspace=world.workspace,
        events=world.events,
    )


def two_labels(world: World) -> tuple[list[str], list[str]]:
    """Images of both labels, six each."""
    a = world.label("digits-20260101t000000-aaaa", "a", [f"a{number}.png" for number in range(6)])
    b = world.label("digits-20260102t000000-bbbb", "b", [f"b{number}.png" for number in range(6)])
    return a, b


def correct(world: World) -> Correct:
    return Correct(
        projects=world.projects,
        images=world.images,
        galleries=Galleries(world.workspace, world.raw.bucket),
        workspace=world.workspace,
        clock=world.clock,
    )
