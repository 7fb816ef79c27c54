"""Labeling jobs: workers get the images of a manifest, and what they answer becomes an output manifest."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from local.home import ACCOUNT_ID
from local.sagemaker import events, labeling_rules, listing
from local.sagemaker.arns import arn
from local.sagemaker.errors import (
    NotAvailableError,
    ResourceNotFoundError,
    SageMakerError,
    ValidationError,
)
from local.sagemaker.jobs import ENDED, JobRecords, Jobs, failure_reason
from local.sagemaker.labeling_rules import Kind, ManifestError, Row
from local.sagemaker.platform import Platform, Storage, StorageError
from local.sagemaker.store import Document
from local.sagemaker.workteams import Workteams

logger = logging.getLogger("loupe.local")

STACK_TAG, PROJECT_TAG = "loupe:stack", "loupe:project"
_POLL_EVERY = 0.5
_GOING_DOWN = 2.0
_SUMMARY = (
    "LabelingJobName",
    "LabelingJobArn",
    "CreationTime",
    "LastModifiedTime",
    "LabelingJobStatus",
    "LabelCounters",
    "FailureReason",
    "LabelingJobOutput",
    "InputConfig",
)
_EXPIRED = "ClientError: Annotation tasks expired. The data object was not labeled in time."


@dataclass(frozen=True)
class Batch:
    """What workers are asked: the labels of one job's images, so many, as `attribute` of the rows. `audited`
    is the attribute whose labels they adjust, None if they label anew."""

    project: str
    job: str
    task: str
    labels: tuple[str, ...]
    images: int
    attribute: str
    audited: str | None = None


@dataclass(frozen=True)
class Progress:
    """Images that have a label, and images that workers could give none."""

    labeled: int = 0
    failed: int = 0

    @property
    def answered(self) -> int:
        return self.labeled + self.failed


class WorkersError(Exception):
    """The images can't be given to the workers; the text is for the job's FailureReason."""


class WorkersAwayError(Exception):
    """The workers can't be asked at this moment."""


class Workers(Protocol):
    """People who label for one stack. All methods raise WorkersAwayError."""

    def hand_over(self, batch: Batch, rows: Iterator[Row]) -> None:
        """Give them a task for each row; repeating it changes nothing. Raises WorkersError."""

    def progress(self, batch: Batch) -> Progress | None:
        """None if they have lost the tasks."""

    def label(self, batch: Batch, rows: Iterator[Row], *, failure: str | None) -> Iterator[Row]:
        """The rows with what was answered. Rows without answer stay as they are, or get the `failure`."""


class LabelingJobs(Jobs["_Run"]):
    """CreateLabelingJob and its kin."""

    def __init__(
        self,
        folder: Path,
        platform: Platform,
        workteams: Workteams,
        workers_of: Callable[[str], Workers],
        *,
        poll_every: float = _POLL_EVERY,
        going_down: float = _GOING_DOWN,
    ) -> None:
        """`workers_of` finds a stack's workers by the stack's name, or raises WorkersError. A failure counts
        if the cloud is not `going_down` within so many seconds."""
        records = JobRecords(folder / "labeling-jobs", "Labeling", unknown=_unknown, ignores_case=True)
        super().__init__(records, platform)
        self._work = folder / "labeling-work"
        self._workteams = workteams
        self._workers_of = workers_of
        self._poll_every = poll_every
        self._going_down = going_down

    # -- operations --------------------------------------------------------------------------------

    def create(self, request: Document) -> Document:
        name = request["LabelingJobName"]
        self._records.require_free(name)
        kind = labeling_rules.check(request)
        self._workteams.require(request["HumanTaskConfig"]["WorkteamArn"])
        for tag in (STACK_TAG, PROJECT_TAG):
            if tag not in _tags(request):
                raise NotAvailableError(
                    f"a labeling job without the tag {tag}, which says whose portal asks,"
                )
        self._check_objects(request, kind)
        now = time.time()
        document: Document = {
            **request,
            "LabelingJobArn": arn("labeling-job", name),
            "LabelingJobStatus": "Initializing",
            "LabelCounters": _counters(0, Progress()),
            "JobReferenceCode": hashlib.sha256(f"{ACCOUNT_ID}/{name}".encode()).hexdigest()[:10],
            "CreationTime": now,
            "LastModifiedTime": now,
        }
        with self._records.changed:
            self._records.add(document)
            self._take_up(name)
        return {"LabelingJobArn": document["LabelingJobArn"]}

    def _check_objects(self, request: Document, kind: Kind) -> None:
        """The job's role must be able to read what the request names, and it must be what it should be."""
        try:
            storage = Storage(self._platform, request["RoleArn"], _session(request["LabelingJobName"]))
            labels = labeling_rules.read_labels(storage.read(request["LabelCategoryConfigS3Uri"]), kind)
            template = storage.read(request["HumanTaskConfig"]["UiConfig"]["UiTemplateS3Uri"])
            manifest = storage.read(_manifest_uri(request))
        except StorageError as error:
            raise ValidationError(str(error)) from error
        labeling_rules.check_template(template, labels)
        if "LabelingJobAlgorithmsConfig" in request:
            labeling_rules.check_automated(manifest.count(b"source-ref"))

    def stop(self, request: Document) -> Document:
        name = request["LabelingJobName"]
        with self._records.changed:
            self._records.require_running(name)
            self.move(name, "Stopping")
        return {}

    def list_all(self, request: Document) -> Document:
        return self._page(request, self._records.documents(), _summary)

    def list_for_workteam(self, request: Document) -> Document:
        self._workteams.require(request["WorkteamArn"])
        code = request.get("JobReferenceCodeContains", "")
        documents = [
            document
            for document in self._records.documents()
            if document["HumanTaskConfig"]["WorkteamArn"] == request["WorkteamArn"]
            and code in document["JobReferenceCode"]
        ]
        return self._page(request, documents, _summary_for_workteam)

    def _page(
        self, request: Document, documents: list[Document], summarize: Callable[[Any], dict[str, Any]]
    ) -> Document:
        return listing.page(
            documents,
            request,
            result="LabelingJobSummaryList",
            name="LabelingJobName",
            status="LabelingJobStatus",
            summarize=summarize,
        )

    # -- life --------------------------------------------------------------------------------------

    def _take_up(self, name: str) -> None:
        run = _Run(self, name)
        self._running[name] = run
        run.start()

    def move(self, name: str, status: str, **members: Any) -> None:
        """Take a job to its next status; its end is told in an event."""

        def change(before: Document) -> Document:
            if status in ENDED:
                self._running.pop(name, None)
            return {**before, **members, "LabelingJobStatus": status, "LastModifiedTime": time.time()}

        document = self._records.update(name, change)
        if status in ENDED:
            self._platform.publish(
                events.LABELING_JOB, document["LabelingJobArn"], events.labeling_job(document)
            )


class _Run(threading.Thread):
    """One job from its start, or from where an earlier process left it, to its end."""

    def __init__(self, jobs: LabelingJobs, name: str) -> None:
        super().__init__(name=f"labeling-{name}", daemon=True)
        self._jobs = jobs
        self._name_of_job = name
        self._request = jobs._records.get(name)
        self._kind = labeling_rules.check(self._request)
        self._folder = jobs._work / name
        self._abandoned = threading.Event()
        output = self._request["OutputConfig"]["S3OutputPath"].rstrip("/")
        self._output_uri = f"{output}/{name}/manifests/output/output.manifest"

    def abandon(self) -> None:
        """The cloud is going down: leave the job's record as it is."""
        self._abandoned.set()

    def run(self) -> None:
        try:
            outcome = self._outcome()
        except (StorageError, ManifestError, WorkersError, SageMakerError) as error:
            self._fail(f"ClientError: {error}")
        except Exception as error:
            logger.exception("The labeling job %s broke down", self._name_of_job)
            self._fail(f"InternalServerError: {error}")
            raise
        else:
            if outcome is not None:
                self._end(outcome, LabelingJobOutput={"OutputDatasetS3Uri": self._output_uri})

    def _fail(self, reason: str) -> None:
        # Where the cloud is about to go down, it is that which made the job fail: `resume` tries again.
        self._abandoned.wait(self._jobs._going_down)
        self._end("Failed", FailureReason=failure_reason(reason))

    def _end(self, status: str, **members: Any) -> None:
        if not self._abandoned.is_set():
            self._jobs.move(self._name_of_job, status, **members)
            shutil.rmtree(self._folder, ignore_errors=True)

    def _outcome(self) -> str | None:
        """The final status; None if the cloud goes down before the end."""
        while True:
            with contextlib.suppress(WorkersAwayError):
                return self._have_labeled()
            if self._abandoned.wait(self._jobs._poll_every):
                return None

    def _have_labeled(self) -> str | None:
        """As `_outcome`; repeating it changes nothing."""
        storage = Storage(self._jobs._platform, self._request["RoleArn"], _session(self._name_of_job))
        manifest = self._manifest(storage)
        batch = self._batch(storage, manifest)
        workers = self._jobs._workers_of(_tags(self._request)[STACK_TAG])
        workers.hand_over(batch, self._rows(manifest))
        with self._jobs._records.changed:
            if self._status() == "Initializing":
                self._jobs.move(self._name_of_job, "InProgress")
        ending = self._watch(workers, batch, manifest)
        if ending is None:
            return None
        failure = _EXPIRED if ending == "Expired" else None
        self._write(workers.label(batch, self._rows(manifest), failure=failure), storage, batch)
        return "Completed" if ending == "Expired" else ending

    def _batch(self, storage: Storage, manifest: Path) -> Batch:
        """Raises ManifestError for a manifest that can't be labeled."""
        attribute = self._request["LabelAttributeName"]
        with manifest.open(encoding="utf-8") as lines:
            images = sum(1 for _ in labeling_rules.rows(lines))
        return Batch(
            project=_tags(self._request)[PROJECT_TAG],
            job=self._name_of_job,
            task=self._kind.task,
            labels=labeling_rules.read_labels(
                storage.read(self._request["LabelCategoryConfigS3Uri"]), self._kind
            ),
            images=images,
            attribute=attribute,
            audited=labeling_rules.audited_attribute(self._rows(manifest), attribute, self._kind),
        )

    def _manifest(self, storage: Storage) -> Path:
        """The input manifest as it was at the start, whatever becomes of the object."""
        manifest = self._folder / "input.manifest"
        if not manifest.exists():
            draft = manifest.with_suffix(".new")
            storage.download(_manifest_uri(self._request), draft)
            draft.replace(manifest)
        return manifest

    def _rows(self, manifest: Path) -> Iterator[Row]:
        with manifest.open(encoding="utf-8") as lines:
            yield from (json.loads(line) for line in lines if line.strip())

    def _status(self) -> str:
        status: str = self._jobs._records.get(self._name_of_job)["LabelingJobStatus"]
        return status

    def _watch(self, workers: Workers, batch: Batch, manifest: Path) -> str | None:
        """Wait for answers: how it ended, which may be `Expired`; None if the cloud goes down before."""
        human = self._request["HumanTaskConfig"]
        available = human.get("TaskAvailabilityLifetimeInSeconds", labeling_rules.MAX_AVAILABLE_SECONDS)
        enough = _enough(self._request.get("StoppingConditions", {}), batch.images)
        progress, counted = Progress(), None
        while True:
            with contextlib.suppress(WorkersAwayError):
                found = workers.progress(batch)
                if found is None:
                    workers.hand_over(batch, self._rows(manifest))
                progress = found or Progress()
            if progress != counted:
                self._jobs.add(self._name_of_job, LabelCounters=_counters(batch.images, progress))
                counted = progress
            if progress.answered >= batch.images:
                return "Completed"
            if self._status() == "Stopping" or progress.labeled >= enough:
                self._jobs.move(self._name_of_job, "Stopping")
                return "Stopped"
            if time.time() > self._request["CreationTime"] + available:
                return "Expired"
            if self._abandoned.wait(self._jobs._poll_every):
                return None

    def _write(self, rows: Iterator[Row], storage: Storage, batch: Batch) -> None:
        output = self._folder / "output.manifest"
        labeled = failed = 0
        with output.open("w", encoding="utf-8") as file:
            for row in rows:
                is_failed = "failure-reason" in row.get(f"{batch.attribute}-metadata", {})
                failed += is_failed
                labeled += batch.attribute in row and not is_failed
                file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")
        storage.upload(output, self._output_uri)
        counters = _counters(batch.images, Progress(labeled, failed))
        self._jobs.add(self._name_of_job, LabelCounters=counters)


def _enough(conditions: Document, total: int) -> float:
    """How many labeled images end the job; infinity if only all do."""
    share = int(conditions.get("MaxPercentageOfInputDatasetLabeled", 100))
    by_share = math.ceil(total * share / 100) if share < 100 else math.inf
    return min(float(conditions.get("MaxHumanLabeledObjectCount", math.inf)), by_share)


def _counters(total: int, progress: Progress) -> dict[str, int]:
    return {
        "TotalLabeled": progress.labeled,
        "HumanLabeled": progress.labeled,
        "MachineLabeled": 0,
        "FailedNonRetryableError": progress.failed,
        "Unlabeled": total - progress.answered,
    }


def _summary(document: Document) -> dict[str, Any]:
    human = document["HumanTaskConfig"]
    shown = {name: document[name] for name in _SUMMARY if name in document}
    return shown | {
        "WorkteamArn": human["WorkteamArn"],
        "PreHumanTaskLambdaArn": human["PreHumanTaskLambdaArn"],
        "AnnotationConsolidationLambdaArn": human["AnnotationConsolidationConfig"][
            "AnnotationConsolidationLambdaArn"
        ],
    }


def _summary_for_workteam(document: Document) -> dict[str, Any]:
    counters = document["LabelCounters"]
    return {
        "LabelingJobName": document["LabelingJobName"],
        "JobReferenceCode": document["JobReferenceCode"],
        "WorkRequesterAccountId": ACCOUNT_ID,
        "CreationTime": document["CreationTime"],
        "NumberOfHumanWorkersPerDataObject": document["HumanTaskConfig"]["NumberOfHumanWorkersPerDataObject"],
        "LabelCounters": {
            "HumanLabeled": counters["HumanLabeled"],
            "PendingHuman": counters["Unlabeled"],
            "Total": counters["TotalLabeled"] + counters["FailedNonRetryableError"] + counters["Unlabeled"],
        },
    }


def _unknown(name: str) -> ResourceNotFoundError:
    return ResourceNotFoundError(f"Could not find labeling job {arn('labeling-job', name)}.")


def _tags(request: Document) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}


def _manifest_uri(request: Document) -> str:
    uri: str = request["InputConfig"]["DataSource"]["S3DataSource"]["ManifestS3Uri"]
    return uri


def _session(name: str) -> str:
    return f"GroundTruth-{name}"
