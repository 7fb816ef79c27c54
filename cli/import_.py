"""`loupe import`: labels of images that exist, from the files of other tools, as a finished labeling job."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from itertools import islice

import click

from cli.console import err, json_option, out, print_json
from cli.errors import CommandFault, domain_errors_as_faults
from cli.import_images import (
    SECONDS_HELD,
    Bucket,
    Facts,
    ImageFinder,
    ImageReader,
    Registered,
    Transfers,
    await_registration,
    match_images,
    plan_transfers,
    transfer,
    transfers_to,
)
from cli.label_files import ImagePlace, LabelFiles, label_files
from cli.session import PROJECT, Session, pass_session
from loupe.domain.imports import (
    ImportCard,
    begin_import,
    find_import,
    hold_images,
    images_of_import,
    is_whole,
    planned_of,
    write_labels,
)
from loupe.domain.interchange import FORMATS, Format
from loupe.domain.interchange.manifest import read_categories
from loupe.domain.interchange.plan import Plan, current_labels, make_plan
from loupe.domain.interchange.records import Findings, Labeled, Reading
from loupe.domain.projects import ProjectConfig, parse_project_yaml
from loupe.ports import JobCard

NAMED_AT_MOST = 20


@dataclass(frozen=True)
class ImportRequest:
    """What the user asked for."""

    project: str
    format: Format
    place: str
    images: str | None = None
    prefix: str = ""
    attribute: str | None = None
    classes: tuple[str, ...] | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)
    as_test: bool = False
    leave_out_empty: bool = False
    skip_invalid: bool = False
    parallel: int = 8


@dataclass
class Import:
    """What an import is about to do. `job` is an earlier run of the same import, `is_done` whether that has
    imported everything already."""

    config: ProjectConfig
    findings: Findings
    plan: Plan
    places: dict[str, ImagePlace]
    folders: list[LabelFiles]
    bucket: Bucket
    fingerprint: str
    job: JobCard | None = None
    is_done: bool = False
    transfers: Transfers = field(default_factory=lambda: Transfers({}, [], [], 0))
    unlabeled_files: int = 0

    @property
    def is_blocked(self) -> bool:
        """Whether there are faults that only --skip-invalid passes over."""
        return bool(self.findings.fault_count or self.plan.unknown_labels)


def prepare(session: Session, request: ImportRequest) -> Import:
    """Find out what the import would do; changes nothing. Raises CommandFault."""
    stack = session.stack
    text = stack.read_configuration(request.project)
    if text is None:
        raise session.unknown_project(request.project)
    config = parse_project_yaml(text)
    request.format.check(config.task)
    folders, findings = _folders(session, request), Findings()
    bucket = Bucket(stack, request.project)
    reading = Reading(folders[0], config.task, findings, request.attribute, request.classes)
    labels = (each for each in request.format.read(reading) if _is_wanted(each, request, findings))
    matched = list(match_images(labels, ImageFinder(bucket, folders), findings))
    facts = ImageReader(session, bucket, request.parallel).facts(
        list(dict.fromkeys(place for _, place in matched))
    )
    places: dict[str, ImagePlace] = {}
    found = []
    for labeled, place in matched:
        what = facts[place]
        if isinstance(what, str):
            findings.fault(labeled.file, labeled.line, f"{place}: {what}")
        elif labeled.sha256 not in (None, what.sha256):
            findings.fault(
                labeled.file, labeled.line, f"{place} was replaced by another image since it was labeled"
            )
        else:
            places.setdefault(what.sha256, place)
            found.append((labeled, what.sha256, what.size))
    current = current_labels(request.project, config.task, stack.workspace)
    plan = make_plan(found, config, current, findings, renamed=request.renamed, as_test=request.as_test)
    fingerprint = plan.fingerprint(config.task, as_test=request.as_test)
    prepared = Import(config, findings, plan, places, folders, bucket, fingerprint)
    prepared.unlabeled_files = len(set(folders[0].images)) - _images_used(folders[0], facts)
    _find_earlier_run(session, request, prepared)
    return prepared


def _folders(session: Session, request: ImportRequest) -> list[LabelFiles]:
    whole_folder = request.format.name == "yolo"
    look_below = request.format.name != "manifest"
    folders = [label_files(session.stack, request.place, whole_folder=whole_folder, look_below=look_below)]
    if request.images is not None:
        folders.append(label_files(session.stack, request.images, whole_folder=True, look_below=True))
    return folders


def _is_wanted(labeled: Labeled, request: ImportRequest, findings: Findings) -> bool:
    if request.leave_out_empty and not labeled.value.names:
        findings.left_out["images that have none of the labels"] += 1
        return False
    return True


def _images_used(files: LabelFiles, facts: Mapping[ImagePlace, Facts | str]) -> int:
    return sum(files.path_of(place) is not None for place in facts)


def _find_earlier_run(session: Session, request: ImportRequest, prepared: Import) -> None:
    """An import that was begun goes on with the images that it took; others take what the plan says."""
    plan, store = prepared.plan, session.stack.workspace
    job = find_import(request.project, prepared.fingerprint, store)
    names = {name for sha256 in plan.to_import for name in plan.images[sha256].value.names}
    if job is not None and is_whole(job, store):
        prepared.job, prepared.is_done = job, True
        return
    if job is not None and names.issubset(job.labels):
        prepared.job = job
        keys = images_of_import(job, store)
        if keys:
            prepared.transfers = transfers_to(keys, prepared.places, prepared.bucket)
            return
    prefix = f"{request.project}/{request.prefix}/" if request.prefix else f"{request.project}/"
    images = {sha256: prepared.places[sha256] for sha256 in plan.to_import}
    prepared.transfers = plan_transfers(images, prepared.bucket, prepared.folders, prefix)


# Doing it -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Imported:
    """What came of it. `rejected` are images that registration refused, by key, with the reason."""

    job: str
    images: int
    rejected: dict[str, str]


def carry_out(session: Session, request: ImportRequest, prepared: Import) -> Imported:
    """Do what was prepared. Whatever ends it before its last step leaves nothing imported, and the same
    command goes on. Raises CommandFault, also if images are rejected that may not be skipped."""
    store, bucket, keys = session.stack.workspace, prepared.bucket, prepared.transfers.keys
    job = prepared.job or begin_import(
        request.project,
        prepared.config,
        ImportCard(prepared.fingerprint, request.format.name, request.place, len(keys)),
        datetime.now(UTC),
        store,
        "test" if request.as_test else None,
    )

    def hold() -> None:
        hold_images(job, bucket.name, planned_of(prepared.plan, keys), store)

    hold()
    renew = _each_so_often(session, hold)
    transfer(session, bucket, prepared.transfers, request.parallel, renew)
    registered = await_registration(session, bucket, keys, renew)
    if registered.rejected and not (request.skip_invalid and registered.images):
        raise _rejection(registered)
    plan = prepared.plan
    images = ((plan.images[sha256], *place) for sha256, place in registered.images.items())
    write_labels(job, bucket.name, images, store, request.format.name)
    session.stack.finish_import(request.project, job.job)
    return Imported(job.job, len(registered.images), registered.rejected)


def _rejection(registered: Registered) -> CommandFault:
    """Names the first of the images that were rejected."""
    rejected, total = registered.rejected, len(registered.images) + len(registered.rejected)
    named = "; ".join(f"{key}: {reason}" for key, reason in islice(rejected.items(), NAMED_AT_MOST))
    others = f"; and {len(rejected) - NAMED_AT_MOST:,} more" if len(rejected) > NAMED_AT_MOST else ""
    return CommandFault(
        f"Registration rejected {len(rejected):,} of {total:,} images: {named}{others}",
        "Nothing is imported. Mend these images or leave them out of the label files"
        + ("; --skip-invalid imports the others." if registered.images else "."),
    )


def _each_so_often(session: Session, act: Callable[[], None]) -> Callable[[], None]:
    last = session.clock()

    def act_if_due() -> None:
        nonlocal last
        if session.clock() - last >= SECONDS_HELD:
            last = session.clock()
            act()

    return act_if_due


# The command ----------------------------------------------------------------------------------------


@click.command("import")
@click.argument("name", type=PROJECT)
@click.argument("place", metavar="PATH_OR_S3_URI")
@click.option(
    "--format", "format_name", required=True, type=click.Choice(list(FORMATS)), help="What the files are."
)
@click.option(
    "--images", metavar="PLACE", help="Path or S3 URI of images that are not beside the label files."
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
    raw-data bucket does not have yet are stored in it. Without --yes nothing is changed. An import is whole
    or not there: stop it whenever you like, and run the same command to go on. Running it twice changes
    nothing.

    \b
    Examples:
      loupe import parts --format coco ./dataset
      loupe import parts --format manifest s3://acme-labels/defects/manifests/output/output.manifest --yes
      loupe import parts --format yolo ./held-out --as-test --yes
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
            parallel=parallel,
        )
        prepared = prepare(session, request)
        blocked = prepared.is_blocked and not skip_invalid
        todo = bool(prepared.transfers.keys) and not prepared.is_done
        imported = carry_out(session, request, prepared) if yes and todo and not blocked else None
        if yes and prepared.is_done and prepared.job:
            session.stack.finish_import(name, prepared.job.job)
    if as_json:
        print_json(_as_json(request, prepared, imported))
    else:
        _print(request, prepared)
        _print_outcome(request, prepared, imported, todo=todo, blocked=blocked)
    if blocked:
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


# What it tells --------------------------------------------------------------------------------------


def _as_json(request: ImportRequest, prepared: Import, imported: Imported | None) -> dict[str, object]:
    plan, findings, transfers = prepared.plan, prepared.findings, prepared.transfers
    return {
        "project": request.project,
        "format": request.format.name,
        "task": prepared.config.task,
        "imported": imported is not None,
        "job": imported.job if imported else (prepared.job.job if prepared.job else None),
        "already_imported": prepared.is_done,
        "images": {
            "labeled": len(plan.images),
            "to_import": len(transfers.keys) if not prepared.is_done else 0,
            "in_place": transfers.in_place,
            "to_upload": len(transfers.uploads),
            "to_copy": len(transfers.copies),
            "being_labeled": transfers.labeling,
            "without_label_in_folder": prepared.unlabeled_files,
        },
        "labels": dict(plan.labels.most_common()),
        "without_label": plan.without_label,
        "new": plan.new,
        "replaced": plan.replaced,
        "same": plan.same,
        "older_than_present": plan.outdated,
        "unknown_labels": dict(plan.unknown_labels.most_common()),
        "left_out": dict(findings.left_out.most_common()),
        "notes": dict(findings.notes.most_common()),
        "faults": [{"file": each.file, "line": each.line, "fault": each.message} for each in findings.faults],
        "fault_count": findings.fault_count,
        "rejected": imported.rejected if imported else {},
    }


def _print(request: ImportRequest, prepared: Import) -> None:
    plan, findings, transfers, say = prepared.plan, prepared.findings, prepared.transfers, out().print
    say(f"{request.format.name} of {request.place} for {request.project} ({prepared.config.task}):")
    say(f"  {len(plan.images):,} images with a label that can be used")
    if not prepared.is_done:
        say(
            f"  {plan.new:,} have no label yet, {plan.replaced:,} have another one, which is replaced, "
            f"{plan.same:,} have the same, {plan.outdated:,} have a newer one, which stays"
        )
        say(
            f"  {len(transfers.keys):,} to import: {transfers.in_place:,} lie in the raw-data bucket, "
            f"{len(transfers.uploads):,} to upload, {len(transfers.copies):,} to copy"
        )
        if transfers.labeling:
            say(f"  {transfers.labeling:,} of them are being labeled by people now; the newer label counts")
        for label, count in plan.labels.most_common():
            say(f"    {label}: {count:,}")
        if plan.without_label:
            say(f"    (none of the labels): {plan.without_label:,}")
    if prepared.unlabeled_files:
        say(f"  {prepared.unlabeled_files:,} images in the folder have no label and are left alone")
    for reason, count in findings.left_out.most_common():
        say(f"  Left out: {reason}: {count:,}")
    for note, count in findings.notes.most_common():
        say(f"  Note: {note}" + (f" ({count:,})" if count > 1 else ""))
    _print_faults(prepared)


def _print_faults(prepared: Import) -> None:
    plan, findings, say = prepared.plan, prepared.findings, err().print
    for label, count in plan.unknown_labels.most_common(NAMED_AT_MOST):
        close = get_close_matches(label, prepared.config.labels, n=1)
        fix = f"--rename '{label}={close[0]}'" if close else "add it to project.yaml, or --rename it"
        say(f"  Unknown label {label!r} of {count:,} images: {fix}")
    for fault in findings.faults:
        say(f"  {fault}")
    if findings.fault_count > len(findings.faults):
        say(f"  ... and {findings.fault_count - len(findings.faults):,} more")


def _print_outcome(
    request: ImportRequest, prepared: Import, imported: Imported | None, *, todo: bool, blocked: bool
) -> None:
    say = out().print
    if imported:
        say(f"Imported {imported.images:,} labels as the job {imported.job}.")
        for key, reason in list(imported.rejected.items())[:NAMED_AT_MOST]:
            err().print(f"  Rejected: {key}: {reason}")
        if len(imported.rejected) > NAMED_AT_MOST:
            err().print(f"  ... and {len(imported.rejected) - NAMED_AT_MOST:,} more rejected")
        say(f"Training goes on with them: loupe wait {request.project} deployed")
    elif prepared.is_done and prepared.job:
        say(f"All of this was imported before, as the job {prepared.job.job}. There is nothing to do.")
    elif not todo:
        say("There is nothing to import.")
    elif not blocked:
        again = f"; the import {prepared.job.job} was interrupted and goes on" if prepared.job else ""
        say(f"Nothing was changed. Add --yes to import{again}.")
