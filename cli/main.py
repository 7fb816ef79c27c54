"""The `loupe` command."""

from pathlib import Path

import click

from cli.annotate import annotate
from cli.demo import demo
from cli.export import export
from cli.import_ import import_labels
from cli.localcloud import local_cloud
from cli.model import model
from cli.predict import predict
from cli.project import project
from cli.report import report
from cli.review import review
from cli.session import Session
from cli.status import status
from cli.target import WantedStack, connect
from cli.trace import trace
from cli.upkeep import open_portal, reconcile
from cli.upload import upload
from cli.validate import validate
from cli.wait import wait
from cli.worker import worker
from cli.workers import workers


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--stack",
    envvar="LOUPE_STACK",
    metavar="NAME",
    help="The CloudFormation stack.  [env LOUPE_STACK; default: loupe]",
)
@click.option(
    "--local/--aws",
    "local",
    default=None,
    help="Talk to the local cloud, or to AWS.  [default: a local cloud that runs, else AWS]",
)
@click.option("--profile", metavar="P", help="AWS profile.")
@click.option("--region", metavar="R", help="AWS region.")
@click.option(
    "--home",
    envvar="LOUPE_HOME",
    type=click.Path(file_okay=False, path_type=Path),
    default=".loupe",
    show_default=True,
    help="Folder of the local cloud.  [env LOUPE_HOME]",
)
@click.option(
    "--port",
    envvar="LOUPE_PORT",
    type=click.IntRange(1, 65535),
    default=4566,
    show_default=True,
    help="Port of the local cloud.  [env LOUPE_PORT]",
)
@click.version_option(package_name="loupe")
@click.pass_context
def cli(
    ctx: click.Context,
    stack: str | None,
    local: bool | None,
    profile: str | None,
    region: str | None,
    home: Path,
    port: int,
) -> None:
    """Loupe: drop images into a bucket; get labels, a trained model and a REST endpoint, again and again.

    \b
    The way of a project:
      loupe project create parts --task image-classification --label ok --label scratch
      loupe upload parts ./photos
      loupe open parts                  label them in the browser
      loupe wait parts deployed
      loupe predict parts photo.jpg
    """
    if ctx.obj is None:
        ctx.obj = Session(lambda: connect(WantedStack(stack, local, profile, region), home), home, port)


for command in (
    project,
    upload,
    status,
    wait,
    annotate,
    predict,
    import_labels,
    export,
    report,
    trace,
    review,
    validate,
    model,
    open_portal,
    reconcile,
    worker,
    workers,
    local_cloud,
    demo,
):
    cli.add_command(command)


def main() -> None:
    """Entry point of the console script."""
    cli(prog_name="loupe")
