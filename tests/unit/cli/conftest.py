"""The command on a stack in memory."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.main import cli
from cli.session import Connection, Session
from tests.unit.cli.fake_stack import WORKER, FakeStack

Loupe = Callable[..., Result]


@pytest.fixture
def stack() -> FakeStack:
    return FakeStack()


class Ticks:
    """A clock that moves only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def session(stack: FakeStack, tmp_path: Path) -> Session:
    ticks = Ticks()
    return Session(lambda: Connection(stack, WORKER), tmp_path / "home", 4704, ticks.clock, ticks.sleep)


@pytest.fixture
def loupe(session: Session) -> Loupe:
    """Runs `loupe ARGUMENTS...`; the result has stdout and stderr apart."""

    def run(*arguments: str | Path, exit_code: int = 0) -> Result:
        result = CliRunner(mix_stderr=False).invoke(cli, [str(each) for each in arguments], obj=session)
        assert result.exit_code == exit_code, result.stdout + result.stderr + repr(result.exception)
        return result

    return run


@pytest.fixture
def project(loupe: Loupe) -> str:
    """A project with the labels 0 and 1, and jobs of two images."""
    loupe(
        *("project", "create", "parts", "--task", "image-classification"),
        *("--label", "0", "--label", "1", "--batch-size", "2"),
    )
    return "parts"
