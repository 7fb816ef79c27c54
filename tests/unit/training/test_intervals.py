"""What a score is worth on a test set of that size."""

import json
import math
from collections.abc import Sequence
from typing import Any

import pytest

from loupe.domain.label_values import read_value
from loupe.domain.projects import TaskType
from loupe.domain.training.intervals import says_little, score_interval
from loupe.domain.training.metrics import Answered, measure

LABELS = ("a", "b")


def lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    return [json.dumps(row) + "\n" for row in rows]


def one_label(right: int, wrong: int) -> list[str]:
    return lines([{"label": "a", "predicted": "a"}] * right + [{"label": "a", "predicted": None}] * wrong)


def test_the_interval_of_an_accuracy_is_about_that_of_the_binomial_distribution() -> None:
    low, high = score_interval("image-classification", LABELS, one_label(320, 80), 0.8) or pytest.fail("none")
    margin = 1.96 * math.sqrt(0.8 * 0.2 / 400)
    assert low == pytest.approx(0.8 - margin, abs=0.01)
    assert high == pytest.approx(0.8 + margin, abs=0.01)


def test_it_is_the_same_each_time() -> None:
    first, second = (score_interval("image-classification", LABELS, one_label(9, 4), 9 / 13) for _ in "ab")
    assert first == second


def test_it_is_between_0_and_1() -> None:
    low, high = score_interval("image-classification", LABELS, one_label(9, 1), 0.9) or pytest.fail("none")
    assert 0.5 < low < 0.9 < high == 1.0


def test_without_answers_there_is_none() -> None:
    assert score_interval("image-classification", LABELS, [], 0.9) is None


def test_several_labels_are_drawn_with_their_images() -> None:
    rows = [{"labels": ["a", "b"], "predicted": ["a"]}, {"labels": [], "predicted": ["b", "c"]}] * 30
    rows += [{"labels": ["b"], "predicted": ["b"]}] * 30
    predictions = [
        [{"label": label, "confidence": 0.9, "threshold": 0.5} for label in row["predicted"]] for row in rows
    ]
    task: TaskType = "multi-label-classification"
    answers = [Answered(read_value(task, row), said) for row, said in zip(rows, predictions, strict=True)]
    score = measure(task, LABELS, answers)["score"]
    low, high = score_interval(task, LABELS, lines(rows), score) or pytest.fail("none")
    assert low < score < high
    assert high - low < 0.25


def box(left: float, label: str = "a", **members: float) -> dict[str, Any]:
    return {"label": label, "left": left, "top": 0, "width": 10, "height": 10, **members}


def said(left: float, confidence: float) -> dict[str, Any]:
    sides = {name: value for name, value in box(left).items() if name != "label"}
    return {"label": "a", "confidence": confidence, "box": sides}


def test_of_boxes_it_lies_around_the_score_that_was_measured() -> None:
    found = {"boxes": [box(0)], "predicted": [said(1, 0.9)]}
    missed = {"boxes": [box(0)], "predicted": [said(50, 0.8)]}
    low, high = score_interval("bounding-box", LABELS, lines([found, missed] * 40), 0.75) or pytest.fail(
        "none"
    )
    assert low < 0.75 < high
    assert high - low < 0.35
    perfect = score_interval("bounding-box", LABELS, lines([found] * 40), 1.0)
    assert perfect == (1.0, 1.0)


@pytest.mark.parametrize(
    ("images", "interval", "expected"),
    [
        (30, (0.85, 1.0), False),
        (29, (1.0, 1.0), True),
        (1000, (0.5, 0.71), True),
        (None, None, False),
        (None, (0.1, 0.9), True),
    ],
)
def test_a_small_set_or_a_wide_interval_says_little(
    images: int | None, interval: tuple[float, float] | None, expected: bool
) -> None:
    assert says_little(images, interval) is expected
