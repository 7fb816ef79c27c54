"""What people decide of models on the console's pages."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE, OpenPage, Serve, wait_until
from tests.browser.models import (
    CHAMPION,
    NEWEST,
    PROJECT,
    REJECTED,
    WAITING,
    constant,
    listed,
    model,
    serve_models,
    summary,
)
from tests.browser.portal_stub import Json, PortalStub, Refusal, plain_project
from tests.browser.test_accessibility import expect_accessible

MODELS = f"#/projects/{PROJECT}/models"
BASE = f"projects/{PROJECT}/models"
NOON = "2026-11-21T12:00:00+00:00"
RELEASING = {"version": NEWEST, "kind": "approval", "by": "maria", "at": NOON}
PAUSED = {"since": NOON, "by": "ann", "reason": "rollback to 0001"}


@pytest.fixture
def portal(serve: Serve) -> PortalStub:
    """The newest model waits for approval."""
    portal = serve(plain_project(PROJECT))
    serve_models(portal)
    tells(portal, listed(WAITING, summary(CHAMPION)))
    portal.pages["GET", f"{BASE}/{NEWEST}"] = constant(model(WAITING))
    return portal


def tells(portal: PortalStub, told: Json, releasing: Json | None = None) -> None:
    portal.pages["GET", BASE] = constant(told)
    portal.pages["GET", f"projects/{PROJECT}/jobs"] = constant({"releasing": releasing})


def takes(
    portal: PortalStub, path: str, answer: Json, then: Json, refusal: Refusal | None = None
) -> list[Json]:
    """Takes a decision, and tells `then` of the models after it; returns the bodies of those that came."""
    bodies: list[Json] = []

    def take(_query: dict[str, str], body: Json) -> Json:
        bodies.append(body)
        if refusal and len(bodies) == 1:
            raise refusal
        tells(portal, then, then["releasing"])
        return answer

    portal.pages["POST", f"{BASE}/{path}"] = take
    return bodies


BEGUN = {"state": "requested", "version": NEWEST, "told": f"the release of model {NEWEST} has begun"}
UNDER_WAY = listed(WAITING | {"outcome": "approved", "choices": []}, summary(CHAMPION), releasing=RELEASING)


def test_a_candidate_is_approved_after_a_look_at_its_numbers_and_followed_into_service(
    portal: PortalStub, open_page: OpenPage
) -> None:
    bodies = takes(portal, f"{NEWEST}/approval", BEGUN, UNDER_WAY)
    page = open_page(portal, MODELS, clock=True)
    approve = page.get_by_role("button", name=f"Approve {NEWEST}")
    approve.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name=f"Release model {NEWEST}?")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    expect(dialog).to_contain_text(f"in place of model {CHAMPION}")
    row = dialog.get_by_role("row", name="Accuracy")
    expect(row.get_by_role("cell")).to_have_text(["93.3 %", "90.0 %", "+3.3"])
    expect(dialog).to_contain_text("Both were measured on the same test images.")
    page.keyboard.press("Escape")
    expect(approve).to_be_focused()
    assert bodies == []
    page.keyboard.press("Enter")
    dialog.get_by_role("button", name="Approve").click()
    expect(dialog).to_be_hidden()
    assert bodies == [{"decision": "approve"}]
    expect(
        page.get_by_role("status").get_by_text(f"The release of model {NEWEST} has begun.")
    ).to_be_visible()
    card = page.locator(".model-card").first
    expect(card).to_contain_text("being released")
    expect(card).to_contain_text(f"maria approved model {NEWEST}. Its release is under way since")
    expect(card.get_by_role("button")).to_have_count(0)
    expect(card.get_by_role("link", name=f"Model {NEWEST}")).to_be_focused()
    served = listed(
        WAITING | {"outcome": "approved", "is_champion": True, "choices": []},
        summary(CHAMPION, is_champion=False, choices=["rollback"]),
        champion=NEWEST,
    )
    tells(portal, served)
    page.clock.run_for(6_000)
    expect(page.get_by_role("status").get_by_text(f"Model {NEWEST} answers now.")).to_be_visible()
    expect(card.locator(".mark-champion")).to_be_visible()
    expect(page.get_by_role("button", name="Roll back to this model")).to_have_count(1)


def test_a_release_that_failed_is_told_and_tried_again(portal: PortalStub, open_page: OpenPage) -> None:
    tells(portal, UNDER_WAY, RELEASING)
    page = open_page(portal, MODELS, clock=True)
    expect(page.locator(".model-card").first).to_contain_text("being released")
    failed = WAITING | {
        "outcome": "approved",
        "choices": ["approve"],
        "release_failed": "SmokeTestFailed: <b>wrong</b>",
    }
    tells(portal, listed(failed, summary(CHAMPION)))
    page.clock.run_for(6_000)
    card = page.locator(".model-card").first
    expect(card).to_contain_text(f"The release of model {NEWEST} failed: SmokeTestFailed: <b>wrong</b>.")
    expect(page.get_by_role("status").get_by_text("did not come to its end")).to_be_visible()
    bodies = takes(portal, f"{NEWEST}/approval", BEGUN, UNDER_WAY)
    card.get_by_role("button", name=f"Try again {NEWEST}").click()
    page.get_by_role("dialog").get_by_role("button", name="Try again").click()
    expect(card).to_contain_text("being released")
    assert bodies == [{"decision": "approve"}]


def test_a_candidate_is_rejected(portal: PortalStub, open_page: OpenPage) -> None:
    told = {"state": "rejected", "version": NEWEST, "told": "maria rejected it"}
    bodies = takes(portal, f"{NEWEST}/approval", told, listed(REJECTED, summary(CHAMPION)))
    page = open_page(portal, MODELS)
    page.get_by_role("button", name=f"Reject {NEWEST}").click()
    dialog = page.get_by_role("dialog", name=f"Reject model {NEWEST}?")
    expect(dialog).to_contain_text(f"Model {CHAMPION} goes on answering.")
    dialog.get_by_role("button", name="Reject").click()
    expect(page.locator(".model-card").first.locator(".outcome")).to_have_text("rejected")
    assert bodies == [{"decision": "reject"}]


def test_an_earlier_model_is_brought_back_and_promotion_resumed(
    portal: PortalStub, open_page: OpenPage
) -> None:
    earlier = summary(CHAMPION, is_champion=False, choices=["rollback"])
    newest = WAITING | {"outcome": "promoted", "is_champion": True, "choices": []}
    tells(portal, listed(newest, earlier, champion=NEWEST))
    back = RELEASING | {"version": CHAMPION, "kind": "rollback"}
    paused = {"by": "maria", "reason": f"rollback to {CHAMPION}", "since": NOON}
    under_way = listed(
        newest, earlier | {"choices": []}, champion=NEWEST, releasing=back, promotion_paused=paused
    )
    bodies = takes(portal, f"{CHAMPION}/rollback", BEGUN | {"version": CHAMPION}, under_way)
    portal.pages["GET", f"{BASE}/{NEWEST}"] = constant(model(newest, champion=NEWEST))
    page = open_page(portal, MODELS)
    page.get_by_role("button", name=f"Roll back to this model {CHAMPION}").click()
    dialog = page.get_by_role("dialog", name=f"Roll back to model {CHAMPION}?")
    expect(dialog).to_contain_text("not promoted by themselves, until somebody presses Resume")
    # The newest model was compared with this one: those are the figures on the same images.
    row = dialog.get_by_role("row", name="Accuracy")
    expect(row.get_by_role("cell")).to_have_text(["90.0 %", "93.3 %", "\N{MINUS SIGN}3.3"])
    expect(dialog).to_contain_text("Labels that the model in service knows better: bolt \N{MINUS SIGN}3.3")
    dialog.get_by_role("button", name="Roll back to this model").click()
    expect(page.locator(".model-card").nth(1)).to_contain_text(f"maria went back to model {CHAMPION}.")
    assert bodies == [{}]
    banner = page.locator(".panel", has=page.get_by_role("heading", name="Promotion is stopped"))
    expect(banner).to_contain_text(f"maria, rollback to {CHAMPION}. Better ones wait for approval.")
    told = {"state": "resumed", "version": None, "told": "better candidates are promoted again"}
    resumed = takes(portal, "resume", told, listed(newest, earlier, champion=NEWEST))
    banner.get_by_role("button", name="Resume").focus()
    page.keyboard.press("Enter")
    expect(banner).to_have_count(0)
    expect(page.get_by_role("status").get_by_text("Better candidates are promoted again.")).to_be_visible()
    expect(page.get_by_role("heading", name="Models", exact=True)).to_be_focused()
    assert resumed == [{}]


def test_why_a_decision_was_refused_is_told_and_it_can_be_said_again(
    portal: PortalStub, open_page: OpenPage
) -> None:
    refusal = Refusal(403, "not-a-releaser", "maria is not one of those who <b>release</b> models")
    bodies = takes(portal, f"{NEWEST}/approval", BEGUN, UNDER_WAY, refusal)
    page = open_page(portal, MODELS)
    page.get_by_role("button", name=f"Approve {NEWEST}").click()
    dialog = page.get_by_role("dialog")
    approve = dialog.get_by_role("button", name="Approve")
    approve.click()
    expect(dialog.get_by_role("alert")).to_have_text("maria is not one of those who <b>release</b> models")
    expect(approve).to_be_focused()
    approve.click()
    expect(dialog).to_be_hidden()
    assert len(bodies) == 2
    refused = Refusal(503, "try-again", "the index did not answer")
    tells(portal, listed(WAITING, summary(CHAMPION), promotion_paused=PAUSED))
    takes(portal, "resume", {}, UNDER_WAY, refused)
    page.reload()
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("alert").get_by_text("the index did not answer")).to_be_visible()
    expect(page.get_by_role("button", name="Resume")).to_be_enabled()


def test_figures_that_cannot_be_loaded_keep_nobody_from_deciding(
    portal: PortalStub, open_page: OpenPage
) -> None:
    bodies = takes(portal, f"{NEWEST}/approval", BEGUN, UNDER_WAY)
    del portal.pages["GET", f"{BASE}/{NEWEST}"]
    page = open_page(portal, MODELS)
    page.get_by_role("button", name=f"Approve {NEWEST}").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Its figures could not be loaded")
    dialog.get_by_role("button", name="Approve").click()
    expect(dialog).to_be_hidden()
    assert len(bodies) == 1


def test_a_candidate_that_no_approval_can_release_says_why(portal: PortalStub, open_page: OpenPage) -> None:
    overtaken = WAITING | {"choices": ["reject", "rollback"], "compared_with": "0000"}
    tells(portal, listed(overtaken, summary(CHAMPION)))
    page = open_page(portal, MODELS)
    card = page.locator(".model-card").first
    expect(card).to_contain_text(f"It was compared with 0000, and {CHAMPION} answers now")
    expect(card.get_by_role("button")).to_have_text([f"Reject {NEWEST}", f"Release all the same {NEWEST}"])


def test_a_rejected_candidate_is_released_all_the_same_from_its_own_page(
    portal: PortalStub, open_page: OpenPage
) -> None:
    tells(portal, listed(REJECTED, summary(CHAMPION)))
    portal.pages["GET", f"{BASE}/{NEWEST}"] = constant(model(REJECTED))
    back = RELEASING | {"kind": "rollback"}
    bodies = takes(portal, f"{NEWEST}/rollback", BEGUN, listed(REJECTED, releasing=back))
    page = open_page(portal, MODELS)
    expect(page.locator(".model-card")).to_have_count(2)
    expect(page.locator(".decisions")).to_have_count(0)
    page.get_by_role("link", name=f"Model {NEWEST}").click()
    page.get_by_role("button", name=f"Release all the same {NEWEST}").click()
    dialog = page.get_by_role("dialog", name=f"Release model {NEWEST} all the same?")
    expect(dialog).to_contain_text("Labels that the model in service knows better")
    dialog.get_by_role("button", name="Release all the same").click()
    expect(dialog).to_be_hidden()
    assert bodies == [{}]


def test_a_model_is_decided_on_from_its_own_page_which_keeps_its_answers(
    portal: PortalStub, open_page: OpenPage
) -> None:
    bodies = takes(portal, f"{NEWEST}/approval", BEGUN, UNDER_WAY)
    page = open_page(portal, f"{MODELS}?version={NEWEST}")
    expect(page.locator(".curve-told")).to_contain_text("From 0.50 on")
    page.get_by_label("Threshold", exact=True).focus()
    page.keyboard.press("Home")
    page.get_by_role("button", name=f"Approve {NEWEST}").click()
    approved = WAITING | {"outcome": "approved", "choices": []}
    portal.pages["GET", f"{BASE}/{NEWEST}"] = constant(model(approved, releasing=RELEASING))
    page.get_by_role("dialog").get_by_role("button", name="Approve").click()
    expect(page.locator(".page-head")).to_contain_text("being released")
    expect(page.get_by_role("heading", name=f"Model {NEWEST}")).to_be_focused()
    expect(page.locator(".curve-told")).to_contain_text("From 0.00 on")
    asked = [path for method, path, _ in portal.requests if path.endswith("/judgements")]
    assert (len(bodies), len(asked)) == (1, 1)


def fits(page: Page) -> bool:
    """Whether nothing stands out of the window's width."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


@pytest.mark.parametrize("options", [{"color_scheme": "light"}, {"color_scheme": "dark", **PHONE}])
def test_the_pages_pass_the_accessibility_rules(
    portal: PortalStub, open_page: OpenPage, options: dict[str, Any]
) -> None:
    failed = summary("0003", outcome="approved", choices=["approve"], release_failed="wrong labels")
    third = summary("0000", choices=["rollback"])
    tells(portal, listed(failed, WAITING, summary(CHAMPION), third, promotion_paused=PAUSED))
    page: Page = open_page(portal, MODELS, **options)
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    expect_accessible(page)
    assert fits(page)
    page.get_by_role("button", name=f"Approve {NEWEST}").click()
    expect(page.get_by_role("dialog").get_by_role("row", name="Accuracy")).to_be_visible()
    expect_accessible(page)
    page.keyboard.press("Escape")
    tells(portal, UNDER_WAY, RELEASING)
    page.reload()
    expect(page.get_by_text("being released")).to_be_visible()
    expect_accessible(page)
    wait_until(page, lambda: fits(page))
