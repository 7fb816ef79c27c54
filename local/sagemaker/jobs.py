"""What jobs of every kind have in common: a document each, on disk, and callers who wait for their end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from local.sagemaker import listing
from local.sagemaker.errors import ResourceInUseError, ValidationError
from local.sagemaker.store import Document, Record, Store

ENDED = ("Completed", "Failed", "Stopped")


class JobFailedError(Exception):
    """The job cannot go on; the text becomes its FailureReason."""


class JobRecords:
    """The jobs of one kind, which is how their members start: `Training` has `TrainingJobName`."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._store = Store(folder)
        self._kind = kind
        self.name_member = f"{kind}JobName"
        self.arn_member = f"{kind}JobArn"
        self.status_member = f"{kind}JobStatus"
        self.changed = threading.Condition()
        """Held while a job changes, notified after it."""

    def add(self, document: Document) -> None:
        """Raises ResourceInUseError if there is a job of that name."""
        name = document[self.name_member]
        with self.changed:
            if name in self._store:
                raise ResourceInUseError(
                    f"Job name must be unique within an AWS account and region, and a {self._kind.lower()} "
                    f"job with this name already exists ({document[self.arn_member]})"
                )
            self._store.put(name, Record(document))

    def get(self, name: str) -> Document:
        """Raises ValidationError for an unknown job."""
        with self.changed:
            record = self._store.get(name)
            if record is None:
                raise ValidationError("Requested resource not found.")
            return dict(record.document)

    def update(self, name: str, change: Callable[[Document], Document]) -> Document:
        """Replace a job's document by what `change` makes of it; the new one."""
        with self.changed:
            document = change(self.get(name))
            self._store.put(name, Record(document))
            self.changed.notify_all()
        return document

    def require_running(self, name: str) -> None:
        """Raises ValidationError for a job that has ended."""
        status = self.get(name)[self.status_member]
        if status in ENDED:
            raise ValidationError(
                f"The request was rejected because the {self._kind.lower()} job is in status {status}."
            )

    def running(self) -> list[str]:
        """The names of jobs that have not ended."""
        with self.changed:
            return [name for name, record in self._store if record.document[self.status_member] not in ENDED]

    def wait(self, name: str, is_wanted: Callable[[], bool]) -> tuple[Document, bool]:
        """Block until the job has ended or nobody wants it any more: its document, and whether it ended."""
        with self.changed:
            while True:
                document = self.get(name)
                if document[self.status_member] in ENDED:
                    return document, True
                if not is_wanted():
                    return document, False
                self.changed.wait(timeout=1.0)

    def page(self, request: Document, members: tuple[str, ...]) -> Document:
        """The answer of the List operation, with these members of each job."""
        with self.changed:
            documents = [record.document for _, record in self._store]
        return listing.page(
            documents,
            request,
            result=f"{self._kind}JobSummaries",
            name=self.name_member,
            status=self.status_member,
            summarize=lambda document: {name: document[name] for name in members if name in document},
        )
