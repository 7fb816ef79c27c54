"""Accepted labels: what finished jobs concluded, as S3 keeps it and datasets are built from it.

`labels/<job>.jsonl` has at most one line an image, written once:

    {"sha256", "key", "version_id", "etag", "bytes", "width", "height", "format", "phash", "registered_at",
     "job", "label" | "labels" | "boxes", "confidences", "labeled_at", "human"}

with one confidence for each part of the label. `key` is an image's as in `loupe.domain.images.places`, and
`orientation` is there where EXIF turns the image. `split` is
"test" where the job's images are meant for the test set, and `origin` is where an imported label comes from.
`workers` are the names of those who answered at the portal, and `agreement`, between 0 and 1, says how far
several of them said what was concluded. An image that got no label and waits for none has `failure_reason`
instead of the last four; one whose label a review found wrong has `withdrawn` and `labeled_at`. Of several
lines of an image the newest counts, by `labeled_at`.

A file whose job ends in `-corrections` has what people corrected in the console
(`loupe.domain.datasets.corrections`).

What the index knew of the image stands beside its label, so that a dataset needs no index, and a lost index
can be restored from here.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from loupe.domain.batches import batches
from loupe.domain.images.places import is_referred, key_of
from loupe.domain.json_lines import read_line
from loupe.domain.label_attributes import Label, Unlabeled, Withdrawn, read_label
from loupe.domain.label_values import read_value
from loupe.domain.manifests import (
    HEIGHT,
    SHA256,
    VERSION_ID,
    WIDTH,
    InvalidManifest,
    Row,
    read_rows,
    write_rows,
)
from loupe.domain.projects import LABEL_ATTRIBUTES, TaskType
from loupe.domain.workspace import Workspace
from loupe.ports.images import ImageRecord, KeepsImages
from loupe.ports.labeling import JobCard
from loupe.ports.messages import Clock
from loupe.ports.objects import StoresObjects

MAX_JOBS_WITHOUT_LABEL = 3
"""So many Ground Truth jobs may leave an image unlabeled; then it is refused."""
ORIGIN = "loupe-origin"
"""Key of a manifest's row that tells where an imported label comes from."""
WORKERS, AGREEMENT = "loupe-workers", "loupe-agreement"
"""Keys of a manifest's row with the names of those who labeled the image, and how far they agree."""

_BATCH = 1000
_SUFFIX = ".jsonl"

Line = dict[str, Any]


def accepted_jobs(project: str, store: StoresObjects) -> list[str]:
    """Jobs whose labels are accepted, in the order of their names, which is that of their creation."""
    prefix = Workspace(project).all_labels
    return sorted(
        stored.key[len(prefix) : -len(_SUFFIX)]
        for stored in store.list(prefix)
        if stored.key.endswith(_SUFFIX)
    )


# Accepting ------------------------------------------------------------------------------------------


@dataclass
class _Conclusions:
    """What becomes of a batch of a job's images, in the index and as lines of the label file."""

    labeled: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)
    withdrawn: list[str] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)


@dataclass(frozen=True)
class AcceptLabels:
    """Takes over what a finished job concluded: into the index, then into `labels/<job>.jsonl`.

    In this order, so that the file's existence says that all is done; a crash in between is mended by doing
    it again.
    """

    images: KeepsImages
    workspace: StoresObjects
    raw_data_bucket: str
    clock: Clock

    def __call__(self, card: JobCard) -> None:
        """Raises `InvalidManifest`, `ObjectMissing` if there is no output manifest, and `AlreadyWritten`."""
        names = Workspace(card.project)
        rows = read_rows(self.workspace.lines(names.output_manifest(card.job)))
        self.workspace.write_lines_once(names.labels(card.job), write_rows(self._accepted(card, rows)))

    def _accepted(self, card: JobCard, rows: Iterable[Row]) -> Iterator[Line]:
        """Lines of the label file; by the time a line comes out, the index has taken note of it."""
        project, job = card.project, card.job
        for batch in batches(rows, _BATCH):
            by_image = {_sha256(row): row for row in batch}
            known = self.images.images(project, by_image)
            concluded = _Conclusions()
            for sha256, row in by_image.items():
                self._conclude(card, row, known.get(sha256), concluded)
            self.images.accept(project, job, concluded.labeled, concluded.refused)
            self.images.give_back(project, job, concluded.tried, attempted=True)
            self.images.withdraw(project, job, concluded.withdrawn)
            yield from concluded.lines

    def _conclude(self, card: JobCard, row: Row, record: ImageRecord | None, concluded: _Conclusions) -> None:
        """Decide about one image."""
        sha256, told = _sha256(row), Line()
        match found := read_label(row, LABEL_ATTRIBUTES[card.task], card.task, card.labels):
            case Label() if (misfit := _misfit(row, LABEL_ATTRIBUTES[card.task])) is not None:
                concluded.refused.append((sha256, misfit))
                told = {"failure_reason": misfit}
            case Label():
                concluded.labeled.append(sha256)
                told = _labeled(found, found.labeled_at or self.clock(), row, card)
            case Withdrawn(at):
                concluded.withdrawn.append(sha256)
                told = {"withdrawn": True, "labeled_at": at.isoformat()}
            case Unlabeled() if card.provider == "import" or card.review_of:
                return  # what was known of the image stands
            case Unlabeled(reason):
                refusal = _refusal(card, reason, record)
                if refusal is None:
                    concluded.tried.append(sha256)
                    return
                concluded.refused.append((sha256, refusal))
                told = {"failure_reason": refusal}
        image = image_fields(record) if record else _image(row, self.raw_data_bucket)
        concluded.lines.append({"sha256": sha256, **image, "job": card.job, **told})


def _misfit(row: Row, attribute: str) -> str | None:
    """Why boxes are not those of the image as stored: workers saw it turned, as EXIF says, or scaled."""
    match row[attribute]:
        case {"image_size": [{"width": int(width), "height": int(height)}, *_]}:
            stored = row.get(WIDTH, width), row.get(HEIGHT, height)
            if (width, height) != stored:
                return (
                    f"its boxes were drawn on {width} by {height} pixels, but it is stored with {stored[0]} "
                    f"by {stored[1]}: store it as it is looked at, without an EXIF orientation"
                )
    return None


_PASSED_ON = {"origin": ORIGIN, "workers": WORKERS, "agreement": AGREEMENT}


def _labeled(label: Label, labeled_at: datetime, row: Row, card: JobCard) -> Line:
    return {
        **label.value.to_json(),
        "confidences": label.confidences,
        "labeled_at": labeled_at.isoformat(),
        "human": label.is_human,
        **({"split": card.split} if card.split else {}),
        **{name: row[key] for name, key in _PASSED_ON.items() if key in row},
    }


def _refusal(card: JobCard, reason: str | None, record: ImageRecord | None) -> str | None:
    """Why no further job gets an image that has no label; None if it waits for another one.

    People at the portal say what is wrong with an image. Ground Truth fails for reasons of its own, too.
    """
    if card.provider == "portal":
        return reason
    if record is None:
        return None
    if record.state == "rejected" and record.job == card.job:
        return record.reason  # by an earlier run, which did not live to write it down
    attempts = record.attempts + (record.state == "labeling" and record.job == card.job)
    if attempts < MAX_JOBS_WITHOUT_LABEL:
        return None
    return f"no label after {attempts} labeling jobs: {reason or 'the last one gives no reason'}"


_IMAGE_FIELDS = (
    "key",
    "version_id",
    "etag",
    "bytes",
    "width",
    "height",
    "format",
    "phash",
    "registered_at",
)


def image_fields(record: ImageRecord) -> Line:
    """What a line has of its image."""
    fields = asdict(record)
    turned = {"orientation": record.orientation} if record.orientation != 1 else {}
    return (
        {name: fields[name] for name in _IMAGE_FIELDS}
        | {"registered_at": record.registered_at.isoformat()}
        | turned
    )


def _image(row: Row, raw_data_bucket: str) -> Line:
    """What is known of an image that the index has lost: its label counts even so."""
    return dict.fromkeys(_IMAGE_FIELDS) | {
        "key": key_of(row["source-ref"], raw_data_bucket),
        "version_id": row.get(VERSION_ID),
        "width": row.get(WIDTH),
        "height": row.get(HEIGHT),
    }


def _sha256(row: Row) -> str:
    if not isinstance(row.get(SHA256), str):
        raise InvalidManifest(f"the row of {row['source-ref']} has no {SHA256}")
    return str(row[SHA256])


# Reading --------------------------------------------------------------------------------------------


def label_lines(project: str, jobs: Iterable[str], store: StoresObjects) -> Iterator[str]:
    """The lines of those label files, one file after the other."""
    names = Workspace(project)
    for job in jobs:
        yield from store.lines(names.labels(job))


def names_in_line(line: Mapping[str, Any], task: TaskType) -> list[str] | None:
    """The label of each part of the label in a line; None if it has none for that task."""
    said = line.get(LABEL_ATTRIBUTES[task])
    if said is None:
        return None
    match task:
        case "image-classification":
            return [said]
        case "multi-label-classification":
            return list(said)
        case "bounding-box":
            return [box["label"] for box in said]


def label_of_line(line: Mapping[str, Any], task: TaskType) -> Label:
    """The label in a line that has one for that task."""
    value = read_value(task, line)
    return Label(
        value,
        # Files from before there were several parts have one `confidence`.
        tuple(line["confidences"] if "confidences" in line else [line["confidence"]]),
        datetime.fromisoformat(line["labeled_at"]),
        line["human"],
        line["job"],
    )


def concluded_images(project: str, store: StoresObjects) -> Iterator[ImageRecord]:
    """Every image that has a label or was refused, as the index keeps it; for a lost index.

    An image that several jobs concluded comes several times: what counts comes first.
    """
    withdrawn: set[str] = set()
    for text in label_lines(project, reversed(accepted_jobs(project, store)), store):
        line = read_line(text)
        if "withdrawn" in line:
            withdrawn.add(line["sha256"])
        elif line["etag"] is not None and line["sha256"] not in withdrawn:
            yield _concluded(line)


def referred_keys(project: str, store: StoresObjects) -> Iterator[str]:
    """Keys of all images in other buckets that any job concluded; an image of several jobs comes several
    times."""
    for text in label_lines(project, accepted_jobs(project, store), store):
        if '"s3://' in text and is_referred(key := read_line(text)["key"]):
            yield key


def _concluded(line: Line) -> ImageRecord:
    return ImageRecord(
        sha256=line["sha256"],
        key=line["key"],
        version_id=line["version_id"],
        etag=line["etag"],
        bytes=line["bytes"],
        width=line["width"],
        height=line["height"],
        format=line["format"],
        phash=line["phash"],
        registered_at=datetime.fromisoformat(line["registered_at"]),
        state="rejected" if "failure_reason" in line else "labeled",
        job=line["job"],
        reason=line.get("failure_reason"),
        orientation=line.get("orientation") or 1,
    )
