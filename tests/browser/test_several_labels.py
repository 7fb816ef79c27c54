"""Several labels an image: each on or off, or none of them."""

from typing import Any

from playwright.sync_api import expect

from tests.browser.conftest import PHONE, OpenPage, Serve, expect_all_sent, expect_image
from tests.browser.portal_stub import StubProject, plain_project


def project(tasks: int = 4, **options: Any) -> StubProject:
    return plain_project(tasks=tasks, task="multi-label-classification", **options)


def test_a_batch_is_labeled_by_keyboard_alone(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(project(tasks=3))
    page = open_page(portal, "#/projects/shapes")
    expect_image(page, "shapes/000.png")
    page.keyboard.press("3")
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect_image(page, "shapes/001.png")
    page.keyboard.press("2")
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    expect(page.locator(".notice")).to_contain_text(["Switch labels on, or answer None of these with N."])
    page.keyboard.press("n")
    expect_image(page, "shapes/002.png")
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="All done: 3 images labeled by you")).to_be_visible()
    expect_all_sent(page)
    assert portal.projects["shapes"].answered("labels") == [["circle", "triangle"], [], ["square"]]


def test_labels_are_switched_with_the_mouse_and_undone(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(project())
    page = open_page(portal, "#/projects/shapes")
    expect_image(page, "shapes/000.png")
    page.get_by_role("button", name="square").click()
    page.get_by_role("button", name="circle").click()
    page.get_by_role("button", name="Clear all").click()
    expect(page.get_by_role("button", name="None of these")).to_be_visible()
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+Shift+z")
    expect(page.get_by_role("button", name="circle")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Enter")
    expect_image(page, "shapes/001.png")
    page.keyboard.press("u")
    expect(page.get_by_text("Your answer: circle, square")).to_be_visible()
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect_image(page, "shapes/001.png")
    expect_all_sent(page)
    assert portal.projects["shapes"].answered("labels")[:2] == [["square"], None]


def test_labels_are_switched_by_touch_on_a_phone(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(project())
    page = open_page(portal, "#/projects/shapes", **PHONE)
    expect_image(page, "shapes/000.png")
    page.get_by_role("button", name="triangle").tap()
    page.get_by_role("button", name="Submit").tap()
    expect_image(page, "shapes/001.png")
    page.get_by_role("button", name="None of these").tap()
    expect_image(page, "shapes/002.png")
    expect_all_sent(page)
    assert portal.projects["shapes"].answered("labels")[:2] == [["triangle"], []]


def test_more_than_ten_labels_are_found_by_typing(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(project(labels=[f"<i>kind {number}</i>" for number in range(14)]))
    page = open_page(portal, "#/projects/shapes")
    expect_image(page, "shapes/000.png")
    page.keyboard.type("12")
    expect(page.locator(".label-name:visible")).to_have_text(["<i>kind 12</i>"])
    page.keyboard.press("Enter")
    page.keyboard.type("kind 3")
    page.keyboard.press("Enter")
    page.keyboard.press("Backspace")
    page.keyboard.press("Enter")
    expect_image(page, "shapes/001.png")
    expect_all_sent(page)
    assert portal.projects["shapes"].answered("labels")[0] == ["<i>kind 3</i>", "<i>kind 12</i>"]
