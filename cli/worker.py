"""`loupe worker`: the people (and programs) who label, in the stack's user pool."""

import secrets
import string

import click
from rich.table import Table

from cli.console import json_option, out, print_json
from cli.session import Session, pass_session

PASSWORD_LENGTH = 20


def new_password() -> str:
    """A random password with every kind of character that a user pool may ask for."""
    letters = string.ascii_letters + string.digits
    return "".join(secrets.choice(letters) for _ in range(PASSWORD_LENGTH - 4)) + "aZ7-"


@click.group()
def worker() -> None:
    """Workers: who may sign in to the labeling portal."""


@worker.command("create")
@click.argument("name")
@click.option("--password", help="The worker's password; made up and shown if it is left out.")
@json_option
@pass_session
def create(session: Session, name: str, password: str | None, as_json: bool) -> None:
    """Make the worker NAME, who can sign in to the portal at once; or give them a new password.

    \b
    Examples:
      loupe worker create mara
      loupe worker create mara --password 'correct horse 7 Battery'
    """
    chosen = password or new_password()
    session.stack.create_worker(name, chosen)
    if as_json:
        print_json({"worker": name, "password": chosen, "portal_url": session.stack.portal_url})
        return
    out().print(f"Worker {name} can sign in at {session.stack.portal_url}")
    if password is None:
        out().print(f"Password: {chosen}")


@worker.command("list")
@json_option
@pass_session
def list_workers(session: Session, as_json: bool) -> None:
    """List the workers.

    \b
    Examples:
      loupe worker list
    """
    found = list(session.stack.workers())
    if as_json:
        print_json(
            {
                "workers": [
                    {"worker": each.name, "state": each.state, "created_at": each.created_at}
                    for each in found
                ]
            }
        )
        return
    table = Table("worker", "state", "created", box=None, pad_edge=False)
    for each in found:
        table.add_row(each.name, each.state, each.created_at)
    out().print(table if found else "No workers yet. `loupe worker create NAME` makes one.")
