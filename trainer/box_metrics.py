"""How good detections are, by COCO's definition: average precision over overlaps, labels and images.

Boxes are rows of left, top, right, bottom. Of each label's detections, best first, each takes the box of that
label that it overlaps most, if none has taken it and the overlap (intersection over union) is large enough;
else it is wrong. Average precision is the mean of the precisions that are reached at each of 101 recalls. Of
the detections of an image COCO counts the best 100 of each label; a network of this trainer says no more than
that of all labels together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metrics import Reals

OVERLAPS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0, 1, 101)

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Matches:
    """Of one label, over images: confidences (N,), which of them are right at each overlap (OVERLAPS, N), and
    how many boxes there are to be found."""

    scores: Reals
    hits: Flags
    positives: int

    @property
    def average_precisions(self) -> Reals:
        """At each overlap; 0 where there is nothing to be found."""
        return np.array([_average_precision(self.scores, hits, self.positives) for hits in self.hits])


class Matcher:
    """Gathers detections and true boxes image by image, and matches them label by label."""

    def __init__(self, labels: int) -> None:
        self._scores: list[list[Reals]] = [[] for _ in range(labels)]
        self._hits: list[list[Flags]] = [[] for _ in range(labels)]
        self._positives = [0] * labels

    def add(self, true_labels: Reals, true_boxes: Reals, labels: Reals, scores: Reals, boxes: Reals) -> None:
        """Count one image: (T,) and (T, 4) of what is there, (D,), (D,) and (D, 4) of what was found."""
        for label in np.unique(np.concatenate((true_labels, labels))).astype(int):
            there, found = true_boxes[true_labels == label], labels == label
            order = np.argsort(-scores[found], kind="stable")
            self._scores[label].append(scores[found][order])
            self._hits[label].append(match(there, boxes[found][order]))
            self._positives[label] += len(there)

    def matches(self) -> list[Matches]:
        """Of each label."""
        return [
            Matches(
                np.concatenate([*scores, np.empty(0)]),
                np.concatenate([*hits, np.empty((len(OVERLAPS), 0), np.bool_)], axis=1),
                positives,
            )
            for scores, hits, positives in zip(self._scores, self._hits, self._positives, strict=True)
        ]


def match(there: Reals, found: Reals) -> Flags:
    """Which of the boxes found (D, 4), best first, are right about those there (T, 4): (OVERLAPS, D)."""
    hits = np.zeros((len(OVERLAPS), len(found)), np.bool_)
    if not len(there) or not len(found):
        return hits
    overlaps = overlap(found, there)
    taken = np.zeros((len(OVERLAPS), len(there)), np.bool_)
    for number in np.flatnonzero(overlaps.max(axis=1) >= OVERLAPS[0]):
        open_ = np.where(~taken & (overlaps[number] >= OVERLAPS[:, None]), overlaps[number], -1.0)
        # Of boxes with the same overlap COCO's program takes the last.
        best = len(there) - 1 - open_[:, ::-1].argmax(axis=1)
        right = open_[np.arange(len(OVERLAPS)), best] >= 0
        hits[:, number] = right
        taken[right, best[right]] = True
    return hits


def overlap(some: Reals, others: Reals) -> Reals:
    """Intersection over union of each pair: (N, 4) and (M, 4) to (N, M)."""
    low = np.maximum(some[:, None, :2], others[None, :, :2])
    high = np.minimum(some[:, None, 2:], others[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    union = _areas(some)[:, None] + _areas(others)[None, :] - shared
    quotient: Reals = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return quotient


def mean_average_precisions(matches: Sequence[Matches]) -> tuple[float, float] | None:
    """At an overlap of 0.5, and over all overlaps, over labels that have boxes; None where none has any."""
    found = [each.average_precisions for each in matches if each.positives]
    if not found:
        return None
    return float(np.mean([each[0] for each in found])), float(np.mean(found))


def _areas(boxes: Reals) -> Reals:
    areas: Reals = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return areas


def _average_precision(scores: Reals, hits: Flags, positives: int) -> float:
    if not positives:
        return 0.0
    right = np.cumsum(hits[np.argsort(-scores, kind="stable")])
    precision = right / (np.arange(len(right)) + 1)
    # The best precision at this recall or a higher one.
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(right / positives, _RECALLS, side="left")
    return float(np.append(precision, 0.0)[np.minimum(places, len(precision))].mean())
