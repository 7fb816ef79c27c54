"""`loupe review`: have people look at labels again."""

import click

from cli.console import json_option, out, print_json
from cli.session import PROJECT, Session, pass_session

DEFAULT_LIMIT = 100
MOST = 100_000


@click.command()
@click.argument("name", type=PROJECT)
@click.option(
    "--provider", type=click.Choice(["ground-truth"]), required=True, help="Who looks at the labels."
)
@click.option(
    "--version", metavar="V", help="Dataset version whose labels are reviewed.  [default: the newest]"
)
@click.option("--label", metavar="L", help="Only images that have this label.")
@click.option(
    "--limit",
    type=click.IntRange(1, MOST),
    default=DEFAULT_LIMIT,
    show_default=True,
    metavar="N",
    help="At most so many images; of more, a random sample.",
)
@click.option(
    "--kind",
    type=click.Choice(["adjustment", "verification"]),
    default="adjustment",
    show_default=True,
    help="Correct the labels, or only say whether they are right (boxes).",
)
@json_option
@pass_session
def review(
    session: Session,
    name: str,
    provider: str,
    version: str | None,
    label: str | None,
    limit: int,
    kind: str,
    as_json: bool,
) -> None:
    """Have people look at labels of the project NAME again; what they find corrects the labels.

    \b
    adjustment    people correct boxes, or choose labels anew with those of now before them
    verification  people say whether boxes are right; wrong ones are withdrawn, and their images
                  wait to be labeled anew

    \b
    Examples:
      loupe review parts --provider ground-truth --label scratch
      loupe review parts --provider ground-truth --kind verification --limit 500
    """
    session.require_project(name)
    request = {"project": name, "version": version, "label": label, "limit": limit, "kind": kind}
    started = session.stack.start_review(request)
    if as_json:
        print_json({"provider": provider, **started})
        return
    out().print(
        f"{started['images']:,} images of dataset version {started['dataset_version']} are reviewed in the "
        f"job {started['job']}. `loupe status {name}` shows how far it has come."
    )
    if started["left_out"]:
        out().print(f"{started['left_out']:,} more have too many boxes for Ground Truth, and were left out.")
