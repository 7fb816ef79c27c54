from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE, OpenPage, Serve, expect_image
from tests.browser.drawing import boxes_project, expect_boxes
from tests.browser.portal_stub import plain_project

RULES = {
    "runOnly": {
        "type": "tag",
        "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    }
}

Scheme = Literal["light", "dark"]


def expect_accessible(page: Page) -> None:
    results = Axe().run(page, options=RULES)
    assert results.violations_count == 0, results.generate_report()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_passes_the_accessibility_rules(serve: Serve, open_page: OpenPage, scheme: Scheme) -> None:
    portal = serve(plain_project(), plain_project("asleep", open=False))
    page = open_page(portal, worker=None, color_scheme=scheme)
    expect(page.get_by_label("User name")).to_be_visible()
    expect_accessible(page)
    page.get_by_label("User name").fill("maria")
    page.get_by_label("Password").fill("correct horse")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Start labeling shapes")).to_be_visible()
    expect_accessible(page)
    page.get_by_role("link", name="Start labeling shapes").click()
    expect_image(page, "shapes/000.png")
    expect_accessible(page)
    page.keyboard.press("1")
    expect_image(page, "shapes/001.png")
    page.keyboard.press("u")
    expect(page.get_by_text("Your answer: circle")).to_be_visible()
    expect_accessible(page)
    page.keyboard.press("s")
    expect_accessible(page)
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect_accessible(page)
    page.goto(f"{portal.url}#/projects/asleep")
    expect(page.get_by_role("heading", name="No work left")).to_be_visible()
    expect_accessible(page)


def test_the_phone_and_many_labels_pass_the_accessibility_rules(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(plain_project(labels=[f"kind {number}" for number in range(14)]))
    page = open_page(portal, "#/projects/shapes", **PHONE)
    expect_image(page, "shapes/000.png")
    page.get_by_label("Find a label").fill("3")
    expect_accessible(page)
    portal.annotation_status = 503
    page.get_by_role("option", name="kind 13").tap()
    expect(page.locator(".banner")).to_be_visible()
    expect_accessible(page)


@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark"}, PHONE], ids=["light", "dark", "phone"])
def test_boxes_and_several_labels_pass_the_accessibility_rules(
    serve: Serve, open_page: OpenPage, options: dict[str, Any]
) -> None:
    portal = serve(boxes_project(), plain_project(task="multi-label-classification"))
    page = open_page(portal, "#/projects/parts", **options)
    expect_image(page, "parts/000.png")
    page.keyboard.press("d")
    page.keyboard.press("c")
    expect_boxes(page, 2)
    expect_accessible(page)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_contain_text("Draw a box in the middle")
    expect_accessible(page)
    page.goto(f"{portal.url}#/projects/shapes")
    expect_image(page, "shapes/000.png")
    page.keyboard.press("2")
    expect_accessible(page)


def test_boxes_are_spoken_and_listed(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(boxes_project())
    page = open_page(portal, "#/projects/parts")
    expect_image(page, "parts/000.png")
    spoken = page.locator("loupe-notices [aria-atomic]")
    page.keyboard.press("d")
    expect(spoken).to_have_text("New box: Box 1, bolt, 75 by 50 at 113, 75")
    page.keyboard.press("2")
    expect(spoken).to_have_text("Box 1, nut, 75 by 50 at 113, 75")
    page.keyboard.press("Delete")
    expect(spoken).to_have_text("Deleted, 0 boxes")
    page.keyboard.press("Control+z")
    expect(spoken).to_have_text("Undone, 1 box")
    expect(page.get_by_role("list", name="Boxes").get_by_role("button")).to_contain_text(["nut"])
    page.keyboard.press("Enter")
    expect(spoken).to_have_text("1 box, 1 of 4 answered")


def test_answers_and_progress_are_spoken(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(plain_project())
    page = open_page(portal, "#/projects/shapes")
    expect_image(page, "shapes/000.png")
    spoken = page.locator("loupe-notices [aria-atomic]")
    page.keyboard.press("2")
    expect(spoken).to_have_text("square, 1 of 12 answered")
    page.keyboard.press("u")
    expect(spoken).to_contain_text("Back to an earlier image. square.")
    page.keyboard.press("3")
    expect(spoken).to_have_text("Corrected: triangle, 1 of 12 answered")


def test_tab_reaches_every_control_in_reading_order_with_visible_focus(
    serve: Serve, open_page: OpenPage
) -> None:
    portal = serve(plain_project())
    page = open_page(portal, "#/projects/shapes")
    expect_image(page, "shapes/000.png")
    page.keyboard.press("1")
    expect_image(page, "shapes/001.png")
    expected = ["Zoom", "Pixels", "Instructions", "circle", "square", "triangle", "Back", "Skip", "Keys"]
    reached = []
    for _ in expected:
        page.keyboard.press("Tab")
        focused = page.locator(":focus-visible")
        outline = focused.evaluate("element => getComputedStyle(element).outlineStyle")
        assert outline == "solid"
        reached.append(
            focused.evaluate("element => element.ariaLabel ?? element.querySelector('span')?.textContent")
        )
    assert [name or "Instructions" for name in reached] == expected
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Why skip this image?")).to_be_visible()


def test_focus_returns_to_the_page_after_a_dialog(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(plain_project())
    page = open_page(portal, "#/projects/shapes")
    expect_image(page, "shapes/000.png")
    skip = page.get_by_role("button", name="Skip")
    skip.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    expect(skip).to_be_focused()
