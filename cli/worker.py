"""`loupe worker`: the people (and programs) who label, in the stack's user pool."""

import secrets
import string
from typing import get_args

import click
from rich.table import Table

from cli.console import json_option, out, print_json
from cli.session import Session, pass_session
from cli.stack import Role

PASSWORD_LENGTH = 20
ROLES: tuple[Role, ...] = get_args(Role)


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
@click.option(
    "--role",
    type=click.Choice(ROLES),
    help="What the worker may do: `loupe worker role --help` says more. New ones are workers.",
)
@json_option
@pass_session
def create(session: Session, name: str, password: str | None, role: Role | None, as_json: bool) -> None:
    """Make the worker NAME, who can sign in to the portal at once; or give them a new password.

    \b
    Examples:
      loupe worker create mara
      loupe worker create mara --password 'correct horse 7 Battery'
      loupe worker create mara --role releaser
    """
    chosen = password or new_password()
    session.stack.create_worker(name, chosen)
    if role is not None:
        session.stack.set_role(name, role)
    if as_json:
        print_json({"worker": name, "password": chosen, "portal_url": session.stack.portal_url})
        return
    out().print(f"Worker {name} can sign in at {session.stack.portal_url}")
    if password is None:
        out().print(f"Password: {chosen}")


@worker.command("role")
@click.argument("name")
@click.argument("role", type=click.Choice(ROLES), metavar="ROLE")
@json_option
@pass_session
def set_role(session: Session, name: str, role: Role, as_json: bool) -> None:
    """Say what NAME may do, from the next sign-in on: ROLE is worker or releaser.

    A worker labels, and uses the whole console but what a releaser does as well: approve and reject models,
    roll back, and let promotion go on. A page that is open learns of it within the hour.

    \b
    Examples:
      loupe worker role mara releaser
      loupe worker role mara worker
    """
    session.stack.set_role(name, role)
    if as_json:
        print_json({"worker": name, "role": role})
        return
    out().print(f"{name} is a {role} from the next sign-in on.")


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
                    {
                        "worker": each.name,
                        "role": each.role,
                        "state": each.state,
                        "created_at": each.created_at,
                    }
                    for each in found
                ]
            }
        )
        return
    table = Table("worker", "role", "state", "created", box=None, pad_edge=False)
    for each in found:
        table.add_row(each.name, each.role, each.state, each.created_at)
    out().print(table if found else "No workers yet. `loupe worker create NAME` makes one.")
