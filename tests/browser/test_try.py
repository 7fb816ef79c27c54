"""The console's page that asks the model about a picture."""

import io
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import FilePayload, Locator, Page, expect

from tests.browser.conftest import PHONE, OpenPage, Serve, wait_until
from tests.browser.portal_stub import Json, PortalStub, Refusal, as_png, plain_project
from tests.browser.test_accessibility import expect_accessible

PROJECT = "parts"
ROUTE = f"#/projects/{PROJECT}/try"
MOST_BYTES = 4_500_000
ORIENTATION = 0x0112
SIDES = {"left": 10.0, "top": 5.0, "width": 40.0, "height": 20.0}
BOX = {"label": "<i>bolt</i>", "confidence": 0.91, "box": SIDES}


def answer(task: str, predictions: list[Json]) -> Json:
    return {
        "prediction_id": "20261121t120000-1",
        "project": PROJECT,
        "model_version": "0003",
        "task": task,
        "predictions": predictions,
    }


@pytest.fixture
def portal(serve: Serve) -> PortalStub:
    return serve(plain_project(PROJECT))


def answers(portal: PortalStub, given: Json | Refusal) -> list[Json]:
    """Has the model answer so; what it was asked is collected."""
    asked: list[Json] = []

    def predict(_query: dict[str, str], body: Json) -> Json:
        asked.append(body)
        if isinstance(given, Refusal):
            raise given
        return given

    portal.pages["POST", f"projects/{PROJECT}/predictions"] = predict
    return asked


def choose(page: Page, content: bytes, media_type: str = "image/png", name: str = "a <b>.png") -> None:
    chooser = page.get_by_label("Choose a picture")
    chooser.set_input_files(FilePayload(name=name, mimeType=media_type, buffer=content))


def picture(size: tuple[int, int] = (100, 50)) -> bytes:
    return as_png(Image.new("RGB", size, (120, 140, 160)))


def jpeg(size: tuple[int, int], orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    buffer = io.BytesIO()
    Image.new("RGB", size, (200, 60, 60)).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def test_labels_are_listed_with_bars_best_first(portal: PortalStub, open_page: OpenPage) -> None:
    found = [{"label": f"<b>{number}</b>", "confidence": 0.9 / 3**number} for number in range(12)]
    asked = answers(portal, answer("image-classification", found))
    page = open_page(portal, ROUTE)
    image = picture()
    choose(page, image)
    items = page.locator(".guesses li")
    expect(items).to_have_count(10)
    expect(items.first).to_contain_text("<b>0</b>90.0 %")
    expect(page.get_by_text("2 further labels with less.")).to_be_visible()
    expect(page.get_by_role("link", name="Model 0003")).to_be_visible()
    assert asked == [{"type": "image/png", "image": image}]


def test_of_several_labels_those_that_apply_are_told(portal: PortalStub, open_page: OpenPage) -> None:
    found = [
        {"label": "rust", "confidence": 0.8, "threshold": 0.6},
        {"label": "dent", "confidence": 0.5, "threshold": 0.7},
    ]
    answers(portal, answer("multi-label-classification", found))
    page = open_page(portal, ROUTE)
    choose(page, picture())
    expect(page.locator(".guesses li").nth(0)).to_contain_text("applies")
    expect(page.locator(".guesses li").nth(1)).to_contain_text("below its threshold of 70 %")


def corner(part: Locator, picture: Locator) -> tuple[float, float, float, float]:
    """A part's place and size as shares of the picture's width."""
    inner, outer = part.bounding_box(), picture.bounding_box()
    assert inner is not None
    assert outer is not None
    return tuple(  # type: ignore[return-value] # four of them
        share / outer["width"]
        for share in (inner["x"] - outer["x"], inner["y"] - outer["y"], inner["width"], inner["height"])
    )


def test_boxes_are_drawn_where_they_are(portal: PortalStub, open_page: OpenPage) -> None:
    answers(portal, answer("bounding-box", [BOX]))
    page = open_page(portal, ROUTE)
    choose(page, picture())
    expect(page.locator(".found li")).to_have_text("<i>bolt</i> 91.0 %")
    drawn = corner(page.locator(".try-boxes rect"), page.get_by_role("img", name="Picture a <b>.png"))
    assert drawn == pytest.approx((0.1, 0.05, 0.4, 0.2), abs=0.02)
    expect(page.locator(".try-boxes text")).to_have_text("1 <i>bolt</i>")


def test_a_photo_that_is_stored_turned_is_sent_upright(portal: PortalStub, open_page: OpenPage) -> None:
    asked = answers(portal, answer("bounding-box", [BOX]))
    page = open_page(portal, ROUTE)
    choose(page, jpeg((120, 60), orientation=6), "image/jpeg", "phone.jpg")
    expect(page.get_by_text("it was stored turned")).to_be_visible()
    wait_until(page, lambda: len(asked) == 1)
    with Image.open(io.BytesIO(asked[0]["image"])) as sent:
        assert sent.size == (60, 120)
        assert sent.getexif().get(ORIENTATION, 1) == 1


def test_a_photo_that_is_stored_upright_is_sent_as_it_is(portal: PortalStub, open_page: OpenPage) -> None:
    asked = answers(portal, answer("bounding-box", []))
    page = open_page(portal, ROUTE)
    photo = jpeg((120, 60))
    choose(page, photo, "image/jpeg", "phone.jpg")
    expect(page.get_by_text("The model finds nothing in it.")).to_be_visible()
    assert asked == [{"type": "image/jpeg", "image": photo}]


def test_a_picture_that_is_too_large_is_made_smaller(portal: PortalStub, open_page: OpenPage) -> None:
    asked = answers(portal, answer("image-classification", [{"label": "a", "confidence": 1.0}]))
    page = open_page(portal, ROUTE)
    choose(page, picture() + bytes(MOST_BYTES))
    expect(page.get_by_text("the API takes at most 4,500,000 bytes")).to_be_visible()
    wait_until(page, lambda: len(asked) == 1)
    assert asked[0]["type"] == "image/jpeg"
    assert len(asked[0]["image"]) <= MOST_BYTES


def test_what_is_no_picture_is_not_sent(portal: PortalStub, open_page: OpenPage) -> None:
    asked = answers(portal, answer("image-classification", []))
    page = open_page(portal, ROUTE)
    choose(page, b"no picture", name="notes.png")
    expect(page.get_by_role("heading", name="This picture can't be used")).to_be_visible()
    expect(page.get_by_text("notes.png is no picture that this browser can read")).to_be_visible()
    assert asked == []


@pytest.mark.parametrize(
    ("status", "slug", "heading", "action"),
    [
        (409, "no-model-yet", "There is no model yet", "Label images"),
        (409, "model-stopped", "The model is stopped", "See the models"),
    ],
)
def test_why_there_is_no_answer_is_told_with_what_to_do(
    portal: PortalStub, open_page: OpenPage, status: int, slug: str, heading: str, action: str
) -> None:
    answers(portal, Refusal(status, slug, "so and <b>so</b>"))
    page = open_page(portal, ROUTE)
    choose(page, picture())
    expect(page.get_by_role("heading", name=heading)).to_be_visible()
    expect(page.get_by_text("so and <b>so</b>")).to_be_visible()
    expect(page.get_by_role("link", name=action)).to_be_visible()


def test_after_a_failure_the_same_picture_can_be_tried_again(portal: PortalStub, open_page: OpenPage) -> None:
    answers(portal, Refusal(503, "try-again", "busy"))
    page = open_page(portal, ROUTE)
    choose(page, picture())
    again = page.get_by_role("button", name="Try again")
    expect(again).to_be_visible()
    answers(portal, answer("image-classification", [{"label": "a", "confidence": 1.0}]))
    again.click()
    expect(page.locator(".guesses li")).to_have_count(1)


def test_a_picture_can_be_dropped(portal: PortalStub, open_page: OpenPage) -> None:
    asked = answers(portal, answer("image-classification", [{"label": "a", "confidence": 1.0}]))
    page = open_page(portal, ROUTE)
    page.locator(".drop").evaluate(
        """(zone, bytes) => {
            const files = new DataTransfer();
            files.items.add(new File([new Uint8Array(bytes)], "dropped.png", { type: "image/png" }));
            const dropped = { dataTransfer: files, bubbles: true, cancelable: true };
            zone.dispatchEvent(new DragEvent("drop", dropped));
        }""",
        list(picture()),
    )
    expect(page.locator(".guesses li")).to_have_count(1)
    assert len(asked) == 1


@pytest.mark.parametrize("options", [{"color_scheme": "light"}, {"color_scheme": "dark", **PHONE}])
def test_the_page_passes_the_accessibility_rules(
    portal: PortalStub, open_page: OpenPage, options: dict[str, Any]
) -> None:
    found = [{"label": "a", "confidence": 0.3, "threshold": 0.5}]
    answers(portal, answer("multi-label-classification", found))
    page = open_page(portal, ROUTE, **options)
    expect_accessible(page)
    choose(page, picture())
    expect(page.get_by_text("None of the labels applies.")).to_be_visible()
    page.get_by_text("As the API answers").click()
    expect_accessible(page)
