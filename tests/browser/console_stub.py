"""The portal with dataset versions: the domain itself, over buckets in memory that the stub serves."""

import io
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from PIL import Image, ImageDraw

from loupe.domain.console.correcting import Correct, Wish
from loupe.domain.console.datasets import DatasetConsole
from loupe.domain.datasets.galleries import Galleries, Wanted
from loupe.domain.errors import DomainError
from loupe.domain.label_values import Box, Boxes, LabelValue, OneLabel, read_any
from loupe.domain.labeling.annotation import Worker
from loupe.domain.manifests import write_rows
from loupe.domain.workspace import PreviewSize
from loupe.ports.loops import Champion, ServedModel
from tests.browser.portal_stub import PortalStub, Refusal, StubProject
from tests.fakes.objects import FakeObjects
from tests.unit.training.world import FIRST, NAMES, PROJECT, World

Json = dict[str, Any]
LABELS = ("circle", "square", "triangle")
PREVIEW_SIDE = 2048


@dataclass
class ServedObjects(FakeObjects):
    """A bucket in memory whose presigned URLs lead to the stub's image store."""

    origin: str = ""

    def presigned_url(self, key: str, version_id: str | None, expires_in: int) -> str:
        return f"{self.origin}images/{quote(key)}?X-Amz-Expires={expires_in}"


class ServedWorld(World):
    """Has buckets whose presigned URLs work."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.raw = ServedObjects("raw")
        self.workspace = ServedObjects("workspace", others={"raw": self.raw})

    def draw(self, name: str, shape: str, size: tuple[int, int] = (120, 90)) -> str:
        """Upload a picture of a shape; returns its SHA-256."""
        picture = Image.new("RGB", size, "white")
        colour = tuple(40 + shade // 2 for shade in sha256(name.encode()).digest()[:3])
        pen = ImageDraw.Draw(picture)
        left, top, right, bottom = size[0] * 0.25, size[1] * 0.2, size[0] * 0.75, size[1] * 0.8
        match shape:
            case "circle":
                pen.ellipse((left, top, right, bottom), fill=colour)
            case "square":
                pen.rectangle((left, top, right, bottom), fill=colour)
            case _:
                pen.polygon(((left, bottom), (size[0] / 2, top), (right, bottom)), fill=colour)
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        return self.upload(name, content=buffer.getvalue(), size=size)

    def promote(self, version: str, predictions: list[Json]) -> None:
        """Make the model of that version the champion, which answered its test images so."""
        config = self.projects.project(PROJECT)
        assert config is not None
        assert config.config is not None
        model = ServedModel("serverless", "script", config.config.task, config.config.labels, "loupe-digits")
        self.loops.save_champion(PROJECT, Champion(version, 0.9, model, None, None, self.clock()))
        self.workspace.write_lines(NAMES.predictions(version), write_rows(predictions))


def shapes(images: int = 30, labels: tuple[str, ...] = LABELS) -> ServedWorld:
    """A version of images of shapes, labeled in one job by two workers."""
    world = ServedWorld()
    world.configure(labels=labels)
    answers: dict[str, str | LabelValue | None] = {}
    for number in range(images):
        label = labels[number % len(labels)]
        answers[world.draw(f"{label}-{number:03}.png", LABELS[number % len(LABELS)])] = OneLabel(label)
    world.finish("digits-20260101t000000-aaaa", answers)
    world.turn(FIRST)
    world.clock.advance(minutes=1)
    return world


class ConsoleStub(PortalStub):
    """Serves one project's dataset versions beside the portal's own calls."""

    def __init__(self, world: ServedWorld, labels: tuple[str, ...] = LABELS) -> None:
        super().__init__(StubProject(PROJECT, list(labels), []))
        self.world = world
        for bucket in (world.raw, world.workspace):
            assert isinstance(bucket, ServedObjects)
            bucket.origin = self.cloud_url
        galleries = Galleries(world.workspace, world.raw.bucket)
        self.console = DatasetConsole(
            world.projects, world.loops, galleries, world.raw, world.workspace, world.events
        )
        self.correct = Correct(world.projects, world.images, galleries, world.workspace, world.clock)

    def call(self, method: str, path: str, query: dict[str, str], token: str, body: Json) -> Json | None:
        parts = path.split("/")
        if parts[:1] != ["projects"] or parts[2:3] not in (["datasets"], ["previews"]):
            return super().call(method, path, query, token, body)
        with self._lock:
            self.requests.append((method, path, body))
            worker = self._valid_tokens.get(token)
            if worker is None:
                raise Refusal(HTTPStatus.UNAUTHORIZED, "")
            try:
                return self._console_call(method, parts[2:], Worker(f"id-of-{worker}", worker), body, query)
            except DomainError as error:
                raise Refusal(error.status, error.slug, error.detail) from error

    def _console_call(
        self, method: str, parts: list[str], worker: Worker, body: Json, query: dict[str, str]
    ) -> Json:
        match method, parts:
            case "GET", ["datasets"]:
                return self.console.versions(PROJECT)
            case "POST", ["datasets"]:
                return self.console.request_version(PROJECT, worker)
            case "GET", ["datasets", version]:
                return self.console.version(PROJECT, version)
            case "GET", ["datasets", version, "changes"]:
                return self.console.changes(PROJECT, version, query["since"])
            case "GET", ["datasets", version, "images"]:
                offset, limit = int(query["offset"]), int(query["limit"])
                return self.console.images(PROJECT, version, _wanted(query), offset, limit)
            case "GET", ["datasets", version, "images", image]:
                return self.console.image(PROJECT, version, image)
            case "POST", ["datasets", version, "corrections"]:
                return self._correct(version, worker, body)
            case "POST", ["previews"]:
                return self._previews(body["size"], body["images"])
        raise Refusal(HTTPStatus.NOT_FOUND, "not-found", "/".join(parts))

    def _correct(self, version: str, worker: Worker, body: Json) -> Json:
        self.world.clock.advance(seconds=1)
        wishes = [Wish(each["sha256"], read_any(each), each["seen"]) for each in body["corrections"]]
        corrected = self.correct(PROJECT, version, worker, wishes)
        return {"corrections": [each.to_json() for each in corrected]}

    def _previews(self, size: PreviewSize, digests: list[str]) -> Json:
        """Small copies, made where there are none yet."""
        previews = []
        for digest in digests:
            record = self.world.images.image(PROJECT, digest)
            assert record is not None
            key = NAMES.preview(size, digest)
            if not self.world.workspace.exists(key):
                self.world.workspace.write(key, _smaller(self.world.raw.read(record.key)))
            url = self.world.workspace.presigned_url(key, None, 3600)
            previews.append({"sha256": digest, "url": url, "width": record.width, "height": record.height})
        return {"previews": previews, "missing": []}

    def image(self, name: str) -> bytes | None:
        return self.world.raw.content.get(name) or self.world.workspace.content.get(name)


def _smaller(content: bytes) -> bytes:
    """As it is, where it is no larger than previews are."""
    with Image.open(io.BytesIO(content)) as picture:
        if max(picture.size) <= PREVIEW_SIDE:
            return content
        picture.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        return buffer.getvalue()


def _wanted(query: dict[str, str]) -> Wanted:
    """What the page asks for, as far as the tests go."""
    given: Json = {
        name: query[name] for name in ("label", "split", "job", "since", "change") if name in query
    }
    human = query["by"] == "human" if "by" in query else None
    return Wanted(**given, human=human, mistakes="mistakes" in query)


def boxes(images: int = 12, first: tuple[int, int] = (400, 300)) -> ServedWorld:
    """A version of images with a box each, the first of which, of a circle, has that size."""
    world = ServedWorld()
    world.configure(task="bounding-box", labels=LABELS)
    answers: dict[str, str | LabelValue | None] = {}
    for number in range(images):
        shape = LABELS[number % len(LABELS)]
        width, height = first if number == 0 else (400, 300)
        digest = world.draw(f"{shape}-{number:03}.png", shape, (width, height))
        answers[digest] = Boxes((Box(shape, width // 4, height // 5, width // 2, height * 3 // 5),))
    world.finish("digits-20260101t000000-aaaa", answers)
    world.turn(FIRST)
    world.clock.advance(minutes=1)
    return world
