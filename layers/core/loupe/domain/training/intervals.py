"""How far a score may be off because the test set is what it is, and no larger.

The test images are drawn again, as many as there are and with repetition, many times (the bootstrap); 95 % of
the scores of those sets lie in the interval. Draws are the same each time. Of boxes the predictions have only
those that the model answers, so that what they show is how the score spreads, and not the score itself.
"""

import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from loupe.domain.label_values import LabelValue, read_value
from loupe.domain.projects import TaskType
from loupe.domain.serving.answers import Prediction
from loupe.domain.training.metrics import OVERLAPS, Answered, average_precision, sightings_of

Interval = tuple[float, float]

MOST_DRAWS, FEWEST_DRAWS = 1_000, 100
FEW_IMAGES = 30
"""Of fewer test images a score says little: 30 without a mistake are what a model that is wrong in one of ten
would show in one of 24 times, and the bootstrap can't know it."""
WIDE = 0.2
"""... nor does one whose interval is wider than this."""

_COVERED = 0.95
_STEPS = 20_000_000
"""Images and detections looked at in all draws together: some ten seconds."""
_SEED = 20_261_127

Resample = Callable[[Sequence[int]], float]
"""The score of a test set, given as positions of images."""


def score_interval(
    task: TaskType, labels: Sequence[str], lines: Iterable[str], score: float
) -> Interval | None:
    """The 95 % interval of a score, from the lines of predictions.jsonl; None if there is none."""
    said = [json.loads(line) for line in lines if line.strip()]
    if not said:
        return None
    truths = [read_value(task, line) for line in said]
    resample, steps = _RESAMPLES[task](labels, truths, said)
    draws = max(FEWEST_DRAWS, min(MOST_DRAWS, _STEPS // steps))
    chance = random.Random(_SEED)  # noqa: S311 - not for secrets
    everything = range(len(said))
    measured = resample(everything)
    spread = sorted(resample(chance.choices(everything, k=len(everything))) - measured for _ in range(draws))
    cut = round((1 - _COVERED) / 2 * (draws - 1))
    low, high = spread[cut], spread[-1 - cut]
    return max(0.0, score + low), min(1.0, score + high)


def says_little(test_images: int | None, interval: Interval | None) -> bool:
    """Whether the test set is too small for the score to mean much."""
    is_wide = interval is not None and interval[1] - interval[0] > WIDE
    return is_wide or (test_images is not None and test_images < FEW_IMAGES)


def _one_label(
    _: Sequence[str], truths: Sequence[LabelValue], said: Sequence[Mapping[str, Any]]
) -> tuple[Resample, int]:
    hits = [truth.names == (line["predicted"],) for truth, line in zip(truths, said, strict=True)]
    return lambda drawn: sum(hits[at] for at in drawn) / len(drawn), len(hits)


def _several_labels(
    labels: Sequence[str], truths: Sequence[LabelValue], said: Sequence[Mapping[str, Any]]
) -> tuple[Resample, int]:
    known = {label: at for at, label in enumerate(labels)}
    wanted = [{known[name] for name in truth.names if name in known} for truth in truths]
    given = [{known[name] for name in line["predicted"] if name in known} for line in said]
    hits = [one & other for one, other in zip(wanted, given, strict=True)]

    def macro_f1(drawn: Sequence[int]) -> float:
        support, named, found = ([0] * len(labels) for _ in range(3))
        for counts, sets in ((support, wanted), (named, given), (found, hits)):
            for at in drawn:
                for label in sets[at]:
                    counts[label] += 1
        ratios = [
            2 * hit / (true + said) for true, said, hit in zip(support, named, found, strict=True) if true
        ]
        return sum(ratios) / len(ratios) if ratios else 0.0

    return macro_f1, len(said) + sum(map(len, wanted)) + sum(map(len, given))


def _boxes(
    labels: Sequence[str], truths: Sequence[LabelValue], said: Sequence[Mapping[str, Any]]
) -> tuple[Resample, int]:
    answers = [Answered(truth, _best_first(line)) for truth, line in zip(truths, said, strict=True)]
    of_labels = [sightings_of(label, answers, OVERLAPS[0]) for label in labels]

    def mean_precision(drawn: Sequence[int]) -> float:
        weights = [0] * len(answers)
        for at in drawn:
            weights[at] += 1
        precisions = []
        for boxes, sightings in of_labels:
            support = sum(weight * count for weight, count in zip(weights, boxes, strict=True))
            if support:
                counted = ((weights[each.image], each.is_hit) for each in sightings)
                precisions.append(average_precision(counted, support))
        return sum(precisions) / len(precisions) if precisions else 0.0

    steps = sum(len(boxes) + len(sightings) for boxes, sightings in of_labels)
    return mean_precision, steps + len(answers)


def _best_first(line: Mapping[str, Any]) -> list[Prediction]:
    return sorted(line["predicted"], key=lambda box: -box["confidence"])


_RESAMPLES: dict[
    TaskType,
    Callable[[Sequence[str], Sequence[LabelValue], Sequence[Mapping[str, Any]]], tuple[Resample, int]],
] = {
    "image-classification": _one_label,
    "multi-label-classification": _several_labels,
    "bounding-box": _boxes,
}
