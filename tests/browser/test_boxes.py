"""Boxes: what is drawn is what the annotation says, to the pixel."""

import io

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.conftest import PHONE, OpenPage, Serve, expect_all_sent, expect_image
from tests.browser.drawing import SIZE, Fingers, Pen, box, boxes_project, expect_boxes
from tests.browser.portal_stub import StubImage


def test_a_batch_of_boxes_is_drawn_with_the_mouse(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(boxes_project(tasks=3))
    page = open_page(portal, "#/projects/parts")
    pen = Pen(page)
    expect_image(page, "parts/000.png")
    pen.draw(10, 20, 50, 60)
    page.get_by_role("button", name="nut").click()
    pen.drag((200, 150), (120, 90))
    page.keyboard.press("Enter")
    expect_image(page, "parts/001.png")
    expect_boxes(page, 0)
    pen.draw(250, 150, 400, 400)
    page.get_by_role("button", name="Submit").click()
    expect_image(page, "parts/002.png")
    page.get_by_role("button", name="Nothing to mark").click()
    expect(page.get_by_role("heading", name="All done: 3 images labeled by you")).to_be_visible()
    expect_all_sent(page)
    assert portal.projects["parts"].answered("boxes") == [
        [box("nut", 10, 20, 50, 60), box("nut", 120, 90, 80, 60)],
        [box("nut", 250, 150, 50, 50)],
        [],
    ]


@pytest.mark.parametrize("zoom", [1, 4])
def test_boxes_are_exact_and_can_be_moved_and_resized_at_any_zoom(
    serve: Serve, open_page: OpenPage, zoom: int
) -> None:
    portal = serve(boxes_project())
    page = open_page(portal, "#/projects/parts")
    pen = Pen(page)
    expect_image(page, "parts/000.png")
    if zoom > 1:
        pen.zoom(zoom, 100, 60)
    pen.draw(91, 63, 30, 20)
    pen.drag((91, 63), (88, 61))
    pen.drag((121, 72), (119, 90))
    pen.drag((104, 72), (109, 70))
    pen.drag((108, 59), (70, 99))
    page.keyboard.press("Enter")
    expect_all_sent(page)
    # Its top-left corner went by (-3, -2), its right edge by -2, all by (5, -2), its top below its bottom.
    assert portal.projects["parts"].answered("boxes")[0] == [box("bolt", 93, 81, 31, 18)]


def test_a_batch_of_boxes_is_drawn_by_keyboard_alone(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(boxes_project(tasks=2))
    page = open_page(portal, "#/projects/parts")
    expect_image(page, "parts/000.png")
    page.keyboard.press("d")
    page.keyboard.press("2")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    page.keyboard.press("c")
    page.keyboard.press("3")
    page.keyboard.press(",")
    page.keyboard.press("Delete")
    expect_boxes(page, 1)
    page.keyboard.press("d")
    page.keyboard.press("Enter")
    expect_image(page, "parts/001.png")
    page.keyboard.press("Enter")
    expect(page.locator(".notice")).to_contain_text(["Draw a box, or answer Nothing to mark with N."])
    page.keyboard.press("n")
    expect(page.get_by_role("heading", name="All done")).to_be_visible()
    expect_all_sent(page)
    first = box("nut", 112, 76, 76, 49)
    copy = box("washer", first["left"] + 19, first["top"] + 12, 76, 49)
    assert portal.projects["parts"].answered("boxes") == [[copy, box("nut", 113, 75, 75, 50)], []]


def test_one_finger_draws_and_two_move_the_image(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(boxes_project())
    page = open_page(portal, "#/projects/parts", **PHONE)
    fingers = Fingers(page)
    expect_image(page, "parts/000.png")
    fingers.draw(30, 40, 100, 60)
    expect_boxes(page, 1)
    fingers.pinch(((140, 90), (160, 110)), ((90, 40), (210, 160)))
    expect(page.locator("loupe-stage")).to_have_class("drawn-on zoomed")
    page.get_by_role("button", name="washer").tap()
    fingers.draw(140, 90, 15, 12)
    expect_boxes(page, 2)
    page.get_by_role("button", name="Submit").tap()
    expect_image(page, "parts/001.png")
    expect_all_sent(page)
    assert portal.projects["parts"].answered("boxes")[0] == [
        box("washer", 30, 40, 100, 60),
        box("washer", 140, 90, 15, 12),
    ]


def test_turning_the_phone_changes_no_box(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(boxes_project())
    page = open_page(portal, "#/projects/parts", **PHONE)
    fingers = Fingers(page)
    expect_image(page, "parts/000.png")
    fingers.draw(31, 41, 99, 61)
    portrait = fingers.at(*SIZE)
    page.set_viewport_size({"width": 844, "height": 390})
    page.wait_for_timeout(100)
    assert fingers.at(*SIZE) != portrait
    fingers.draw(202, 103, 77, 55)
    expect_boxes(page, 2)
    page.get_by_role("button", name="Submit").tap()
    expect_image(page, "parts/001.png")
    expect_all_sent(page)
    assert portal.projects["parts"].answered("boxes")[0] == [
        box("bolt", 31, 41, 99, 61),
        box("bolt", 202, 103, 77, 55),
    ]


# A box of the stored image of 300 by 200 pixels, and where it is when EXIF has turned it.
TURNED = {
    1: (10, 20, 30, 40),
    2: (260, 20, 30, 40),
    3: (260, 140, 30, 40),
    4: (10, 140, 30, 40),
    5: (20, 10, 40, 30),
    6: (140, 10, 40, 30),
    7: (140, 260, 40, 30),
    8: (20, 260, 40, 30),
}


@pytest.mark.parametrize("orientation", [3, 6, 7, 8])
def test_boxes_on_a_photo_that_exif_turns_are_in_pixels_as_stored(
    serve: Serve, open_page: OpenPage, orientation: int
) -> None:
    portal = serve(boxes_project(images=[photo(orientation)]))
    page = open_page(portal, "#/projects/parts")
    size = SIZE if orientation < 5 else (SIZE[1], SIZE[0])
    pen = Pen(page, size)
    expect_image(page, "parts/turned.jpg")
    natural = page.locator("loupe-stage img").evaluate("image => [image.naturalWidth, image.naturalHeight]")
    assert tuple(natural) == size
    pen.draw(*TURNED[orientation])
    page.keyboard.press("Enter")
    expect_all_sent(page)
    assert portal.projects["parts"].answered("boxes") == [[box("bolt", *TURNED[1])]]
    page.keyboard.press("u")
    expect_boxes(page, 1)
    page.keyboard.press(".")
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    expect_all_sent(page)
    assert portal.projects["parts"].answered("boxes") == [[box("nut", *TURNED[1])]]


def photo(orientation: int) -> StubImage:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", SIZE, (90, 120, 80)).save(buffer, "JPEG", exif=exif)
    return StubImage("parts/turned.jpg", buffer.getvalue(), *SIZE, orientation)


def test_everything_on_the_image_is_undone_and_redone(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(boxes_project())
    page = open_page(portal, "#/projects/parts")
    pen = Pen(page)
    expect_image(page, "parts/000.png")
    pen.draw(10, 10, 40, 40)
    page.keyboard.press("3")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("c")
    expect_boxes(page, 2)
    page.keyboard.press("n")
    expect_boxes(page, 0)
    for boxes in (2, 1, 1, 1, 0):
        page.keyboard.press("Control+z")
        expect_boxes(page, boxes)
    page.keyboard.press("Control+z")
    expect_image(page, "parts/000.png")
    for _ in range(2):
        page.keyboard.press("Control+y")
    page.keyboard.press("Control+Shift+z")
    page.keyboard.press("Enter")
    expect_all_sent(page)
    assert portal.projects["parts"].answered("boxes")[0] == [box("washer", 11, 10, 40, 40)]


def test_going_back_shows_the_earlier_boxes_and_keeps_those_begun(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(boxes_project())
    page = open_page(portal, "#/projects/parts")
    pen = Pen(page)
    expect_image(page, "parts/000.png")
    pen.draw(10, 10, 40, 40)
    page.keyboard.press("Enter")
    expect_image(page, "parts/001.png")
    pen.draw(100, 100, 20, 20)
    page.keyboard.press("u")
    expect_image(page, "parts/000.png")
    expect(page.get_by_text("Your answer: 1 box")).to_be_visible()
    pen.draw(200, 100, 20, 30)
    page.keyboard.press("Enter")
    expect_image(page, "parts/001.png")
    expect_boxes(page, 1)
    page.reload()
    expect_image(page, "parts/001.png")
    expect_boxes(page, 1)
    page.keyboard.press("Enter")
    expect_image(page, "parts/002.png")
    expect_all_sent(page)
    assert portal.projects["parts"].answered("boxes")[:2] == [
        [box("bolt", 10, 10, 40, 40), box("bolt", 200, 100, 20, 30)],
        [box("bolt", 100, 100, 20, 20)],
    ]


def test_boxes_inside_others_are_reached_and_drawn(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(boxes_project())
    page = open_page(portal, "#/projects/parts")
    pen = Pen(page)
    expect_image(page, "parts/000.png")
    pen.draw(20, 20, 200, 150)
    page.keyboard.down("Alt")
    pen.draw(60, 60, 40, 40)
    page.keyboard.up("Alt")
    pen.click(150, 150)
    expect(page.locator(".marks-list [aria-current]")).to_contain_text("200")
    pen.click(80, 80)
    expect(page.locator(".marks-list [aria-current]")).to_contain_text("40")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="1 bolt 200").click()
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    expect_all_sent(page)
    assert portal.projects["parts"].answered("boxes")[0] == [box("nut", 20, 20, 200, 150)]


def test_html_in_labels_of_boxes_shows_as_text(serve: Serve, open_page: OpenPage) -> None:
    evil = "<img src=x onerror=\"document.title='broken'\">"
    portal = serve(boxes_project(labels=[evil, *(f"<b>{number}</b>" for number in range(11))]))
    page = open_page(portal, "#/projects/parts")
    expect_image(page, "parts/000.png")
    Pen(page).draw(10, 10, 100, 100)
    expect(page.locator(".mark-name")).to_have_text(evil)
    page.keyboard.press("/")
    page.keyboard.type("b>10")
    expect(page.locator(".label-name:visible")).to_have_text(["<b>10</b>"])
    page.keyboard.press("Enter")
    expect(page.locator(".mark-name")).to_have_text("<b>10</b>")
    page.keyboard.press("Enter")
    expect_image(page, "parts/001.png")
    expect_all_sent(page)
    assert page.title() == "parts · Loupe"
    assert portal.projects["parts"].answered("boxes")[0] == [box("<b>10</b>", 10, 10, 100, 100)]
