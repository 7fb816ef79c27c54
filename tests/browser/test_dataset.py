"""The dataset page: gallery, filters, counts, comparison, and corrections."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from loupe.domain.console.correcting import Wish
from loupe.domain.datasets.galleries import Wanted
from loupe.domain.label_values import OneLabel
from loupe.domain.labeling.annotation import Worker
from loupe.ports.loops import TrainingLock
from tests.browser.conftest import PHONE, OpenPage, wait_until
from tests.browser.console_stub import LABELS, ConsoleStub, ServedWorld, boxes, shapes
from tests.browser.test_accessibility import Scheme, expect_accessible
from tests.unit.training.world import NAMES, PROJECT, execution

SHOWN = (
    "[...document.querySelectorAll('.tile-picture img')].filter((image) => image.naturalWidth).length >= 12"
)
STEP_BEYOND_WHAT_IS_KNOWN = """async () => {
    const { GalleryPages } = await import(new URL("core/gallery-pages.js", document.baseURI));
    const asked = [];
    const settled = () => new Promise((resolve) => setTimeout(resolve, 50));
    const named = (from, to) =>
        Array.from({ length: to - from }, (_, at) => ({ sha256: `image-${from + at}`, name: "an image" }));
    let arrive;
    const second = new Promise((resolve) => (arrive = () => resolve({ total: 61, images: named(60, 61) })));
    const pages = new GalleryPages(async (offset) => offset ? second : { total: 61, images: named(0, 60) });
    pages.want(0, 1);
    await settled();
    const api = { datasetImage: (project, version, sha256) => asked.push(sha256) && new Promise(() => {}) };
    const detail = document.querySelector("loupe-image-detail");
    detail.show({ api, project: "digits", version: "0001", labels: [], pages, index: 59 });
    detail.querySelector("[aria-label='Next image']").click();
    pages.replace("image-0", {});
    await settled();
    arrive();
    await settled();
    return asked;
}"""
PAGE = f"#/projects/{PROJECT}/dataset"
Console = Callable[..., ConsoleStub]


@pytest.fixture
def console() -> Iterator[Console]:
    """Serves a world with dataset versions; it ends with the test."""
    with ExitStack() as servers:

        def start(world: ServedWorld | None = None) -> ConsoleStub:
            stub = ConsoleStub(world or shapes())
            servers.enter_context(stub)
            return stub

        yield start


def tiles(page: Page) -> list[str]:
    return page.locator(".tile-label").all_inner_texts()


def images(portal: ConsoleStub) -> list[dict[str, Any]]:
    found = portal.console.images(PROJECT, "0001", Wanted(), 0, 60)["images"]
    assert isinstance(found, list)
    return found


def expect_count(page: Page, text: str) -> None:
    expect(page.locator(".image-count")).to_have_text(text)


def open_first(page: Page) -> Locator:
    """Opens the first image of the gallery."""
    page.locator(".tile").first.click()
    detail = page.get_by_role("dialog")
    expect(detail.locator(".detail-value").first).to_be_visible()
    return detail


def test_the_gallery_shows_the_latest_version_with_thumbnails(console: Console, open_page: OpenPage) -> None:
    portal = console()
    page = open_page(portal, PAGE)
    expect_count(page, "30 images")
    expect(page.get_by_role("combobox", name="Dataset version")).to_have_value("0001")
    expect(page.locator(".tile").first).to_have_accessible_name(re.compile(r"digits/.*png: (circle|square)"))
    wait_until(page, lambda: bool(page.evaluate(SHOWN)))
    assert sum(path.endswith("/previews") for _, path, _ in portal.requests) == 1


def test_thumbnails_that_are_there_are_not_made_again(console: Console, open_page: OpenPage) -> None:
    portal = console()
    for digest in portal.world.split("0001"):
        record = portal.world.images.image(PROJECT, digest)
        assert record
        portal.world.workspace.write(NAMES.preview("thumbnail", digest), portal.world.raw.read(record.key))
    page = open_page(portal, PAGE)
    wait_until(page, lambda: bool(page.evaluate(SHOWN)))
    assert not any(path.endswith("/previews") for _, path, _ in portal.requests)


def test_filters_are_the_servers_and_stay_in_the_address(console: Console, open_page: OpenPage) -> None:
    portal = console()
    page = open_page(portal, PAGE)
    page.get_by_label("Label", exact=True).select_option("square")
    expect_count(page, "10 images")
    assert set(tiles(page)) == {"square"}
    page.get_by_label("Split").select_option("test")
    expect_count(page, "2 images")
    page.reload()
    expect_count(page, "2 images")
    expect(page.get_by_label("Label", exact=True)).to_have_value("=square")
    page.get_by_role("button", name="Clear all filters").click()
    expect_count(page, "30 images")


def test_what_no_image_is_like_says_so(console: Console, open_page: OpenPage) -> None:
    page = open_page(console(), f"{PAGE}?label=square&by=model")
    expect(page.get_by_role("heading", name="No image is like that")).to_be_visible()
    page.get_by_role("main").get_by_role("button", name="Clear all filters").last.click()
    expect_count(page, "30 images")


def test_a_label_is_corrected_and_the_next_version_has_it(console: Console, open_page: OpenPage) -> None:
    portal = console()
    page = open_page(portal, f"{PAGE}?label=square")
    expect_count(page, "10 images")
    detail = open_first(page)
    name = detail.get_by_role("heading", level=2).inner_text()
    expect(detail.get_by_role("button", name="Correct", exact=True)).to_be_disabled()
    detail.get_by_label("triangle").check()
    detail.get_by_role("button", name="Correct", exact=True).click()
    expect(detail.locator(".detail-value").first).to_have_text("triangle")
    expect(detail.get_by_text("Corrected by maria")).to_have_count(2)
    expect(page.get_by_text("1 image corrected since version 0001.")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".tile").first).to_be_focused()
    expect(page.locator(".tile").first.get_by_text("corrected")).to_be_visible()
    portal.world.clock.advance(minutes=5)
    assert portal.world.build().version == "0002"
    page.get_by_role("link", name="Label", exact=True).click()
    page.get_by_role("link", name="Dataset").click()
    page.get_by_role("button", name="Compare").click()
    page.get_by_role("button", name="Show the images: Relabeled").click()
    expect_count(page, "1 image")
    tile = page.locator(".tile")
    expect(tile).to_have_accessible_name(f"{name}: triangle was square")


def test_the_second_of_two_people_is_told(console: Console, open_page: OpenPage) -> None:
    portal = console()
    page = open_page(portal, f"{PAGE}?label=square")
    detail = open_first(page)
    digest = page.url.rpartition("image=")[2]
    portal.correct(PROJECT, "0001", Worker("id-of-ben", "ben"), [Wish(digest, OneLabel("circle"), None)])
    detail.get_by_label("triangle").check()
    detail.get_by_role("button", name="Correct", exact=True).click()
    expect(
        page.get_by_text("ben had corrected it to circle meanwhile. Both are kept; yours is newer")
    ).to_be_visible()
    expect(detail.get_by_text("Corrected by ben")).to_be_visible()


def test_several_images_are_corrected_at_once(console: Console, open_page: OpenPage) -> None:
    portal = console()
    page = open_page(portal, f"{PAGE}?label=square")
    expect_count(page, "10 images")
    page.get_by_role("button", name="Choose several").click()
    page.locator(".tile").nth(0).click()
    page.locator(".tile").nth(1).click()
    page.get_by_label("Label for the chosen images").select_option("circle")
    page.get_by_role("button", name="Correct 2 images").click()
    expect(page.locator(".tile-badge")).to_have_count(2)
    assert tiles(page)[:3] == ["circle", "circle", "square"]
    assert len(list(portal.world.workspace.list(NAMES.all_corrections))) == 2


def test_several_images_that_a_version_lost_are_corrected(console: Console, open_page: OpenPage) -> None:
    world = shapes()
    portal = console(world)
    lost, other = images(portal)[:2]
    label = OneLabel("square" if other["label"] == "circle" else "circle")
    wishes = [Wish(lost["sha256"], None, None), Wish(other["sha256"], label, None)]
    portal.correct(PROJECT, "0001", Worker("id-of-ben", "ben"), wishes)
    world.clock.advance(minutes=1)
    assert world.turn(execution("second")) == "0002"
    world.clock.advance(minutes=1)
    page = open_page(portal, f"{PAGE}?since=0001&change=removed")
    expect_count(page, "1 image")
    page.get_by_role("button", name="Choose several").click()
    page.locator(".tile").first.click()
    page.get_by_role("button", name="Correct 1 image").click()
    expect(page.get_by_text("1 label corrected to circle.")).to_be_visible()


def test_the_next_image_is_waited_for_until_it_is_known(console: Console, open_page: OpenPage) -> None:
    portal = console()
    page = open_page(portal, PAGE)
    expect_count(page, "30 images")
    asked = page.evaluate(STEP_BEYOND_WHAT_IS_KNOWN)
    assert asked == ["image-59", "image-60"]


def test_a_person_has_a_version_built_of_the_corrections(console: Console, open_page: OpenPage) -> None:
    portal = console()
    page = open_page(portal, f"{PAGE}?label=square")
    detail = open_first(page)
    detail.get_by_role("button", name="Withdraw the label").click()
    expect(detail.get_by_text("No label: asked again").first).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Build it now").click()
    expect(page.get_by_text("A new version is asked for")).to_be_visible()
    assert [event.detail_type for event in portal.world.events.published][-1] == "TrainingRequested"
    portal.world.configure(labels=LABELS, training={"min_new_labels": 1000})
    assert portal.world.build().version is None
    expect(page.locator(".pending")).to_contain_text("Waiting: 0 of 1000 new labels.")


def test_while_a_model_is_trained_a_person_asks_later(console: Console, open_page: OpenPage) -> None:
    portal = console()
    page = open_page(portal, f"{PAGE}?label=square")
    detail = open_first(page)
    detail.get_by_role("button", name="Withdraw the label").click()
    expect(detail.get_by_text("No label: asked again").first).to_be_visible()
    page.keyboard.press("Escape")
    world = portal.world
    assert world.loops.lock_training(PROJECT, TrainingLock(execution("second"), world.clock()))
    page.get_by_role("button", name="Build it now").click()
    expect(page.get_by_text("ask for a version of the corrections when that is over")).to_be_visible()
    expect(page.locator(".pending")).to_contain_text("A model is being trained now.")


def test_a_hundred_thousand_tiles_are_never_in_the_page(console: Console, open_page: OpenPage) -> None:
    portal = console(shapes(400))
    page = open_page(portal, PAGE)
    expect_count(page, "400 images")
    first = page.locator(".tile").first
    first.focus()
    page.keyboard.press("End")
    focused = page.locator(".tile:focus")
    expect(focused).to_have_attribute("data-index", "399")
    expect(focused).to_have_accessible_name(re.compile("test$"))
    assert page.locator(".tile").count() < 120
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".tile:focus")).to_have_attribute("data-index", "398")
    page.keyboard.press("Home")
    expect(page.locator(".tile:focus")).to_have_attribute("data-index", "0")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()


def test_names_and_labels_with_html_in_them_show_as_text(console: Console, open_page: OpenPage) -> None:
    evil = "<img src=x onerror=alert(1)>"
    world = shapes(12, labels=("circle", evil, "triangle"))
    page = open_page(console(world), f"{PAGE}")
    expect(page.locator(".tile-label").get_by_text(evil).first).to_be_visible()
    page.get_by_label("Label", exact=True).select_option(f"={evil}")
    expect_count(page, "4 images")
    detail = open_first(page)
    expect(detail.locator(".detail-value").first).to_have_text(evil)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Counts").click()
    expect(page.get_by_role("button", name=evil, exact=True)).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_part_of_the_page_passes_the_accessibility_rules(
    console: Console, open_page: OpenPage, scheme: Scheme
) -> None:
    world = shapes()
    row = world.rows("0001", "test")[0]
    label = row["label-metadata"]["class-name"]
    answer = {"label": label, "predicted": "triangle" if label == "circle" else "circle", "confidence": 0.9}
    world.promote("0001", [{"source-ref": "s3://raw/x", "image-sha256": row["image-sha256"], **answer}])
    portal = console(world)
    other = next(each["sha256"] for each in images(portal) if each["label"] == "square")
    portal.correct(PROJECT, "0001", Worker("b", "ben"), [Wish(other, OneLabel("circle"), None)])
    page = open_page(portal, PAGE, color_scheme=scheme)
    expect_count(page, "30 images")
    expect(page.get_by_label("Likely mistakes")).to_be_enabled()
    expect_accessible(page)
    page.get_by_label("Likely mistakes").check()
    expect_count(page, "1 image")
    expect_accessible(page)
    open_first(page)
    expect_accessible(page)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Choose several").click()
    expect_accessible(page)
    page.get_by_role("button", name="Counts").click()
    expect(page.get_by_role("heading", name="Images by label and split")).to_be_visible()
    expect_accessible(page)
    page.get_by_role("button", name="Compare").click()
    expect_accessible(page)


def test_the_phone_passes_the_accessibility_rules(console: Console, open_page: OpenPage) -> None:
    page = open_page(console(), PAGE, **PHONE)
    expect_count(page, "30 images")
    expect_accessible(page)
    page.get_by_text("Filters", exact=True).click()
    expect_accessible(page)
    open_first(page)
    expect_accessible(page)


def test_boxes_are_corrected_as_on_the_labeling_page(console: Console, open_page: OpenPage) -> None:
    portal = console(boxes())
    page = open_page(portal, f"{PAGE}?label=square")
    expect_count(page, "4 images")
    expect(page.locator(".tile .boxes").first).to_be_attached()
    detail = open_first(page)
    expect(detail.locator(".detail-value").first).to_have_text("square")
    detail.get_by_role("button", name="Correct the boxes").click()
    entry = detail.get_by_role("list", name="Boxes").get_by_role("button")
    expect(entry).to_have_count(1)
    expect(detail.locator("loupe-stage img")).to_be_visible()
    entry.click()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("3")
    expect_accessible(page)
    page.keyboard.press("Enter")
    expect(detail.locator(".detail-value").first).to_have_text("triangle")
    (correction,) = [body for method, path, body in portal.requests if path.endswith("/corrections")]
    (box,) = correction["corrections"][0]["boxes"]
    assert box == {"label": "triangle", "left": 101, "top": 60, "width": 200, "height": 180}


def test_boxes_of_an_image_that_is_larger_than_its_preview_are_in_pixels_of_the_original(
    console: Console, open_page: OpenPage
) -> None:
    portal = console(boxes(first=(4000, 3000)))
    (large,) = [image["sha256"] for image in images(portal) if image["width"] == 4000]
    page = open_page(portal, f"{PAGE}?label=square&image={large}")
    detail = page.get_by_role("dialog")
    picture_loaded = "() => document.querySelector('.detail-image')?.naturalWidth > 0"
    wait_until(page, lambda: page.evaluate(picture_loaded))
    detail.get_by_role("button", name="Correct the boxes").click()
    shown = detail.locator("loupe-stage img")
    expect(shown).to_be_visible()
    assert shown.evaluate("image => image.naturalWidth") == 2048
    picture = shown.bounding_box()
    assert picture is not None

    def at(x: float, y: float) -> tuple[float, float]:
        scale = picture["width"] / 4000
        return picture["x"] + x * scale, picture["y"] + y * scale

    page.mouse.move(*at(3100, 100))
    page.mouse.down()
    page.mouse.move(*at(3500, 300), steps=4)
    page.mouse.move(*at(3900, 500), steps=4)
    page.mouse.up()
    expect(detail.get_by_role("list", name="Boxes").get_by_role("button")).to_have_count(2)
    page.keyboard.press("Enter")
    expect(detail.get_by_role("button", name="Correct the boxes")).to_be_visible()
    (correction,) = [body for method, path, body in portal.requests if path.endswith("/corrections")]
    before, drawn = correction["corrections"][0]["boxes"]
    assert before == {"label": "circle", "left": 1000, "top": 600, "width": 2000, "height": 1800}
    corners = (drawn["left"], drawn["top"], drawn["width"], drawn["height"])
    assert corners == pytest.approx((3100, 100, 800, 400), abs=12)


def test_boxes_of_labels_that_the_project_gave_up_are_told_of(console: Console, open_page: OpenPage) -> None:
    world = boxes()
    portal = console(world)
    world.configure(task="bounding-box", labels=("circle", "triangle"))
    page = open_page(portal, f"{PAGE}?label=square")
    detail = open_first(page)
    detail.get_by_role("button", name="Correct the boxes").click()
    left_out = detail.locator("loupe-boxes").get_by_text("1 box is left out: square is no label any more.")
    expect(left_out).to_be_visible()
    expect_accessible(page)


def test_boxes_are_not_corrected_on_an_image_that_does_not_load(
    console: Console, open_page: OpenPage
) -> None:
    portal = console(boxes())
    page = open_page(portal, f"{PAGE}?label=square")
    page.route("**/previews/preview/**", lambda route: route.abort())
    detail = open_first(page)
    detail.get_by_role("button", name="Correct the boxes").click()
    problem = "The image does not load, so its boxes can't be drawn now."
    expect(detail.get_by_role("alert")).to_have_text(problem)
    expect(detail.get_by_role("button", name="Correct the boxes")).to_be_visible()
    expect(detail.locator("loupe-boxes")).to_have_count(0)
