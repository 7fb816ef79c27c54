"""`loupe model`: starts and stops a model that costs by the hour."""

import click

from cli.console import err, json_option, out, print_json
from cli.errors import CommandFault
from cli.session import PROJECT, Session, pass_session
from cli.stack import Json

SECONDS_BETWEEN_LOOKS = 5.0
DEFAULT_TIMEOUT = 1800.0


@click.group()
def model() -> None:
    """The model of a project that Rekognition hosts: it costs by the hour while it runs."""


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


def _wait(session: Session, name: str, found: Json, state: str, timeout: float) -> Json:
    give_up = session.clock() + timeout
    with err().status("Starting ..."):
        while found["state"] != state:
            if found["state"] == "stopped":
                raise CommandFault(
                    f"The model of {name} did not start.",
                    "The console of Rekognition Custom Labels says why.",
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
        units = found["inference_units"]
        out().print(
            f"It costs by the hour, for {units} inference unit{'' if units == 1 else 's'}: "
            f"`loupe status {name}` shows how much, `loupe model stop {name}` ends it."
        )
