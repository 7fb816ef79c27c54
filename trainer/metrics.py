"""How good predictions are: accuracy, per-label precision, recall and F1, confusion matrix, calibration."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

OTHER = -1  # predicted, but not one of the labels: a champion may know labels that the project has given up
DEFAULT_THRESHOLD = 0.5  # where validation has nothing to choose one by
EMPTY = "the test set is empty: nothing was measured"
_BINS = 10

Indices = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]


def measure(
    truth: Indices, predicted: Indices, confidence: Reals, labels: Sequence[str], temperature: float | None
) -> dict[str, Any]:
    """The metrics of N predictions, as evaluation.json has them.

    `truth`, `predicted` and `confidence` have shape (N,); the first two hold indices into `labels`,
    `predicted` also OTHER. Without predictions there is no score: it is None, and a note says so. A ratio of
    nothing (no image of a label, or none predicted as it) is 0.0, with the support beside it; macro_f1 is
    the mean over labels that have images.
    """
    confusion = confusion_matrix(truth, predicted, len(labels))
    support = np.bincount(truth, minlength=len(labels))
    precision, recall, f1 = scores_of_counts(np.diag(confusion), confusion.sum(axis=0), support)
    accuracy = float(confusion.trace() / len(truth)) if len(truth) else None
    metrics: dict[str, Any] = {
        "score": accuracy,
        "accuracy": accuracy,
        "macro_f1": float(f1[support > 0].mean()) if len(truth) else None,
        "per_label": {
            label: {
                "precision": float(precision[index]),
                "recall": float(recall[index]),
                "f1": float(f1[index]),
                "support": int(support[index]),
            }
            for index, label in enumerate(labels)
        },
        "confusion_matrix": confusion.tolist(),
        "other_predictions": int((predicted == OTHER).sum()),
        "calibration": {**calibration(truth == predicted, confidence), "temperature": temperature},
    }
    if accuracy is None:
        metrics["note"] = EMPTY
    return metrics


def confusion_matrix(truth: Indices, predicted: Indices, classes: int) -> Indices:
    """Counts (classes, classes): rows are the truth, columns the prediction; OTHER is in no column."""
    known = predicted != OTHER
    cells = np.bincount(truth[known] * classes + predicted[known], minlength=classes * classes)
    return cells.reshape(classes, classes).astype(np.int64)


def calibration(right: npt.NDArray[np.bool_], confidence: Reals) -> dict[str, Any]:
    """Expected calibration error; mean confidence, accuracy and count of each tenth of confidence in use."""
    bin_of = np.minimum((confidence * _BINS).astype(np.int64), _BINS - 1)
    bins = []
    error = 0.0
    for number in np.unique(bin_of):
        members = bin_of == number
        mean, accuracy, count = (
            float(confidence[members].mean()),
            float(right[members].mean()),
            int(members.sum()),
        )
        bins.append({"confidence": mean, "accuracy": accuracy, "count": count})
        error += abs(mean - accuracy) * count / len(confidence)
    return {"expected_calibration_error": error if len(confidence) else None, "bins": bins}


def scores_of_counts(hits: Indices, predicted: Indices, support: Indices) -> tuple[Reals, Reals, Reals]:
    """Precision, recall and F1 of each label: how often it was right, said, and true, (labels,) each."""
    precision, recall = _ratio(hits, predicted), _ratio(hits, support)
    return precision, recall, _ratio(2 * precision * recall, precision + recall)


def best_threshold(scores: Reals, hits: npt.NDArray[np.bool_], positives: int) -> tuple[float, float]:
    """The threshold with the best F1 for what has at least that score, and this F1.

    `scores` (N,) are 0 to 1; `hits` (N,) says which are right; `positives` is how many there are to be found,
    those without a score included, and more than 0. The threshold lies halfway to the best score left out.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, found = scores[order], np.cumsum(hits[order])
    # Equal scores pass together, so only the last of them can be the lowest to pass.
    last = np.flatnonzero(np.append(ranked[1:] < ranked[:-1], True)[: len(ranked)])
    if not len(last):
        return DEFAULT_THRESHOLD, 0.0
    f1 = 2 * found[last] / (last + 1 + positives)
    best = int(np.argmax(f1))
    below = ranked[last[best] + 1] if last[best] + 1 < len(ranked) else 0.0
    return float((ranked[last[best]] + below) / 2), float(f1[best])


def average_precision(scores: Reals, hits: npt.NDArray[np.bool_]) -> float:
    """Mean precision over the hits, each at its own score: the area under the precision-recall steps."""
    if not hits.any():
        return 0.0
    order = np.argsort(-scores, kind="stable")
    ranked, found = scores[order], np.cumsum(hits[order])
    last = np.flatnonzero(np.append(ranked[1:] < ranked[:-1], True))
    precision = found[last] / (last + 1)
    return float((precision * np.diff(found[last], prepend=0)).sum() / found[-1])


def _ratio(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> Reals:
    ratio: Reals = np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
    return ratio
