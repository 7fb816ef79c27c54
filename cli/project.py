"""`loupe project create`: checks project.yaml and puts it into the raw-data bucket."""

from difflib import unified_diff
from pathlib import Path
from typing import Any, get_args

import click
import yaml

from cli.console import err, json_option, out, print_json
from cli.errors import CommandFault
from cli.session import PROJECT, Session, pass_session
from loupe.domain.errors import InvalidProject
from loupe.domain.projects import CONFIG_FILE, ProjectConfig, TaskType, config_key, parse_project_yaml


@click.group()
def project() -> None:
    """Projects: one model's worth of work each."""


@project.command("create")
@click.argument("name", type=PROJECT)
@click.option("--task", type=click.Choice(get_args(TaskType)), help="What people are asked of an image.")
@click.option(
    "--label", "labels", multiple=True, metavar="L", help="A label; repeat it for each one, in order."
)
@click.option(
    "--batch-size", type=click.IntRange(1, 100_000), help="Images in a labeling job.  [default: 100]"
)
@click.option(
    "--max-wait-minutes",
    type=click.FloatRange(0, 43_200, min_open=True),
    help="A job opens without being full once an image has waited this long.  [default: 60]",
)
@click.option("--instructions", help="What the people who label are told.")
@click.option(
    "--file",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A project.yaml to start from; the options above go before what it says.",
)
@click.option("--yes", is_flag=True, help="Replace the project.yaml that is there.")
@json_option
@pass_session
def create(
    session: Session,
    name: str,
    task: str | None,
    labels: tuple[str, ...],
    batch_size: int | None,
    max_wait_minutes: float | None,
    instructions: str | None,
    file: Path | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Make the project NAME, or change it with --yes.

    The project is a file, NAME/project.yaml, in the raw-data bucket. It is checked before it is stored, and
    one that is there is not replaced without --yes: you are shown what would change.

    \b
    Examples:
      loupe project create parts --task image-classification --label ok --label scratch --label dent
      loupe project create parts --file project.yaml
      loupe project create parts --file project.yaml --batch-size 50 --yes
    """
    text = file.read_text() if file else ""
    given = _given(task, labels, batch_size, max_wait_minutes, instructions)
    if file is None and (task is None or not labels):
        raise click.UsageError(
            "Name the task and its labels (--task T --label L --label M ...), or a --file."
        )
    config, text = _checked(text, given)
    replaced = store(session, name, text, yes)
    if as_json:
        print_json({"project": name, "replaced": replaced, "configuration": config.model_dump(mode="json")})
        return
    verb = "changed" if replaced else "ready"
    out().print(f"Project {name} is {verb}: {config.task}, {len(config.labels)} labels.")
    out().print(f"Next: loupe upload {name} DIR")


def _given(
    task: str | None,
    labels: tuple[str, ...],
    batch_size: int | None,
    max_wait_minutes: float | None,
    instructions: str | None,
) -> dict[str, Any]:
    labeling = {"batch_size": batch_size, "max_wait_minutes": max_wait_minutes}
    given: dict[str, Any] = {
        "task": task,
        "labels": list(labels) or None,
        "instructions": instructions,
        "labeling": {key: value for key, value in labeling.items() if value is not None} or None,
    }
    return {key: value for key, value in given.items() if value is not None}


def _checked(text: str, given: dict[str, Any]) -> tuple[ProjectConfig, str]:
    """The configuration and the text to store: the file's own, comments and all, unless options change it."""
    try:
        if text:
            config = parse_project_yaml(text)
            if not given:
                return config, text
        text = _merged(text, given)
        return parse_project_yaml(text), text
    except InvalidProject as error:
        raise click.UsageError(error.detail) from error


def _merged(text: str, given: dict[str, Any]) -> str:
    content: dict[str, Any] = yaml.load(text, Loader=yaml.BaseLoader) or {}  # noqa: S506 - makes strings only
    labeling = {**content.get("labeling", {}), **given.get("labeling", {})}
    content |= given
    if labeling:
        content["labeling"] = labeling
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def store(session: Session, name: str, text: str, replace: bool) -> bool:
    """Puts project.yaml into the bucket; whether it took the place of another one.

    Raises CommandFault, with the difference shown, if another one is there and must not be replaced.
    """
    present = session.stack.read_configuration(name)
    if present is None:
        session.stack.write_configuration(name, text)
        return False
    if present == text:
        return True
    if not replace:
        difference = unified_diff(
            present.splitlines(), text.splitlines(), f"{config_key(name)} (stored)", CONFIG_FILE, lineterm=""
        )
        for line in difference:
            err().print(line)
        raise CommandFault(
            f"The project {name!r} exists and differs.", "Add --yes to replace its project.yaml."
        )
    session.stack.write_configuration(name, text)
    return True
