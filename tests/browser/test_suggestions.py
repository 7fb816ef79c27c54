"""What the project's model suggests: accepted with a key, or corrected, and the annotation says which."""

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenPage, Serve, expect_all_sent, expect_image, wait_until
from tests.browser.drawing import Pen, box, boxes_project, expect_boxes
from tests.browser.portal_stub import Json, PortalStub, Refusal, plain_project


def suggest(portal: PortalStub, project: str, says: list[dict[str, Any] | None]) -> None:
    """What the model says of each task; None: there is no model."""

    def answer(said: dict[str, Any] | None) -> Any:
        if said is None:
            raise Refusal(409, "no-model-yet", "There is no champion.")
        return {"model_version": "0003", **said}

    for task, said in enumerate(says):
        path = f"projects/{project}/jobs/job-1/tasks/{task:06}/suggestion"
        portal.pages["GET", path] = lambda _query, _body, said=said: answer(said)  # type: ignore[misc]


def accepted(is_accepted: bool) -> dict[str, Any]:
    return {"suggestion": {"model_version": "0003", "accepted": is_accepted}}


def test_suggested_boxes_are_taken_over_or_corrected(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(boxes_project(tasks=4, suggest=True))
    found = [
        {"label": "nut", "left": 10.2, "top": 20.4, "width": 49.9, "height": 60.1},
        {"label": "bolt", "left": 200.0, "top": 100.0, "width": 140.0, "height": 40.0},
    ]
    suggest(portal, "parts", [{"boxes": found}, {"boxes": found}, {"boxes": []}, None])
    page = open_page(portal, "#/projects/parts")
    expect_image(page, "parts/000.png")
    expect(page.locator(".suggested-note")).to_contain_text("The model suggests 2 boxes.")
    page.keyboard.press("Enter")
    expect(page.locator(".notice")).to_contain_text(["take over what is suggested with A"])
    page.keyboard.press("a")
    expect_boxes(page, 2)
    page.keyboard.press("Enter")
    expect_image(page, "parts/001.png")
    Pen(page).click(30, 50)
    expect_boxes(page, 1)
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    expect_image(page, "parts/002.png")
    expect(page.locator(".suggested-note")).to_contain_text("The model finds nothing to mark.")
    page.keyboard.press("n")
    expect_image(page, "parts/003.png")
    expect(page.locator(".suggested-note")).to_be_hidden()
    page.keyboard.press("n")
    expect_all_sent(page)
    whole = box("nut", 10, 20, 50, 61)
    assert portal.annotations() == [
        {"boxes": [whole, box("bolt", 200, 100, 100, 40)], **accepted(True)},
        {"boxes": [whole | {"label": "washer"}], **accepted(False)},
        {"boxes": [], **accepted(True)},
        {"boxes": []},
    ]


def test_where_the_model_has_nothing_to_say_it_is_asked_of_other_images(
    serve: Serve, open_page: OpenPage
) -> None:
    portal = serve(plain_project(tasks=4, suggest=True))
    suggest(portal, "shapes", [{"label": "square"}] * 4)

    def nothing(_query: Json, _body: Json) -> Json:
        raise Refusal(409, "no-suggestion", "The model says nothing of it.")

    for task in range(2):
        portal.pages["GET", f"projects/shapes/jobs/job-1/tasks/{task:06}/suggestion"] = nothing
    page = open_page(portal, "#/projects/shapes")
    for task in range(2):
        expect_image(page, f"shapes/{task:03}.png")
        expect(page.locator(".label.suggested")).to_have_count(0)
        page.keyboard.press("1")
    expect_image(page, "shapes/002.png")
    expect(page.locator(".label.suggested")).to_contain_text(["square"])


@pytest.mark.parametrize(
    "refusal", [Refusal(502, "model-unavailable"), Refusal(409, "no-model-yet"), Refusal(503, "try-again")]
)
def test_what_failed_is_asked_again_a_minute_later_and_not_before(
    serve: Serve, open_page: OpenPage, refusal: Refusal
) -> None:
    portal = serve(plain_project(tasks=4, suggest=True))
    suggest(portal, "shapes", [{"label": "square"}] * 4)
    asked: list[str] = []

    def fails_first(_query: Json, _body: Json) -> Json:
        asked.append("again" if asked else "first")
        if len(asked) == 1:
            raise refusal
        return {"model_version": "0003", "label": "circle"}

    portal.pages["GET", "projects/shapes/jobs/job-1/tasks/000001/suggestion"] = fails_first
    page = open_page(portal, "#/projects/shapes", clock=True)
    expect_image(page, "shapes/000.png")
    expect(page.locator(".label.suggested")).to_contain_text(["square"])
    wait_until(page, lambda: asked == ["first"])
    page.clock.run_for(61_000)
    assert asked == ["first"]
    page.keyboard.press("Enter")
    expect_image(page, "shapes/001.png")
    expect(page.locator(".label.suggested")).to_contain_text(["circle"])
    assert asked == ["first", "again"]


def test_suggested_labels_are_on_until_they_are_switched_off(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(plain_project(tasks=2, task="multi-label-classification", suggest=True))
    suggest(portal, "shapes", [{"labels": ["triangle", "circle"]}] * 2)
    page = open_page(portal, "#/projects/shapes")
    expect_image(page, "shapes/000.png")
    expect(page.get_by_role("button", name="triangle")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Enter")
    expect_image(page, "shapes/001.png")
    expect(page.get_by_role("button", name="triangle")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="All done")).to_be_visible()
    expect_all_sent(page)
    assert portal.annotations() == [
        {"labels": ["circle", "triangle"], **accepted(True)},
        {"labels": ["triangle"], **accepted(False)},
    ]


def test_a_suggested_label_is_accepted_with_enter(serve: Serve, open_page: OpenPage) -> None:
    portal = serve(plain_project(tasks=2, suggest=True))
    suggest(portal, "shapes", [{"label": "square"}] * 2)
    page = open_page(portal, "#/projects/shapes")
    expect_image(page, "shapes/000.png")
    expect(page.locator(".label.suggested")).to_contain_text(["square"])
    page.keyboard.press("Enter")
    expect_image(page, "shapes/001.png")
    expect(page.locator(".label.suggested")).to_contain_text(["square"])
    page.keyboard.press("3")
    expect_all_sent(page)
    assert portal.annotations() == [
        {"label": "square", **accepted(True)},
        {"label": "triangle", **accepted(False)},
    ]
