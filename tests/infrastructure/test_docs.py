"""The documentation names what is there."""

import inspect
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import pytest
from pydantic import BaseModel

from cli.main import cli

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


def test_the_readme_uses_targets_that_make_has() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    used = set(re.findall(r"\bmake ([a-z]+)", (ROOT / "README.md").read_text()))
    assert {"setup", "demo", "up", "test"} <= used <= targets


def test_each_decision_is_listed() -> None:
    folder = ROOT / "docs/decisions"
    pages = {page.name for page in folder.glob("*.md")} - {"README.md"}
    assert set(re.findall(r"\]\(([^)]+)\)", (folder / "README.md").read_text())) == pages


def test_project_yaml_is_documented_field_by_field() -> None:
    from loupe.domain.projects import ProjectConfig

    def fields(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
        for name, field in section.model_fields.items():
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                yield from fields(field.annotation, f"{prefix}{name}.")
            else:
                yield prefix + name

    documented = set(re.findall(r"^\| `([\w.]+)`", (ROOT / "docs/projects.md").read_text(), re.MULTILINE))
    assert documented == set(fields(ProjectConfig))


def _rows(page: str, first: str) -> list[tuple[str, str]]:
    """Of tables of a page, the first two columns of the rows whose first one is such a name in backticks."""
    return re.findall(rf"^\| `({first})` \| (.*?) \|", (ROOT / page).read_text(), re.MULTILINE)


def test_each_guide_is_linked_from_the_readme() -> None:
    guides = {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}
    links = set(re.findall(r"^\| \[[^]]+\]\(([^)]+\.md)\)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert links == guides


def test_each_parameter_of_the_template_is_documented_with_its_default(template: dict[str, Any]) -> None:
    documented = dict(_rows("docs/aws.md", r"[A-Z]\w+"))
    defaults = {name: str(parameter["Default"]) for name, parameter in template["Parameters"].items()}
    assert set(documented) == set(defaults)
    for name, default in defaults.items():
        # Of a default that is empty, the page says what it means.
        assert not default or documented[name].replace(",", "").strip("`") == default, name


def test_each_test_for_aws_is_documented() -> None:
    tests = sorted(f"tests/aws/{file.name}" for file in (ROOT / "tests/aws").glob("test_*.py"))
    assert sorted(name for name, _ in _rows("docs/aws.md", r"tests/aws/\w+\.py")) == tests


def test_each_benchmark_is_documented() -> None:
    from benchmarks.__main__ import available

    assert sorted(name for name, _ in _rows("docs/benchmarks.md", r"[a-z]\w+")) == available()


def test_each_name_in_the_workspace_is_documented() -> None:
    from loupe.domain.workspace import Workspace

    names = Workspace("<project>")
    keys = {}
    for member, value in vars(Workspace).items():
        if isinstance(value, property):
            keys[member] = getattr(names, member)
        elif inspect.isfunction(value) and member[0] != "_":
            arguments = [f"<{argument}>" for argument in list(inspect.signature(value).parameters)[1:]]
            keys[member] = value(names, *arguments)
    paths = set(_documented_keys())
    folders = {path[: each.start()] for path in paths for each in re.finditer("/", path)}
    assert {member: key for member, key in keys.items() if key.rstrip("/") not in paths | folders} == {}


def _documented_keys() -> Iterator[str]:
    """The listing of the workspace bucket: a folder by two spaces, and what is in it by four."""
    _, _, rest = (ROOT / "docs/how-it-works.md").read_text().partition("\n<workspace bucket>/\n")
    folder = ""
    for line in rest.partition("\n```")[0].splitlines():
        names = re.split(r" {2,}", line.strip())[0]
        if line.startswith("    "):
            yield from (folder + name for name in names.split(", "))
        else:
            folder = names


def _examples_of_project_yaml() -> Iterator[Any]:
    for page in PAGES:
        blocks = re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
        for block in blocks:
            if re.search(r"^task:", block, re.MULTILINE):
                yield pytest.param(block, id=str(page.relative_to(ROOT)))


@pytest.mark.parametrize("block", _examples_of_project_yaml())
def test_examples_of_project_yaml_are_valid(block: str) -> None:
    from loupe.domain.projects import parse_project_yaml

    assert parse_project_yaml(block).labels


def _written_commands() -> Iterator[Any]:
    for page in PAGES:
        text = page.read_text()
        lines = re.findall(r"^[ \t$]*loupe (.*)", text, re.MULTILINE)
        spans = re.findall(r"`loupe ([^`]*)`", text)
        for command in sorted({*lines, *spans}):
            yield pytest.param(command, id=f"{page.relative_to(ROOT)}: {command}")


@pytest.mark.parametrize("written", _written_commands())
def test_commands_and_their_options_exist(written: str) -> None:
    command: click.Command = cli
    options = {"--help", *(option for each in cli.params for option in each.opts)}
    for word in written.partition("#")[0].split():
        if isinstance(command, click.Group) and re.fullmatch("[a-z]+", word):
            assert word in command.commands
            command = command.commands[word]
            options |= {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
        elif word.startswith("-"):
            assert word in options


def _choices(command: click.Command, path: str = "loupe") -> Iterator[Any]:
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from _choices(child, f"{path} {name}")
    for each in command.params:
        if isinstance(each.type, click.Choice):
            yield pytest.param(path, each.type.choices, id=f"{path} {each.opts[0]}")


@pytest.mark.parametrize(("path", "choices"), _choices(cli))
def test_choices_of_options_are_documented(path: str, choices: Sequence[str]) -> None:
    _, _, rest = (ROOT / "docs/command.md").read_text().partition(f"\n## {path}\n")
    section = rest.partition("\n## ")[0]
    assert [choice for choice in choices if f"`{choice}`" not in section] == []
