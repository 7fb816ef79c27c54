"""Training jobs: a script in a process of its own, with the inputs and outputs that SageMaker gives it."""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
import subprocess
import tarfile
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local.home import inherited_environment
from local.sagemaker import channels, events, listing, script_mode
from local.sagemaker.arns import arn, log_group
from local.sagemaker.children import guarded, kill
from local.sagemaker.errors import NotAvailableError, ResourceInUseError, ValidationError
from local.sagemaker.platform import Platform, Storage, StorageError
from local.sagemaker.store import Document, Record, Store

logger = logging.getLogger("loupe.local")

_NICENESS = "10"
_STOP_GRACE = 120.0
_FAILURE_CHARACTERS = 1024
_TICK = 0.1
_LOG_EVERY = 1.0
ENDED = ("Completed", "Failed", "Stopped")


class JobFailedError(Exception):
    """The job cannot go on; the text becomes its FailureReason."""


class TrainingJobs:
    """All training jobs, running and past. Every job runs in a thread of its own until it ends."""

    def __init__(self, folder: Path, platform: Platform, *, stop_grace: float = _STOP_GRACE) -> None:
        self._store = Store(folder / "training-jobs")
        self._work = folder / "work"
        self._platform = platform
        self._stop_grace = stop_grace
        self._changed = threading.Condition()
        self._running: dict[str, _Run] = {}

    # -- operations --------------------------------------------------------------------------------

    def create(self, request: Document) -> Document:
        self._check(request)
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
        with self._changed:
            if name in self._store:
                raise ResourceInUseError(
                    "Job name must be unique within an AWS account and region, and a training job with this "
                    f"name already exists ({arn('training-job', name)})"
                )
            self._store.put(name, Record(document))
            run = _Run(self, name)
            self._running[name] = run
        run.start()
        return {"TrainingJobArn": document["TrainingJobArn"]}

    def describe(self, request: Document) -> Document:
        with self._changed:
            return dict(self._record(request["TrainingJobName"]).document)

    def stop(self, request: Document) -> Document:
        name = request["TrainingJobName"]
        with self._changed:
            status = self._record(name).document["TrainingJobStatus"]
            if status in ENDED:
                raise ValidationError(
                    f"The request was rejected because the training job is in status {status}."
                )
            run = self._running[name]
        self.move(name, "Stopping", status="Stopping")
        run.stop()
        return {}

    def list_all(self, request: Document) -> Document:
        with self._changed:
            documents = [record.document for _, record in self._store]
        members = (
            "TrainingJobName",
            "TrainingJobArn",
            "CreationTime",
            "TrainingEndTime",
            "LastModifiedTime",
            "TrainingJobStatus",
            "SecondaryStatus",
        )
        return listing.page(
            documents,
            request,
            result="TrainingJobSummaries",
            name="TrainingJobName",
            status="TrainingJobStatus",
            summarize=lambda document: {name: document[name] for name in members if name in document},
        )

    def wait(self, name: str, is_wanted: Callable[[], bool]) -> Document:
        """Block until the job has ended, or stop it as soon as nobody wants it; its document."""
        with self._changed:
            while True:
                document = self._record(name).document
                if document["TrainingJobStatus"] in ENDED:
                    return dict(document)
                if not is_wanted():
                    break
                self._changed.wait(timeout=1.0)
        with contextlib.suppress(ValidationError):
            self.stop({"TrainingJobName": name})
        return dict(document)

    # -- life --------------------------------------------------------------------------------------

    def resume(self) -> None:
        """Jobs that ran when the cloud went down have failed: their processes are gone."""
        shutil.rmtree(self._work, ignore_errors=True)
        for name, record in self._store:
            if record.document["TrainingJobStatus"] not in ENDED and name not in self._running:
                reason = "InternalServerError: The local cloud was stopped while the job ran."
                self.move(name, "Failed", status="Failed", FailureReason=reason)

    def shut_down(self) -> None:
        """Kill what runs; `resume` finds it at the next start."""
        for run in list(self._running.values()):
            run.abandon()

    def move(self, name: str, secondary: str, *, status: str | None = None, **members: Any) -> None:
        """Take a job to its next secondary status, and say so in an event."""
        now = time.time()
        with self._changed:
            record = self._record(name)
            document = {**record.document, **members, "SecondaryStatus": secondary, "LastModifiedTime": now}
            transitions = [*document["SecondaryStatusTransitions"]]
            if transitions:
                transitions[-1] = {**transitions[-1], "EndTime": now}
            message = members.get("FailureReason", _MESSAGES.get(secondary, secondary))
            transitions.append({"Status": secondary, "StartTime": now, "StatusMessage": message})
            document["SecondaryStatusTransitions"] = transitions
            if status is not None:
                document["TrainingJobStatus"] = status
            if document["TrainingJobStatus"] in ENDED:
                document["TrainingEndTime"] = now
                transitions[-1]["EndTime"] = now
                self._running.pop(name, None)
            self._store.put(name, Record(document, record.inner))
            self._changed.notify_all()
        self._platform.publish(events.TRAINING_JOB, document["TrainingJobArn"], events.training_job(document))

    def _record(self, name: str) -> Record:
        record = self._store.get(name)
        if record is None:
            raise ValidationError("Requested resource not found.")
        return record

    def _check(self, request: Document) -> None:
        algorithm = request["AlgorithmSpecification"]
        if "AlgorithmName" in algorithm:
            raise NotAvailableError("AlgorithmSpecification.AlgorithmName")
        if "ResourceConfig" not in request:
            raise ValidationError("ResourceConfig is required")
        if request["ResourceConfig"].get("InstanceCount", 1) != 1:
            raise NotAvailableError("training on more than one instance")
        if "CheckpointConfig" in request:
            raise NotAvailableError("CheckpointConfig")
        if request["OutputDataConfig"].get("CompressionType", "GZIP") != "GZIP":
            raise NotAvailableError("OutputDataConfig.CompressionType NONE")
        for channel in request.get("InputDataConfig", []):
            channels.check(channel, algorithm["TrainingInputMode"])
        try:
            script_mode.parse(request.get("HyperParameters", {}))
        except script_mode.ScriptError as error:
            raise ValidationError(str(error)) from error


_MESSAGES = {
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
}


class _Run(threading.Thread):
    """One job from its start to its end."""

    def __init__(self, jobs: TrainingJobs, name: str) -> None:
        super().__init__(name=f"training-{name}", daemon=True)
        self._jobs = jobs
        self._request = jobs._store.get(name).document  # type: ignore[union-attr]
        self._name_of_job = name
        self._folders = script_mode.Folders(jobs._work / name)
        self._stop_asked = threading.Event()
        self._abandoned = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._metrics: dict[str, dict[str, Any]] = {}

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
            self._end("Failed", "Failed", FailureReason=_failure(str(error)))
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
        jobs.move(name, "Downloading")
        shutil.rmtree(self._folders.root, ignore_errors=True)
        self._folders.create()
        script = script_mode.parse(request.get("HyperParameters", {}))
        for channel in request.get("InputDataConfig", []):
            channels.fill(channel, self._folders.channel(channel["ChannelName"]), storage)
        archive = self._folders.in_container(script.source)
        if archive is None:
            archive = self._folders.root / "sourcedir.tar.gz"
            storage.download(script.source, archive)
        script_mode.unpack(archive, self._folders.code)
        script_mode.write_configuration(self._folders, request)
        jobs.move(name, "Training", TrainingStartTime=time.time())
        ending = self._run_script(script, storage)
        if self._abandoned.is_set():
            return "Failed", "Failed"
        jobs.move(name, "Uploading")
        self._upload(storage)
        return ending

    def _run_script(self, script: script_mode.Script, storage: Storage) -> tuple[str, str]:
        request = self._request
        variables = inherited_environment() | script_mode.environment(self._folders, script, request)
        if not request.get("EnableNetworkIsolation", False):
            variables |= {name.upper(): value for name, value in storage.keys.items()}
            variables |= {"AWS_ENDPOINT_URL": self._jobs._platform.endpoint_url, "AWS_REGION": "us-east-1"}
        self._process = subprocess.Popen(
            guarded(["nice", "-n", _NICENESS, *script_mode.command(script)]),
            cwd=self._folders.code,
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        said = _Output(self._process, self._jobs._platform, self._name_of_job, self._read_metrics)
        ending = self._supervise(self._process)
        said.join()
        status = self._process.returncode
        if ending is None and status != 0 and not self._abandoned.is_set():
            raise JobFailedError(self._reason(status, said.last_lines()))
        self._publish_metrics()
        return ending or ("Completed", "Completed")

    def _supervise(self, process: subprocess.Popen[bytes]) -> tuple[str, str] | None:
        """Wait for the process; how it was ended, or None if it ended by itself."""
        limit = self._request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", 86400)
        deadline = time.monotonic() + limit
        ending: tuple[str, str] | None = None
        while True:
            try:
                process.wait(_TICK)
            except subprocess.TimeoutExpired:
                pass
            else:
                return ending
            if ending is None and (self._stop_asked.is_set() or time.monotonic() > deadline):
                ending = ("Stopped", "Stopped" if self._stop_asked.is_set() else "MaxRuntimeExceeded")
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

    def _read_metrics(self, line: str) -> None:
        for definition in self._request["AlgorithmSpecification"].get("MetricDefinitions", []):
            found = re.search(definition["Regex"], line)
            if found is None:
                continue
            with contextlib.suppress(ValueError, IndexError):
                self._metrics[definition["Name"]] = {
                    "MetricName": definition["Name"],
                    "Value": float(found.group(1)),
                    "Timestamp": time.time(),
                }

    def _publish_metrics(self) -> None:
        with self._jobs._changed:
            record = self._jobs._record(self._name_of_job)
            document = {**record.document, "FinalMetricDataList": list(self._metrics.values())}
            self._jobs._store.put(self._name_of_job, Record(document, record.inner))

    def _upload(self, storage: Storage) -> None:
        target = f"{self._request['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{self._name_of_job}/output"
        if any(self._folders.output_data.iterdir()):
            storage.upload(_pack(self._folders.output_data), f"{target}/output.tar.gz")
        if any(self._folders.model.iterdir()):
            storage.upload(_pack(self._folders.model), f"{target}/model.tar.gz")
            artifacts = {"S3ModelArtifacts": f"{target}/model.tar.gz"}
            with self._jobs._changed:
                record = self._jobs._record(self._name_of_job)
                document = {**record.document, "ModelArtifacts": artifacts}
                self._jobs._store.put(self._name_of_job, Record(document, record.inner))


class _Output(threading.Thread):
    """Reads what a script prints: into the job's log stream, and line by line to `each_line`."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        platform: Platform,
        job: str,
        each_line: Callable[[str], None],
    ) -> None:
        super().__init__(name=f"output-{job}", daemon=True)
        self._process = process
        self._platform = platform
        self._stream = f"{job}/algo-1"
        self._each_line = each_line
        self._last: deque[str] = deque(maxlen=20)
        self._unwritten: list[str] = []
        self._written_at = 0.0
        self.start()

    def last_lines(self) -> str:
        return "\n".join(self._last).strip()[-_FAILURE_CHARACTERS // 2 :]

    def run(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - opened as a pipe
        for raw in self._process.stdout:
            line = raw.decode(errors="replace").rstrip("\r\n")
            self._last.append(line)
            self._each_line(line)
            self._unwritten.append(line or " ")
            if time.monotonic() - self._written_at > _LOG_EVERY:
                self._write()
        self._write()

    def _write(self) -> None:
        if self._unwritten:
            self._platform.write_log(log_group("TrainingJobs"), self._stream, self._unwritten)
        self._unwritten = []
        self._written_at = time.monotonic()


def _pack(folder: Path) -> Path:
    """A tar.gz of what is in the folder, beside it."""
    archive = folder.parent / f"{folder.name}.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        for item in sorted(folder.iterdir()):
            tar.add(item, arcname=item.name)
    return archive


def _failure(text: str) -> str:
    """A FailureReason of at most 1,024 characters that starts with an error class, as SageMaker's do."""
    known = text.startswith(("AlgorithmError:", "ClientError:", "InternalServerError:"))
    return (text if known else f"ClientError: {text}")[:_FAILURE_CHARACTERS]
