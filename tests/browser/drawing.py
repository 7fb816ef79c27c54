"""Boxes drawn on the labeling page by mouse and by fingers, in pixels of the image shown."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import CDPSession, FloatRect, Page, expect

from tests.browser.portal_stub import StubImage, StubProject, plain_image

Json = dict[str, Any]
Point = tuple[float, float]

LABELS = ["bolt", "nut", "washer"]
SIZE = (300, 200)
BETWEEN = 3
"""Steps of a drag."""


def box(label: str, left: int, top: int, width: int, height: int) -> Json:
    return {"label": label, "left": left, "top": top, "width": width, "height": height}


def boxes_project(tasks: int = 4, images: list[StubImage] | None = None, **options: Any) -> StubProject:
    """A project of bounding boxes, its images of 300 by 200 pixels named parts/000.png, ..."""
    images = images or [plain_image(60 + 20 * task, f"parts/{task:03}.png", SIZE) for task in range(tasks)]
    return StubProject("parts", options.pop("labels", LABELS), images, task="bounding-box", **options)


def expect_boxes(page: Page, count: int) -> None:
    """So many boxes are on the image."""
    expect(page.locator(".marks-list li")).to_have_count(count)


class Pen:
    """The mouse on the image that is on screen, whose upright width and height are `size`."""

    def __init__(self, page: Page, size: tuple[int, int] = SIZE) -> None:
        self._page, self._size = page, size

    def at(self, x: float, y: float) -> Point:
        """Where a point of the image is on screen."""
        shown = self._shown()
        width, height = self._size
        return shown["x"] + x * shown["width"] / width, shown["y"] + y * shown["height"] / height

    def drag(self, start: Point, end: Point) -> None:
        self._page.mouse.move(*self.at(*start))
        self._page.mouse.down()
        self._page.mouse.move(*self.at(*end), steps=BETWEEN)
        self._page.mouse.up()

    def draw(self, left: float, top: float, width: float, height: float) -> None:
        self.drag((left, top), (left + width, top + height))

    def click(self, x: float, y: float) -> None:
        self._page.mouse.click(*self.at(x, y))

    def zoom(self, factor: float, x: float, y: float) -> None:
        """Turns the wheel over a point of the image."""
        self._page.mouse.move(*self.at(x, y))
        before = self._shown()["width"]
        self._page.mouse.wheel(0, -300 * math.log(factor))
        for _ in range(100):
            if abs(self._shown()["width"] - factor * before) < 1:
                return
            self._page.wait_for_timeout(20)
        raise AssertionError("the wheel did not zoom")

    def _shown(self) -> FloatRect:
        """Where the image is; just then another may take its place, as the original does that of its copy."""
        for _ in range(100):
            if (shown := self._page.locator("loupe-stage img").bounding_box()) is not None:
                return shown
        raise AssertionError("there is no image")


class Fingers(Pen):
    """Fingers on a touch screen."""

    def __init__(self, page: Page, size: tuple[int, int] = SIZE) -> None:
        super().__init__(page, size)
        self._session: CDPSession = page.context.new_cdp_session(page)

    def drag(self, start: Point, end: Point) -> None:
        with self._down([self.at(*start)]):
            self._move([self.at(*start)], [self.at(*end)])

    def pinch(self, start: tuple[Point, Point], end: tuple[Point, Point]) -> None:
        """Two fingers, from points of the image to others."""
        begin, finish = [self.at(*point) for point in start], [self.at(*point) for point in end]
        with self._down(begin):
            self._move(begin, finish)

    @contextmanager
    def _down(self, points: list[Point]) -> Iterator[None]:
        for count in range(1, len(points) + 1):
            self._send("touchStart", points[:count])
        yield
        self._send("touchEnd", [])

    def _move(self, start: list[Point], end: list[Point]) -> None:
        for step in range(1, BETWEEN + 1):
            part = step / BETWEEN
            points = [
                (a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part)
                for a, b in zip(start, end, strict=True)
            ]
            self._send("touchMove", points)

    def _send(self, kind: str, points: list[Point]) -> None:
        touches = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        self._session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})
