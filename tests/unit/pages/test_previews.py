"""Smaller copies of images, for pages."""

import hashlib
import io
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
import pyvips
from PIL import Image

from loupe.domain.errors import ProjectNotFound
from loupe.domain.images.previews import MAKING, MakePreviews, NoPreview, preview_dimensions
from loupe.domain.projects import ProjectConfig
from loupe.domain.workspace import Workspace
from loupe.ports.images import ImageRecord
from loupe.ports.messages import Clock
from tests.fakes.clock import FakeClock
from tests.fakes.images import FakeImages
from tests.fakes.objects import FakeObjects
from tests.fakes.projects import FakeProjects
from tests.unit.ingest.pictures import encoded, interlaced, jpeg, png

PROJECT = "bolts"
CONFIG = ProjectConfig.model_validate({"task": "image-classification", "labels": ["a", "b"]})
TURNED = Image.Exif()
TURNED[0x0112] = 6  # viewers shall turn it by 90 degrees


class World:
    """A project whose images lie in a bucket."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.projects = FakeProjects()
        self.projects.save_config(PROJECT, CONFIG, None, "etag")
        self.images = FakeImages(self.projects)
        self.raw_data, self.workspace = FakeObjects("raw-data"), FakeObjects("workspace")
        self.make = self.maker(self.clock)

    def maker(self, clock: Clock) -> MakePreviews:
        return MakePreviews(
            projects=self.projects,
            images=self.images,
            raw_data=self.raw_data,
            workspace=self.workspace,
            clock=clock,
        )

    def register(self, content: bytes, name: str = "a.jpg", size: tuple[int, int] | None = None) -> str:
        """The image's SHA-256."""
        width, height = size or Image.open(io.BytesIO(content)).size
        sha256, key = hashlib.sha256(content).hexdigest(), f"{PROJECT}/{name}"
        self.raw_data.write(key, content)
        record = ImageRecord(
            sha256=sha256, key=key, version_id=None, etag="e", bytes=len(content), width=width,
            height=height, format="jpeg", phash="0" * 64, registered_at=self.clock.now,
        )  # fmt: skip
        self.images.restore(PROJECT, [record])
        return sha256

    def preview(self, content: bytes, size: Any = "preview") -> Image.Image:
        """The preview of an image, decoded; it has the dimensions that were told."""
        sha256 = self.register(content)
        [made], missing = self.make(PROJECT, size, [sha256])
        assert missing == []
        image = Image.open(io.BytesIO(self.workspace.read(Workspace(PROJECT).preview(size, sha256))))
        assert (image.format, image.size) == ("WEBP", (made.width, made.height))
        return image


@pytest.fixture
def world() -> World:
    return World()


def colour_at(image: Image.Image, across: float, down: float) -> np.ndarray[Any, Any]:
    """The mean colour around a place, given in parts of the image's width and height."""
    x, y = round(image.width * across), round(image.height * down)
    around: np.ndarray[Any, Any] = np.asarray(image.convert("RGB"), dtype=float)[y - 2 : y + 3, x - 2 : x + 3]
    return np.asarray(around.mean(axis=(0, 1)))


def quarters(width: int, height: int) -> Image.Image:
    """Red, green, blue and white quarters: each corner is of another colour."""
    image = Image.new("RGB", (2, 2))
    image.putdata([(200, 0, 0), (0, 200, 0), (0, 0, 200), (230, 230, 230)])
    return image.resize((width, height), Image.Resampling.NEAREST)


@pytest.mark.parametrize(
    ("size", "width", "height", "expected"),
    [
        ("preview", 3000, 1500, (2048, 1024)),
        ("preview", 1500, 3000, (1024, 2048)),
        ("thumbnail", 1000, 667, (256, 171)),
        ("thumbnail", 28, 28, (28, 28)),
        ("preview", 640, 480, (640, 480)),
        ("thumbnail", 3000, 2, (256, 1)),
    ],
)
def test_the_longer_side_is_bounded_and_nothing_is_enlarged(
    world: World, size: str, width: int, height: int, expected: tuple[int, int]
) -> None:
    assert world.preview(encoded(Image.new("RGB", (width, height), "red"), "PNG"), size).size == expected


@pytest.mark.parametrize("longest", [256, 2048])
def test_dimensions_keep_the_form(longest: int) -> None:
    for width, height in [(4000, 3000), (3024, 4032), (7300, 5475), (2049, 2048)]:
        small = preview_dimensions(width, height, longest)
        assert max(small) == longest
        assert small[0] / small[1] == pytest.approx(width / height, rel=0.5 / min(small))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(encoded(quarters(600, 400), "PNG"), id="PNG"),
        pytest.param(encoded(quarters(600, 400).convert("P"), "PNG"), id="palette"),
        pytest.param(interlaced(np.asarray(quarters(600, 400))), id="interlaced PNG"),
        pytest.param(encoded(quarters(600, 400), "JPEG", quality=95), id="JPEG"),
        pytest.param(encoded(quarters(600, 400), "JPEG", quality=95, progressive=True), id="progressive"),
        pytest.param(encoded(quarters(600, 400), "JPEG", quality=95, exif=TURNED), id="JPEG turned by EXIF"),
        pytest.param(encoded(quarters(600, 400), "PNG", exif=TURNED), id="PNG turned by EXIF"),
    ],
)
def test_each_corner_stays_where_it_is_stored(world: World, content: bytes) -> None:
    small = world.preview(content, "thumbnail")
    assert small.size == (256, 171)
    assert small.getexif() == {}
    for across, down, colour in [
        (0.25, 0.25, (200, 0, 0)),
        (0.75, 0.25, (0, 200, 0)),
        (0.25, 0.75, (0, 0, 200)),
        (0.75, 0.75, (230, 230, 230)),
    ]:
        assert colour_at(small, across, down) == pytest.approx(colour, abs=12), (across, down)


def test_transparency_stays(world: World) -> None:
    image = quarters(600, 400)
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    small = world.preview(encoded(image, "PNG"), "thumbnail")
    assert small.mode == "RGBA"
    alpha = np.asarray(small)[:, :, 3]
    assert alpha[2].mean() < 10
    assert alpha[-3].mean() > 245


def test_sixteen_bits_become_eight(world: World) -> None:
    grey = np.linspace(0, 65535, 600, dtype=np.uint16)[None].repeat(400, axis=0)
    small = world.preview(encoded(Image.fromarray(grey), "PNG"), "thumbnail")
    line = np.asarray(small.convert("L"), dtype=float)[80]
    assert line == pytest.approx(np.linspace(0, 255, 256), abs=6)


def test_print_colours_become_those_of_screens(world: World) -> None:
    small = world.preview(encoded(quarters(600, 400).convert("CMYK"), "JPEG", quality=95), "thumbnail")
    assert small.mode == "RGB"
    red, white = colour_at(small, 0.25, 0.25), colour_at(small, 0.75, 0.75)
    assert red[0] > red[1] + 60
    assert white.min() > 200


def test_colours_are_those_of_the_profile(world: World) -> None:
    wide: bytes = pyvips.Image.profile_load("p3")
    plain = world.preview(encoded(quarters(300, 200), "JPEG"))
    managed = world.preview(encoded(quarters(300, 200), "JPEG", icc_profile=wide))
    assert "icc_profile" not in managed.info
    assert colour_at(managed, 0.25, 0.25)[0] > colour_at(plain, 0.25, 0.25)[0] + 10


def test_a_profile_that_is_none_is_passed_over(world: World) -> None:
    small = world.preview(encoded(quarters(300, 200), "JPEG", icc_profile=b"no profile at all"))
    assert colour_at(small, 0.25, 0.25) == pytest.approx((200, 0, 0), abs=12)


def test_it_is_made_once_and_told_by_a_url_that_ends(world: World) -> None:
    sha256 = world.register(jpeg())
    [first], _ = world.make(PROJECT, "thumbnail", [sha256])
    key = Workspace(PROJECT).preview("thumbnail", sha256)
    assert first.url == f"https://workspace.invalid/{key}?X-Amz-Expires=3600"
    world.raw_data.delete(f"{PROJECT}/a.jpg")
    world.workspace.write(key, b"made before")
    assert world.make(PROJECT, "thumbnail", [sha256]) == ([first], [])
    assert world.workspace.read(key) == b"made before"


def test_the_order_is_that_of_the_request_and_each_is_told_once(world: World) -> None:
    sha256s = [world.register(jpeg(seed=seed), f"{seed}.jpg") for seed in range(6)]
    made, missing = world.make(PROJECT, "thumbnail", [*reversed(sha256s), sha256s[0]])
    assert [preview.sha256 for preview in made] == sha256s[::-1]
    assert missing == []


def test_what_has_no_preview_is_told_with_its_reason(world: World) -> None:
    gone, replaced = world.register(jpeg(seed=1), "gone.jpg"), world.register(jpeg(seed=2), "replaced.jpg")
    broken = world.register(b"\xff\xd8\xff" + bytes(99), "broken.jpg", (9, 9))
    whole, unknown = world.register(png(seed=4), "whole.png"), "f" * 64
    world.raw_data.content = {
        f"{PROJECT}/replaced.jpg": jpeg(seed=3),
        f"{PROJECT}/broken.jpg": world.raw_data.content[f"{PROJECT}/broken.jpg"],
        f"{PROJECT}/whole.png": png(seed=4),
    }
    made, missing = world.make(PROJECT, "preview", [gone, replaced, broken, whole, unknown])
    assert [preview.sha256 for preview in made] == [whole]
    assert [(none.sha256, none.reason) for none in missing] == [
        (gone, "gone"),
        (replaced, "gone"),
        (broken, "not-an-image"),
        (unknown, "unknown-image"),
    ]
    assert "gone.jpg" in missing[0].detail


class Ticking:
    """A clock that goes on by a second whenever somebody looks at it."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    def __call__(self) -> datetime:
        self._clock.advance(seconds=1)
        return self._clock.now


def rounds(world: World, sha256s: list[str]) -> Iterator[list[NoPreview]]:
    """What is missing after each request, until nothing is."""
    missing: list[NoPreview] = [NoPreview(sha256, "", "") for sha256 in sha256s]
    while missing:
        _, missing = world.make(PROJECT, "thumbnail", [none.sha256 for none in missing])
        yield missing


def test_what_takes_too_long_is_left_for_the_next_request_which_goes_on(world: World) -> None:
    sha256s = [world.register(jpeg(seed=seed), f"{seed}.jpg") for seed in range(20)]
    world.make = world.maker(Ticking(world.clock))
    assert timedelta(seconds=15) == MAKING
    left = list(rounds(world, sha256s))
    assert [len(missing) for missing in left] == sorted({len(missing) for missing in left}, reverse=True)
    assert len(left) > 2
    assert {none.reason for missing in left for none in missing} == {"later"}
    assert world.make(PROJECT, "thumbnail", sha256s)[1] == []


def test_a_project_that_is_not_there(world: World) -> None:
    with pytest.raises(ProjectNotFound, match="screws"):
        world.make("screws", "preview", ["0" * 64])
    assert world.make(PROJECT, "preview", ["0" * 64])[1][0].reason == "unknown-image"
