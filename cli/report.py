"""`loupe report`: a dataset version as a page, in the browser."""

import tempfile
import webbrowser
from contextlib import suppress
from pathlib import Path

import click

from cli.console import json_option, out, print_json
from cli.errors import CommandFault, domain_errors_as_faults
from cli.export import version_card
from cli.session import PROJECT, Session, pass_session
from loupe.domain.datasets.report import report_of
from loupe.domain.datasets.versions import REPORT_TYPE
from loupe.domain.errors import AlreadyWritten, ObjectMissing
from loupe.domain.workspace import Workspace
from loupe.ports.objects import StoresObjects


@click.command()
@click.argument("name", type=PROJECT)
@click.option("--version", metavar="V", help="The dataset version.  [default: the newest]")
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the page there, and open no browser.",
)
@json_option
@pass_session
def report(session: Session, name: str, version: str | None, output: Path | None, as_json: bool) -> None:
    """Open the report of a dataset version of NAME in the browser.

    It has the version's images by label and split, their dimensions, boxes and jobs, what was left out, and
    what changed since the version before. The page needs no network; it can be kept, sent and printed.

    \b
    Examples:
      loupe report parts
      loupe report parts --version 0003 --output parts-0003.html
    """
    session.require_project(name)
    with domain_errors_as_faults():
        found = version_card(session, name, version).version
        page = _page(session.stack.workspace, name, found)
    path = output or Path(tempfile.mkdtemp(prefix="loupe-")) / f"{name}-{found}.html"
    try:
        path.write_bytes(page)
    except OSError as error:
        raise CommandFault(f"{path} can't be written: {error.strerror}.") from error
    if as_json:
        print_json({"project": name, "version": found, "path": str(path.resolve())})
        return
    out().print(str(path), soft_wrap=True)
    if output is None and not webbrowser.open(path.resolve().as_uri()):
        raise CommandFault("There is no browser that can be opened here.", "Open the file above yourself.")


def _page(store: StoresObjects, project: str, version: str) -> bytes:
    """The report that lies beside the version; one that was built before there were reports gets it now."""
    key = Workspace(project).dataset_report(version)
    with suppress(ObjectMissing):
        return store.read(key)
    page = report_of(store, project, version)
    with suppress(AlreadyWritten):
        store.write_once(key, page, REPORT_TYPE)
    return page
