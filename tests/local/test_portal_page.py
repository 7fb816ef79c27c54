"""The labeling page in a real browser, as the deployed stack serves it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from cli.target import read_worker
from loupe.domain.manifests import read_rows
from loupe.domain.workspace import Workspace
from tests.browser.chromium import launch
from tests.browser.conftest import PHONE, expect_image, sign_in
from tests.browser.drawing import Fingers, Pen
from tests.local.deployment import Deployment
from tests.local.flows import (
    NO_TRAINING,
    finished_job,
    key_of,
    new_project,
    open_job,
    output_manifest,
    read_workspace,
)
from tests.unit.ingest.pictures import jpeg

LABELS = ["cat", "dog", "neither of them"]
NAMES = ["plain.jpg", "two words + 100%.jpg", "🐈 #1?.jpg"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium a module: Playwright's event loop must not outlive the tests that use it."""
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, deployment: Deployment) -> Iterator[Page]:
    """The portal, just opened. An error in the page's console fails the test: a script that broke, a file
    that did not load, or what the Content-Security-Policy forbids."""
    errors: list[str] = []
    with browser.new_context(reduced_motion="reduce") as context:
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        page.goto(f"{deployment.outputs['ApiUrl']}/portal", timeout=60_000)
        yield page
    assert errors == []


def test_boxes_drawn_on_a_turned_photo_arrive_in_the_manifest_to_the_pixel_at_any_zoom(
    page: Page, deployment: Deployment
) -> None:
    project = project_of_boxes(deployment, orientation=6)  # shown turned by a quarter
    start_labeling(page, deployment, project)
    pen = Pen(page, (240, 320))
    pen.draw(140, 10, 40, 30)
    page.keyboard.press("2")
    page.keyboard.press("Escape")
    pen.zoom(4, 120, 160)
    pen.draw(101, 151, 30, 20)
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="All done: 1 image labeled by you")).to_be_visible()
    assert drawn(deployment, project) == [
        {"class_id": 1, "left": 10, "top": 60, "width": 30, "height": 40},
        {"class_id": 0, "left": 151, "top": 109, "width": 20, "height": 30},
    ]


def test_boxes_drawn_by_a_finger_arrive_in_the_manifest_however_the_phone_is_held(
    browser: Browser, deployment: Deployment
) -> None:
    project = project_of_boxes(deployment, orientation=1)
    with browser.new_context(**PHONE, reduced_motion="reduce") as context:
        page = context.new_page()
        page.goto(f"{deployment.outputs['ApiUrl']}/portal", timeout=60_000)
        start_labeling(page, deployment, project)
        fingers = Fingers(page, (320, 240))
        fingers.draw(31, 41, 99, 61)
        page.set_viewport_size({"width": 844, "height": 390})
        page.wait_for_timeout(100)
        fingers.draw(202, 103, 77, 55)
        page.get_by_role("button", name="Submit").tap()
        expect(page.get_by_role("heading", name="All done: 1 image labeled by you")).to_be_visible()
    assert drawn(deployment, project) == [
        {"class_id": 0, "left": 31, "top": 41, "width": 99, "height": 61},
        {"class_id": 0, "left": 202, "top": 103, "width": 77, "height": 55},
    ]


def project_of_boxes(deployment: Deployment, orientation: int) -> str:
    """A project with an open job of one photo, stored with 320 by 240 pixels."""
    project, exif = new_project("page-boxes"), Image.Exif()
    exif[0x0112] = orientation
    settings = {"task": "bounding-box", "labels": ["bolt", "nut"], "labeling": {"batch_size": 1}}
    deployment.stack.write_configuration(project, json.dumps({**settings, "training": NO_TRAINING}))
    deployment.drop(f"{project}/photo.jpg", jpeg(exif=exif))
    open_job(deployment, project, 1)
    return project


def start_labeling(page: Page, deployment: Deployment, project: str) -> None:
    seeded = read_worker(deployment.cloud.home)
    assert seeded is not None
    sign_in(page, seeded.name, seeded.password)
    expect(page.get_by_role("heading", name="Projects")).to_be_visible(timeout=30_000)
    page.get_by_role("link", name=f"Start labeling {project}").click(timeout=30_000)
    expect_image(page, f"{project}/photo.jpg")


def drawn(deployment: Deployment, project: str) -> list[dict[str, int]]:
    """The boxes in the output manifest of the project's one job."""
    [row] = output_manifest(deployment, project, finished_job(deployment, project))
    assert row["boxes"]["image_size"] == [{"width": 320, "height": 240, "depth": 3}]
    return list(row["boxes"]["annotations"])


def test_a_worker_labels_a_job_by_number_keys(page: Page, deployment: Deployment) -> None:
    project = new_project("page")
    deployment.configure(project, LABELS, labeling={"batch_size": 3}, training=NO_TRAINING)
    for seed, name in enumerate(NAMES):
        deployment.drop(f"{project}/{name}", jpeg(seed=seed))
    open_job(deployment, project, 3)
    [job] = deployment.stack.status(project)["jobs"]
    manifest = read_workspace(deployment, Workspace(project).input_manifest(job["job"])).decode()
    keys = [key_of(deployment, row) for row in read_rows(manifest.split("\n"))]
    seeded = read_worker(deployment.cloud.home)
    assert seeded is not None
    sign_in(page, seeded.name, seeded.password)
    expect(page.get_by_role("heading", name="Projects")).to_be_visible(timeout=30_000)
    page.reload()
    page.get_by_role("link", name=f"Start labeling {project}").click(timeout=30_000)
    for key, number in zip(keys, "321", strict=True):
        expect_image(page, key)
        page.keyboard.press(number)
    expect(page.get_by_role("heading", name="All done: 3 images labeled by you")).to_be_visible()
    rows = output_manifest(deployment, project, finished_job(deployment, project))
    found = [(key_of(deployment, row), row["label-metadata"]["class-name"]) for row in rows]
    assert found == list(zip(keys, reversed(LABELS), strict=True))
    assert {row["label-metadata"]["human-annotated"] for row in rows} == {"yes"}
