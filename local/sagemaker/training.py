"""Training jobs: a process each, with the inputs and outputs that SageMaker gives it.

The guard of the process stands for the instance: when it is killed, the instance is lost. A job on spot
instances is begun anew then, with the checkpoints that were kept; any other fails with InternalServerError.
"""

from __future__ import annotations

import contextlib
import logging
import math
import re
import shutil
import subprocess
import tarfile
import threading
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from local.sagemaker import channels, checkpoints, events, script_mode
from local.sagemaker.arns import arn, log_group
from local.sagemaker.builtin.algorithms import algorithm_of
from local.sagemaker.builtin.training import BuiltinWorkload
from local.sagemaker.children import TRAINING_NICENESS, OutputReader, kill, start_guarded
from local.sagemaker.errors import NotAvailableError, ValidationError
from local.sagemaker.jobs import BROKEN_OFF, ENDED, JobFailedError, JobRecords, Jobs, failure_reason
from local.sagemaker.platform import Platform, Storage, StorageError
from local.sagemaker.script_workload import ScriptWorkload
from local.sagemaker.store import Document
from local.sagemaker.workloads import Workload

logger = logging.getLogger("loupe.local")

_STOP_GRACE = 120.0
_MAX_RUNTIME = 24 * 3600
_SAID_CHARACTERS = 512
_TICK = 0.1
_LOST = "InternalServerError: We encountered an internal error. Please try again."
_LOG_GROUP = log_group("TrainingJobs")


class TrainingJobs(Jobs["_Run"]):
    """All training jobs, running and past."""

    def __init__(self, folder: Path, platform: Platform, *, stop_grace: float = _STOP_GRACE) -> None:
        super().__init__(JobRecords(folder / "training-jobs", "Training"), platform)
        self._work = folder / "work"
        self._stop_grace = stop_grace

    # -- operations --------------------------------------------------------------------------------

    def create(self, request: Document) -> Document:
        workload = _workload(request)
        name = request["TrainingJobName"]
        now = time.time()
        document: Document = {
            **request,
            "TrainingJobArn": arn("training-job", name),
            "TrainingJobStatus": "InProgress",
            "SecondaryStatus": "Starting",
            "SecondaryStatusTransitions": [],
            "CreationTime": now,
            "LastModifiedTime": now,
        }
        with self._records.changed:
            self._records.add(document)
            run = _Run(self, document, workload)
            self._running[name] = run
        run.start()
        return {"TrainingJobArn": document["TrainingJobArn"]}

    def stop(self, request: Document) -> Document:
        name = request["TrainingJobName"]
        with self._records.changed:
            self._records.require_running(name)
            run = self._running[name]
        self.move(name, "Stopping", status="Stopping")
        run.stop()
        return {}

    def list_all(self, request: Document) -> Document:
        return self._records.page(
            request,
            (
                "TrainingJobName",
                "TrainingJobArn",
                "CreationTime",
                "TrainingEndTime",
                "LastModifiedTime",
                "TrainingJobStatus",
                "SecondaryStatus",
            ),
        )

    # -- life --------------------------------------------------------------------------------------

    def resume(self) -> None:
        """Jobs that ran when the cloud went down have failed: their processes are gone."""
        shutil.rmtree(self._work, ignore_errors=True)
        super().resume()

    def _take_up(self, name: str) -> None:
        self.move(name, "Failed", status="Failed", FailureReason=BROKEN_OFF)

    def move(
        self,
        name: str,
        secondary: str,
        *,
        status: str | None = None,
        message: str | None = None,
        **members: Any,
    ) -> None:
        """Take a job to its next secondary status, and say so in an event."""
        message = members.get("FailureReason", message or _MESSAGES.get(secondary, secondary))

        def change(before: Document) -> Document:
            after = _moved({**before, **members}, secondary, status or before["TrainingJobStatus"], message)
            if after["TrainingJobStatus"] in ENDED:
                self._running.pop(name, None)
            return after

        document = self._records.update(name, change)
        self._platform.publish(events.TRAINING_JOB, document["TrainingJobArn"], events.training_job(document))


def _moved(document: Document, secondary: str, status: str, message: str) -> Document:
    """The document in its new state, with one more transition."""
    now = time.time()
    transitions = [*document["SecondaryStatusTransitions"]]
    if transitions:
        transitions[-1] = {**transitions[-1], "EndTime": now}
    transitions.append({"Status": secondary, "StartTime": now, "StatusMessage": message})
    moved = {
        **document,
        "TrainingJobStatus": status,
        "SecondaryStatus": secondary,
        "SecondaryStatusTransitions": transitions,
        "LastModifiedTime": now,
    }
    if status in ENDED:
        transitions[-1]["EndTime"] = now
        seconds = math.ceil(now - document.get("TrainingStartTime", now))
        moved |= {"TrainingEndTime": now, "TrainingTimeInSeconds": seconds, "BillableTimeInSeconds": seconds}
    return moved


def _workload(request: Document) -> Workload:
    """What the job will run. Raises ValidationError and NotAvailableError for a request that can't be met."""
    algorithm = request["AlgorithmSpecification"]
    if "AlgorithmName" in algorithm:
        raise NotAvailableError("AlgorithmSpecification.AlgorithmName")
    if "ResourceConfig" not in request:
        raise ValidationError("ResourceConfig is required")
    if request["ResourceConfig"].get("InstanceCount", 1) != 1:
        raise NotAvailableError("training on more than one instance")
    if request["OutputDataConfig"].get("CompressionType", "GZIP") != "GZIP":
        raise NotAvailableError("OutputDataConfig.CompressionType NONE")
    _check_spot(request)
    checkpoints.check(request)
    builtin = algorithm_of(algorithm.get("TrainingImage", ""))
    return BuiltinWorkload(builtin, request) if builtin else ScriptWorkload(request)


def _check_spot(request: Document) -> None:
    condition = request.get("StoppingCondition", {})
    longest, wait = condition.get("MaxRuntimeInSeconds", _MAX_RUNTIME), condition.get("MaxWaitTimeInSeconds")
    if request.get("EnableManagedSpotTraining", False):
        if wait is None or wait < longest:
            raise ValidationError(
                "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to "
                "MaxRuntimeInSeconds"
            )
    elif wait is not None:
        raise ValidationError(
            "Invalid MaxWaitTimeInSeconds. It can be present only with EnableManagedSpotTraining"
        )


_MESSAGES = {
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading input data",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "MaxWaitTimeExceeded": "Training job exceeded MaxWaitTimeInSeconds provided",
    "Interrupted": "Training job is interrupted, since spot instances were taken away",
}


class _InstanceLostError(Exception):
    """The process ended with its guard, neither of its own accord nor by what the service did."""


class _Run(threading.Thread):
    """One job from its start to its end."""

    def __init__(self, jobs: TrainingJobs, request: Document, workload: Workload) -> None:
        self._name_of_job: str = request["TrainingJobName"]
        super().__init__(name=f"training-{self._name_of_job}", daemon=True)
        self._jobs = jobs
        self._request = request
        self._workload = workload
        self._folders = script_mode.Folders(jobs._work / self._name_of_job)
        self._stop_asked = threading.Event()
        self._abandoned = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._metrics: dict[str, dict[str, Any]] = {}
        self._is_spot: bool = request.get("EnableManagedSpotTraining", False)
        longest_wait = request.get("StoppingCondition", {}).get("MaxWaitTimeInSeconds", math.inf)
        self._give_up_at = time.monotonic() + longest_wait

    def stop(self) -> None:
        self._stop_asked.set()

    def abandon(self) -> None:
        """The cloud is going down: end the process at once, and leave the job's record as it is."""
        self._abandoned.set()
        if self._process is not None:
            kill(self._process)

    def run(self) -> None:
        jobs, name = self._jobs, self._name_of_job
        try:
            jobs.move(name, "Starting")
            outcome = self._train()
        except (JobFailedError, StorageError, channels.ChannelError, script_mode.ScriptError) as error:
            self._end("Failed", "Failed", FailureReason=failure_reason(str(error)))
        except Exception as error:
            logger.exception("The training job %s broke down", name)
            self._end("Failed", "Failed", FailureReason=f"InternalServerError: {error}")
            raise
        else:
            self._end(*outcome)
        finally:
            shutil.rmtree(self._folders.root, ignore_errors=True)

    def _end(self, status: str, secondary: str, **members: Any) -> None:
        if not self._abandoned.is_set():
            self._jobs.move(self._name_of_job, secondary, status=status, **members)

    def _train(self) -> tuple[str, str]:
        """The final status and secondary status."""
        jobs, name, request = self._jobs, self._name_of_job, self._request
        storage = Storage(jobs._platform, request["RoleArn"], f"SageMaker-{name}")
        while True:
            try:
                ending = self._train_on_instance(storage)
                break
            except _InstanceLostError as error:
                if not self._is_spot:
                    raise JobFailedError(_LOST) from error
                jobs.move(name, "Interrupted")
                jobs.move(name, "Starting")
        if self._abandoned.is_set():
            return "Failed", "Failed"
        self._workload.finish(self._folders)
        jobs.move(name, "Uploading")
        self._upload(storage)
        return ending

    def _train_on_instance(self, storage: Storage) -> tuple[str, str]:
        jobs, name = self._jobs, self._name_of_job
        jobs.move(name, "Downloading")
        shutil.rmtree(self._folders.root, ignore_errors=True)
        self._folders.create()
        self._workload.prepare(self._folders, storage)
        kept = checkpoints.Checkpoints(self._request, self._folders, storage)
        kept.fetch()
        jobs.move(name, "Training", message=self._workload.status_message, TrainingStartTime=time.time())
        return self._run_process(storage, kept)

    def _run_process(self, storage: Storage, kept: checkpoints.Checkpoints) -> tuple[str, str]:
        started = self._workload.process(self._folders, storage, self._jobs._platform.endpoint_url)
        self._process = start_guarded(
            started.command, started.folder, started.environment, niceness=TRAINING_NICENESS
        )
        log = partial(self._jobs._platform.write_log, _LOG_GROUP, f"{self._name_of_job}/algo-1")
        said = OutputReader(self._process, log, self._take_line)
        try:
            ending = self._supervise(self._process, kept)
        except StorageError:
            kill(self._process)
            raise
        said.join()
        status = self._process.returncode
        if status < 0:
            raise _InstanceLostError
        if not self._abandoned.is_set():
            kept.keep(at_once=True)
        if ending is None and status != 0 and not self._abandoned.is_set():
            raise JobFailedError(
                self._reason(status, "\n".join(said.last_lines()).strip()[-_SAID_CHARACTERS:])
            )
        self._jobs.add(self._name_of_job, FinalMetricDataList=list(self._metrics.values()))
        return ending or ("Completed", "Completed")

    def _supervise(
        self, process: subprocess.Popen[bytes], kept: checkpoints.Checkpoints
    ) -> tuple[str, str] | None:
        """Wait for the process; how it was ended, or None if it ended by itself. Raises StorageError."""
        limit = self._request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", _MAX_RUNTIME)
        out_of_time = time.monotonic() + limit
        deadline = min(out_of_time, self._give_up_at)
        ending: tuple[str, str] | None = None
        while True:
            try:
                process.wait(_TICK)
            except subprocess.TimeoutExpired:
                kept.keep()
            else:
                return ending
            if ending is None and (self._stop_asked.is_set() or time.monotonic() > deadline):
                ended_by = "MaxRuntimeExceeded" if deadline == out_of_time else "MaxWaitTimeExceeded"
                ending = ("Stopped", "Stopped" if self._stop_asked.is_set() else ended_by)
                process.terminate()
                deadline = time.monotonic() + self._jobs._stop_grace
            elif ending is not None and time.monotonic() > deadline:
                kill(process)

    def _reason(self, status: int, last_lines: str) -> str:
        if self._folders.failure.exists():
            said = self._folders.failure.read_text(encoding="utf-8", errors="replace").strip()
        else:
            said = last_lines
        return (
            f"AlgorithmError: {said}, exit code: {status}" if said else f"AlgorithmError: exit code: {status}"
        )

    def _take_line(self, printed: str) -> list[str]:
        """Look for metrics in what is logged for a line that the process printed."""
        lines = self._workload.output(printed)
        for line in lines:
            for definition in self._workload.metrics:
                self._read_metric(definition, line)
        return lines

    def _read_metric(self, definition: Mapping[str, Any], line: str) -> None:
        found = re.search(definition["Regex"], line)
        if found is None:
            return
        with contextlib.suppress(ValueError, IndexError):
            self._metrics[definition["Name"]] = {
                "MetricName": definition["Name"],
                "Value": float(found.group(1)),
                "Timestamp": time.time(),
            }

    def _upload(self, storage: Storage) -> None:
        target = f"{self._request['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{self._name_of_job}/output"
        if any(self._folders.output_data.iterdir()):
            storage.upload(_pack(self._folders.output_data), f"{target}/output.tar.gz")
        if any(self._folders.model.iterdir()):
            storage.upload(_pack(self._folders.model), f"{target}/model.tar.gz")
            self._jobs.add(self._name_of_job, ModelArtifacts={"S3ModelArtifacts": f"{target}/model.tar.gz"})


def _pack(folder: Path) -> Path:
    """A tar.gz of what is in the folder, beside it."""
    archive = folder.parent / f"{folder.name}.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        for item in sorted(folder.iterdir()):
            tar.add(item, arcname=item.name)
    return archive
