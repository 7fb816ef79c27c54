"""Batch transform: a model asked about every object of an input, and its answers kept as objects."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from local.sagemaker import channels, events
from local.sagemaker.arns import arn, log_group
from local.sagemaker.errors import NotAvailableError, ValidationError
from local.sagemaker.jobs import BROKEN_OFF, ENDED, JobFailedError, JobRecords, Jobs, failure_reason
from local.sagemaker.models import Models
from local.sagemaker.platform import Platform, Storage, StorageError
from local.sagemaker.serving import Container, ContainerError
from local.sagemaker.store import Document

logger = logging.getLogger("loupe.local")

_SAID_CHARACTERS = 200
_MEGABYTE = 2**20
_PAYLOAD_DEFAULT, _PAYLOAD_LIMIT = 6, 100
_TIMEOUT, _RETRIES = 600, 3
_LOG_GROUP = log_group("TransformJobs")


class TransformJobs(Jobs["_Run"]):
    """All transform jobs, running and past."""

    def __init__(self, folder: Path, platform: Platform, models: Models) -> None:
        super().__init__(JobRecords(folder / "transform-jobs", "Transform"), platform)
        self._work = folder / "transform"
        self._models = models

    # -- operations --------------------------------------------------------------------------------

    def create(self, request: Document) -> Document:
        check_request(request)
        name, now = request["TransformJobName"], time.time()
        served = self._models.served(request["ModelName"])
        document: Document = {
            **request,
            "TransformJobArn": arn("transform-job", name),
            "TransformJobStatus": "InProgress",
            "CreationTime": now,
            "LastModifiedTime": now,
        }
        with self._records.changed:
            self._records.add(document)
            run = _Run(self, document, served)
            self._running[name] = run
        self._announce(document)
        run.start()
        return {"TransformJobArn": document["TransformJobArn"]}

    def stop(self, request: Document) -> Document:
        name = request["TransformJobName"]
        with self._records.changed:
            self._records.require_running(name)
            run = self._running[name]
        self.move(name, "Stopping")
        run.stop()
        return {}

    def list_all(self, request: Document) -> Document:
        return self._records.page(
            request,
            (
                "TransformJobName",
                "TransformJobArn",
                "CreationTime",
                "TransformEndTime",
                "LastModifiedTime",
                "TransformJobStatus",
                "FailureReason",
            ),
        )

    # -- life --------------------------------------------------------------------------------------

    def resume(self) -> None:
        """Jobs that ran when the cloud went down have failed: their processes are gone."""
        shutil.rmtree(self._work, ignore_errors=True)
        super().resume()

    def _take_up(self, name: str) -> None:
        self.move(name, "Failed", FailureReason=BROKEN_OFF)

    def move(self, name: str, status: str, **members: Any) -> None:
        """Take a job to its next status, and say so in an event."""
        now = time.time()

        def change(before: Document) -> Document:
            after = {**before, **members, "TransformJobStatus": status, "LastModifiedTime": now}
            if status in ENDED:
                after["TransformEndTime"] = now
                self._running.pop(name, None)
            return after

        self._announce(self._records.update(name, change))

    def _announce(self, document: Document) -> None:
        self._platform.publish(
            events.TRANSFORM_JOB, document["TransformJobArn"], events.transform_job(document)
        )


def check_request(request: Document) -> None:
    """Raises ValidationError for what AWS refuses, and NotAvailableError for what is missing here."""
    given, wanted = request["TransformInput"], request["TransformOutput"]
    kind = given["DataSource"]["S3DataSource"]["S3DataType"]
    unavailable = {
        f"S3DataType {kind}": kind not in ("S3Prefix", "ManifestFile"),
        "CompressionType Gzip": given.get("CompressionType", "None") != "None",
        f"SplitType {given.get('SplitType')}": given.get("SplitType", "None") != "None",
        "DataCaptureConfig": "DataCaptureConfig" in request,
        "DataProcessing": _processes(request.get("DataProcessing", {})),
    }
    for what, is_asked in unavailable.items():
        if is_asked:
            raise NotAvailableError(f"{what} of a transform job")
    for uri in (given["DataSource"]["S3DataSource"]["S3Uri"], wanted["S3OutputPath"]):
        if not uri.startswith("s3://"):
            raise NotAvailableError(f"{uri.partition(':')[0]} addresses of a transform job")
    payload, parallel = _payload(request), request.get("MaxConcurrentTransforms", 0)
    if payload == 0:
        raise NotAvailableError("MaxPayloadInMB 0")
    if payload > _PAYLOAD_LIMIT or payload * max(1, parallel) > _PAYLOAD_LIMIT:
        raise ValidationError(
            f"MaxPayloadInMB, and MaxConcurrentTransforms * MaxPayloadInMB, cannot be greater than "
            f"{_PAYLOAD_LIMIT}; they are {payload} and {parallel}"
        )


def _processes(processing: Mapping[str, str]) -> bool:
    filters = (processing.get("InputFilter", "$"), processing.get("OutputFilter", "$"))
    return processing.get("JoinSource", "None") != "None" or filters != ("$", "$")


def _payload(request: Document) -> int:
    megabytes: int = request.get("MaxPayloadInMB", _PAYLOAD_DEFAULT)
    return megabytes


class _ObjectFailedError(Exception):
    """An object has no answer; `is_client` unless it is the model that is at fault."""

    def __init__(self, uri: str, said: str, *, is_client: bool) -> None:
        super().__init__(f"{uri}: {said}")
        self.is_client = is_client


class _Run(threading.Thread):
    """One job from its start to its end."""

    def __init__(self, jobs: TransformJobs, request: Document, served: Document) -> None:
        self._name_of_job: str = request["TransformJobName"]
        super().__init__(name=f"transform-{self._name_of_job}", daemon=True)
        self._jobs = jobs
        self._request = request
        self._served = served
        self._stop_asked = threading.Event()
        self._abandoned = threading.Event()
        log = partial(jobs._platform.write_log, _LOG_GROUP, f"{self._name_of_job}/local")
        self._container = Container(jobs._work, jobs._platform, log)

    def stop(self) -> None:
        self._stop_asked.set()

    def abandon(self) -> None:
        """The cloud is going down: end the process, and leave the job's record as it is."""
        self._abandoned.set()
        self._stop_asked.set()
        self._container.stop()

    def run(self) -> None:
        try:
            self._jobs.add(self._name_of_job, TransformStartTime=time.time())
            status = self._transform()
        except ContainerError as error:
            self._end("Failed", FailureReason=failure_reason(f"AlgorithmError: {error}"))
        except (JobFailedError, StorageError, channels.ChannelError) as error:
            self._end("Failed", FailureReason=failure_reason(str(error)))
        except Exception as error:
            logger.exception("The transform job %s broke down", self._name_of_job)
            self._end("Failed", FailureReason=f"InternalServerError: {error}")
            raise
        else:
            self._end(status)
        finally:
            self._container.stop()

    def _end(self, status: str, **members: Any) -> None:
        if not self._abandoned.is_set():
            self._jobs.move(self._name_of_job, status, **members)

    def _transform(self) -> str:
        """The final status. Raises JobFailedError if objects have no answer, once all were tried."""
        session = f"SageMaker-{self._name_of_job}"
        storage = Storage(self._jobs._platform, self._served["role"], session)
        files = _input_files(self._request["TransformInput"]["DataSource"]["S3DataSource"], storage)
        self._container.start(self._definition(), self._served["role"], session)
        failures: list[_ObjectFailedError] = []

        def transform(file: tuple[str, str]) -> None:
            if self._stop_asked.is_set():
                return
            try:
                self._transform_object(*file, storage)
            except _ObjectFailedError as error:
                failures.append(error)
            except StorageError as error:
                failures.append(_ObjectFailedError(file[0], str(error), is_client=True))

        with ThreadPoolExecutor(max(1, self._request.get("MaxConcurrentTransforms", 0))) as pool:
            for _ in pool.map(transform, files.items()):
                pass
        if self._stop_asked.is_set():
            return "Stopped"
        if failures:
            self._log_failures(failures)
            raise JobFailedError(_told(failures, len(files)))
        return "Completed"

    def _definition(self) -> Document:
        """The model's container with the variables of the job, and those that batch transform sets itself."""
        container: Document = self._served["container"]
        variables = {
            **container.get("Environment", {}),
            **self._request.get("Environment", {}),
            "SAGEMAKER_BATCH": "true",
            "SAGEMAKER_MAX_PAYLOAD_IN_MB": str(_payload(self._request)),
        }
        return {**container, "Environment": variables}

    def _transform_object(self, uri: str, relative: str, storage: Storage) -> None:
        body = storage.read(uri)
        if len(body) > _payload(self._request) * _MEGABYTE:
            said = f"{len(body)} bytes are more than MaxPayloadInMB, {_payload(self._request)} MB"
            raise _ObjectFailedError(uri, said, is_client=True)
        answer = self._ask(uri, body)
        wanted = self._request["TransformOutput"]
        end = b"\n" if wanted.get("AssembleWith", "None") == "Line" else b""
        storage.write(f"{wanted['S3OutputPath'].rstrip('/')}/{relative}.out", answer + end)

    def _ask(self, uri: str, body: bytes) -> bytes:
        """The model's answer; asks again where it is the model that failed. Raises _ObjectFailedError."""
        retries = self._request.get("ModelClientConfig", {}).get("InvocationsMaxRetries", _RETRIES)
        while True:
            try:
                return self._ask_once(uri, body)
            except _ObjectFailedError as error:
                if error.is_client or retries == 0:
                    raise
            retries -= 1

    def _ask_once(self, uri: str, body: bytes) -> bytes:
        within = self._request.get("ModelClientConfig", {}).get("InvocationsTimeoutInSeconds", _TIMEOUT)
        headers = {
            "Content-Type": self._request["TransformInput"].get("ContentType"),
            "Accept": self._request["TransformOutput"].get("Accept"),
        }
        given = {name: value for name, value in headers.items() if value}
        try:
            answer = self._container.invoke(body, given, within=within)
        except ContainerError as error:
            raise _ObjectFailedError(uri, str(error), is_client=False) from error
        if answer.status < 400:
            return answer.body
        said = answer.body.decode(errors="replace").strip()[:_SAID_CHARACTERS]
        text = f"Bad HTTP status received from algorithm: {answer.status} {said}"
        raise _ObjectFailedError(uri, text, is_client=answer.status < 500)

    def _log_failures(self, failures: list[_ObjectFailedError]) -> None:
        stream = f"{self._name_of_job}/local/data-log"
        self._jobs._platform.write_log(_LOG_GROUP, stream, [str(failure) for failure in failures])


def _input_files(source: Mapping[str, Any], storage: Storage) -> dict[str, str]:
    """Object URI -> path below the output. Raises ChannelError or StorageError."""
    uri = source["S3Uri"]
    if source["S3DataType"] == "ManifestFile":
        files = channels.manifest_files(uri, storage.read(uri))
    else:
        files = channels.prefix_files(uri, storage.keys_under(uri))
    if not files:
        raise channels.ChannelError(f"No S3 objects found under S3 URL {uri!r} given in input data source")
    return files


def _told(failures: list[_ObjectFailedError], count: int) -> str:
    """A FailureReason for objects without an answer. The others' answers stay."""
    kind = "ClientError" if failures[0].is_client else "AlgorithmError"
    return (
        f"{kind}: {len(failures)} of {count} objects could not be transformed. See job logs for more "
        f"information. The first: {failures[0]}"
    )
