"""Takes the pictures of the labeling page that the documentation shows. Run by scripts/screenshots."""

from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.chromium import launch
from tests.browser.conftest import PHONE, expect_image, sign_in
from tests.browser.digits import SHEET, digits_project, scenes_project
from tests.browser.drawing import Pen
from tests.browser.portal_stub import PortalStub, StubProject

IMAGES = Path(__file__).parents[2] / "docs" / "images"
MOST_BYTES = 150_000
TASKS = 800
ANSWERED = 312
SHOWN = 316


def main() -> None:
    """Writes labeling-page.png and labeling-boxes.png (1280 by 800), and labeling-phone.png (390 by 844 at
    twice the density)."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = launch(playwright)
        _take(browser, "labeling-page.png", viewport={"width": 1280, "height": 800})
        _take(browser, "labeling-phone.png", **PHONE, device_scale_factor=2, color_scheme="dark")
        _take_boxes(browser, "labeling-boxes.png")
        browser.close()


def _take_boxes(browser: Browser, name: str) -> None:
    """Draws boxes on a sheet, with an example beside it, and takes the picture with one selected."""
    project, truth = scenes_project(2)
    project.examples = [
        {"file": "sheets/instructions/tight.png", "label": None, "caption": "Tight around the strokes"}
    ]
    with PortalStub(project) as portal:
        portal.files["sheets/instructions/tight.png"] = project.images[1].content
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        page = context.new_page()
        page.goto(f"{portal.url}#/projects/sheets")
        sign_in(page, "maria", portal.passwords["maria"])
        expect_image(page, project.images[0].name)
        pen = Pen(page, SHEET)
        for box in truth[0]:
            page.keyboard.press("Escape")
            pen.draw(box["left"], box["top"], box["width"], box["height"])
            page.keyboard.press(box["label"])
        pen.click(truth[0][1]["left"] + 20, truth[0][1]["top"] + 30)
        _shoot(page, name)
        context.close()


def _take(browser: Browser, name: str, **options: object) -> None:
    """Labels four images of a job that is under way, then takes the picture of the fifth."""
    project = _under_way()
    with PortalStub(project) as portal:
        context = browser.new_context(**options)  # type: ignore[arg-type] # one dictionary for all options
        page = context.new_page()
        page.goto(f"{portal.url}#/projects/digits")
        sign_in(page, "maria", portal.passwords["maria"])
        for task in range(ANSWERED, SHOWN):
            expect_image(page, project.images[task].name)
            page.keyboard.press(str(task % 10))
        expect_image(page, project.images[SHOWN].name)
        _shoot(page, name)
        context.close()


def _shoot(page: Page, name: str) -> None:
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(400)
    target = IMAGES / name
    page.screenshot(path=target)
    size = target.stat().st_size
    print(f"{target.relative_to(IMAGES.parents[1])}: {size:,} bytes")  # noqa: T201 - a script's output
    if size > MOST_BYTES:
        raise SystemExit(f"{name} is larger than {MOST_BYTES:,} bytes")


def _under_way() -> StubProject:
    project = digits_project(TASKS)
    project.answers = {task: ("ben", {"label": "0"}) for task in range(ANSWERED)}
    return project


if __name__ == "__main__":
    main()
