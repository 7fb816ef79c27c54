import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from tests.browser.chromium import launch
from tests.browser.portal_stub import PortalStub, StubProject

expect.set_options(timeout=8_000)

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}

Serve = Callable[..., PortalStub]
OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium a module: Playwright's event loop must not outlive the browser tests."""
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def profile(browser: Browser) -> Iterator[BrowserContext]:
    """A browser profile for a module's pages: each test has its own origin, so its own storage.

    A profile for every test would be a renderer process for every test, which doubles the time.
    """
    with browser.new_context(reduced_motion="reduce") as context:
        yield context


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a portal with the projects given; it ends with the test."""
    with ExitStack() as servers:

        def start(*projects: StubProject) -> PortalStub:
            return servers.enter_context(PortalStub(*projects))

        yield start


@pytest.fixture
def open_page(browser: Browser, profile: BrowserContext) -> Iterator[OpenPage]:
    """Opens a page of a portal, signed in unless `worker` is None; options or a clock mean an own profile.

    Ends the test as failed when the page threw an error or broke its Content-Security-Policy.
    """
    faults: list[str] = []
    with ExitStack() as opened:

        def note(message: ConsoleMessage) -> None:
            if "Content Security Policy" in message.text or "TrustedHTML" in message.text:
                faults.append(message.text)

        def start(
            portal: PortalStub,
            route: str = "",
            worker: str | None = "maria",
            clock: bool = False,
            **options: Any,
        ) -> Page:
            context = profile
            if clock or options:
                context = browser.new_context(**{"reduced_motion": "reduce", **options})
                opened.callback(context.close)
            page = context.new_page()
            opened.callback(page.close)
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on("console", note)
            if clock:
                page.clock.install()
            page.goto(portal.url + route)
            if worker is not None:
                sign_in(page, worker, portal.passwords[worker])
            return page

        yield start
    profile.set_offline(False)
    assert faults == []


def sign_in(page: Page, worker: str, password: str) -> None:
    page.get_by_label("User name").fill(worker)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()


def expect_image(page: Page, name: str) -> None:
    """The image of this name is on the stage, loaded."""
    image = page.locator("loupe-stage").get_by_alt_text(f"Image {name}", exact=True)
    expect(image).to_be_visible()
    expect(page.locator(".answers > .waiting")).to_have_count(0)


def expect_all_sent(page: Page) -> None:
    """No answer is waiting in the browser."""
    wait_until(page, lambda: unsent(page) == 0)


def unsent(page: Page) -> int:
    """How many answers wait in the browser's storage."""
    return int(page.evaluate("Object.keys(localStorage).filter((key) => key.includes(':outbox:')).length"))


def wait_until(page: Page, condition: Callable[[], bool], seconds: float = 8) -> None:
    """Lets the page run until the condition holds. (Playwright's own waiting needs eval in the page.)"""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        page.wait_for_timeout(20)
