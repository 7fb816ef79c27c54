"""Of large images a smaller copy is shown until somebody zooms in, and boxes on it are as exact."""

import io
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage, Serve, expect_all_sent, expect_image, wait_until
from tests.browser.drawing import Pen, box, boxes_project
from tests.browser.portal_stub import PortalStub, StubImage

SIZE = (2400, 1200)
UPRIGHT = (1200, 2400)
COPY = (1200, 600)


def photo(number: int, orientation: int = 1) -> StubImage:
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.new("RGB", SIZE, (90, 40 * number, 80)).save(buffer, "JPEG", exif=exif)
    return StubImage(f"parts/{number:03}.jpg", buffer.getvalue(), *SIZE, orientation)


def give_previews(portal: PortalStub, images: list[StubImage]) -> None:
    """The portal has copies of those images."""
    there = {image.sha256: f"{image.name}.webp" for image in images}
    for name in there.values():
        buffer = io.BytesIO()
        Image.new("RGB", COPY, (90, 120, 80)).save(buffer, "WEBP")
        portal.files[name] = buffer.getvalue()

    def previews(_query: dict[str, str], body: Any) -> Any:
        assert body["size"] == "preview"
        found = [sha256 for sha256 in body["images"] if sha256 in there]
        return {
            "previews": [
                {
                    "sha256": sha256,
                    "url": f"{portal.cloud_url}images/{there[sha256]}",
                    "width": 1,
                    "height": 1,
                }
                for sha256 in found
            ],
            "missing": [{"sha256": each, "reason": "later"} for each in body["images"] if each not in found],
        }

    portal.pages["POST", "projects/parts/previews"] = previews


def source(page: Page) -> str:
    return str(page.locator("loupe-stage img").get_attribute("src"))


@pytest.mark.parametrize("orientation", [1, 6])
def test_boxes_on_a_copy_are_in_pixels_of_the_original(
    serve: Serve, open_page: OpenPage, orientation: int
) -> None:
    images = [photo(number, orientation) for number in range(3)]
    portal = serve(boxes_project(images=images))
    give_previews(portal, images)
    page = open_page(portal, "#/projects/parts")
    expect_image(page, "parts/000.jpg")
    assert ".webp" in source(page)
    pen = Pen(page, SIZE if orientation == 1 else UPRIGHT)
    # Where the box is on the original when it is upright.
    upright = (200, 100, 400, 300) if orientation == 1 else (800, 200, 300, 400)
    pen.draw(*upright)
    pen.zoom(4, upright[0], upright[1])
    wait_until(page, lambda: ".webp" not in source(page))
    expect_image(page, "parts/000.jpg")
    pen.drag((upright[0], upright[1]), (upright[0] + 7, upright[1] + 5))
    page.keyboard.press("Enter")
    expect_image(page, "parts/001.jpg")
    assert ".webp" in source(page)
    expect_all_sent(page)
    expected = box("bolt", 207, 105, 393, 295) if orientation == 1 else box("bolt", 205, 100, 395, 293)
    assert portal.projects["parts"].answered("boxes")[0] == [expected]


def test_an_original_is_shown_where_there_is_no_copy(serve: Serve, open_page: OpenPage) -> None:
    images = [photo(number) for number in range(3)]
    portal = serve(boxes_project(images=images))
    give_previews(portal, images[:2])
    portal.files[f"{images[1].name}.webp"] = b"damaged"
    page = open_page(portal, "#/projects/parts")
    for number, is_copy in enumerate([True, False, False]):
        expect_image(page, f"parts/{number:03}.jpg")
        assert (".webp" in source(page)) is is_copy
        page.keyboard.press("n")
    expect(page.get_by_role("heading", name="All done")).to_be_visible()


def test_a_photo_that_is_turned_otherwise_than_registered_takes_no_boxes(
    serve: Serve, open_page: OpenPage
) -> None:
    turned = photo(0, 6)
    turned.orientation = 1
    portal = serve(boxes_project(images=[turned]))
    page = open_page(portal, "#/projects/parts")
    expect(page.get_by_role("heading", name="This image can't be marked")).to_be_visible()
    page.keyboard.press("n")
    page.keyboard.press("s")
    page.keyboard.press("1")
    expect(page.get_by_role("heading", name="No work left")).to_be_visible()
    expect_all_sent(page)
    assert portal.annotations() == [{"skip": "Blurred or too dark"}]
