"""`loupe open` and `loupe reconcile`."""

import webbrowser
from collections.abc import Mapping

import click
from rich.table import Table

from cli.console import json_option, out, print_json
from cli.errors import CommandFault
from cli.session import PROJECT, Session, pass_session


@click.command("open")
@click.argument("name", type=PROJECT, required=False)
@click.option("--print", "only_print", is_flag=True, help="Only print the address.")
@json_option
@pass_session
def open_portal(session: Session, name: str | None, only_print: bool, as_json: bool) -> None:
    """Open the labeling portal in the browser, at the project NAME if one is given.

    \b
    Examples:
      loupe open
      loupe open parts --print
    """
    if name is not None:
        session.require_project(name)
    url = session.stack.portal_url + (f"#/projects/{name}" if name else "")
    if as_json:
        print_json({"portal_url": url})
    else:
        out().print(url)
    if not only_print and not as_json and not webbrowser.open(url):
        raise CommandFault("There is no browser that can be opened here.", "Open the address above yourself.")


@click.command()
@click.argument("name", type=PROJECT, required=False)
@json_option
@pass_session
def reconcile(session: Session, name: str | None, as_json: bool) -> None:
    """Have the stack look after what was missed, in the project NAME or in all.

    Rebuilds the index from what is stored, registers images whose event was lost, finishes jobs whose end was
    missed, and starts a training that nobody runs. It runs every hour by itself; it does no harm at any time.

    \b
    Examples:
      loupe reconcile
    """
    found = session.stack.reconcile(name)
    if as_json:
        print_json(found)
        return
    projects: Mapping[str, Mapping[str, object]] = found.get("projects", {})
    table = Table("project", "found", box=None, pad_edge=False)
    for project, counts in sorted(projects.items()):
        told = ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in counts.items() if count)
        table.add_row(project, told or "all in order")
    out().print(table if projects else "There are no projects.")
