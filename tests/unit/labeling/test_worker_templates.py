"""The pages of Ground Truth's workers, filled in by Loupe and then, as Ground Truth does it, by Liquid."""

import html
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import liquid
import pytest

from loupe.adapters import worker_templates
from loupe.adapters.worker_templates import worker_template
from loupe.domain.labeling.ground_truth import fill_template, worker_task
from loupe.domain.labeling.review import VERDICTS
from loupe.domain.projects import TaskType
from loupe.ports.labeling import ReviewKind
from tests.unit.labeling.test_ground_truth_requests import CARD, TASKS

LABELS = ["o'k", 'scr"atch', "<dent>", "{{ 7 }}", "größe"]
BOXES = [{"label": "o'k", "left": 1, "top": 2.5, "width": 3, "height": 4}]
ELEMENTS = {
    "image-classification": "crowd-image-classifier",
    "multi-label-classification": "crowd-image-classifier-multi-select",
    "bounding-box": "crowd-bounding-box",
}


class Page(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: dict[str, dict[str, str]] = {}
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements[tag] = {name: value or "" for name, value in attributes}

    def handle_data(self, data: str) -> None:
        self.text += data


def render(page: str, **task: Any) -> Page:
    """With Ground Truth's filters; an unknown filter, tag or variable is an error."""
    environment = liquid.Environment(undefined=liquid.StrictUndefined)
    environment.add_filter("grant_read_access", lambda uri: f"https://example.com/?of={uri}")
    environment.add_filter("to_json", lambda value: json.dumps(value, ensure_ascii=False))
    given = {"taskObject": "s3://raw-data/digits/a b&c.png", "labels": LABELS, **task}
    return Page(environment.from_string(page).render(task={"input": given}))


def page_of(task: TaskType, review: ReviewKind | None, instructions: str = "Look closely.") -> str:
    card = replace(CARD, task=task, review=review, instructions=instructions)
    return fill_template(worker_template(worker_task(task, review).template), card)


def manifest_line(task: TaskType) -> dict[str, Any]:
    current: dict[TaskType, dict[str, Any]] = {
        "image-classification": {"label": "<dent>"},
        "multi-label-classification": {"labels": ["<dent>", "größe"]},
        "bounding-box": {"boxes": BOXES},
    }
    return {"source-ref": "s3://raw-data/digits/a.png", "current": current[task], "classes": LABELS}


def test_every_page_is_of_a_task() -> None:
    folder = Path(worker_templates.__file__).parents[1] / "worker_templates"
    pages = {page.stem for page in folder.iterdir()}
    assert pages == {worker_task(task, review).template for task, review in TASKS}


@pytest.mark.parametrize(("task", "review"), TASKS)
def test_every_page_shows_the_image_and_what_workers_choose_from(
    task: TaskType, review: ReviewKind | None
) -> None:
    page = render(page_of(task, review), manifestLine=manifest_line(task))
    assert "crowd-form" in page.elements
    assert page.elements["script"]["src"] == "https://assets.crowd.aws/crowd-html-elements.js"
    is_verified = review == "verification"
    element = "crowd-image-classifier" if is_verified else ELEMENTS[task]
    shown = page.elements[element]
    assert shown["src"] == "https://example.com/?of=s3://raw-data/digits/a b&c.png"
    labels = shown["labels"] if element == "crowd-bounding-box" else shown["categories"]
    assert json.loads(labels) == (list(VERDICTS) if is_verified else LABELS)
    assert shown["name"]
    assert shown["header"] == worker_task(task, review).title
    assert "Look closely." in page.text


@pytest.mark.parametrize(("task", "review"), TASKS)
def test_instructions_are_text_whatever_is_in_them(task: TaskType, review: ReviewKind | None) -> None:
    instructions = """<script>alert("1")</script> {{ task.input.secret }} {% bad %} $header 'a' & "b" """
    page = page_of(task, review, instructions)
    assert html.escape("<script>alert") in page
    shown = render(page, manifestLine=manifest_line(task))
    assert instructions.strip() in shown.text


def test_an_adjustment_begins_with_the_boxes_of_now() -> None:
    page = render(page_of("bounding-box", "adjustment"), manifestLine=manifest_line("bounding-box"))
    assert json.loads(page.elements["crowd-bounding-box"]["initial-value"]) == BOXES


def test_a_verification_shows_the_boxes_over_the_image() -> None:
    page = render(page_of("bounding-box", "verification"), manifestLine=manifest_line("bounding-box"))
    overlay = json.loads(page.elements["crowd-image-classifier"]["overlay"])
    assert overlay == {"boundingBox": {"labels": LABELS, "value": BOXES}}


def test_a_review_of_labels_shows_those_of_now() -> None:
    one = render(
        page_of("image-classification", "adjustment"), manifestLine=manifest_line("image-classification")
    )
    assert "The label of now: <dent>." in one.text
    task: TaskType = "multi-label-classification"
    several = render(page_of(task, "adjustment"), manifestLine=manifest_line(task))
    assert "<dent>, größe" in several.text
    none = render(page_of(task, "adjustment"), manifestLine={"current": {"labels": []}})
    assert "none of them" in none.text


def test_several_labels_can_be_none() -> None:
    page = render(page_of("multi-label-classification", None))
    assert page.elements["crowd-image-classifier-multi-select"]["exclusion-category"]
