import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from metrics import OTHER, average_precision, best_threshold, calibration, confusion_matrix, measure

TRUTH = np.array([0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 1, 1, 1, 0])
CONFIDENCE = np.array([0.95, 0.95, 0.55, 0.85, 0.85, 0.55])
LABELS = ("a", "b", "c")


def test_confusion_matrix_has_truth_in_rows() -> None:
    assert confusion_matrix(TRUTH, PREDICTED, 3).tolist() == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]


def test_metrics_are_those_computed_by_hand() -> None:
    metrics = measure(TRUTH, PREDICTED, CONFIDENCE, LABELS, 1.5)
    assert metrics["score"] == metrics["accuracy"] == pytest.approx(4 / 6)
    assert metrics["per_label"]["a"] == pytest.approx(
        {"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "support": 3}
    )
    assert metrics["per_label"]["b"] == pytest.approx(
        {"precision": 2 / 3, "recall": 1, "f1": 0.8, "support": 2}
    )
    assert metrics["per_label"]["c"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1}
    assert metrics["macro_f1"] == pytest.approx((2 / 3 + 0.8 + 0) / 3)
    assert metrics["other_predictions"] == 0
    assert metrics["calibration"]["temperature"] == 1.5


def test_calibration_weighs_each_bin_by_its_images() -> None:
    result = calibration(TRUTH == PREDICTED, CONFIDENCE)
    assert [bin_["count"] for bin_ in result["bins"]] == [2, 2, 2]
    assert [bin_["accuracy"] for bin_ in result["bins"]] == [0.0, 1.0, 1.0]
    # |0.55 - 0| / 3 + |0.85 - 1| / 3 + |0.95 - 1| / 3
    assert result["expected_calibration_error"] == pytest.approx((0.55 + 0.15 + 0.05) / 3)


def test_confidence_of_one_falls_into_the_last_bin() -> None:
    result = calibration(np.array([True, True]), np.array([1.0, 0.99]))
    assert [bin_["count"] for bin_ in result["bins"]] == [2]


def test_prediction_of_another_label_is_wrong_and_in_no_column() -> None:
    metrics = measure(np.array([0, 1]), np.array([OTHER, 1]), np.array([0.9, 0.9]), LABELS, None)
    assert metrics["accuracy"] == 0.5
    assert metrics["confusion_matrix"] == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert metrics["other_predictions"] == 1


def test_label_without_images_does_not_weigh_on_macro_f1() -> None:
    metrics = measure(np.array([0, 1]), np.array([0, 1]), np.array([0.9, 0.9]), LABELS, None)
    assert metrics["macro_f1"] == 1.0


def test_empty_test_set_has_no_score_and_says_so() -> None:
    nothing = np.array([], dtype=np.int64)
    metrics = measure(nothing, nothing, np.array([]), LABELS, 1.0)
    assert metrics["score"] is None
    assert metrics["macro_f1"] is None
    assert metrics["calibration"]["expected_calibration_error"] is None
    assert "empty" in metrics["note"]
    assert metrics["confusion_matrix"] == [[0, 0, 0]] * 3


@pytest.mark.parametrize("seed", range(3))
def test_average_precision_is_scikit_learns(seed: int) -> None:
    chance = np.random.default_rng(seed)
    # In tenths, so that many are equal.
    scores, hits = chance.integers(0, 11, 60) / 10, chance.random(60) < 0.3
    assert average_precision(scores, hits) == pytest.approx(average_precision_score(hits, scores))


def test_average_precision_of_nothing_is_nothing() -> None:
    assert average_precision(np.array([0.5, 0.4]), np.array([False, False])) == 0.0


def test_best_threshold_lies_between_what_passes_and_what_does_not() -> None:
    scores = np.array([0.1, 0.9, 0.6, 0.2])
    threshold, f1 = best_threshold(scores, np.array([False, True, True, False]), 2)
    assert (threshold, f1) == pytest.approx((0.4, 1.0))


@pytest.mark.parametrize("seed", range(5))
def test_no_other_threshold_has_a_better_f1(seed: int) -> None:
    chance = np.random.default_rng(seed)
    scores, hits = chance.integers(1, 11, 40) / 10, chance.random(40) < 0.4
    positives = int(hits.sum()) + 3
    threshold, f1 = best_threshold(scores, hits, positives)

    def f1_at(least: float) -> float:
        passes = scores >= least
        return float(2 * (hits & passes).sum() / (passes.sum() + positives))

    assert f1_at(threshold) == pytest.approx(f1)
    assert f1 == pytest.approx(max(f1_at(score) for score in scores))


def test_threshold_where_nothing_was_said_is_the_default() -> None:
    assert best_threshold(np.empty(0), np.empty(0, np.bool_), 3) == (0.5, 0.0)
