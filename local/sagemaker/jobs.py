"""What jobs of every kind have in common: a document each, on disk, and callers who wait for their end."""

from __future__ import annotations

import contextlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from local.sagemaker import listing
from local.sagemaker.errors import MAX_FAILURE_REASON, ResourceInUseError, SageMakerError, ValidationError
from local.sagemaker.platform import Platform
from local.sagemaker.store import Document, Record, Store

ENDED = ("Completed", "Failed", "Stopped")
BROKEN_OFF = "InternalServerError: The local cloud was stopped while the job ran."
"""The FailureReason of a job whose process ended with the cloud."""


class JobFailedError(Exception):
    """The job cannot go on; the text becomes its FailureReason."""


class JobRecords:
    """The jobs of one kind, which is how their members start: `Training` has `TrainingJobName`."""

    def __init__(
        self,
        folder: Path,
        kind: str,
        *,
        unknown: Callable[[str], SageMakerError] = lambda _: ValidationError("Requested resource not found."),
        ignores_case: bool = False,
    ) -> None:
        """`unknown` is the error for the name of no job; names may have to differ in more than case."""
        self._store = Store(folder)
        self._kind = kind
        self._unknown = unknown
        self._ignores_case = ignores_case
        self.name_member = f"{kind}JobName"
        self.arn_member = f"{kind}JobArn"
        self.status_member = f"{kind}JobStatus"
        self.changed = threading.Condition()
        """Held while a job changes, notified after it."""

    def add(self, document: Document) -> None:
        """Raises ResourceInUseError if there is a job of that name."""
        name = document[self.name_member]
        with self.changed:
            self.require_free(name)
            self._store.put(name, Record(document))

    def require_free(self, name: str) -> None:
        """Raises ResourceInUseError if there is a job of that name."""
        for there in self.documents():
            taken = there[self.name_member]
            if taken == name or (self._ignores_case and taken.lower() == name.lower()):
                raise ResourceInUseError(
                    f"Job name must be unique within an AWS account and region, and a {self._kind.lower()} "
                    f"job with this name already exists ({there[self.arn_member]})"
                )

    def get(self, name: str) -> Document:
        """Raises the error for unknown jobs."""
        with self.changed:
            record = self._store.get(name)
            if record is None:
                raise self._unknown(name)
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

    def documents(self) -> list[Document]:
        """All jobs."""
        with self.changed:
            return [record.document for _, record in self._store]

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
        return listing.page(
            self.documents(),
            request,
            result=f"{self._kind}JobSummaries",
            name=self.name_member,
            status=self.status_member,
            summarize=lambda document: {name: document[name] for name in members if name in document},
        )


class Run(Protocol):
    """The thread of one job."""

    def abandon(self) -> None:
        """The cloud is going down: end at once, and leave the job's record as it is."""


RunT = TypeVar("RunT", bound=Run)


class Jobs(ABC, Generic[RunT]):
    """All jobs of one kind, running and past. Every job runs in a thread of its own until it ends."""

    def __init__(self, records: JobRecords, platform: Platform) -> None:
        self._records = records
        self._platform = platform
        self._running: dict[str, RunT] = {}

    def describe(self, request: Document) -> Document:
        return self._records.get(request[self._records.name_member])

    @abstractmethod
    def stop(self, request: Document) -> Document:
        """Raises ValidationError for a job that has ended."""

    def wait(self, name: str, is_wanted: Callable[[], bool]) -> Document:
        """Block until the job has ended, or stop it as soon as nobody wants it; its document."""
        document, ended = self._records.wait(name, is_wanted)
        if not ended:
            with contextlib.suppress(ValidationError):
                self.stop({self._records.name_member: name})
        return document

    def add(self, name: str, **members: Any) -> None:
        """Add members to a job's document, which is no change of its state."""
        self._records.update(name, lambda document: {**document, **members})

    def resume(self) -> None:
        """See to the jobs that had not ended when the cloud went down."""
        with self._records.changed:
            left = [name for name in self._records.running() if name not in self._running]
        for name in left:
            self._take_up(name)

    @abstractmethod
    def _take_up(self, name: str) -> None:
        """Go on with a job that has no thread, or end it."""

    def shut_down(self) -> None:
        """End all threads and processes; `resume` sees to their jobs at the next start."""
        for run in list(self._running.values()):
            run.abandon()


def failure_reason(text: str) -> str:
    """A FailureReason, which starts with an error class: ClientError, unless the text says another."""
    known = text.startswith(("AlgorithmError:", "ClientError:", "InternalServerError:"))
    return (text if known else f"ClientError: {text}")[:MAX_FAILURE_REASON]
