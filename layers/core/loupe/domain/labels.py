"""Accepted labels: what finished jobs concluded, as S3 keeps it and datasets are built from it.

`labels/<job>.jsonl` has one line an image, written once:

    {"sha256", "key", "version_id", "etag", "bytes", "width", "height", "format", "phash", "registered_at",
     "job", "label", "labeled_at", "confidence", "human"}

An image that people refused has `failure_reason` instead of the last four. What the index knew of the image
stands beside its label, so that a dataset needs no index, and a lost index can be restored from here.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from loupe.domain.batches import batches
from loupe.domain.manifests import SHA256, InvalidManifest, Row, S3Uri, read_rows, write_rows
from loupe.domain.workspace import Workspace
from loupe.ports import Clock, ImageRecord, KeepsImages, StoresObjects

_BATCH = 1000
_SUFFIX = ".jsonl"


def accepted_jobs(project: str, store: StoresObjects) -> list[str]:
    """Jobs whose labels are accepted, in the order of their names, which is that of their creation."""
    prefix = Workspace(project).all_labels
    return sorted(
        stored.key[len(prefix) : -len(_SUFFIX)]
        for stored in store.list(prefix)
        if stored.key.endswith(_SUFFIX)
    )


@dataclass(frozen=True)
class AcceptLabels:
    """Takes over what a finished job concluded: into the index, then into `labels/<job>.jsonl`.

    In this order, so that the file's existence says that all is done; a crash in between is mended by doing
    it again.
    """

    images: KeepsImages
    workspace: StoresObjects
    clock: Clock

    def __call__(self, project: str, job: str, label_attribute: str) -> None:
        """Raises `InvalidManifest`, `ObjectMissing` if there is no output manifest, and `AlreadyWritten`."""
        names = Workspace(project)
        read_label = _label_reader(self._categories(names, job), label_attribute, self.clock)
        rows = read_rows(self.workspace.lines(names.output_manifest(job)))
        self.workspace.write_lines_once(
            names.labels(job), write_rows(self._accepted(project, job, rows, read_label))
        )

    def _categories(self, names: Workspace, job: str) -> list[str]:
        document = json.loads(self.workspace.read(names.label_categories(job)))
        return [category["label"] for category in document["labels"]]

    def _accepted(
        self, project: str, job: str, rows: Iterable[Row], read_label: "LabelReader"
    ) -> Iterator[dict[str, Any]]:
        """Lines of the label file; by the time a line comes out, the index has taken note of it."""
        for batch in batches(rows, _BATCH):
            answers = {_sha256(row): (row, read_label(row)) for row in batch}
            known = self.images.images(project, answers)
            labeled = [sha256 for sha256, (_, answer) in answers.items() if "label" in answer]
            refused = [
                (sha256, answer["failure_reason"])
                for sha256, (_, answer) in answers.items()
                if "failure_reason" in answer
            ]
            self.images.accept(project, job, labeled, refused)
            self.images.give_back(
                project, job, [sha256 for sha256, (_, answer) in answers.items() if not answer]
            )
            for sha256, (row, answer) in answers.items():
                if answer:
                    yield {"sha256": sha256, **_image(known.get(sha256), row), "job": job, **answer}


def concluded_images(project: str, store: StoresObjects) -> Iterator[ImageRecord]:
    """Every image that has a label or was refused by people, as the index keeps it; for a lost index."""
    names = Workspace(project)
    for job in accepted_jobs(project, store):
        for line in store.lines(names.labels(job)):
            fields = json.loads(line)
            if fields["etag"] is None:
                continue
            yield ImageRecord(
                sha256=fields["sha256"],
                key=fields["key"],
                version_id=fields["version_id"],
                etag=fields["etag"],
                bytes=fields["bytes"],
                width=fields["width"],
                height=fields["height"],
                format=fields["format"],
                phash=fields["phash"],
                registered_at=datetime.fromisoformat(fields["registered_at"]),
                state="labeled" if "label" in fields else "rejected",
                job=job,
                reason=fields.get("failure_reason"),
            )


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


def _image(record: ImageRecord | None, row: Row) -> dict[str, Any]:
    """What is known of the image; a label counts even if the index has lost its image."""
    if record is None:
        nothing = dict.fromkeys(_IMAGE_FIELDS)
        return {
            **nothing,
            "key": S3Uri.parse(row["source-ref"]).key,
            "version_id": row.get("image-version-id"),
        }
    fields = asdict(record)
    return {name: fields[name] for name in _IMAGE_FIELDS} | {
        "registered_at": record.registered_at.isoformat()
    }


def _sha256(row: Row) -> str:
    if not isinstance(row.get(SHA256), str):
        raise InvalidManifest(f"the row of {row['source-ref']} has no {SHA256}")
    return str(row[SHA256])


LabelReader = Callable[[Row], Mapping[str, Any]]
"""What a row says about its image: a label, a failure_reason, or nothing."""


def _label_reader(categories: list[str], attribute: str, clock: Clock) -> LabelReader:
    def read_label(row: Row) -> Mapping[str, Any]:
        metadata = row.get(f"{attribute}-metadata", {})
        if "failure-reason" in metadata:
            return {"failure_reason": metadata["failure-reason"]}
        if attribute not in row:
            return {}
        return {
            "label": metadata.get("class-name") or _category(categories, row[attribute], row),
            "labeled_at": _utc(metadata.get("creation-date"), clock).isoformat(),
            "confidence": metadata.get("confidence", 0.0),
            "human": metadata.get("human-annotated", "yes") == "yes",
        }

    return read_label


def _category(categories: list[str], value: Any, row: Row) -> str:
    """The label of a class index, which Ground Truth writes as a number or as text."""
    try:
        index = int(value)
        if index < 0:
            raise IndexError(index)
        return categories[index]
    except (TypeError, ValueError, IndexError) as error:
        raise InvalidManifest(f"the row of {row['source-ref']} has the unknown class {value!r}") from error


def _utc(text: str | None, clock: Clock) -> datetime:
    """A manifest's times have no zone and are UTC."""
    if text is None:
        return clock()
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
