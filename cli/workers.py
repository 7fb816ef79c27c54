"""`loupe workers`: how well and how fast each worker of a project labels."""

import click
from rich.table import Table

from cli.console import json_option, out, print_json
from cli.session import PROJECT, Session, pass_session, sign_in_options
from cli.stack import Json


@click.command()
@click.argument("name", type=PROJECT)
@sign_in_options
@json_option
@pass_session
def workers(session: Session, name: str, worker: str | None, password: str | None, as_json: bool) -> None:
    """Show what each worker of the project NAME did at the portal.

    That is answers, how far they agree with the labels that were concluded, the median time from one answer
    to the next, and the share of known answers that they got (`labeling.check_every` in project.yaml).

    \b
    Examples:
      loupe workers parts
      loupe workers parts --json
    """
    session.require_project(name)
    credentials = session.worker(worker, password)
    found = session.stack.sign_in(credentials.name, credentials.password).workers(name)
    if as_json:
        print_json(found)
        return
    if not found["workers"]:
        out().print(f"Nobody has answered anything in {name} so far.")
        return
    out().print(_table(found))
    if any(each["below_min_accuracy"] for each in found["workers"]):
        out().print("What workers below the accuracy answered is asked again from others.")
    if found["open_job"] and not found["open_job_counted"]:
        told = f"Answers of the open job {found['open_job']} count when it is concluded."
        out().print(told)


def _table(found: Json) -> Table:
    table = Table("worker", "answers", "skipped", "agreement", "seconds", "known answers", "accuracy")
    for each in found["workers"]:
        accuracy = _share(each["accuracy"])
        if each["below_min_accuracy"]:
            accuracy += f" (below {_share(found['min_accuracy'])})"
        table.add_row(
            each["name"],
            f"{each['answers']:,}",
            f"{each['skips']:,}",
            _share(each["agreement"]),
            "-" if each["median_seconds"] is None else f"{each['median_seconds']:g}",
            f"{each['checks']:,}",
            accuracy,
        )
    return table


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
