"""`loupe model`: which models there are, what people decide of them, and those that cost by the hour."""

from collections.abc import Iterator
from typing import Any

import click
from rich.table import Table

from cli.console import err, json_option, out, print_json
from cli.errors import CommandFault
from cli.session import PROJECT, Session, pass_session
from cli.stack import Json
from cli.status import moment
from loupe.domain.serving.releases import states

SECONDS_BETWEEN_LOOKS = 5.0
DEFAULT_TIMEOUT = 1800.0


@click.group()
def model() -> None:
    """The models of a project: which there are, which one answers, and what people decide of them."""


@model.command()
@click.argument("name", type=PROJECT)
@click.option("--no-wait", is_flag=True, help="Return at once; the model starts meanwhile.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=DEFAULT_TIMEOUT,
    show_default=True,
    metavar="S",
    help="Wait at most S seconds for it to run.",
)
@json_option
@pass_session
def start(session: Session, name: str, no_wait: bool, timeout: float, as_json: bool) -> None:
    """Start the project NAME's model, which takes some minutes, and wait until it answers.

    It is stopped again when nobody calls it for as long as project.yaml says.

    \b
    Examples:
      loupe model start parts
      loupe model start parts --no-wait
    """
    session.require_project(name)
    found = session.stack.control_model(name, "start")
    if not no_wait:
        found = _wait(session, name, found, "running", timeout)
    _tell(name, found, as_json)


@model.command()
@click.argument("name", type=PROJECT)
@json_option
@pass_session
def stop(session: Session, name: str, as_json: bool) -> None:
    """Stop the project NAME's model: it answers no more, and costs nothing, until it is started again.

    \b
    Examples:
      loupe model stop parts
    """
    session.require_project(name)
    _tell(name, session.stack.control_model(name, "stop"), as_json)


@model.command("list")
@click.argument("name", type=PROJECT)
@json_option
@pass_session
def list_models(session: Session, name: str, as_json: bool) -> None:
    """List the models of the project NAME, oldest first, with what became of each.

    \b
    Examples:
      loupe model list parts
    """
    session.require_project(name)
    found = list(states(name, session.stack.workspace))
    if as_json:
        print_json({"project": name, "models": found})
        return
    if not found:
        out().print(f"{name} has no model yet.")
        return
    table = Table("version", "state", "score", "trained", "", box=None, pad_edge=False)
    for each in found:
        table.add_row(each["version"], _state(each), _score(each), _day(each["started_at"]), each["reason"])
    out().print(table)


@model.command()
@click.argument("name", type=PROJECT)
@click.argument("version")
@json_option
@pass_session
def show(session: Session, name: str, version: str, as_json: bool) -> None:
    """Show what is known of a model: its numbers, its data, its place in the registry.

    \b
    Examples:
      loupe model show parts 0003
    """
    session.require_project(name)
    models = {each["version"]: each for each in states(name, session.stack.workspace)}
    if version not in models:
        raise CommandFault(
            f"{name} has no model {version!r}.", f"There are: {', '.join(models) or 'none yet'}."
        )
    found = models[version]
    if as_json:
        print_json({"project": name, **found})
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for word, text in _facts(found):
        table.add_row(word, text)
    out().print(table)


def _facts(found: Json) -> Iterator[tuple[str, str]]:
    yield "model", f"{found['version']}, {_state(found)}"
    if found["reason"]:
        yield "why", found["reason"]
    if found["score"] is not None:
        yield "score", f"{_score(found)} on {found['test_images'] or 'its'} test images"
    if found["champion_score"] is not None:
        champion = found["compared_with"] or "the champion"
        yield "compared", f"with {champion}, which had {found['champion_score']:.1%}"
    for number, label in enumerate(found["labels"]):
        change = f"{label['label']}: {label['candidate']:.1%}, the champion {label['champion']:.1%}"
        yield "" if number else "labels", change
    yield "dataset", f"version {found['dataset_version']}"
    yield "trainer", found["trainer"]
    for attempt in found["failed_attempts"]:
        yield "", f"{attempt}; another one followed"
    for name, value in found["registry"].items():
        if name == "trainer_code" or name.startswith("hyperparameter:"):
            yield "", f"{name.removeprefix('hyperparameter:')} {value}"
    if found["model_package_arn"]:
        yield "registry", found["model_package_arn"]
    if found["model_data_url"]:
        yield "file", found["model_data_url"]


@model.command()
@click.argument("name", type=PROJECT)
@click.argument("version")
@json_option
@pass_session
def approve(session: Session, name: str, version: str, as_json: bool) -> None:
    """Have a model that waits for approval released.

    \b
    Examples:
      loupe model approve parts 0003
    """
    _decide(session, name, "approve", version, as_json)


@model.command()
@click.argument("name", type=PROJECT)
@click.argument("version")
@json_option
@pass_session
def reject(session: Session, name: str, version: str, as_json: bool) -> None:
    """Let a model that waits for approval go.

    \b
    Examples:
      loupe model reject parts 0003
    """
    _decide(session, name, "reject", version, as_json)


@model.command()
@click.argument("name", type=PROJECT)
@click.argument("version", required=False)
@json_option
@pass_session
def rollback(session: Session, name: str, version: str | None, as_json: bool) -> None:
    """Have an earlier model answer again: the one before the champion, or VERSION.

    Better models are not promoted by themselves from then on, until `loupe model resume`; until then a
    further rollback has to name VERSION.

    \b
    Examples:
      loupe model rollback parts
      loupe model rollback parts 0002
    """
    _decide(session, name, "rollback", version, as_json)


@model.command()
@click.argument("name", type=PROJECT)
@json_option
@pass_session
def resume(session: Session, name: str, as_json: bool) -> None:
    """Have better models promoted by themselves again, after a rollback.

    \b
    Examples:
      loupe model resume parts
    """
    _decide(session, name, "resume", None, as_json)


def _decide(session: Session, name: str, action: str, version: str | None, as_json: bool) -> None:
    session.require_project(name)
    decided = session.stack.decide_on_model(name, action, version)
    if as_json:
        print_json({"project": name, **decided})
        return
    out().print(f"{name}: {decided['told']}.")
    if decided["state"] == "requested":
        out().print(f"It takes some minutes; `loupe status {name}` shows which model answers.")


def _state(found: Json) -> str:
    state = str(found["state"]).replace("_", " ")
    return f"{state}, answers" if found["answers"] else state


def _score(found: Json) -> str:
    if found["score"] is None:
        return ""
    interval: Any = found["interval"]
    return f"{found['score']:.1%}" + (f" ({interval[0]:.1%} to {interval[1]:.1%})" if interval else "")


def _day(text: str) -> str:
    return moment(text).astimezone().strftime("%Y-%m-%d %H:%M")


def _wait(session: Session, name: str, found: Json, state: str, timeout: float) -> Json:
    give_up = session.clock() + timeout
    with err().status("Starting ..."):
        while found["state"] != state:
            if found["state"] == "stopped":
                raise CommandFault(
                    f"The model of {name} did not start.",
                    "The console of SageMaker, or of Rekognition Custom Labels, says why.",
                )
            if session.clock() >= give_up:
                raise CommandFault(
                    f"Waited {timeout:.0f} s in vain: the model of {name} is {found['state']}.",
                    f"`loupe status {name}` shows how it stands.",
                )
            session.sleep(SECONDS_BETWEEN_LOOKS)
            found = session.stack.control_model(name, "describe")
    return found


def _tell(name: str, found: Json, as_json: bool) -> None:
    if as_json:
        print_json({"project": name, **found})
        return
    out().print(f"The model of {name} is {found['state']}.")
    if found["state"] in ("starting", "running"):
        out().print(
            f"It costs by the hour: `loupe status {name}` shows how much, `loupe model stop {name}` ends it."
        )
