"""`loupe export`: a dataset version with its splits, in the files of other tools."""

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from io import FileIO
from pathlib import Path

import click

from cli.console import err, json_option, out, print_json, progress_bar
from cli.errors import CommandFault, domain_errors_as_faults
from cli.session import PROJECT, Session, pass_session
from cli.stack import Stack
from loupe.domain.batches import batches, in_parallel
from loupe.domain.datasets.splits import SPLITS, Split
from loupe.domain.datasets.versions import DatasetCard, latest_card
from loupe.domain.errors import DomainError, ObjectMissing
from loupe.domain.interchange import FORMATS, Format
from loupe.domain.interchange.records import Dataset, ImageFile, OutFile
from loupe.domain.interchange.versions import dataset
from loupe.domain.manifests import VERSION_ID, S3Uri
from loupe.domain.workspace import Workspace

NAMED_AT_MOST = 20
_PIECES = 1_000
"""So many pieces of a file are written at a time."""


@dataclass
class ExportReport:
    """What was written. `failed` are images that could not be read, by their path in the export."""

    images: int = 0
    files: int = 0
    failed: dict[str, str] = field(default_factory=dict)


class SplitFiles:
    """The manifests of a dataset version, read from the workspace bucket once, into `folder`."""

    def __init__(self, project: str, card: DatasetCard, stack: Stack, folder: Path) -> None:
        self._folder = folder
        names = Workspace(project)
        for split in SPLITS:
            lines = stack.workspace.lines(names.split(card.version, split))
            with (folder / split).open("w", encoding="utf-8", newline="") as file:
                file.writelines(f"{line}\n" for line in lines)

    def lines(self, split: Split) -> Iterator[str]:
        """May be read as often as one likes, several times at once, too."""
        with (self._folder / split).open(encoding="utf-8", newline="\n") as file:
            yield from file


def version_card(session: Session, project: str, version: str | None) -> DatasetCard:
    """Raises CommandFault that names the versions there are."""
    store, names = session.stack.workspace, Workspace(project)
    if version is None:
        card = latest_card(project, store)
        if card is None:
            raise CommandFault(
                f"{project} has no dataset version yet.",
                "One is built when a labeling job or an import finishes.",
            )
        return card
    try:
        return DatasetCard.from_json(store.read(names.dataset_card(version)))
    except ObjectMissing as error:
        known = [
            each for each in store.list_folders(names.datasets) if store.exists(names.dataset_card(each))
        ]
        raise CommandFault(
            f"{project} has no dataset version {version!r}.", f"There are: {', '.join(known) or 'none yet'}."
        ) from error


def write_export(
    session: Session, form: Format, version: Dataset, folder: Path, parallel: int
) -> ExportReport:
    """Write all files below `folder`; images that are there from an earlier run are not fetched again."""
    report, folders = ExportReport(), set[str]()

    def images(files: Iterator[OutFile]) -> Iterator[ImageFile]:
        """Writes text as it comes: the folder is not anybody's until all of it is there."""
        for file in files:
            parent = file.path.rpartition("/")[0]
            if parent not in folders:
                (folder / parent).mkdir(parents=True, exist_ok=True)
                folders.add(parent)
            if isinstance(file, ImageFile):
                yield file
                continue
            _write_text(f"{folder}/{file.path}", file.content)
            report.files += 1

    with progress_bar(err()) as bar:
        task = bar.add_task("Exporting", total=None, remark="")
        fetch = partial(_fetch, session.stack, folder)
        for file, failure in in_parallel(fetch, images(form.write(version)), parallel):
            if failure is None:
                report.images += 1
            else:
                report.failed[file.path] = failure
            bar.update(task, completed=report.images + report.files)
    return report


def _write_text(path: str, content: Iterable[str]) -> None:
    """As bytes: what a format writes is what lies there, whatever the system. There may be a file for each
    image, so small ones are written at once."""
    with FileIO(path, "w") as file:
        for pieces in batches(content, _PIECES):
            rest = memoryview("".join(pieces).encode())
            while rest:
                rest = rest[file.write(rest) :]


def _fetch(stack: Stack, folder: Path, file: ImageFile) -> tuple[ImageFile, str | None]:
    """Writes an image whole or not at all; returns it with what went wrong."""
    path, source = folder / file.path, S3Uri.parse(file.image.source)
    if path.exists():
        return file, None
    try:
        content = stack.bucket(source.bucket).read(source.key, file.image.row.get(VERSION_ID))
    except DomainError as error:
        return file, error.detail
    if hashlib.sha256(content).hexdigest() != file.image.sha256:
        return file, f"{source} is another image than the one that was labeled"
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.replace(path)
    return file, None


@click.command()
@click.argument("name", type=PROJECT)
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--format", "format_name", required=True, type=click.Choice(list(FORMATS)), help="What to write."
)
@click.option("--version", metavar="V", help="The dataset version, such as 0003.  [default: the newest]")
@click.option("--images", "with_images", is_flag=True, help="Fetch the images, too; else files name S3's.")
@click.option(
    "--parallel", type=click.IntRange(1, 32), default=8, show_default=True, help="Transfers at the same time."
)
@json_option
@pass_session
def export(
    session: Session,
    name: str,
    directory: Path,
    format_name: str,
    version: str | None,
    with_images: bool,
    parallel: int,
    as_json: bool,
) -> None:
    """Write a dataset version of the project NAME, with its splits, into the folder DIR.

    DIR must be empty or not exist. It appears when all is written; after Ctrl-C the same command goes on.

    \b
    Examples:
      loupe export parts ./parts-coco --format coco --images
      loupe export parts ./parts-0003 --format manifest --version 0003
    """
    if directory.exists() and any(directory.iterdir()):
        raise CommandFault(f"{directory} is not empty.", "Name a folder that is empty or does not exist yet.")
    with domain_errors_as_faults(), tempfile.TemporaryDirectory() as manifests:
        session.require_project(name)
        card = version_card(session, name, version)
        form = FORMATS[format_name]
        form.check(card.task)
        files = SplitFiles(name, card, session.stack, Path(manifests))
        written = dataset(name, card, files.lines, with_images=with_images)
        part = directory.with_name(f"{directory.name}.{card.version}-{format_name}.part")
        report = write_export(session, form, written, part, parallel)
    if not report.failed:
        if directory.exists():
            directory.rmdir()
        part.rename(directory)
    if as_json:
        print_json(_as_json(name, format_name, card, report))
    else:
        _print(name, directory, card, report)
    if report.failed:
        raise CommandFault(
            f"{len(report.failed)} images could not be fetched; the rest lies in {part}.",
            "The same command tries them again.",
        )


def _as_json(name: str, format_name: str, card: DatasetCard, report: ExportReport) -> dict[str, object]:
    return {
        "project": name,
        "format": format_name,
        "version": card.version,
        "task": card.task,
        "files": report.files,
        "images": report.images,
        "failed": [{"file": file, "reason": reason} for file, reason in report.failed.items()],
    }


def _print(name: str, directory: Path, card: DatasetCard, report: ExportReport) -> None:
    out().print(
        f"Dataset version {card.version} of {name} in {directory}: {report.files:,} files, "
        f"{report.images:,} images."
    )
    for file, reason in list(report.failed.items())[:NAMED_AT_MOST]:
        err().print(f"  Failed: {file}: {reason}")
