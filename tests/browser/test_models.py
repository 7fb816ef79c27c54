"""The console's pages about models."""

import re

import pytest
from playwright.sync_api import Page, expect

from loupe.domain.projects import TaskType
from tests.browser.conftest import PHONE, OpenPage, Serve, wait_until
from tests.browser.models import (
    CHAMPION,
    LABELS,
    NEWEST,
    PROJECT,
    constant,
    judged,
    judged_image,
    listed,
    model,
    serve_models,
    summary,
)
from tests.browser.portal_stub import Json, PortalStub, plain_project
from tests.browser.test_accessibility import expect_accessible

MODELS = f"#/projects/{PROJECT}/models"
PAUSED = {"since": "2026-11-21T12:00:00+00:00", "by": "ann", "reason": "rollback to 0001"}


@pytest.fixture
def portal(serve: Serve) -> PortalStub:
    portal = serve(plain_project(PROJECT))
    serve_models(portal)
    return portal


def test_versions_are_listed_with_what_became_of_them_and_why(
    portal: PortalStub, open_page: OpenPage
) -> None:
    page = open_page(portal, MODELS)
    cards = page.locator(".model-card")
    expect(cards.nth(0)).to_contain_text("rejected")
    expect(cards.nth(0)).to_contain_text("the champion 0001 has 0.9000 on the same images")
    expect(cards.nth(1)).to_contain_text("champion")
    expect(cards.nth(1)).to_contain_text("90.0 % accuracy")
    expect(page.get_by_text("The next training waits: 3 of 20 new labels.")).to_be_visible()
    expect(page.get_by_role("img", name="Scores of versions 0001 to 0002")).to_be_visible()


def test_who_may_not_decide_reads_the_command_of_those_who_may(
    portal: PortalStub, open_page: OpenPage
) -> None:
    waiting = summary("0003", outcome="awaiting_approval", choices=["approve", "reject"])
    failed = summary(
        "0002", outcome="approved", choices=["approve"], release_failed="SmokeTestFailed: <b>wrong</b>"
    )
    told = listed(waiting, failed, summary(CHAMPION), promotion_paused=PAUSED, may_release=False)
    portal.pages["GET", f"projects/{PROJECT}/models"] = constant(told)
    portal.pages["GET", f"projects/{PROJECT}/models/0002"] = constant(model(failed, may_release=False))
    page = open_page(portal, MODELS)
    expect(page.locator(".decisions")).to_have_count(0)
    expect(page.get_by_text("decided by others than you: loupe worker role NAME releaser")).to_be_visible()
    expect(page.locator(".panel code")).to_have_text(["loupe model resume parts"])
    cards = page.locator(".model-card")
    approve = "loupe model approve parts"
    expect(cards.nth(0).locator("code")).to_have_text([f"{approve} 0003", "loupe model reject parts 0003"])
    expect(cards.nth(1)).to_contain_text("release failed")
    expect(cards.nth(1)).to_contain_text("SmokeTestFailed: <b>wrong</b>")
    expect(cards.nth(1).locator("code")).to_have_text([f"{approve} 0002"])
    expect(cards.nth(2).locator("code")).to_have_count(0)
    expect_accessible(page)
    page.get_by_role("link", name="Model 0002").click()
    expect(page.locator(".panel code")).to_have_text([f"{approve} 0002"])


def test_candidate_and_champion_stand_side_by_side(portal: PortalStub, open_page: OpenPage) -> None:
    page = open_page(portal, MODELS)
    page.get_by_role("link", name=f"Model {NEWEST}").click()
    row = page.get_by_role("row", name="Accuracy")
    expect(row.get_by_role("cell")).to_have_text(["88.3 %", "90.0 %", "\N{MINUS SIGN}1.7"])
    label = page.get_by_role("table", name="Figures of each label").get_by_role("row", name=LABELS[1])
    expect(label.get_by_role("cell").first).to_have_text("20")


def test_a_cell_of_the_confusion_matrix_opens_its_images(portal: PortalStub, open_page: OpenPage) -> None:
    page = open_page(portal, f"{MODELS}?version={NEWEST}")
    page.get_by_role("link", name=f"3: labeled bolt, predicted {LABELS[1]}").click()
    expect(page.get_by_role("heading", name=f"Labeled bolt, predicted {LABELS[1]}")).to_be_visible()
    expect(page.get_by_text("3 test images")).to_be_visible()
    pictures = page.locator(".pictures li")
    expect(pictures).to_have_count(2)
    page.get_by_role("button", name="More images").click()
    expect(pictures).to_have_count(3)
    expect(page.get_by_role("button", name="More images")).to_be_hidden()
    wait_until(
        page, lambda: page.locator(".pictures img").evaluate_all("e => e.every((i) => i.naturalWidth > 0)")
    )
    page.get_by_role("button", name="Enlarge parts/image 0.png").click()
    large = page.get_by_role("dialog").get_by_alt_text("Image parts/image 0.png")
    wait_until(page, lambda: bool(large.evaluate("element => element.naturalWidth")))
    correct = page.get_by_role("link", name="See or correct its label")
    address = f"#/projects/{PROJECT}/dataset?version={NEWEST}&image={0:064x}"
    expect(correct).to_have_attribute("href", address)


def test_thumbnails_that_are_not_there_yet_are_asked_for_at_once(
    portal: PortalStub, open_page: OpenPage
) -> None:
    asked: list[list[str]] = []
    line = {"label": "bolt", "predicted": "washer", "confidence": 0.9}

    def missing(_query: dict[str, str], _body: Json) -> Json:
        images = [
            judged_image(portal, number, line, thumbnail=f"{portal.cloud_url}images/no")
            for number in range(3)
        ]
        return {"task": "image-classification", "labels": LABELS, "total": 3, "images": images, "next": None}

    def previews(_query: dict[str, str], body: Json) -> Json:
        asked.append(body["images"])
        made = [
            {
                "sha256": sha256,
                "url": f"{portal.cloud_url}images/parts/image 0.png",
                "width": 64,
                "height": 48,
            }
            for sha256 in body["images"][:2]
        ]
        return {"previews": made, "missing": [{"sha256": body["images"][2], "reason": "gone"}]}

    portal.pages["GET", f"projects/{PROJECT}/models/{NEWEST}/images"] = missing
    portal.pages["POST", f"projects/{PROJECT}/previews"] = previews
    page = open_page(portal, f"{MODELS}?version={NEWEST}&truth=bolt&predicted=washer")
    expect(page.locator(".pictures img.missing")).to_have_count(1)
    pictures = page.locator(".pictures img:not(.missing)")
    wait_until(page, lambda: pictures.evaluate_all("e => e.map((i) => i.naturalWidth)") == [64, 64])
    assert [sorted(images) for images in asked] == [[f"{number:064x}" for number in range(3)]]


def test_boxes_of_people_and_model_are_drawn_over_the_image(portal: PortalStub, open_page: OpenPage) -> None:
    sides = {"left": 8, "top": 8, "width": 22, "height": 22}
    line = {
        "boxes": [{"label": "bolt", **sides}],
        "predicted": [{"label": "washer", "confidence": 0.75, "box": {**sides, "left": 10}}],
    }
    portal.pages["GET", f"projects/{PROJECT}/models/{NEWEST}/images"] = lambda _query, _body: {
        "task": "bounding-box",
        "labels": LABELS,
        "total": 1,
        "images": [judged_image(portal, 0, line)],
        "next": None,
    }
    page = open_page(portal, f"{MODELS}?version={NEWEST}&truth=bolt")
    expect(page.get_by_role("heading", name="Labeled bolt, not found")).to_be_visible()
    drawn = page.locator(".pictures rect")
    assert drawn.evaluate_all(
        "all => all.map((each) => [each.getAttribute('class'), each.getAttribute('x')])"
    ) == [
        ["box-truth", "8"],
        ["box-predicted", "10"],
    ]
    assert drawn.nth(1).text_content() == "washer 75 %"
    picture = page.locator(".pictures img").bounding_box()
    box = drawn.nth(0).bounding_box()
    assert picture is not None
    assert box is not None
    # 64 by 48 pixels lie in a square, so that an eighth of the picture is above and below.
    scale = picture["width"] / 64
    assert box["x"] - picture["x"] == pytest.approx(8 * scale, abs=1.5)
    assert box["y"] - picture["y"] == pytest.approx((8 + 8) * scale, abs=1.5)


def cells(page: Page, table: str) -> list[list[str]]:
    """The text of a table's cells, row by row, with its heads."""
    found: list[list[str]] = page.get_by_role("table", name=table).evaluate(
        "table => [...table.rows].map((row) => [...row.cells].map((cell) => cell.textContent))"
    )
    return found


def serve_judgements(portal: PortalStub, task: TaskType, lines: list[Json], labels: list[str]) -> str:
    """Has the newest model give those answers; returns its page."""
    told = model(summary(NEWEST, task=task))
    base = f"projects/{PROJECT}/models/{NEWEST}"
    portal.pages["GET", base] = lambda _query, _body: told
    portal.pages["GET", f"{base}/judgements"] = lambda _query, _body: judged(task, lines, labels)
    return f"{MODELS}?version={NEWEST}"


def test_of_boxes_the_matrix_has_what_is_not_there_and_what_was_not_found(
    portal: PortalStub, open_page: OpenPage
) -> None:
    here = {"left": 8, "top": 8, "width": 22, "height": 22}
    there = here | {"left": 200}
    lines: list[Json] = [
        {
            "boxes": [{"label": "bolt", **here}],
            "predicted": [
                {"label": "washer", "confidence": 0.9, "box": here},
                {"label": "bolt", "confidence": 0.6, "box": there},
            ],
        },
        {"boxes": [{"label": "washer", **here}], "predicted": []},
    ]
    page = open_page(portal, serve_judgements(portal, "bounding-box", lines, ["bolt", "washer"]))
    expect(page.get_by_role("link", name="1: labeled bolt, predicted washer")).to_be_visible()
    assert cells(page, "Confusion matrix") == [
        ["Label", "bolt", "washer", "not found"],
        ["bolt", "0", "1", "0"],
        ["washer", "0", "0", "1"],
        ["nothing there", "1", "0", "\N{EN DASH}"],
    ]
    link = page.get_by_role("link", name="1: labeled nothing, predicted bolt")
    expect(link).to_have_attribute("href", f"{MODELS}?version={NEWEST}&predicted=bolt")


def test_of_several_labels_each_is_found_missed_or_given_in_vain(
    portal: PortalStub, open_page: OpenPage
) -> None:
    lines: list[Json] = [
        {"labels": ["rust", "dent"], "predicted": ["rust"], "confidences": {"rust": 0.9, "dent": 0.2}},
        {"labels": [], "predicted": ["dent"], "confidences": {"rust": 0.1, "dent": 0.8}},
    ]
    address = serve_judgements(portal, "multi-label-classification", lines, ["rust", "dent"])
    page = open_page(portal, address)
    expect(page.get_by_role("link", name="1: labeled rust, predicted rust")).to_be_visible()
    assert cells(page, "Found and missed")[1:] == [["rust", "1", "0", "0"], ["dent", "0", "1", "1"]]


def test_of_many_labels_the_most_frequent_mistakes_are_listed(
    portal: PortalStub, open_page: OpenPage
) -> None:
    labels = [f"kind {number}" for number in range(41)]
    line = {"label": "kind 1", "predicted": "kind 2", "confidence": 0.9}
    page = open_page(portal, serve_judgements(portal, "image-classification", [line, line], labels))
    expect(page.get_by_role("link", name="kind 1 taken for kind 2")).to_be_visible()
    expect(page.get_by_role("table", name="Confusion matrix")).to_have_count(0)


def test_the_threshold_is_read_off_in_words(portal: PortalStub, open_page: OpenPage) -> None:
    page = open_page(portal, f"{MODELS}?version={NEWEST}")
    told = page.locator(".curve-told")
    expect(told).to_contain_text("From 0.50 on")
    page.get_by_label("Label", exact=True).select_option(LABELS[0])
    slider = page.get_by_label("Threshold", exact=True)
    slider.focus()
    page.keyboard.press("Home")
    expect(told).to_have_text(
        re.compile(r"From 0\.00 on, .* % of its answers are right \(precision\), and it finds 85\.0 % of 20 ")
    )
    page.keyboard.press("End")
    expect(told).to_contain_text("the model gives no answer")
    expect(page.get_by_role("img", name="Precision and recall of bolt over the threshold")).to_be_visible()


def test_what_rekognition_does_not_tell_is_said(portal: PortalStub, open_page: OpenPage) -> None:
    found = model(summary(NEWEST, trainer="rekognition", measure="macro F1"))
    found["answers"] = {"known": False, "reason": "Rekognition tells figures for each label only"}
    found["evaluation"] = {
        "candidate": {"score": 0.8, "f1": 0.8, "per_label": {}},
        "champion": {"error": "the champion is stopped"},
    }
    portal.pages["GET", f"projects/{PROJECT}/models/{NEWEST}"] = lambda _query, _body: found
    page = open_page(portal, f"{MODELS}?version={NEWEST}")
    expect(page.get_by_text("Rekognition tells figures for each label only")).to_be_visible()
    expect(page.get_by_text("could not be measured again: the champion is stopped")).to_be_visible()


def test_a_model_that_failed_says_why(portal: PortalStub, open_page: OpenPage) -> None:
    failed = model(summary(NEWEST)) | {
        "outcome": "failed",
        "reason": "AlgorithmError: <b>out</b> of memory",
        "score": None,
        "evaluation": None,
        "answers": {"known": False, "reason": "the training left no answers"},
    }
    portal.pages["GET", f"projects/{PROJECT}/models/{NEWEST}"] = lambda _query, _body: failed
    page = open_page(portal, f"{MODELS}?version={NEWEST}")
    expect(page.get_by_text("AlgorithmError: <b>out</b> of memory")).to_be_visible()
    expect(page.get_by_text("It was not measured.")).to_be_visible()


def test_without_a_model_the_page_says_what_starts_one(portal: PortalStub, open_page: OpenPage) -> None:
    told = listed(champion=None, waiting_for="2 of 20 new labels")
    portal.pages["GET", f"projects/{PROJECT}/models"] = constant(told)
    page = open_page(portal, MODELS)
    expect(page.get_by_role("heading", name="No models yet")).to_be_visible()
    expect(page.get_by_text("The next training waits: 2 of 20 new labels.")).to_be_visible()


def test_a_version_that_there_is_not_is_told(portal: PortalStub, open_page: OpenPage) -> None:
    page = open_page(portal, f"{MODELS}?version=0009")
    expect(page.get_by_role("heading", name="Not there")).to_be_visible()


@pytest.mark.parametrize("options", [{"color_scheme": "light"}, {"color_scheme": "dark", **PHONE}])
def test_the_pages_pass_the_accessibility_rules(
    portal: PortalStub, open_page: OpenPage, options: dict[str, object]
) -> None:
    page: Page = open_page(portal, MODELS, **options)
    expect(page.get_by_role("heading", name="Scores")).to_be_visible()
    expect_accessible(page)
    page.goto(f"{portal.url}{MODELS}?version={CHAMPION}")
    expect(page.locator(".curve-told")).to_contain_text("From 0.50 on")
    expect_accessible(page)
    page.goto(f"{portal.url}{MODELS}?version={NEWEST}&truth=bolt&predicted={LABELS[1]}")
    expect(page.locator(".pictures li")).to_have_count(2)
    expect_accessible(page)
    page.get_by_role("button", name="Enlarge parts/image 0.png").click()
    expect_accessible(page)
