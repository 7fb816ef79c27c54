"""The console's page about jobs."""

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PHONE, OpenPage, Serve, wait_until
from tests.browser.portal_stub import Json, PortalStub, Refusal, plain_project
from tests.browser.test_accessibility import expect_accessible

PROJECT = "parts"
ROUTE = f"#/projects/{PROJECT}/jobs"
JOBS = f"projects/{PROJECT}/jobs"
NOON = "2026-11-21T12:00:00+00:00"
OPEN: Json = {
    "job": "parts-20261121t120000-1a2b",
    "provider": "portal",
    "state": "open",
    "reason": None,
    "tasks": 20,
    "answered": 5,
    "skipped": 1,
    "created_at": NOON,
    "finished_at": None,
}
FAILED = OPEN | {"state": "failed", "finished_at": NOON, "reason": "the <b>workteam</b> is gone"}
TRAINING = {
    "version": "0002",
    "status": "failed",
    "reason": "AlgorithmError: no memory",
    "started_at": NOON,
    "ended_at": NOON,
    "execution": "arn",
}


def status(**changes: Any) -> Json:
    return {
        "project": PROJECT,
        "task": "image-classification",
        "labels": ["a", "b"],
        "config_error": None,
        "images": {"pending": 0, "labeling": 20, "labeled": 1234, "rejected": 0},
        "jobs": [OPEN],
        "dataset_version": "0001",
        "champion": {"version": "0001", "score": 0.9},
        "hosting": None,
        "training_since": None,
        "waiting_for": None,
        "last_training": None,
        "promotion_paused": None,
        "several_workers": None,
        "releasing": None,
        "failed_release": None,
        "now": NOON,
        "labeling": {"provider": "portal", "batch_size": 20, "max_wait_minutes": 60},
        "reconciliation": None,
        **changes,
    }


@pytest.fixture
def portal(serve: Serve) -> PortalStub:
    return serve(plain_project(PROJECT))


def tells(portal: PortalStub, told: Json) -> None:
    portal.pages["GET", JOBS] = lambda _query, _body: told


def takes(portal: PortalStub, what: str, refusal: Refusal | None = None) -> list[str]:
    """Takes requests of that kind, or refuses them; returns those that came."""
    asked: list[str] = []

    def take(_query: dict[str, str], _body: Json) -> Json:
        asked.append(what)
        if refusal:
            raise refusal
        return {"requested_at": NOON}

    portal.pages["POST", f"{JOBS}/{what}"] = take
    return asked


def test_what_is_worked_on_is_shown_with_its_progress(portal: PortalStub, open_page: OpenPage) -> None:
    tells(portal, status())
    page = open_page(portal, ROUTE)
    row = page.get_by_role("row", name=OPEN["job"])
    expect(row).to_contain_text("open")
    expect(row).to_contain_text("5 of 20, 1 skipped")
    expect(row.get_by_role("progressbar")).to_have_attribute("value", "5")
    expect(page.locator(".tile-labeled")).to_contain_text("1,234")
    expect(page.get_by_text("It has not run here yet.")).to_be_visible()
    expect(page.get_by_role("button", name="Cut a job now")).to_have_count(0)


@pytest.mark.parametrize(
    ("changes", "heading", "reason", "button", "what"),
    [
        (
            {"jobs": [FAILED], "images": {"pending": 20, "labeling": 0, "labeled": 0, "rejected": 0}},
            "The last labeling job failed",
            "the <b>workteam</b> is gone",
            "Try again now",
            "labeling",
        ),
        (
            {"last_training": TRAINING},
            "The last training failed",
            "AlgorithmError: no memory",
            "Try again now",
            "training",
        ),
        (
            {"last_training": TRAINING | {"status": "release_failed", "reason": "wrong <b>labels</b>"}},
            "The last release failed",
            "The release of model 0002 failed: wrong <b>labels</b>.Model 0001 still answers.",
            "Try again now",
            "training",
        ),
        (
            {"last_training": TRAINING | {"status": "running", "ended_at": None}},
            "A training was lost",
            "nobody works on it",
            "Reconcile now",
            "reconciliation",
        ),
    ],
)
def test_what_failed_is_told_with_its_reason_and_the_button_that_mends_it(
    portal: PortalStub,
    open_page: OpenPage,
    changes: Json,
    heading: str,
    reason: str,
    button: str,
    what: str,
) -> None:
    tells(portal, status(**changes))
    asked = takes(portal, what)
    page = open_page(portal, ROUTE)
    trouble = page.locator(".trouble")
    expect(trouble.get_by_role("heading", name=heading)).to_be_visible()
    expect(trouble).to_contain_text(reason)
    trouble.get_by_role("button", name=button).click()
    expect(trouble.get_by_role("button", name="Asked for…")).to_be_disabled()
    assert asked == [what]


def test_tasks_that_need_another_worker_are_told(portal: PortalStub, open_page: OpenPage) -> None:
    several = {"job": OPEN["job"], "waiting": 15, "workers": 2, "max_workers": 3, "min_accuracy": 0.5}
    tells(portal, status(several_workers=several))
    page = open_page(portal, ROUTE)
    told = page.get_by_text(f"15 tasks of {OPEN['job']} need somebody who has not answered them yet")
    expect(told).to_contain_text("each takes 2 workers, up to 3 where they disagree, and one more for each")
    expect(told.locator("code")).to_have_text("loupe worker create NAME")


WAITING = TRAINING | {"status": "awaiting_approval", "reason": "better"}
RELEASE = {
    "version": "0002",
    "kind": "approval",
    "reason": "SmokeTestFailed: <b>wrong</b>",
    "ended_at": NOON,
}


@pytest.mark.parametrize(
    ("changes", "heading", "text", "commands"),
    [
        (
            {"last_training": WAITING},
            "A model waits for approval",
            "Model 0002 waits for a person.",
            ["loupe model approve parts 0002", "loupe model reject parts 0002"],
        ),
        (
            {"last_training": TRAINING | {"status": "release_failed"}, "failed_release": RELEASE},
            "The last release failed",
            "SmokeTestFailed: <b>wrong</b>",
            ["loupe model approve parts 0002"],
        ),
        (
            {"failed_release": RELEASE | {"version": "0001", "kind": "rollback"}},
            "The last release failed",
            "The release of model 0001 failed",
            ["loupe model rollback parts 0001"],
        ),
        (
            {"promotion_paused": {"since": NOON, "by": "ann", "reason": "rollback to 0001"}},
            "Promotion is stopped",
            "ann, rollback to 0001",
            ["loupe model resume parts"],
        ),
    ],
)
def test_what_a_person_has_to_decide_of_a_release_is_told_with_its_command(
    portal: PortalStub, open_page: OpenPage, changes: Json, heading: str, text: str, commands: list[str]
) -> None:
    tells(portal, status(**changes))
    page = open_page(portal, ROUTE)
    trouble = page.locator(".trouble")
    expect(trouble.get_by_role("heading")).to_have_text([heading])
    expect(trouble).to_contain_text(text)
    expect(trouble.locator("code")).to_have_text(commands)
    decide = trouble.get_by_role("link", name="Decide among the models")
    expect(decide).to_have_attribute("href", f"#/projects/{PROJECT}/models")


def test_a_release_that_is_under_way_is_no_trouble(portal: PortalStub, open_page: OpenPage) -> None:
    releasing = {"version": "0002", "kind": "approval", "by": "ann", "at": NOON}
    tells(portal, status(last_training=WAITING, releasing=releasing))
    page = open_page(portal, ROUTE)
    expect(page.get_by_text("The release of model 0002 is under way")).to_be_visible()
    expect(page.locator(".trouble")).to_have_count(0)


def test_a_project_that_is_not_valid_says_so_and_has_no_buttons(
    portal: PortalStub, open_page: OpenPage
) -> None:
    tells(portal, status(config_error="labels: <i>is</i> missing", labeling=None, jobs=[]))
    page = open_page(portal, ROUTE)
    expect(page.locator(".trouble")).to_contain_text("labels: <i>is</i> missing")
    expect(page.get_by_role("button", name="Train now")).to_have_count(0)


def test_why_a_request_was_refused_is_told_beside_its_button(portal: PortalStub, open_page: OpenPage) -> None:
    tells(portal, status())
    takes(portal, "training", Refusal(409, "conflict", "a training is under way already"))
    page = open_page(portal, ROUTE)
    page.get_by_role("button", name="Train now").click()
    expect(page.locator(".action").get_by_text("a training is under way already")).to_be_visible()
    expect(page.get_by_role("button", name="Train now")).to_be_enabled()


def test_the_page_follows_what_happens_and_keeps_the_focus(portal: PortalStub, open_page: OpenPage) -> None:
    waiting = {"pending": 3, "labeling": 0, "labeled": 0, "rejected": 0}
    tells(portal, status(jobs=[], images=waiting, waiting_for="3 of 20 new labels"))
    asked = takes(portal, "reconciliation")
    page = open_page(portal, ROUTE, clock=True)
    expect(page.get_by_text("The next one waits: 3 of 20 new labels.")).to_be_visible()
    expect(page.get_by_text("A job is cut when 20 images wait, or 60 minutes after")).to_be_visible()
    page.get_by_role("button", name="Reconcile now").focus()
    page.keyboard.press("Enter")
    wait_until(page, lambda: asked == ["reconciliation"])
    done = {"at": "2026-11-21T12:00:05+00:00", "mended": {"jobs_restored": 2, "objects_gone": 0}}
    tells(portal, status(images=waiting, reconciliation=done))
    page.clock.run_for(6_000)
    expect(page.get_by_text(": jobs restored: 2.")).to_be_visible()
    expect(page.get_by_role("button", name="Reconcile now")).to_be_enabled()
    expect(page.get_by_role("row", name=OPEN["job"])).to_be_visible()


def test_rejected_images_are_listed_with_their_reasons(portal: PortalStub, open_page: OpenPage) -> None:
    tells(portal, status(images={"pending": 0, "labeling": 0, "labeled": 0, "rejected": 2}))

    def rejected(query: dict[str, str], _body: Json) -> Json:
        number = int(query.get("after", 0))
        item = {
            "key": f"parts/<u>{number}</u>.png",
            "reason": "not-an-image",
            "detail": "no picture",
            "at": NOON,
        }
        return {"rejected": [item], "next": "1" if number == 0 else None}

    portal.pages["GET", f"{JOBS}/rejected"] = rejected
    page = open_page(portal, ROUTE)
    page.get_by_role("button", name="Show why (2 images rejected)").click()
    expect(page.locator(".rejected li")).to_have_count(1)
    page.get_by_role("button", name="More").click()
    expect(page.locator(".rejected li")).to_have_count(2)
    expect(page.locator(".rejected li").first).to_contain_text("parts/<u>0</u>.png")
    expect(page.get_by_role("button", name="More")).to_be_hidden()


@pytest.mark.parametrize("options", [{"color_scheme": "light"}, {"color_scheme": "dark", **PHONE}])
def test_the_page_passes_the_accessibility_rules(
    portal: PortalStub, open_page: OpenPage, options: dict[str, Any]
) -> None:
    images = {"pending": 4, "labeling": 0, "labeled": 9, "rejected": 1}
    tells(
        portal,
        status(
            jobs=[FAILED, OPEN | {"job": "j0", "finished_at": NOON, "state": "finished"}],
            images=images,
            last_training=TRAINING,
        ),
    )
    page = open_page(portal, ROUTE, **options)
    expect(page.get_by_role("heading", name="The last training failed")).to_be_visible()
    expect_accessible(page)
