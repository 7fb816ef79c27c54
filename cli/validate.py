"""`loupe validate`: what Rekognition Custom Labels would say of a dataset version, before it is asked."""

import click
from rich.table import Table

from cli.console import err, json_option, out, print_json
from cli.errors import CommandFault, domain_errors_as_faults
from cli.export import version_card
from cli.session import PROJECT, Session, pass_session
from loupe.domain.custom_labels.codes import MENDING
from loupe.domain.custom_labels.plans import CustomLabelsManifests
from loupe.domain.custom_labels.report import Report
from loupe.domain.projects import parse_project_yaml

SHOWN = 50


@click.command()
@click.argument("name", type=PROJECT)
@click.option("--version", metavar="V", help="The dataset version.  [default: the newest]")
@click.option(
    "--distribute/--separate",
    default=None,
    help="As for one dataset, of which Rekognition takes the test images, or as for two.  "
    "[default: as project.yaml says]",
)
@json_option
@pass_session
def validate(
    session: Session, name: str, version: str | None, distribute: bool | None, as_json: bool
) -> None:
    """Check a dataset version of the project NAME against the rules of Rekognition Custom Labels.

    Every training by Rekognition does so first; this shows the report before one. It reads the workspace
    bucket, changes nothing and costs nothing. Ends with exit code 1 if Rekognition would refuse to train.

    \b
    Examples:
      loupe validate parts
      loupe validate parts --version 0003 --json
    """
    card = version_card(session, name, version)
    if distribute is None:
        distribute = _is_distributed(session, name)
    manifests = CustomLabelsManifests(
        card, name, distribute, session.stack.raw_data_bucket, session.stack.workspace
    )
    with err().status("Reading manifests ..."), domain_errors_as_faults():
        report = manifests.check()
    if as_json:
        print_json({"project": name, "dataset_version": card.version, **report.to_json()})
    else:
        _show(report)
    if not report.ok:
        raise CommandFault(f"Rekognition would not train on dataset version {card.version} of {name}.")


def _is_distributed(session: Session, name: str) -> bool:
    """What project.yaml says; datasets are separate where there is none."""
    text = session.stack.read_configuration(name)
    if text is None:
        return False
    with domain_errors_as_faults():
        return parse_project_yaml(text).training.rekognition.test_dataset == "distribute"


def _show(report: Report) -> None:
    for dataset, count in report.datasets.items():
        out().print(
            f"{dataset}: {count.rows:,} rows, {count.used:,} to be used, {count.bad:,} bad, "
            f"{count.warned:,} without label"
        )
    if not report.findings:
        out().print("Nothing to mend.")
        return
    table = Table("where", "code", "what", box=None, pad_edge=False)
    for finding in report.findings[:SHOWN]:
        where = finding.manifest if finding.line is None else f"{finding.manifest}:{finding.line}"
        table.add_row(where, finding.code, finding.detail)
    out().print(table)
    if sum(report.codes.values()) > min(SHOWN, len(report.findings)):
        out().print("There are more; --json shows up to a hundred of each code.")
    for code, times in sorted(report.codes.items()):
        out().print(f"{times:,} x {code}: {MENDING[code]}")
