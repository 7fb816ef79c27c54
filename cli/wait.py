"""`loupe wait`: until a project has come so far."""

from collections.abc import Callable

import click
from rich.text import Text

from cli.console import err, json_option, out, print_json
from cli.errors import CommandFault, NotRegisteredYet
from cli.session import PROJECT, Session, pass_session
from cli.stack import ProjectStatus
from cli.status import describe_training, failure_of, is_training, unfinished_job, waits_for_training

SECONDS_BETWEEN_LOOKS = 1.0
DEFAULT_TIMEOUT = 3600.0


def _labeling(found: ProjectStatus) -> bool:
    job = unfinished_job(found)
    return found["images"]["pending"] == 0 and job is not None and job["state"] == "open"


def _labeled(found: ProjectStatus) -> bool:
    images = found["images"]
    return images["labeled"] > 0 and images["pending"] == 0 and images["labeling"] == 0


def _deployed(found: ProjectStatus) -> bool:
    job = unfinished_job(found)
    ending = job is not None and 0 < job["tasks"] <= job["answered"]
    due = is_training(found) or ending or waits_for_training(found) is not None
    return found["champion"] is not None and not due


REACHED: dict[str, Callable[[ProjectStatus], bool]] = {
    "labeling": _labeling,
    "labeled": _labeled,
    "deployed": _deployed,
}


def describe(found: ProjectStatus) -> str:
    """Where the project stands, in a line."""
    images = found["images"]
    parts = [f"{images[state]} {state}" for state in ("pending", "labeling", "labeled") if images[state]]
    job = unfinished_job(found)
    if job is not None:
        parts.append(f"{job['answered']} of {job['tasks']} tasks answered")
    waiting = waits_for_training(found)
    if waiting is not None:
        parts.append(f"{waiting['job']} is finished and waits for training")
    elif found["waiting_for"]:
        parts.append(f"the next training waits: {found['waiting_for']}")
    elif is_training(found):
        parts.append("a model is in training")
    elif found["last_training"] is not None:
        parts.append(describe_training(found))
    return ", ".join(parts) or "no image is registered yet"


def wait_until(
    session: Session,
    project: str,
    reached: Callable[[ProjectStatus], bool],
    timeout: float,
    on_look: Callable[[ProjectStatus], None],
) -> ProjectStatus:
    """Looks once a second until `reached`; the status then.

    Raises CommandFault when the project can't get there by itself, or, saying what was seen last, after
    `timeout` seconds.
    """
    give_up = session.clock() + timeout
    while True:
        try:
            found = session.project_status(project)
        except NotRegisteredYet as fault:
            seen = fault.message
        else:
            on_look(found)
            if reached(found):
                return found
            _raise_what_stops(found)
            seen = f"{describe(found)}."
        if session.clock() >= give_up:
            raise CommandFault(f"Waited {timeout:.0f} s in vain. Last seen: {seen}")
        session.sleep(SECONDS_BETWEEN_LOOKS)


def _raise_what_stops(found: ProjectStatus) -> None:
    fault = failure_of(found)
    if fault is not None:
        raise fault


@click.command()
@click.argument("name", type=PROJECT)
@click.argument("state", type=click.Choice(tuple(REACHED)), metavar="STATE")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=DEFAULT_TIMEOUT,
    show_default=True,
    metavar="S",
    help="Give up after S seconds.",
)
@json_option
@pass_session
def wait(session: Session, name: str, state: str, timeout: float, as_json: bool) -> None:
    """Wait until the project NAME is in labeling, labeled, or deployed.

    \b
    labeling   no image is pending, and a job is open for people to work on
    labeled    no image is pending or in labeling
    deployed   a champion is in service, and no finished job waits for its training

    Ends with exit code 1 when the last training or the newest labeling job failed, project.yaml is not valid,
    or the time is up.

    \b
    Examples:
      loupe wait parts labeling --timeout 120
      loupe wait parts deployed
    """
    with err().status("Looking ...") as display:

        def show(seen: ProjectStatus) -> None:
            # A Text, since what went wrong may hold what reads as markup.
            display.update(Text(f"{name}: {describe(seen)}"))

        found = wait_until(session, name, REACHED[state], timeout, show)
    if as_json:
        print_json(found)
    else:
        out().print(f"{name} is {'in labeling' if state == 'labeling' else state}: {describe(found)}.")
