"""The console's gallery of 100,000 images: made and searched, in processor time, and looked at.

The page is measured in a browser. Its portal is the browser tests' stub over the domain's own code, with
buckets in memory, in this process; each answer of the API takes 100 ms longer than it has to, as a function
on AWS does. Thumbnails are pictures of 256 pixels.
"""

import io
import json
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from hashlib import sha256

from PIL import Image
from playwright.sync_api import Page, ViewportSize, sync_playwright

from benchmarks.datasets import label_line
from loupe.domain.datasets.galleries import Galleries, Wanted, compare
from loupe.domain.datasets.gallery_index import write_gallery
from loupe.domain.datasets.labels import label_of_line
from loupe.domain.datasets.mistakes import Verdicts
from loupe.domain.datasets.splits import SPLITS, Split
from loupe.domain.datasets.versions import DatasetCard
from loupe.domain.label_attributes import write_label
from loupe.domain.manifests import HEIGHT, SHA256, WIDTH, Row, write_rows
from loupe.domain.projects import LABEL_ATTRIBUTES, ProjectConfig, TaskType
from loupe.domain.workspace import Workspace
from tests.browser.chromium import launch
from tests.browser.conftest import sign_in
from tests.browser.console_stub import ConsoleStub, ServedWorld
from tests.fakes.objects import FakeObjects
from tests.unit.training.world import NAMES, PROJECT

IMAGES = 100_000
LABELS = tuple(str(digit) for digit in range(10))
SERVER_SECONDS = 0.1
THUMBNAILS = 60
OPENED = 15
WINDOW: ViewportSize = {"width": 1720, "height": 1440}
GOAL_MS = 1_000
_TASKS: tuple[TaskType, ...] = ("image-classification", "bounding-box")
_JOB = f"{PROJECT}-20261121t101500-1a2b"

PAINTED = """([least, start]) => new Promise((resolve) => {
  const look = () => {
    const shown = [...document.querySelectorAll(".tile img")].filter((image) => image.naturalWidth > 0);
    if (shown.length < least) return requestAnimationFrame(look);
    const painted = new MessageChannel();
    painted.port1.onmessage = () => resolve(performance.now() - start);
    painted.port2.postMessage(null);
  };
  requestAnimationFrame(look);
})"""
"""Settles when so many thumbnails are loaded and the frame with them is painted."""

IN_VIEW = """([start]) => new Promise((resolve) => {
  const look = () => {
    const tiles = [...document.querySelectorAll(".tile")].filter((tile) => {
      const { top, bottom } = tile.getBoundingClientRect();
      return bottom > 0 && top < innerHeight;
    });
    const waiting = tiles.some((tile) => !(tile.querySelector("img")?.naturalWidth > 0));
    if (waiting || tiles.length < 20) return requestAnimationFrame(look);
    requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - start)));
  };
  requestAnimationFrame(look);
})"""
"""Settles when every thumbnail in view is loaded and painted."""

SCROLL = """async (pixels) => {
  const frames = [];
  let last = performance.now();
  for (let step = 0; step < 120; step += 1) {
    scrollBy(0, pixels);
    await new Promise((resolve) => requestAnimationFrame(resolve));
    const now = performance.now();
    frames.push(now - last);
    last = now;
  }
  return frames;
}"""
"""Milliseconds of each of 120 frames while the page is scrolled."""


def run() -> Iterator[tuple[str, str, str]]:
    """Rows: what, measured, to reach."""
    for task in _TASKS:
        command = [sys.executable, "-m", "benchmarks.gallery", task]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        conditions = f"{task}, {IMAGES:,} images"
        yield (
            f"gallery written ({conditions})",
            f"{found['written']:.1f} s, peak {found['peak']:.0f} MB with the buckets",
            "",
        )
        yield (
            f"index read; first page of a new filter; versions compared ({conditions})",
            f"{found['opened']:.0f}, {found['page']:.0f}, {found['compared']:.0f} ms",
            "",
        )
    yield from _page_rows()


# The domain's own part ------------------------------------------------------------------------------


def _fill(store: FakeObjects, version: str, task: TaskType, images: int) -> DatasetCard:
    """A version's manifests and label file, without anything that makes one."""
    names = Workspace(PROJECT)
    numbers: dict[Split, list[int]] = {split: [] for split in SPLITS}
    for number in range(images):
        numbers[SPLITS[(number % 20 > 13) + (number % 20 > 16)]].append(number)
    store.write_lines(names.labels(_JOB), write_rows(label_line(task, number) for number in range(images)))
    for split in SPLITS:
        store.write_lines(
            names.split(version, split), write_rows(_row(task, number) for number in numbers[split])
        )
    counts = {split: len(numbers[split]) for split in SPLITS}
    by_label = {split: dict.fromkeys(LABELS, counts[split] // len(LABELS)) for split in SPLITS}
    without = dict.fromkeys(SPLITS, 0)
    now = datetime(2026, 11, 21, tzinfo=UTC)
    card = DatasetCard(
        version, task, LABELS, now, None, (_JOB,), images, counts, by_label, without, {}, "generated"
    )
    store.write(names.dataset_card(version), card.to_json())
    return card


def _row(task: TaskType, number: int) -> Row:
    line = label_line(task, number)
    label = write_label(label_of_line(line, task), LABEL_ATTRIBUTES[task], task, LABELS, (64, 64))
    place = {"source-ref": f"s3://raw/{line['key']}", SHA256: line["sha256"], WIDTH: 64, HEIGHT: 64}
    return {**place, **label}


def _measure(task: TaskType) -> None:
    store = FakeObjects("workspace")
    card = _fill(store, "0001", task, IMAGES)
    written = _seconds(lambda: write_gallery(PROJECT, card, store, "raw"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _fill(store, "0002", task, IMAGES)
    opened = [_seconds(lambda: Galleries(store, "raw").open(PROJECT, "0001")) for _ in range(5)]
    galleries = Galleries(store, "raw")
    first, second = galleries.open(PROJECT, "0001"), galleries.open(PROJECT, "0002")

    def page(number: int) -> None:
        wanted = Wanted(label=LABELS[number], split="train", order="newest")
        found = first.select(wanted, Verdicts())
        assert len(first.rows(found[:60])) == 60

    pages = [_seconds(lambda number=number: page(number)) for number in range(5)]  # type: ignore[misc]
    compared = _seconds(lambda: compare(first, second))
    print(
        json.dumps(
            {
                "written": written,
                "peak": peak / 1024,
                "opened": statistics.median(opened) * 1000,
                "page": statistics.median(pages) * 1000,
                "compared": compared * 1000,
            }
        )
    )


def _seconds(work: Callable[[], object]) -> float:
    """Of processor time."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


# The page -------------------------------------------------------------------------------------------


class GalleryStub(ConsoleStub):
    """Has a thumbnail of every image."""

    def __init__(self, world: ServedWorld) -> None:
        super().__init__(world, LABELS)
        self._thumbnails = [_picture(number) for number in range(24)]

    def image(self, name: str) -> bytes | None:
        return self._thumbnails[sha256(name.encode()).digest()[0] % len(self._thumbnails)]


def _picture(number: int) -> bytes:
    """Noise in colours: a thumbnail larger than most."""
    pixels = random.Random(number).randbytes(48 * 48 * 3)  # noqa: S311 - not a secret
    buffer = io.BytesIO()
    Image.frombytes("RGB", (48, 48), pixels).resize((256, 256)).save(buffer, "WEBP", quality=75)
    return buffer.getvalue()


def _page_rows() -> Iterator[tuple[str, str, str]]:
    world = ServedWorld()
    config = ProjectConfig(task="image-classification", labels=LABELS)
    world.projects.save_config(PROJECT, config, None, "etag")
    card = _fill(world.workspace, "0001", "image-classification", IMAGES)
    write_gallery(PROJECT, card, world.workspace, "raw")
    assert world.workspace.exists(NAMES.gallery_index("0001"))
    with GalleryStub(world) as portal, sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_page(viewport=WINDOW)
        page.goto(portal.url)
        sign_in(page, "maria", portal.passwords["maria"])
        page.get_by_role("link", name=f"Dataset, {PROJECT}").wait_for()
        portal.delay = SERVER_SECONDS
        opened = [_open(page, portal) for _ in range(OPENED)]
        jumps = [_jump(page, share) for share in (0.2, 0.5, 0.8, 0.35, 0.95)]
        frames = page.evaluate(SCROLL, 60)
        tiles = page.locator(".tile").count()
        browser.close()
    where = f"{IMAGES:,} images, server takes {SERVER_SECONDS * 1000:.0f} ms an answer"
    yield (
        f"first {THUMBNAILS} thumbnails painted, median ({where})",
        f"{statistics.median(opened):.0f} ms",
        "1 s",
    )
    yield f"first {THUMBNAILS} thumbnails painted, slowest of {OPENED}", f"{max(opened):.0f} ms", "1 s"
    yield "thumbnails painted after a jump to any place, median", f"{statistics.median(jumps):.0f} ms", ""
    yield (
        "a frame while scrolling 60 pixels each, median and p95",
        f"{statistics.median(frames):.0f} ms, {statistics.quantiles(frames, n=20)[-1]:.0f} ms",
        "",
    )
    yield "tiles in the page", str(tiles), ""


def _open(page: Page, portal: GalleryStub) -> float:
    """From the click on the link until the thumbnails are painted; nothing is left of an earlier look."""
    page.goto("about:blank")
    page.goto(f"{portal.url}#/projects")
    link = page.get_by_role("link", name=f"Dataset, {PROJECT}")
    link.wait_for()
    start = page.evaluate("performance.now()")
    link.evaluate("(link) => link.click()")
    return float(page.evaluate(PAINTED, [THUMBNAILS, start]))


def _jump(page: Page, share: float) -> float:
    start = page.evaluate("performance.now()")
    page.evaluate("(share) => scrollTo(0, document.documentElement.scrollHeight * share)", share)
    page.wait_for_timeout(30)
    return float(page.evaluate(IN_VIEW, [start]))


if __name__ == "__main__":
    _measure(next(task for task in _TASKS if task == sys.argv[1]))
