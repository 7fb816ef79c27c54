"""What `loupe import` does: it finds out what an import would change, and carries it out."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice

from cli.errors import CommandFault
from cli.import_images import (
    SECONDS_HELD,
    Bucket,
    Facts,
    ImageFinder,
    ImageReader,
    Registered,
    Transfers,
    await_registration,
    check_buckets,
    match_images,
    plan_transfers,
    refer,
    transfer,
    transfers_to,
)
from cli.label_files import ImagePlace, LabelFiles, label_files
from cli.session import Session
from loupe.domain.interchange import Format
from loupe.domain.interchange.plan import Plan, current_labels, make_plan
from loupe.domain.interchange.records import Findings, Labeled, Reading, Size
from loupe.domain.labeling.imports import (
    ImportCard,
    begin_import,
    find_import,
    hold_images,
    images_of_import,
    is_whole,
    planned_of,
    write_labels,
)
from loupe.domain.manifests import S3Uri
from loupe.domain.projects import ProjectConfig, parse_project_yaml
from loupe.ports.labeling import JobCard

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
    refer: bool = False
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
    transfers: Transfers = field(default_factory=lambda: Transfers({}))
    unlabeled_files: int = 0

    @property
    def is_blocked(self) -> bool:
        """Whether there are faults that only --skip-invalid passes over."""
        return bool(self.findings.fault_count or self.plan.unknown_labels)

    @property
    def is_due(self) -> bool:
        """Whether there is something to import."""
        return bool(self.transfers.keys) and not self.is_done


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
    if request.refer:
        buckets = {place.bucket for _, place in matched if isinstance(place, S3Uri)}
        check_buckets(stack, buckets - {bucket.name})
    facts = ImageReader(session, bucket, request.parallel).facts(
        list(dict.fromkeys(place for _, place in matched))
    )
    found, places = _identified(matched, facts, findings)
    current = current_labels(request.project, config.task, stack.workspace)
    plan = make_plan(found, config, current, findings, renamed=request.renamed, as_test=request.as_test)
    fingerprint = plan.fingerprint(config.task, as_test=request.as_test)
    prepared = Import(config, findings, plan, places, folders, bucket, fingerprint)
    prepared.unlabeled_files = len(set(folders[0].images)) - _images_used(folders[0], facts)
    _find_earlier_run(session, request, prepared)
    return prepared


def _identified(
    matched: Iterable[tuple[Labeled, ImagePlace]],
    facts: Mapping[ImagePlace, Facts | str],
    findings: Findings,
) -> tuple[list[tuple[Labeled, str, Size]], dict[str, ImagePlace]]:
    """Labels with SHA-256 and size of their images, and where those lie; what can't be used is a fault."""
    found: list[tuple[Labeled, str, Size]] = []
    places: dict[str, ImagePlace] = {}
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
    return found, places


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
        keys = images_of_import(job, prepared.bucket.name, store)
        if keys:
            prepared.transfers = transfers_to(keys, prepared.places, prepared.bucket)
            check_buckets(session.stack, (S3Uri.parse(uri).bucket for uri in prepared.transfers.referred))
            return
    prefix = f"{request.project}/{request.prefix}/" if request.prefix else f"{request.project}/"
    images = {sha256: prepared.places[sha256] for sha256 in plan.to_import}
    prepared.transfers = plan_transfers(
        images, prepared.bucket, prepared.folders, prefix, refer=request.refer
    )


# Doing it -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Imported:
    """What came of it. `rejected` are images that registration refused, by key, with the reason."""

    job: str
    images: int
    rejected: dict[str, str]


@dataclass(frozen=True)
class Outcome:
    """What was asked for and found out, and what was imported: None if nothing was."""

    request: ImportRequest
    prepared: Import
    imported: Imported | None

    @property
    def is_blocked(self) -> bool:
        """Whether something is wrong with the files that the user did not say to leave out."""
        return self.prepared.is_blocked and not self.request.skip_invalid


def run_import(session: Session, request: ImportRequest, *, yes: bool) -> Outcome:
    """Find out what the import would do and, with `yes`, do it unless it is blocked. Raises CommandFault."""
    prepared = prepare(session, request)
    outcome = Outcome(request, prepared, None)
    if yes and prepared.is_done and prepared.job:
        session.stack.finish_import(request.project, prepared.job.job)
    elif yes and prepared.is_due and not outcome.is_blocked:
        return replace(outcome, imported=carry_out(session, request, prepared))
    return outcome


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
    refer(session, bucket, prepared.transfers, renew)
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
