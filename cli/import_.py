"""`loupe import`: labels of images that exist, from the files of other tools, as a finished labeling job."""

import click

from cli import import_report
from cli.console import json_option, print_json
from cli.errors import CommandFault, domain_errors_as_faults
from cli.importing import ImportRequest, run_import
from cli.label_files import label_files
from cli.session import PROJECT, Session, pass_session
from loupe.domain.interchange import FORMATS
from loupe.domain.interchange.manifest import read_categories


@click.command("import")
@click.argument("name", type=PROJECT)
@click.argument("place", metavar="PATH_OR_S3_URI")
@click.option(
    "--format", "format_name", required=True, type=click.Choice(list(FORMATS)), help="What the files are."
)
@click.option(
    "--images", metavar="PLACE", help="Path or S3 URI of images that are not beside the label files."
)
@click.option(
    "--refer", is_flag=True, help="Refer to images in other buckets where they are, and copy none of them."
)
@click.option("--prefix", default="", help="Folder within the project to put new images in.")
@click.option(
    "--attribute", help="Label attribute of the manifest.  [default: the newest one that fits the task]"
)
@click.option(
    "--classes",
    type=click.Path(exists=True, dir_okay=False),
    help="File that names the classes: a name a line, or a label category file.",
)
@click.option(
    "--rename",
    "renames",
    multiple=True,
    metavar="OLD=NEW",
    help="Take the files' label OLD for the project's NEW.",
)
@click.option("--as-test", is_flag=True, help="Make these images the project's frozen test set.")
@click.option("--leave-out-empty", is_flag=True, help="Leave out images that have none of the labels.")
@click.option("--skip-invalid", is_flag=True, help="Leave out what can't be used, and import the rest.")
@click.option(
    "--parallel", type=click.IntRange(1, 32), default=8, show_default=True, help="Transfers at the same time."
)
@click.option("--yes", is_flag=True, help="Import; without it you are shown what would happen.")
@json_option
@pass_session
def import_labels(
    session: Session,
    name: str,
    place: str,
    format_name: str,
    images: str | None,
    refer: bool,
    prefix: str,
    attribute: str | None,
    classes: str | None,
    renames: tuple[str, ...],
    as_test: bool,
    leave_out_empty: bool,
    skip_invalid: bool,
    parallel: int,
    yes: bool,
    as_json: bool,
) -> None:
    """Make labels that exist labels of the project NAME, without anybody labeling again.

    PATH_OR_S3_URI is a label file, or a folder of label files and images, on disk or in S3. Images that the
    raw-data bucket does not have yet are stored in it; with --refer, those in other buckets stay there.
    Without --yes nothing is changed. An import is whole or not there: stop it whenever you like, and run the
    same command to go on. Running it twice changes nothing.

    \b
    Examples:
      loupe import parts --format coco ./dataset
      loupe import parts --format manifest s3://acme-labels/defects/manifests/output/output.manifest --yes
      loupe import parts --format yolo ./held-out --as-test --yes
      loupe import parts --format coco s3://acme-archive/2026/ --refer --yes
    """
    with domain_errors_as_faults():
        request = ImportRequest(
            project=name,
            format=FORMATS[format_name],
            place=place,
            images=images,
            prefix=prefix.strip("/"),
            attribute=attribute,
            classes=_classes(session, classes),
            renamed=_renames(renames),
            as_test=as_test,
            leave_out_empty=leave_out_empty,
            skip_invalid=skip_invalid,
            refer=refer,
            parallel=parallel,
        )
        outcome = run_import(session, request, yes=yes)
    if as_json:
        print_json(import_report.as_json(outcome))
    else:
        import_report.print_outcome(outcome)
    if outcome.is_blocked:
        raise CommandFault(
            "Nothing is imported: there is something wrong with the files.",
            "Mend it, or add --skip-invalid to leave out what can't be used.",
        )


def _classes(session: Session, file: str | None) -> tuple[str, ...] | None:
    if file is None:
        return None
    files = label_files(session.stack, file, whole_folder=False, look_below=False)
    return read_categories(files, files.paths[0])


def _renames(renames: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for each in renames:
        old, equals, new = each.partition("=")
        if not equals or not old or not new:
            raise click.UsageError(f"--rename takes OLD=NEW, not {each!r}.")
        found[old] = new
    return found
