"""Imports: labels that exist become those of a labeling job that is finished from the start.

The command writes the job's folder in this order:

    import.json             what is imported, by its fingerprint: the same import finds its folder again
    job.json                the job's card
    input.manifest          the images; from here on start_labeling leaves them to the import
    label-categories.json
    (images are stored in the raw-data bucket and get registered)
    manifests/output/output.manifest    the labels; this makes the import whole

and then has the function import_labels take it over. Until the output manifest is there nothing is imported;
from then on everything is, whoever dies: reconciliation finishes what the command could not. An import that
is not whole keeps its images from other jobs for `labeling.IMPORT_HOLDS` after its command last said that it
works on it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

from loupe.domain.datasets.labels import ORIGIN
from loupe.domain.errors import AlreadyWritten, ObjectMissing
from loupe.domain.images.places import key_of, uri_of
from loupe.domain.interchange.plan import Plan, Planned
from loupe.domain.label_attributes import Label, write_label
from loupe.domain.labeling.starting import read_card, write_card
from loupe.domain.manifests import (
    HEIGHT,
    SHA256,
    VERSION_ID,
    WIDTH,
    Row,
    label_categories,
    read_rows,
    write_rows,
)
from loupe.domain.projects import LABEL_ATTRIBUTES, ProjectConfig
from loupe.domain.workspace import Workspace
from loupe.ports.labeling import JobCard
from loupe.ports.objects import StoresObjects


@dataclass(frozen=True)
class ImportCard:
    """What import.json says. `source` is what the user named, `images` how many are imported."""

    fingerprint: str
    format: str
    source: str
    images: int


def find_import(project: str, fingerprint: str, store: StoresObjects) -> JobCard | None:
    """The job of that import, if it was begun: its name ends in the fingerprint's first digits."""
    for job in sorted(store.list_folders(Workspace(project).jobs), reverse=True):
        if job.endswith(f"-{fingerprint[:4]}"):
            with suppress(ObjectMissing):
                found = json.loads(store.read(_import_key(project, job)))
                if found["fingerprint"] == fingerprint:
                    return read_card(store, project, job)
    return None


def is_whole(card: JobCard, store: StoresObjects) -> bool:
    """Whether all labels of the import are written."""
    return store.exists(Workspace(card.project).output_manifest(card.job))


def begin_import(
    project: str,
    config: ProjectConfig,
    about: ImportCard,
    now: datetime,
    store: StoresObjects,
    split: Literal["test"] | None,
) -> JobCard:
    """Write down that the import begins; it holds no images yet."""
    card = JobCard(
        project=project,
        job=f"{project}-{now:%Y%m%dt%H%M%S}-{about.fingerprint[:4]}",
        provider="import",
        task=config.task,
        labels=config.labels,
        instructions="",
        batch_size=about.images,
        created_at=now,
        split=split,
    )
    content = json.dumps(asdict(about), ensure_ascii=False, indent=1).encode()
    store.write(_import_key(project, card.job), content, "application/json")
    write_card(store, card)
    return card


def images_of_import(card: JobCard, bucket: str, store: StoresObjects) -> dict[str, str]:
    """Keys of the images that an import has taken, by SHA-256; none if it did not come so far."""
    with suppress(ObjectMissing):
        rows = read_rows(store.lines(Workspace(card.project).input_manifest(card.job)))
        return {row[SHA256]: key_of(row["source-ref"], bucket) for row in rows}
    return {}


def hold_images(
    card: JobCard, bucket: str, images: Iterable[tuple[Planned, str]], store: StoresObjects
) -> None:
    """Take images, each with its key, for the import, or go on doing so: the time from which they are held
    is the time of this call."""
    names = Workspace(card.project)
    rows = (_row(planned, bucket, key) for planned, key in images)
    store.write_lines(names.input_manifest(card.job), write_rows(rows))
    categories = label_categories(card.labels).encode()
    store.write(names.label_categories(card.job), categories, "application/json")


def write_labels(
    card: JobCard,
    bucket: str,
    images: Iterable[tuple[Planned, str, str | None]],
    store: StoresObjects,
    format_name: str,
) -> None:
    """Make the import whole. Images come with their key and version. Someone may have been faster."""
    with suppress(AlreadyWritten):
        store.write_lines_once(
            Workspace(card.project).output_manifest(card.job),
            write_rows(
                _row(planned, bucket, key)
                | ({VERSION_ID: version} if version else {})
                | _label(card, planned)
                | {ORIGIN: _origin(planned, format_name)}
                for planned, key, version in images
            ),
        )


def _row(planned: Planned, bucket: str, key: str) -> Row:
    width, height = planned.size
    return {
        "source-ref": str(uri_of(key, bucket)),
        SHA256: planned.sha256,
        WIDTH: width,
        HEIGHT: height,
    }


def _label(card: JobCard, planned: Planned) -> Row:
    """A label whose time nobody knows is as old as its import."""
    labeled = planned.labeled
    label = Label(
        planned.value,
        labeled.confidences or (0.0,) * len(planned.value.names),
        labeled.labeled_at or card.created_at,
        labeled.is_human,
        card.job,
    )
    return write_label(label, LABEL_ATTRIBUTES[card.task], card.task, card.labels, planned.size)


def _origin(planned: Planned, format_name: str) -> Row:
    labeled = planned.labeled
    return {
        "format": format_name,
        "file": labeled.file,
        **({"line": labeled.line} if labeled.line is not None else {}),
        **({"job": labeled.job} if labeled.job else {}),
    }


def planned_of(plan: Plan, keys: Mapping[str, str]) -> Iterator[tuple[Planned, str]]:
    """What the plan says of those images, with their keys."""
    return ((plan.images[sha256], key) for sha256, key in keys.items())


def _import_key(project: str, job: str) -> str:
    return f"{Workspace(project).job(job)}/import.json"
