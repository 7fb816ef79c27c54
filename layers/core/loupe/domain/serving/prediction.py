"""One answer of the inference API: from a request to the champion's prediction."""

import base64
import binascii
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from loupe.domain.errors import (
    BadRequest,
    Conflict,
    DomainError,
    ModelError,
    ModelNotRunning,
    ObjectMissing,
    ProjectNotFound,
)
from loupe.domain.images.inspection import ImageRejected, check_size, inspect, media_type
from loupe.domain.manifests import InvalidManifest, S3Uri
from loupe.domain.projects import check_project_name, project_of_key
from loupe.domain.serving.asking import ask
from loupe.ports.loops import Champion, KeepsLoops, LoopRecord
from loupe.ports.messages import Clock, NotesFacts
from loupe.ports.models import InvokesEndpoints
from loupe.ports.objects import OpensObjects
from loupe.ports.projects import KeepsProjects, ProjectRecord

MAX_BODY_BYTES = 4_500_000
"""Raw image bytes through the API: base64 of more does not fit Lambda's 6 MB."""

_NOTE_CALLS_EACH = timedelta(minutes=1)

IMAGE_TYPES = ("image/jpeg", "image/png")


class NoModelYet(Conflict):
    """The project has no champion to answer."""

    slug, title = "no-model-yet", "There is no model yet"


class UnsupportedType(DomainError):
    status, slug, title = 415, "unsupported-media-type", "That content type is not supported"


class ImageTooLarge(DomainError):
    status, slug, title = 413, "image-too-large", "The image is too large for the API"


class NotAnImage(DomainError):
    status, slug, title = 422, "not-an-image", "The image can't be read"


class ForeignObject(DomainError):
    status, slug, title = 403, "foreign-object", "That object is not part of the project"


@dataclass(frozen=True)
class Prediction:
    """What the API answers; `predictions` are best first, confidence from 0 to 1."""

    prediction_id: str
    project: str
    model_version: str
    task: str
    predictions: list[dict[str, Any]] = field(default_factory=list)


def image_in_request(content_type: str, body: bytes) -> bytes | S3Uri:
    """The image of a request, or where it lies.

    `body` is the image itself (image/jpeg, image/png), or JSON `{"s3_uri": ...}` or `{"image": base64}`.
    Raises `UnsupportedType`, `ImageTooLarge`, `NotAnImage`, `BadRequest`.
    """
    given = content_type.partition(";")[0].strip().lower()
    if given in IMAGE_TYPES:
        return _checked_size(body)
    if given != "application/json":
        raise UnsupportedType(
            f"{given or 'a request without a content type'} is not supported: send image/jpeg or "
            'image/png, or application/json with {"s3_uri": ...} or {"image": base64}'
        )
    match _json_object(body):
        case {"s3_uri": str(uri), **rest} if not rest:
            try:
                return S3Uri.parse(uri)
            except InvalidManifest as error:
                raise BadRequest(f"s3_uri: {error}") from error
        case {"image": str(encoded), **rest} if not rest:
            try:
                return _checked_size(base64.b64decode(encoded, validate=True))
            except binascii.Error as error:
                raise BadRequest(f"image: is not base64: {error}") from error
        case _:
            raise BadRequest('send {"s3_uri": "s3://bucket/key"} or {"image": "<base64>"}, and nothing else')


def _json_object(body: bytes) -> Mapping[str, Any]:
    try:
        content = json.loads(body)
    except ValueError as error:
        raise BadRequest(f"the body is not JSON: {error}") from error
    return content if isinstance(content, dict) else {}


def _checked_size(image: bytes) -> bytes:
    if len(image) > MAX_BODY_BYTES:
        raise ImageTooLarge(
            f"the image has {len(image)} bytes; the API takes {MAX_BODY_BYTES}. Upload it to the raw-data "
            'bucket under the project and send {"s3_uri": "s3://<raw-data bucket>/<project>/..."} instead'
        )
    return image


class AskChampion:
    """Asks a project's champion about an image, and says in the user's words why it does not answer."""

    def __init__(self, loops: KeepsLoops, endpoints: InvokesEndpoints, clock: Clock) -> None:
        self._loops = loops
        self._endpoints = endpoints
        self._clock = clock
        self._noted: dict[str, datetime] = {}

    def __call__(self, project: str, champion: Champion, image: bytes) -> list[dict[str, Any]]:
        """Raises `NotAnImage`, `ModelNotRunning`, `ModelError`."""
        try:
            predictions = ask(self._endpoints, champion.model, image)
        except ImageRejected as rejection:
            raise NotAnImage(rejection.detail) from rejection
        except ModelNotRunning as error:
            raise ModelNotRunning(
                f"the model of project {project!r} does not run: `loupe model start {project}` starts it, "
                "which takes some minutes"
            ) from error
        except ModelError as error:
            # Looked into only now, so that the answers to good images wait for nothing.
            try:
                inspect(image)
            except ImageRejected as rejection:
                raise NotAnImage(rejection.detail) from error
            raise
        self._note_call(project, champion)
        return predictions

    def _note_call(self, project: str, champion: Champion) -> None:
        """A model that costs by the hour is stopped when nobody calls it: once a minute is enough to know."""
        now = self._clock()
        noted = self._noted.get(project)
        if champion.model.hosting != "serverless" and (noted is None or now - noted >= _NOTE_CALLS_EACH):
            self._loops.save_call(project, now)
            self._noted[project] = now


@dataclass(frozen=True)
class _Known:
    """What the index said of a project, and until when that may be used."""

    project: ProjectRecord | None
    loop: LoopRecord
    until: datetime


class Predict:
    """Answers with the project's champion. What the index says of a project is used for `cache_seconds`."""

    def __init__(
        self,
        projects: KeepsProjects,
        loops: KeepsLoops,
        endpoints: InvokesEndpoints,
        raw_data: OpensObjects,
        raw_data_bucket: str,
        clock: Clock,
        cache_seconds: float,
    ) -> None:
        self._projects = projects
        self._loops = loops
        self._ask = AskChampion(loops, endpoints, clock)
        self._raw_data = raw_data
        self._bucket = raw_data_bucket
        self._clock = clock
        self._cache_time = timedelta(seconds=cache_seconds)
        self._cache: dict[str, _Known] = {}

    def __call__(
        self, project: str, content_type: str, body: bytes, note: NotesFacts | None = None
    ) -> Prediction:
        """`note` hears which model was asked, and on whose behalf, even if it does not answer.

        Raises `ProjectNotFound`, `NoModelYet`, `ModelNotRunning`, `NotAnImage`, `ModelError` and the
        errors of `image_in_request`."""
        known = self._look_up(check_project_name(project))
        if known.project is None:
            raise ProjectNotFound(f"there is no project {project!r}; `loupe project create` makes one")
        image = image_in_request(content_type, body)
        # What is wrong with a request is told whether or not there is a model.
        if isinstance(image, S3Uri):
            self._check_owner(project, image)
        else:
            _require_image(image)
        champion = known.loop.champion
        if champion is None:
            raise NoModelYet(
                f"project {project!r} has no model yet: {what_is_missing(known.project, known.loop)}"
            )
        prediction_id = f"{self._clock():%Y%m%dt%H%M%S}-{uuid.uuid4().hex[:16]}"
        if note:
            note(
                prediction_id=prediction_id,
                model_version=champion.version,
                correlation_id=champion.correlation_id,
            )
        if isinstance(image, S3Uri):
            image = self._read(image)
        predictions = self._ask(project, champion, image)
        return Prediction(
            prediction_id=prediction_id,
            project=project,
            model_version=champion.version,
            task=champion.model.task,
            predictions=predictions,
        )

    def _look_up(self, project: str) -> _Known:
        now = self._clock()
        known = self._cache.get(project)
        if known is None or known.until <= now:
            known = _Known(self._projects.project(project), self._loops.loop(project), now + self._cache_time)
            if known.loop.champion is None:
                return known  # the first model shall answer as soon as it is there
            self._cache[project] = known
        return known

    def _check_owner(self, project: str, uri: S3Uri) -> None:
        if uri.bucket != self._bucket or project_of_key(uri.key) != project:
            raise ForeignObject(f"s3_uri must name an object s3://{self._bucket}/{project}/...")

    def _read(self, uri: S3Uri) -> bytes:
        try:
            with self._raw_data.opened(uri.key) as found:
                check_size(found.head.size)
                return found.read()
        except (ObjectMissing, ImageRejected) as error:
            raise NotAnImage(f"s3_uri: {error}") from error


def _require_image(image: bytes) -> None:
    try:
        media_type(image)
    except ImageRejected as rejection:
        raise NotAnImage(rejection.detail) from rejection


def what_is_missing(project: ProjectRecord, loop: LoopRecord) -> str:
    """Why a project has no model yet, in words that say what to do."""
    if project.config is None:
        return f"its project.yaml can't be used ({project.config_error or 'it is missing'})"
    last = loop.last_training
    if last is not None and last.status == "failed":
        return f"the last training failed: {last.reason}"
    if last is not None and last.status == "release_failed":
        return f"the release of its first model, {last.version}, failed: {last.reason}"
    if last is not None and last.status == "rejected":
        return f"the last candidate was rejected: {last.reason}"
    if loop.training is not None:
        return "its first training is under way"
    if loop.waiting_for is not None:
        return loop.waiting_for
    return "no labeling job of it has finished; `loupe status` shows what is pending"
