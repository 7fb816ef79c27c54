"""Requests of the inference API, from the body to the champion's answer."""

import base64
import io
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from PIL import Image

from loupe.domain.errors import BadRequest, DomainError, ModelError, ProjectNotFound
from loupe.domain.images.reduction import MAX_SIDE, reduced
from loupe.domain.manifests import S3Uri
from loupe.domain.projects import ProjectConfig
from loupe.domain.serving.prediction import (
    MAX_BODY_BYTES,
    ForeignObject,
    ImageTooLarge,
    NoModelYet,
    NotAnImage,
    Predict,
    UnsupportedType,
    image_in_request,
)
from loupe.ports.loops import Champion, LastTraining, ServedModel
from tests.fakes.clock import FakeClock
from tests.fakes.loops import FakeLoops
from tests.fakes.objects import FakeObjects
from tests.fakes.projects import FakeProjects
from tests.unit.ingest.pictures import jpeg, png

ORIENTATION = 0x0112
"""EXIF's tag that tells how a viewer has to turn an image."""
CONFIG = ProjectConfig.model_validate({"task": "image-classification", "labels": ["a", "b"]})


@dataclass
class FakeEndpoints:
    """Implements `loupe.ports.models.InvokesEndpoints`; `fails` makes the model fail."""

    asked: list[tuple[str, int, str]] = field(default_factory=list)
    fails: bool = False
    answer: list[dict[str, Any]] = field(
        default_factory=lambda: [{"label": "a", "confidence": 0.9}, {"label": "b", "confidence": 0.1}]
    )

    def invoke(self, model: ServedModel, image: bytes, content_type: str) -> list[dict[str, Any]]:
        self.asked.append((model.endpoint, len(image), content_type))
        if self.fails:
            raise ModelError(f"endpoint {model.endpoint}: the model failed")
        return self.answer


class World:
    """A project `parts` with a champion, asked by an app."""

    def __init__(self) -> None:
        self.projects, self.loops, self.endpoints = FakeProjects(), FakeLoops(), FakeEndpoints()
        self.raw_data, self.clock = FakeObjects("raw"), FakeClock()
        self.projects.save_config("parts", CONFIG, None, "etag")
        self.promote("0001")
        self.predict = Predict(
            self.projects, self.loops, self.endpoints, self.raw_data, "raw", self.clock, cache_seconds=2
        )

    def promote(self, version: str) -> None:
        at = datetime(2026, 11, 21, tzinfo=UTC)
        model = ServedModel("serverless", "script", CONFIG.task, CONFIG.labels, "loupe-parts")
        self.loops.save_champion("parts", Champion(version, 0.9, model, f"c-{version}", "arn:p", at))


@pytest.fixture
def world() -> World:
    return World()


def as_json(**members: Any) -> tuple[str, bytes]:
    return "application/json; charset=utf-8", json.dumps(members).encode()


@pytest.mark.parametrize(("content_type", "make"), [("image/jpeg", jpeg), ("IMAGE/PNG", png)])
def test_the_champion_answers_to_an_image(world: World, content_type: str, make: Callable[[], bytes]) -> None:
    answer = world.predict("parts", content_type, make())
    assert (answer.project, answer.model_version, answer.task) == ("parts", "0001", CONFIG.task)
    assert answer.predictions[0] == {"label": "a", "confidence": 0.9}
    assert answer.prediction_id.startswith("20261121t101500-")


@pytest.mark.parametrize("fails", [False, True])
def test_whose_model_was_asked_is_noted_whether_or_not_it_answers(world: World, fails: bool) -> None:
    champion = world.loops.loop("parts").champion
    assert champion is not None
    world.loops.save_champion("parts", replace(champion, correlation_id="parts-1"))
    world.endpoints.fails = fails
    noted: dict[str, Any] = {}
    answers = []
    with suppress(ModelError):
        answers.append(world.predict("parts", "image/png", png(), noted.update))
    assert (noted["model_version"], noted["correlation_id"]) == ("0001", "parts-1")
    assert [answer.prediction_id for answer in answers] == ([] if fails else [noted["prediction_id"]])


def test_an_image_in_base64_is_an_image(world: World) -> None:
    content_type, body = as_json(image=base64.b64encode(png()).decode())
    assert world.predict("parts", content_type, body).predictions
    assert world.endpoints.asked[0][2] == "image/png"


def test_an_object_of_the_project_is_read_from_the_bucket(world: World) -> None:
    world.raw_data.write("parts/a b+c%.jpg", jpeg())
    assert world.predict("parts", *as_json(s3_uri="s3://raw/parts/a b+c%.jpg")).predictions


@pytest.mark.parametrize(
    "uri", ["s3://raw/other/a.jpg", "s3://elsewhere/parts/a.jpg", "s3://raw/parts2/a.jpg"]
)
def test_objects_of_others_are_not_read(world: World, uri: str) -> None:
    with pytest.raises(ForeignObject, match="s3://raw/parts/"):
        world.predict("parts", *as_json(s3_uri=uri))


def test_an_object_that_no_image_can_be_is_not_read(world: World) -> None:
    world.raw_data.write("parts/film.jpg", bytes(40_000_001))
    with pytest.raises(NotAnImage, match="40 MB"):
        world.predict("parts", *as_json(s3_uri="s3://raw/parts/film.jpg"))


def test_boxes_are_in_pixels_of_the_image_sent_also_if_it_was_reduced(world: World) -> None:
    champion = world.loops.loop("parts").champion
    assert champion
    boxed = replace(champion, model=replace(champion.model, task="bounding-box"))
    world.loops.save_champion("parts", boxed)
    box = {"left": 100.0, "top": 50.0, "width": 200.0, "height": 100.0}
    world.endpoints.answer = [{"label": "a", "confidence": 0.9, "box": box}]
    assert world.predict("parts", "image/png", png()).predictions[0]["box"] == box
    world.raw_data.write("parts/large.png", png(3072, 1536, compress_level=0))
    answer = world.predict("parts", *as_json(s3_uri="s3://raw/parts/large.png"))
    assert answer.task == "bounding-box"
    assert answer.predictions[0]["box"] == {"left": 200.0, "top": 100.0, "width": 400.0, "height": 200.0}


def test_a_reduced_image_lies_as_the_original_does() -> None:
    turned = Image.Exif()
    turned[ORIENTATION] = 6  # viewers turn it by a quarter
    small = Image.open(io.BytesIO(reduced(jpeg(3000, 1000, exif=turned))))
    assert small.size == (MAX_SIDE, MAX_SIDE // 3)
    assert small.getexif()[ORIENTATION] == 6


def test_what_is_wrong_with_a_request_comes_before_the_missing_model(world: World) -> None:
    world.projects.save_config("new", CONFIG, None, "etag")
    with pytest.raises(ForeignObject):
        world.predict("new", *as_json(s3_uri="s3://raw/parts/a.jpg"))
    with pytest.raises(NotAnImage):
        world.predict("new", "image/jpeg", b"hello")


def test_a_missing_object_is_named(world: World) -> None:
    with pytest.raises(NotAnImage, match=r"parts/gone\.jpg is not there"):
        world.predict("parts", *as_json(s3_uri="s3://raw/parts/gone.jpg"))


def test_an_image_that_the_endpoint_can_not_take_is_reduced(world: World) -> None:
    world.raw_data.write("parts/large.png", png(1500, 1200, compress_level=0))
    world.predict("parts", *as_json(s3_uri="s3://raw/parts/large.png"))
    [(_, size, content_type)] = world.endpoints.asked
    assert size < 4_000_000
    assert content_type == "image/jpeg"


@pytest.mark.parametrize(
    ("content_type", "body", "error"),
    [
        ("", b"", UnsupportedType),
        ("image/gif", b"GIF89a", UnsupportedType),
        ("text/plain", b"hello", UnsupportedType),
        ("image/jpeg", b"hello", NotAnImage),
        ("image/jpeg", b"", NotAnImage),
        ("image/png", b"\xff\xd8\xff" + bytes(MAX_BODY_BYTES), ImageTooLarge),
        ("application/json", b"{", BadRequest),
        ("application/json", b"[]", BadRequest),
        ("application/json", b"{}", BadRequest),
        ("application/json", b'{"image": "a!"}', BadRequest),
        ("application/json", b'{"s3_uri": "http://x"}', BadRequest),
        ("application/json", b'{"s3_uri": "s3://raw/parts/a", "image": ""}', BadRequest),
    ],
)
def test_other_requests_are_refused_by_name(
    world: World, content_type: str, body: bytes, error: type[DomainError]
) -> None:
    with pytest.raises(error):
        world.predict("parts", content_type, body)
    assert world.endpoints.asked == []


def test_the_way_for_large_images_is_named() -> None:
    with pytest.raises(ImageTooLarge, match="s3_uri"):
        image_in_request("image/jpeg", bytes(MAX_BODY_BYTES + 1))
    assert image_in_request(*as_json(s3_uri="s3://b/k")) == S3Uri("b", "k")


def test_a_broken_image_is_told_from_a_broken_model(world: World) -> None:
    world.endpoints.fails = True
    with pytest.raises(NotAnImage, match="premature end"):
        world.predict("parts", "image/jpeg", jpeg()[:2000])
    with pytest.raises(ModelError):
        world.predict("parts", "image/jpeg", jpeg())


def test_an_unknown_project_is_said_to_be_unknown(world: World) -> None:
    with pytest.raises(ProjectNotFound, match="loupe project create"):
        world.predict("nobody", "image/jpeg", jpeg())
    with pytest.raises(BadRequest, match="lower-case"):
        world.predict("No Body", "image/jpeg", jpeg())


def test_without_a_model_it_says_what_is_missing(world: World) -> None:
    world.projects.save_config("new", CONFIG, None, "etag")
    with pytest.raises(NoModelYet, match="no labeling job of it has finished"):
        world.predict("new", "image/jpeg", jpeg())
    at = datetime(2026, 11, 21, tzinfo=UTC)
    world.loops.save_last_training("new", LastTraining("0001", "failed", "out of memory", at, at, "arn:e"))
    with pytest.raises(NoModelYet, match="the last training failed: out of memory"):
        world.predict("new", "image/jpeg", jpeg())
    unreleased = LastTraining("0001", "release_failed", "wrong labels", at, at, "arn:e")
    world.loops.save_last_training("new", unreleased)
    with pytest.raises(NoModelYet, match="the release of its first model, 0001, failed: wrong labels"):
        world.predict("new", "image/jpeg", jpeg())
    world.projects.save_config("new", None, "labels: is missing", "etag")
    with pytest.raises(NoModelYet, match="labels: is missing"):
        world.predict("new", "image/jpeg", jpeg())


def test_a_new_champion_answers_after_the_time_of_the_cache(world: World) -> None:
    assert world.predict("parts", "image/jpeg", jpeg()).model_version == "0001"
    world.promote("0002")
    assert world.predict("parts", "image/jpeg", jpeg()).model_version == "0001"
    world.clock.advance(seconds=2)
    assert world.predict("parts", "image/jpeg", jpeg()).model_version == "0002"


def test_the_first_model_answers_at_once(world: World) -> None:
    world.projects.save_config("new", CONFIG, None, "etag")
    with pytest.raises(NoModelYet):
        world.predict("new", "image/jpeg", jpeg())
    world.loops.save_champion("new", world.loops.loop("parts").champion or pytest.fail("no champion"))
    assert world.predict("new", "image/jpeg", jpeg()).predictions
