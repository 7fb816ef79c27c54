"""What answers to test images come to: the confusion matrix, the curves, and the images behind a cell."""

import json
from typing import Any

import pytest

from loupe.domain.console.judgements import THRESHOLDS, Judgement, Judgements, behind_cell, judge

BOX = {"left": 0.0, "top": 0.0, "width": 10.0, "height": 10.0}
AWAY = {"left": 50.0, "top": 50.0, "width": 10.0, "height": 10.0}

Line = dict[str, Any]


def said(label: str, confidence: float, box: dict[str, float] = BOX) -> dict[str, Any]:
    return {"label": label, "confidence": confidence, "box": box}


def cells(judgements: Judgements) -> dict[tuple[str | None, str | None], int]:
    return {(cell["truth"], cell["predicted"]): cell["count"] for cell in judgements.confusion()["cells"]}


def test_one_label_is_right_or_mixed_up() -> None:
    judgements = Judgements("image-classification", ["a", "b"])
    for truth, predicted in ("aa", "aa", "ab", "bb", "bc"):
        judgements.add({"label": truth, "predicted": predicted, "confidence": 0.9})
    judgements.add({"label": "b", "predicted": None, "confidence": 0.0})
    assert cells(judgements) == {("a", "a"): 2, ("a", "b"): 1, ("b", "b"): 1, ("b", "c"): 1, ("b", None): 1}
    assert judgements.confusion()["others"] == ["c"]
    assert judgements.images == 6


def test_each_of_several_labels_is_found_missed_or_said_in_vain() -> None:
    line = {"labels": ["a", "b"], "predicted": ["b", "c"], "confidences": {"a": 0.2, "b": 0.8, "c": 0.6}}
    assert judge("multi-label-classification", line) == [
        Judgement("a", None, 0.2),
        Judgement("b", "b", 0.8),
        Judgement(None, "c", 0.6),
    ]


def test_a_box_is_found_by_its_own_label_before_another_takes_it() -> None:
    line = {"boxes": [{"label": "a", **BOX}], "predicted": [said("b", 0.9), said("a", 0.5)]}
    assert judge("bounding-box", line) == [Judgement("a", "a", 0.5), Judgement(None, "b", 0.9)]


def test_a_box_of_another_label_in_the_same_place_is_mixed_up() -> None:
    line = {"boxes": [{"label": "a", **BOX}], "predicted": [said("b", 0.9)]}
    assert judge("bounding-box", line) == [Judgement("a", "b", 0.9)]


def test_a_box_is_found_once_by_the_surest_and_what_nothing_found_is_missed() -> None:
    line = {
        "boxes": [{"label": "a", **BOX}, {"label": "b", **AWAY}],
        "predicted": [said("a", 0.3), said("a", 0.7)],
    }
    assert judge("bounding-box", line) == [
        Judgement("a", "a", 0.7),
        Judgement(None, "a", 0.3),
        Judgement("b", None, 0.0),
    ]


def test_boxes_that_the_model_hardly_believes_in_count_in_the_curves_only() -> None:
    line = {
        "boxes": [{"label": "a", **BOX}, {"label": "b", **AWAY}],
        "predicted": [said("a", 0.9), said("b", 0.1, AWAY), said("a", 0.05, {**BOX, "left": 90.0})],
    }
    assert judge("bounding-box", line, 0.2) == [Judgement("a", "a", 0.9), Judgement("b", None, 0.0)]
    judgements = Judgements("bounding-box", ["a", "b"], 0.2)
    judgements.add(line)
    assert cells(judgements) == {("a", "a"): 1, ("b", None): 1}
    assert at(judgements.curves()["labels"]["b"], 0.1) == (1.0, 1.0)
    assert at(judgements.curves()["labels"]["a"], 0.0) == (0.5, 1.0)
    texts = [json.dumps(line)]
    assert behind_cell("bounding-box", texts, None, "a", 0.2) == []
    assert behind_cell("bounding-box", texts, "b", None, 0.2) == [0]


def at(curve: dict[str, Any], threshold: float) -> tuple[float | None, float]:
    place = THRESHOLDS.index(threshold)
    return curve["precision"][place], curve["recall"][place]


def test_a_higher_threshold_trades_recall_for_precision() -> None:
    judgements = Judgements("image-classification", ["a", "b"])
    for truth, predicted, confidence in (("a", "a", 0.9), ("a", "a", 0.4), ("b", "a", 0.5), ("b", "b", 0.8)):
        judgements.add({"label": truth, "predicted": predicted, "confidence": confidence})
    curves = judgements.curves()
    assert at(curves["labels"]["a"], 0.0) == (round(2 / 3, 4), 1.0)
    assert at(curves["labels"]["a"], 0.5) == (0.5, 0.5)  # a confidence that is just the threshold counts
    assert at(curves["labels"]["a"], 0.51) == (1.0, 0.5)
    assert at(curves["labels"]["a"], 0.95) == (None, 0.0)
    assert at(curves["all"], 0.51) == (1.0, 0.5)
    assert (curves["labels"]["a"]["support"], curves["all"]["support"]) == (2, 4)


def test_of_several_labels_those_count_that_the_models_own_threshold_leaves_out() -> None:
    judgements = Judgements("multi-label-classification", ["a", "b"])
    judgements.add({"labels": ["a"], "predicted": [], "confidences": {"a": 0.3, "b": 0.1}})
    curves = judgements.curves()["labels"]
    assert at(curves["a"], 0.3) == (1.0, 1.0)
    assert at(curves["b"], 0.1) == (0.0, 0.0)
    assert cells(judgements) == {("a", None): 1}


def test_curves_of_boxes_count_boxes() -> None:
    judgements = Judgements("bounding-box", ["a"])
    judgements.add(
        {
            "boxes": [{"label": "a", **BOX}, {"label": "a", **AWAY}],
            "predicted": [said("a", 0.9), said("a", 0.6, {**BOX, "left": 25.0})],
        }
    )
    assert at(judgements.curves()["labels"]["a"], 0.5) == (0.5, 0.5)
    assert at(judgements.curves()["labels"]["a"], 0.7) == (1.0, 0.5)


def test_without_test_images_there_is_nothing_to_divide_by() -> None:
    curve = Judgements("image-classification", ["a", "b"]).curves()["all"]
    assert set(curve["precision"]) == {None}
    assert set(curve["recall"]) == {0.0}


@pytest.mark.parametrize(
    ("truth", "predicted", "expected"),
    [("a", "b", [2, 0]), ("a", "a", [1]), ("b", "a", []), ("b", None, [3])],
)
def test_the_images_behind_a_cell_come_with_the_firmest_answer_first(
    truth: str, predicted: str | None, expected: list[int]
) -> None:
    lines = [("a", "b", 0.6), ("a", "a", 0.9), ("a", "b", 0.8), ("b", None, 0.0)]
    texts = [json.dumps(dict(zip(("label", "predicted", "confidence"), line, strict=True))) for line in lines]
    assert behind_cell("image-classification", texts, truth, predicted) == expected


def test_of_labels_that_were_missed_those_come_first_that_the_model_believed_in_least() -> None:
    texts = [
        json.dumps({"labels": ["a"], "predicted": [], "confidences": {"a": confidence}})
        for confidence in (0.4, 0.1)
    ]
    assert behind_cell("multi-label-classification", texts, "a", None) == [1, 0]
