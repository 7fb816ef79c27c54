"""docs/command.md against the commands themselves."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cli.main import cli

PAGE = Path(__file__).parents[3] / "docs" / "command.md"


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from commands(child, f"{path} {name}")
    else:
        yield path, command


ALL = dict(commands(cli, "loupe"))


def section(path: str) -> str:
    """The part of the page under the heading of this command."""
    _, found, rest = PAGE.read_text().partition(f"\n## {path}\n")
    assert found, f"{path} has no section in docs/command.md"
    return rest.partition("\n## ")[0]


@pytest.mark.parametrize("path", ALL)
def test_every_command_and_option_is_documented(path: str) -> None:
    text = section(path)
    for parameter in ALL[path].params:
        if isinstance(parameter, click.Option):
            for name in (*parameter.opts, *parameter.secondary_opts):
                assert f"`{name}" in text, f"{name} of {path} is not in docs/command.md"
        else:
            assert parameter.make_metavar().strip("[]").removesuffix("...") in text


def test_every_option_of_loupe_itself_is_documented() -> None:
    text = section("loupe")
    for parameter in cli.params:
        for name in (*parameter.opts, *parameter.secondary_opts):
            assert f"`{name}" in text, name


def test_the_page_tells_of_no_command_that_does_not_exist() -> None:
    headings = [line[3:] for line in PAGE.read_text().splitlines() if line.startswith("## loupe")]
    assert set(headings) == {"loupe", *ALL}


@pytest.mark.parametrize("path", ALL)
def test_every_command_has_help_with_an_example(path: str) -> None:
    help_text = ALL[path].help or ""
    assert "Examples:" in help_text
    assert path in help_text
