"""Model versions: trained, started, asked, stopped. A version that runs has a serving process of its own."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from local.rekognition import arns, fitting
from local.rekognition.datasets import Datasets
from local.rekognition.entries import Entry
from local.rekognition.errors import (
    ImageTooLargeError,
    InUseError,
    InvalidImageFormatError,
    InvalidParameterError,
    InvalidS3ObjectError,
    NotAvailableError,
    NotFoundError,
    NotReadyError,
    RekognitionError,
)
from local.rekognition.objects import MAX_AT_ONCE, CallerObjects, ObjectError
from local.sagemaker.platform import Platform
from local.sagemaker.serving import Container, ContainerError
from local.sagemaker.store import Document, Record, Store

logger = logging.getLogger("loupe.local")

_STAND_IN = "trained by Loupe's own network, which stands in for Rekognition's in the local cloud"
_LOG_GROUP = "/aws/rekognition/ProjectVersions"
_MAX_IMAGE_BYTES = 4 * 1024 * 1024
_MAX_OBJECT_BYTES = 15 * 1024 * 1024
_MIN_OVERLAP = 0.5
_CAN_START = ("TRAINING_COMPLETED", "STOPPED", "FAILED")
_CAN_DELETE = ("TRAINING_COMPLETED", "TRAINING_FAILED", "STOPPED", "FAILED")


class Versions:
    """All versions of all projects."""

    def __init__(self, folder: Path, platform: Platform, datasets: Datasets) -> None:
        self._store = Store(folder / "versions")
        self._models = folder / "models"
        self._work = folder / "work"
        self._platform = platform
        self._datasets = datasets
        self._lock = threading.RLock()
        self._containers: dict[str, Container] = {}
        self._is_down = threading.Event()

    # -- training ----------------------------------------------------------------------------------

    def create(self, request: Document, objects: CallerObjects) -> Document:
        """Raises RekognitionError."""
        for member in ("TrainingData", "TestingData", "FeatureConfig"):
            if member in request:
                raise NotAvailableError(f"CreateProjectVersion with {member}")
        project, name = request["ProjectArn"], request["VersionName"]
        train, test = self._entries(project)
        with self._lock:
            if any(record.inner["name"] == name for record in self._of_project(project)):
                raise InUseError(f"A version {name} exists already in {project}")
            arn = arns.version(project, name)
            document: Document = {
                "ProjectVersionArn": arn,
                "CreationTimestamp": time.time(),
                "Status": "TRAINING_IN_PROGRESS",
                "StatusMessage": f"The model is being {_STAND_IN}.",
                "OutputConfig": request["OutputConfig"],
                "Feature": "CUSTOM_LABELS",
            }
            if "VersionDescription" in request:
                document["VersionDescription"] = request["VersionDescription"]
            self._store.put(arn, Record(document, {"project": project, "name": name}))
        threading.Thread(target=self._train, args=(arn, train, test, objects), daemon=True).start()
        return {"ProjectVersionArn": arn}

    def _entries(self, project: str) -> tuple[list[Entry], list[Entry]]:
        found: dict[str, list[Entry]] = {}
        for dataset in self._datasets.of_project(project):
            if dataset["Status"] not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
                raise InUseError(f"The {dataset['DatasetType']} dataset is {dataset['Status']}")
            entries = self._datasets.entries(dataset["DatasetArn"])
            found[dataset["DatasetType"]] = [entry for entry in entries if entry.is_usable]
        if not found.get("TRAIN"):
            raise InvalidParameterError("The project needs a TRAIN dataset with labeled images")
        if not found.get("TEST"):
            raise InvalidParameterError("The project needs a TEST dataset with labeled images")
        return found["TRAIN"], found["TEST"]

    def _train(self, arn: str, train: list[Entry], test: list[Entry], objects: CallerObjects) -> None:
        started, folder = time.time(), self._work / str(abs(hash(arn)))
        shutil.rmtree(folder, ignore_errors=True)
        try:
            members = self._fitted(arn, folder, train, test, objects)
        except (fitting.FittingError, ObjectError) as error:
            members = {"Status": "TRAINING_FAILED", "StatusMessage": str(error)}
        except Exception as error:
            self._update(arn, {"Status": "TRAINING_FAILED", "StatusMessage": f"InternalServerError: {error}"})
            logger.exception("The training of %s broke down", arn)
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        now = time.time()
        seconds = max(1, round(now - started))
        if not self._is_down.is_set():
            self._update(
                arn, {**members, "TrainingEndTimestamp": now, "BillableTrainingTimeInSeconds": seconds}
            )

    def _fitted(
        self, arn: str, folder: Path, train: list[Entry], test: list[Entry], objects: CallerObjects
    ) -> Document:
        """What the training adds to the version's description. Raises FittingError, ObjectError."""
        _check_labels(train, test)
        images = fitting.ImageFolder(folder / "images")

        def fetched(entry: Entry) -> fitting.LabeledImage:
            return images.add(entry, objects.read(entry.bucket, entry.key))

        with ThreadPoolExecutor(MAX_AT_ONCE) as pool:
            labeled = list(pool.map(fetched, [*train, *test]))
        fitting.write_dataset(folder / "dataset", labeled[: len(train)], labeled[len(train) :])
        fitting.fit(folder, self._writes_log(arn), lambda: not self._is_down.is_set())
        evaluation = fitting.evaluate(folder)
        shutil.rmtree(self._model(arn), ignore_errors=True)
        shutil.copytree(folder / "model", self._model(arn))
        (self._model(arn) / "thresholds.json").write_text(json.dumps(evaluation.thresholds), encoding="utf-8")
        place = self._output(
            arn, f"EvaluationResultSummary-{arns.name_of(arn)}-{self._record(arn).inner['name']}.json"
        )
        objects.write(place["Bucket"], place["Name"], json.dumps(evaluation.summary).encode())
        return {
            "Status": "TRAINING_COMPLETED",
            "StatusMessage": f"The model is ready to run; it was {_STAND_IN}.",
            "EvaluationResult": {"F1Score": evaluation.f1, "Summary": {"S3Object": place}},
        }

    def _output(self, arn: str, name: str) -> Document:
        config = self._record(arn).document["OutputConfig"]
        prefix = str(config.get("S3KeyPrefix", "")).strip("/")
        return {"Bucket": config["S3Bucket"], "Name": f"{prefix}/{name}" if prefix else name}

    # -- life --------------------------------------------------------------------------------------

    def describe(self, request: Document) -> Document:
        """Newest first, all in one page."""
        wanted = request.get("VersionNames")
        with self._lock:
            found = [
                record.document
                for record in self._of_project(request["ProjectArn"])
                if wanted is None or record.inner["name"] in wanted
            ]
        found.sort(key=lambda document: -document["CreationTimestamp"])
        return {"ProjectVersionDescriptions": found}

    def start(self, request: Document) -> Document:
        """Raises InUseError, NotFoundError."""
        arn = request["ProjectVersionArn"]
        with self._lock:
            status = self._record(arn).document["Status"]
            if status not in _CAN_START:
                raise InUseError(
                    f"The version is {status}; it can be started when it is {', '.join(_CAN_START)}"
                )
            members: Document = {"Status": "STARTING", "StatusMessage": "The model is being started"}
            asked = ("MinInferenceUnits", "MaxInferenceUnits")
            self._update(arn, members | {name: request[name] for name in asked if name in request})
        threading.Thread(target=self._run, args=(arn,), daemon=True).start()
        return {"Status": "STARTING"}

    def _run(self, arn: str) -> None:
        container = Container(self._work, self._platform, self._writes_log(arn))
        try:
            container.start_unpacked(self._model(arn), {"LOUPE_MIN_CONFIDENCE": "0"})
        except ContainerError as error:
            self._update(arn, {"Status": "FAILED", "StatusMessage": str(error)})
            return
        with self._lock:
            if self._is_down.is_set() or self._record(arn).document["Status"] != "STARTING":
                container.stop()
                return
            self._containers[arn] = container
            self._update(
                arn, {"Status": "RUNNING", "StatusMessage": f"The model is running; it was {_STAND_IN}."}
            )

    def stop(self, request: Document) -> Document:
        """Raises InUseError, NotFoundError."""
        arn = request["ProjectVersionArn"]
        with self._lock:
            status = self._record(arn).document["Status"]
            if status not in ("RUNNING", "STARTING"):
                raise InUseError(f"The version is {status}, not RUNNING")
            self._update(arn, {"Status": "STOPPING", "StatusMessage": "The model is being stopped"})
        threading.Thread(target=self._halt, args=(arn,), daemon=True).start()
        return {"Status": "STOPPING"}

    def _halt(self, arn: str) -> None:
        with self._lock:
            container = self._containers.pop(arn, None)
        if container is not None:
            container.stop()
        self._update(arn, {"Status": "STOPPED", "StatusMessage": "The model is stopped"})

    def delete(self, request: Document) -> Document:
        arn = request["ProjectVersionArn"]
        with self._lock:
            status = self._record(arn).document["Status"]
            if status not in _CAN_DELETE:
                raise InUseError(f"The version is {status} and can't be deleted")
            self._store.remove(arn)
            shutil.rmtree(self._model(arn), ignore_errors=True)
        return {"Status": "DELETING"}

    def resume(self) -> None:
        """Trainings that the cloud's end broke off have failed; what ran runs again."""
        shutil.rmtree(self._work, ignore_errors=True)
        for arn, record in self._store:
            match record.document["Status"]:
                case "TRAINING_IN_PROGRESS":
                    reason = "The local cloud was stopped while the model was trained"
                    self._update(arn, {"Status": "TRAINING_FAILED", "StatusMessage": reason})
                case "STARTING" | "RUNNING":
                    self._update(arn, {"Status": "STARTING"})
                    threading.Thread(target=self._run, args=(arn,), daemon=True).start()
                case "STOPPING":
                    self._halt(arn)

    def shut_down(self) -> None:
        """End every process; `resume` starts them again."""
        self._is_down.set()
        for container in list(self._containers.values()):
            container.stop()

    # -- answers -----------------------------------------------------------------------------------

    def detect(
        self, request: Document, image: bytes | None, objects: Callable[[], CallerObjects]
    ) -> Document:
        """Labels above MinConfidence or, without it, above each label's own threshold."""
        arn = request["ProjectVersionArn"]
        with self._lock:
            status = self._record(arn).document["Status"]
            container = self._containers.get(arn)
        if status != "RUNNING" or container is None:
            raise NotReadyError(f"The model is {status}, not RUNNING")
        content = self._image(request["Image"], image, objects)
        width, height, content_type = _read_header(content)
        try:
            answer = container.invoke(content, {"Content-Type": content_type, "Accept": "application/json"})
        except ContainerError as error:
            raise InternalError(str(error)) from error
        if answer.status != HTTPStatus.OK:
            raise InvalidImageFormatError(answer.body.decode(errors="replace")[:300])
        thresholds = json.loads((self._model(arn) / "thresholds.json").read_text(encoding="utf-8"))
        least = request.get("MinConfidence")
        found = [
            _custom_label(each, width, height)
            for each in json.loads(answer.body)["predictions"]
            if each["confidence"] * 100 >= (thresholds[each["label"]] * 100 if least is None else least)
        ]
        return {"CustomLabels": found[: request.get("MaxResults", len(found))]}

    def _image(self, source: Document, image: bytes | None, objects: Callable[[], CallerObjects]) -> bytes:
        if (image is None) == ("S3Object" not in source):
            raise InvalidParameterError("Either Bytes or S3Object has to be given")
        if image is not None:
            if len(image) > _MAX_IMAGE_BYTES:
                raise ImageTooLargeError("Image size is too large")
            return image
        place = source["S3Object"]
        try:
            content = objects().read(place["Bucket"], place["Name"])
        except ObjectError as error:
            raise InvalidS3ObjectError(f"Unable to get object metadata from S3: {error}") from error
        if len(content) > _MAX_OBJECT_BYTES:
            raise ImageTooLargeError("Image size is too large")
        return content

    # -- records -----------------------------------------------------------------------------------

    def has_versions(self, project: str) -> bool:
        return any(True for _ in self._of_project(project))

    def _of_project(self, project: str) -> Iterable[Record]:
        return [record for _, record in self._store if record.inner["project"] == project]

    def _record(self, arn: str) -> Record:
        record = self._store.get(arn)
        if record is None:
            raise NotFoundError(arn)
        return record

    def _update(self, arn: str, members: Document) -> None:
        with self._lock, contextlib.suppress(NotFoundError):
            record = self._record(arn)
            self._store.put(arn, Record({**record.document, **members}, record.inner))

    def _model(self, arn: str) -> Path:
        return self._models / "-".join(arn.split("/")[1:])

    def _writes_log(self, arn: str) -> Callable[[list[str]], None]:
        return partial(self._platform.write_log, _LOG_GROUP, arn.partition("project/")[2])


class InternalError(RekognitionError):
    code = "InternalServerError"
    status = 500


def _check_labels(train: Iterable[Entry], test: Iterable[Entry]) -> None:
    trained = {name for entry in train for name in entry.names}
    tested = {name for entry in test for name in entry.names}
    if len(trained) < (1 if any(entry.boxes for entry in train) else 2):
        raise fitting.FittingError("ERROR_MANIFEST_TOO_FEW_LABELS")
    if len(trained & tested) < _MIN_OVERLAP * len(trained):
        raise fitting.FittingError("ERROR_INSUFFICIENT_LABEL_OVERLAP")


def _read_header(content: bytes) -> tuple[int, int, str]:
    try:
        with Image.open(io.BytesIO(content)) as image:
            kind = {"JPEG": "image/jpeg", "PNG": "image/png"}.get(image.format or "")
            width, height = image.size
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise InvalidImageFormatError("Request has invalid image format") from error
    if kind is None:
        raise InvalidImageFormatError("Request has invalid image format")
    return width, height, kind


def _custom_label(prediction: Document, width: int, height: int) -> Document:
    label: Document = {"Name": prediction["label"], "Confidence": prediction["confidence"] * 100}
    if "box" in prediction:
        box = prediction["box"]
        label["Geometry"] = {
            "BoundingBox": {
                "Left": box["left"] / width,
                "Top": box["top"] / height,
                "Width": box["width"] / width,
                "Height": box["height"] / height,
            }
        }
    return label
