"""Tasks whose answer is known: images that have a firm label are shown among the others, like any other.

Which they are is written to S3 before the job's input manifest, so that a job that has a manifest has its
known answers, too, or none; and they are in no manifest, so that no answer changes their label.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from itertools import islice
from typing import Any
from zlib import crc32

from loupe.domain.datasets.labels import accepted_jobs, names_in_line
from loupe.domain.errors import AlreadyWritten, ObjectMissing
from loupe.domain.images.places import uri_of
from loupe.domain.json_lines import read_line
from loupe.domain.label_values import LabelValue, read_any
from loupe.domain.manifests import HEIGHT, ORIENTATION, SHA256, VERSION_ID, WIDTH, Row, read_rows, write_rows
from loupe.domain.projects import LABEL_ATTRIBUTES
from loupe.domain.workspace import Workspace
from loupe.ports.labeling import JobCard
from loupe.ports.objects import StoresObjects

KNOWN = "loupe-known"
"""Key of a row with what is known of its image."""
AGREED_FROM = 0.9
"""A label on which several workers agreed that far is firm."""

_MOST_FILES = 50
_CHOICE = 10
"""So many times as many images as are wanted are enough to choose from."""


def write_checks(card: JobCard, workspace: StoresObjects, raw_data_bucket: str) -> None:
    """Choose known answers for a job, once; does nothing where it asks for none."""
    if not card.check_every:
        return
    most = card.batch_size // (card.check_every - 1) + 1
    chosen = _choose(card, most, workspace, raw_data_bucket)
    with suppress(AlreadyWritten):
        workspace.write_lines_once(Workspace(card.project).checks(card.job), write_rows(chosen))


def read_checks(card: JobCard, workspace: StoresObjects) -> list[Row]:
    """Rows of the images of known answer that the job may show."""
    if not card.check_every:
        return []
    try:
        return list(read_rows(workspace.lines(Workspace(card.project).checks(card.job))))
    except ObjectMissing:
        return []


def known_answers(card: JobCard, workspace: StoresObjects) -> dict[str, LabelValue]:
    """What is known of these images, by SHA-256."""
    found = ((row[SHA256], read_any(row[KNOWN])) for row in read_checks(card, workspace))
    return {sha256: value for sha256, value in found if value is not None}


def with_checks(card: JobCard, rows: Iterable[Row], checks: Sequence[Row]) -> Iterator[tuple[Row, bool]]:
    """The rows of a job's tasks, each with whether it is one of known answer. Of each `check_every` tasks one
    is, at a place that can't be guessed; a last stretch that is too short may have none."""
    if not checks:
        yield from ((row, False) for row in rows)
        return
    left, rows = iter(checks), iter(rows)
    stretch = 0
    while some := list(islice(rows, card.check_every - 1)):
        place = crc32(f"{card.job}#{stretch}".encode()) % card.check_every
        check = next(left, None) if place <= len(some) else None
        tasks = [(row, False) for row in some]
        if check is not None:
            tasks.insert(place, (check, True))
        yield from tasks
        stretch += 1


def _choose(card: JobCard, most: int, workspace: StoresObjects, raw_data_bucket: str) -> list[Row]:
    """Up to so many firm labels of earlier jobs, others for each job. The newest word on an image counts."""
    said: dict[str, Row | None] = {}
    firm = 0
    for job in list(reversed(accepted_jobs(card.project, workspace)))[:_MOST_FILES]:
        if firm >= most * _CHOICE:
            break
        for text in workspace.lines(Workspace(card.project).labels(job)):
            line = read_line(text)
            if line["sha256"] not in said:
                row = said[line["sha256"]] = _known_row(card, line, raw_data_bucket)
                firm += row is not None
    rows = [row for row in said.values() if row is not None]
    return sorted(rows, key=lambda row: _lot(card, row))[:most]


def _known_row(card: JobCard, line: dict[str, Any], raw_data_bucket: str) -> Row | None:
    """The row of a firm label that the job's workers could give; None if the line has none."""
    names = names_in_line(line, card.task)
    is_firm = "correction" in line or line.get("agreement", 0) >= AGREED_FROM
    if names is None or not is_firm or not {*names} <= {*card.labels} or line["etag"] is None:
        return None
    row: Row = {
        "source-ref": str(uri_of(line["key"], raw_data_bucket)),
        SHA256: line["sha256"],
        WIDTH: line["width"],
        HEIGHT: line["height"],
        KNOWN: {LABEL_ATTRIBUTES[card.task]: line[LABEL_ATTRIBUTES[card.task]]},
    }
    if line["version_id"] is not None:
        row[VERSION_ID] = line["version_id"]
    if line.get("orientation", 1) != 1:
        row[ORIENTATION] = line["orientation"]
    return row


def _lot(card: JobCard, row: Row) -> str:
    return sha256(f"{card.job}/{row[SHA256]}".encode()).hexdigest()
