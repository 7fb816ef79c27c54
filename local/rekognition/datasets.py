"""TRAIN and TEST datasets of projects: made from a manifest, line by line, each line with what is wrong."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from local.rekognition import arns
from local.rekognition.entries import Entry, check_image, read_entry
from local.rekognition.errors import (
    AlreadyExistsError,
    InvalidParameterError,
    InvalidS3ObjectError,
    NotAvailableError,
    NotFoundError,
    NotReadyError,
)
from local.rekognition.objects import MAX_AT_ONCE, CallerObjects, ObjectError
from local.sagemaker.store import Document, Record, Store

_MAX_ROWS = 250_000
_MAX_MANIFEST_BYTES = 1024**3
_MAX_BAD_SHARE = 0.2
_PAGE = 100
_TEST_SHARE = 0.2
_READY = ("CREATE_COMPLETE", "UPDATE_COMPLETE")


class Datasets:
    """All datasets. Each is made in a thread of its own, with the rights of whoever asked for it."""

    def __init__(self, folder: Path) -> None:
        self._store = Store(folder / "datasets")
        self._entries = folder / "entries"
        self._entries.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()

    def create(self, request: Document, objects: CallerObjects) -> Document:
        """Raises InvalidS3ObjectError, AlreadyExistsError."""
        project, kind = request["ProjectArn"], request["DatasetType"]
        source = request.get("DatasetSource", {})
        if "DatasetArn" in source:
            raise NotAvailableError("CreateDataset from another dataset")
        with self._lock:
            if self.of_project(project, kind):
                raise AlreadyExistsError(f"The project has a {kind} dataset already")
            manifest = self._read_manifest(source, objects) if source else b""
            arn, now = arns.dataset(project, kind), time.time()
            document = {
                "DatasetArn": arn,
                "DatasetType": kind,
                "CreationTimestamp": now,
                "LastUpdatedTimestamp": now,
                "Status": "CREATE_IN_PROGRESS",
                "StatusMessage": "The dataset is being created",
            }
            self._store.put(arn, Record(document, {"project": project}))
        lines = manifest.decode("utf-8-sig", errors="replace").splitlines()
        threading.Thread(target=self._fill, args=(arn, lines, objects), daemon=True).start()
        return {"DatasetArn": arn}

    def _read_manifest(self, source: Document, objects: CallerObjects) -> bytes:
        place = source["GroundTruthManifest"]["S3Object"]
        try:
            manifest = objects.read(place["Bucket"], place["Name"])
        except ObjectError as error:
            raise InvalidS3ObjectError(f"Unable to get object metadata from S3: {error}") from error
        if len(manifest) > _MAX_MANIFEST_BYTES:
            raise InvalidParameterError("ERROR_MANIFEST_SIZE_TOO_LARGE")
        return manifest

    def _fill(self, arn: str, lines: list[str], objects: CallerObjects) -> None:
        fault = "ERROR_MANIFEST_ROWS_EXCEEDS_MAXIMUM" if len(lines) > _MAX_ROWS else None
        checked: list[Entry] = []
        if fault is None:
            with ThreadPoolExecutor(MAX_AT_ONCE) as pool:
                checked = list(pool.map(partial(_checked, objects), map(read_entry, lines)))
            fault = _fault_of(checked)
        self._keep(arn, checked)
        with self._lock:
            record = self._store.get(arn)
            if record is None:
                return
            members: Document = {"Status": "CREATE_COMPLETE", "StatusMessageCode": "SUCCESS"}
            members["StatusMessage"] = "The dataset was created"
            if fault:
                members = {"Status": "CREATE_FAILED", "StatusMessageCode": "CLIENT_ERROR"}
                members["StatusMessage"] = fault
            self._update(arn, record, members)

    def describe(self, request: Document) -> Document:
        with self._lock:
            document = dict(self._record(request["DatasetArn"]).document)
        document["DatasetStats"] = _statistics(self.entries(request["DatasetArn"]))
        wanted = ("CreationTimestamp", "LastUpdatedTimestamp", "Status", "StatusMessage", "StatusMessageCode")
        description = {name: document[name] for name in (*wanted, "DatasetStats") if name in document}
        return {"DatasetDescription": description}

    def list_entries(self, request: Document) -> Document:
        """The lines themselves; those with errors name them under `errors` of their metadata."""
        entries = [entry for entry in self.entries(request["DatasetArn"]) if _matches(entry, request)]
        start = int(request.get("NextToken") or 0)
        end = start + request.get("MaxResults", _PAGE)
        answer: Document = {"DatasetEntries": [_shown(entry) for entry in entries[start:end]]}
        if end < len(entries):
            answer["NextToken"] = str(end)
        return answer

    def delete(self, request: Document) -> Document:
        with self._lock:
            arn = request["DatasetArn"]
            self._record(arn)
            self._store.remove(arn)
            self._file(arn).unlink(missing_ok=True)
        return {}

    def distribute(self, request: Document) -> Document:
        """A fifth of the TRAIN dataset's lines, label by label, goes to the empty TEST dataset."""
        with self._lock:
            found = {
                self._record(each["Arn"]).document["DatasetType"]: each["Arn"] for each in request["Datasets"]
            }
            if set(found) != {"TRAIN", "TEST"}:
                raise InvalidParameterError("A TRAIN and a TEST dataset of the same project are needed")
            for arn in found.values():
                if self._record(arn).document["Status"] not in _READY:
                    raise NotReadyError(f"{arn} is not ready")
            if any(True for _ in self.entries(found["TEST"])):
                raise InvalidParameterError("The TEST dataset must be empty")
            train, test = _distributed(self.entries(found["TRAIN"]))
            for arn, entries in ((found["TRAIN"], train), (found["TEST"], test)):
                self._keep(arn, entries)
                self._update(
                    arn, self._record(arn), {"Status": "UPDATE_COMPLETE", "StatusMessageCode": "SUCCESS"}
                )
        return {}

    # -- for versions ------------------------------------------------------------------------------

    def of_project(self, project_arn: str, kind: str | None = None) -> list[Document]:
        """Descriptions of a project's datasets."""
        with self._lock:
            return [
                record.document
                for _, record in self._store
                if record.inner["project"] == project_arn and kind in (None, record.document["DatasetType"])
            ]

    def entries(self, arn: str) -> Iterator[Entry]:
        """What the dataset holds; nothing before it is made. Raises NotFoundError."""
        self._record(arn)
        path = self._file(arn)
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                saved = json.loads(line)
                yield replace(read_entry(saved["text"]), error=saved["error"])

    def resume(self) -> None:
        """Datasets that were being made when the cloud went down."""
        with self._lock:
            for arn, record in self._store:
                if record.document["Status"] == "CREATE_IN_PROGRESS":
                    members = {"Status": "CREATE_FAILED", "StatusMessageCode": "SERVICE_ERROR"}
                    members["StatusMessage"] = "The local cloud was stopped while the dataset was made"
                    self._update(arn, record, members)

    def _keep(self, arn: str, entries: Iterable[Entry]) -> None:
        lines = (json.dumps({"text": entry.text, "error": entry.error}) + "\n" for entry in entries)
        self._file(arn).write_text("".join(lines), encoding="utf-8")

    def _update(self, arn: str, record: Record, members: Document) -> None:
        document = {**record.document, **members, "LastUpdatedTimestamp": time.time()}
        self._store.put(arn, Record(document, record.inner))

    def _record(self, arn: str) -> Record:
        record = self._store.get(arn)
        if record is None:
            raise NotFoundError(arn)
        return record

    def _file(self, arn: str) -> Path:
        return self._entries / f"{arn.rpartition('/')[2]}-{arns.name_of(arn)}.jsonl"


def _checked(objects: CallerObjects, entry: Entry) -> Entry:
    if entry.error is not None:
        return entry
    try:
        content = objects.read(entry.bucket, entry.key)
    except ObjectError:
        return replace(entry, error="ERROR_INVALID_IMAGE")
    return check_image(entry, content)


def _fault_of(entries: list[Entry]) -> str | None:
    if not entries:
        return None
    bad = sum(entry.error is not None for entry in entries)
    if bad > _MAX_BAD_SHARE * len(entries):
        return "ERROR_TOO_MANY_INVALID_ROWS_IN_MANIFEST"
    if len({entry.bucket for entry in entries if entry.bucket}) > 1:
        return "ERROR_IMAGES_IN_MULTIPLE_S3_BUCKETS"
    return None


def _statistics(entries: Iterable[Entry]) -> dict[str, int]:
    found = list(entries)
    return {
        "TotalEntries": len(found),
        "LabeledEntries": sum(bool(entry.names) for entry in found),
        "ErrorEntries": sum(entry.error is not None for entry in found),
        "TotalLabels": len({name for entry in found for name in entry.names}),
    }


def _matches(entry: Entry, request: Mapping[str, object]) -> bool:
    wanted = request.get("ContainsLabels")
    return (
        request.get("HasErrors", entry.error is not None) == (entry.error is not None)
        and request.get("Labeled", bool(entry.names)) == bool(entry.names)
        and str(request.get("SourceRefContains", "")) in f"s3://{entry.bucket}/{entry.key}"
        and (not isinstance(wanted, list) or bool(set(wanted) & set(entry.names)))
    )


def _shown(entry: Entry) -> str:
    if entry.error is None:
        return entry.text
    metadata = {"errors": [{"code": entry.error}]}
    try:
        return json.dumps({**json.loads(entry.text), "cl-metadata": metadata})
    except (TypeError, ValueError):
        return json.dumps({"source-ref": "", "cl-metadata": metadata})


def _distributed(entries: Iterable[Entry]) -> tuple[list[Entry], list[Entry]]:
    """By label, so that no label is all on one side."""
    train: list[Entry] = []
    test: list[Entry] = []
    seen: dict[str, int] = {}
    for entry in entries:
        label = min(entry.names, default="")
        seen[label] = seen.get(label, 0) + 1
        (test if seen[label] % round(1 / _TEST_SHARE) == 0 else train).append(entry)
    return train, test
