"""register_images in process, with S3 and DynamoDB in memory: images a second and core, and whether a batch
takes the same time however many images a project has.

What is measured is processor time, so that other work on the machine counts for little. Looking at objects
by one thread shows what a core does; the adapter of the index does all of its own work.
"""

import io
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import count
from statistics import median
from typing import Any

import numpy as np
import pyvips
from PIL import Image

from loupe.adapters.images_index import IndexedImages
from loupe.adapters.projects_index import IndexedProjects
from loupe.adapters.table import IndexTable
from loupe.domain.images.inspection import ImageFacts, inspect, perceptual_hash
from loupe.domain.images.registration import RegisterImages
from tests.fakes.events import FakeEvents
from tests.fakes.objects import FakeObjects
from tests.fakes.unusable import FakeDeadLetters

_PROJECT = "photos"
_WIDTH, _HEIGHT = 1155, 866  # one megapixel
_BATCH = 100
_ROUNDS = 3
_KNOWN = (0, 100_000, 1_000_000)
_START = datetime(2026, 1, 1, tzinfo=UTC)

Attributes = dict[str, Any]


class MemoryDynamoDB:
    """The operations that registration uses. Every condition holds, since nobody else is at work."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, str], Attributes] = {}
        self.requests = 0

    def batch_get_item(self, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803 - boto3's name
        self.requests += 1
        ((table, request),) = RequestItems.items()
        keys = ((key["pk"]["S"], key["sk"]["S"]) for key in request["Keys"])
        return {"Responses": {table: [self.items[key] for key in keys if key in self.items]}}

    def put_item(self, Item: Attributes, **_: Any) -> dict[str, Any]:  # noqa: N803 - boto3's name
        self.requests += 1
        self._put(Item)
        return {}

    def transact_write_items(self, TransactItems: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        self.requests += 1
        for action in TransactItems:
            if put := action.get("Put"):
                self._put(put["Item"])
        return {}

    def know(self, images: int) -> None:
        """Hold so many images already; their content does not matter, so they share it."""
        shared: Attributes = {}
        for number in range(images):
            self.items[f"IMAGES#{_PROJECT}", sha256(number.to_bytes(4)).hexdigest()] = shared

    def _put(self, item: Attributes) -> None:
        self.items[item["pk"]["S"], item["sk"]["S"]] = item


def run() -> Iterator[tuple[str, str, str]]:
    """Rows: what, measured, to reach or compare with."""
    photos = [photo(seed) for seed in range(_BATCH)]
    bytes_each = sum(map(len, photos)) // len(photos)
    yield (
        f"register_images, JPEGs of 1 megapixel ({bytes_each // 1000} kB), a second and core",
        f"{_images_a_second(photos, inspect):.0f}",
        f"at least 150; with a full decode {_images_a_second(photos, _fully_decoded):.0f}",
    )
    small = [_encoded(np.full((16, 16, 3), seed, np.uint8), "PNG") for seed in range(_BATCH)]
    for known in _KNOWN:
        seconds, requests = _time_a_batch(small, known)
        yield (
            f"register_images, batch of {_BATCH} small images, {known:,} known already",
            f"{seconds * 1000:.0f} ms, {requests} requests to the index",
            "the same for all",
        )


def photo(seed: int) -> bytes:
    """A JPEG of one megapixel: smooth shapes and the noise of a sensor, compressed as cameras do."""
    random = np.random.default_rng(seed)
    shapes = random.integers(0, 256, (_HEIGHT // 16, _WIDTH // 16, 3), dtype=np.uint8)
    smooth = Image.fromarray(shapes).resize((_WIDTH, _HEIGHT), Image.Resampling.BICUBIC)
    noisy = np.asarray(smooth) + random.normal(0, 5, (_HEIGHT, _WIDTH, 3))
    return _encoded(np.clip(noisy, 0, 255).astype(np.uint8), "JPEG", quality=85)


def _encoded(pixels: Any, file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, file_format, **options)
    return buffer.getvalue()


def _fully_decoded(data: bytes) -> ImageFacts:
    """As `inspect` does it, but for the size at which the JPEG is decoded."""
    image = pyvips.Image.jpegload_buffer(data, access="sequential", fail_on="warning")
    return ImageFacts(image.width, image.height, "jpeg", perceptual_hash(image))


def _images_a_second(photos: list[bytes], look: Callable[[bytes], ImageFacts]) -> float:
    return _BATCH / _batch_seconds(MemoryDynamoDB(), photos, look)


def _time_a_batch(images: list[bytes], known: int) -> tuple[float, int]:
    """Seconds of a batch, and its requests to the index."""
    dynamodb = MemoryDynamoDB()
    dynamodb.know(known)
    seconds = _batch_seconds(dynamodb, images, inspect)
    return seconds, dynamodb.requests // _ROUNDS


def _batch_seconds(
    dynamodb: MemoryDynamoDB, images: list[bytes], look: Callable[[bytes], ImageFacts]
) -> float:
    """Median of the processor time of several batches, each of them of new keys and new content."""
    client: Any = dynamodb
    table, bucket, ticks = IndexTable(client, "index"), FakeObjects("raw-data"), count()
    register_images = RegisterImages(
        bucket,
        IndexedProjects(table),
        IndexedImages(table),
        FakeEvents(),
        FakeDeadLetters(),
        lambda: _START + timedelta(milliseconds=next(ticks)),
        inspect=look,
        threads=1,
    )
    took = []
    for number in range(_ROUNDS):
        keys = [f"{_PROJECT}/{number}/{at}.jpg" for at in range(len(images))]
        for key, content in zip(keys, images, strict=True):
            bucket.write(key, content + number.to_bytes(4))  # behind the image's end: another content
        begun = time.process_time()
        outcome = register_images(keys)
        took.append(time.process_time() - begun)
        assert outcome.registered == {_PROJECT: len(images)}
    return median(took)
