"""What a model's answers to the test images come to: which labels it mixes up, and what another threshold
would do.

Both are read from predictions.jsonl, the candidate's answers as training or a batch transform left them. Each
answer is judged part by part: the label that is right beside the label that the model gave.
"""

import json
from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from loupe.domain.label_values import Box, Boxes, read_value
from loupe.domain.projects import TaskType
from loupe.domain.serving.answers import believed
from loupe.domain.training.metrics import box_of, overlap

THRESHOLDS = tuple(step / 100 for step in range(101))
"""Where precision and recall are told."""

SAME_PLACE = 0.5
"""Boxes that overlap by so much are about the same thing."""

_DIGITS = 4

Line = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Judgement:
    """One part of an answer. `truth` is None for what is not there, `said` for what the model did not find;
    `confidence` is the model's in what it said, 0.0 where it said nothing and does not tell."""

    truth: str | None
    said: str | None
    confidence: float


def judge(task: TaskType, line: Line, least: float = 0.0) -> list[Judgement]:
    """The judgements of one line of predictions.jsonl; boxes of a confidence below `least` don't count.
    Raises `InvalidLabel`."""
    match task:
        case "image-classification":
            return [Judgement(line["label"], line["predicted"], line["confidence"])]
        case "multi-label-classification":
            return list(_judge_labels(line))
        case "bounding-box":
            return list(_judge_boxes(line, least))


def _judge_labels(line: Line) -> Iterator[Judgement]:
    truth, said, confidences = line["labels"], line["predicted"], line["confidences"]
    for label in dict.fromkeys([*truth, *said]):
        yield Judgement(
            label if label in truth else None, label if label in said else None, confidences.get(label, 0.0)
        )


def _judge_boxes(line: Line, least: float) -> Iterator[Judgement]:
    """First each box of the answer takes the box of its own label that it overlaps most, the surest first, as
    the metrics have it; then what is left is matched whatever its label."""
    value = read_value("bounding-box", line)
    free = list(value.boxes) if isinstance(value, Boxes) else []
    answered = sorted(believed(line["predicted"], least), key=lambda each: each["confidence"], reverse=True)
    left = []
    for each in answered:
        box = box_of(each)
        found = _take(free, box, [other for other in free if other.label == box.label])
        if found is None:
            left.append((box, each["confidence"]))
        else:
            yield Judgement(found.label, box.label, each["confidence"])
    for box, confidence in left:
        found = _take(free, box, free)
        yield Judgement(found.label if found else None, box.label, confidence)
    for box in free:
        yield Judgement(box.label, None, 0.0)


def _take(free: list[Box], box: Box, candidates: Sequence[Box]) -> Box | None:
    """The box among the candidates that lies where `box` does; it is not free any more."""
    best = max(candidates, key=lambda other: overlap(box, other), default=None)
    if best is None or overlap(box, best) < SAME_PLACE:
        return None
    free.remove(best)
    return best


# All answers of a model -----------------------------------------------------------------------------


@dataclass
class _Answers:
    """What a model said of one label: confidences, of all and of those that were right."""

    support: int = 0
    said: "array[float]" = field(default_factory=lambda: array("d"))
    right: "array[float]" = field(default_factory=lambda: array("d"))

    def add(self, confidence: float, *, is_right: bool) -> None:
        self.said.append(confidence)
        if is_right:
            self.right.append(confidence)


class Judgements:
    """Takes the lines of predictions.jsonl one by one. Boxes of a confidence below `least` count in the
    curves only."""

    def __init__(self, task: TaskType, labels: Sequence[str], least: float = 0.0) -> None:
        self._task = task
        self._least = least
        self._labels = labels
        self._cells: Counter[tuple[str | None, str | None]] = Counter()
        self._answers: defaultdict[str, _Answers] = defaultdict(_Answers)
        self._images = 0

    def add(self, line: Line) -> None:
        """Raises `InvalidLabel`."""
        self._images += 1
        several = self._task == "multi-label-classification"
        judged = judge(self._task, line)
        counted = judge(self._task, line, self._least) if self._least else judged
        self._cells.update((each.truth, each.said) for each in counted)
        for each in judged:
            if each.truth is not None:
                self._answers[each.truth].support += 1
            if each.said is not None and not several:
                self._answers[each.said].add(each.confidence, is_right=each.truth == each.said)
        if several:  # what was said of labels that don't apply counts for other thresholds
            for label, confidence in line["confidences"].items():
                self._answers[label].add(confidence, is_right=label in line["labels"])

    def confusion(self) -> dict[str, Any]:
        """`{"labels", "others", "cells"}`: `others` are labels that the model gave and the dataset does not
        have, and a cell is `{"truth", "predicted", "count"}`, None for nothing, the most frequent first."""
        known = set(self._labels)
        others = sorted({said for _, said in self._cells if said is not None and said not in known})
        cells = [
            {"truth": truth, "predicted": said, "count": count}
            for (truth, said), count in self._cells.most_common()
        ]
        return {"labels": list(self._labels), "others": others, "cells": cells}

    def curves(self) -> dict[str, Any]:
        """`{"thresholds", "all", "labels"}`: for each label, and for all of them together, `support`, and
        `precision` and `recall` for each threshold; a precision of no answer is None."""
        known = {label: self._answers[label] for label in self._labels}
        together = _Answers()
        for answers in known.values():
            together.support += answers.support
            together.said.extend(answers.said)
            together.right.extend(answers.right)
        return {
            "thresholds": THRESHOLDS,
            "all": _curve(together),
            "labels": {label: _curve(answers) for label, answers in known.items()},
        }

    @property
    def images(self) -> int:
        return self._images


def _curve(answers: _Answers) -> dict[str, Any]:
    said = _at_least(answers.said)
    right = _at_least(answers.right)
    return {
        "support": answers.support,
        "precision": [
            round(hits / all_, _DIGITS) if all_ else None for hits, all_ in zip(right, said, strict=True)
        ],
        "recall": [round(hits / answers.support, _DIGITS) if answers.support else 0.0 for hits in right],
    }


def _at_least(confidences: Iterable[float]) -> list[int]:
    """For each threshold, how many reach it."""
    ordered = sorted(confidences)
    return [len(ordered) - bisect_left(ordered, threshold) for threshold in THRESHOLDS]


# Images behind a cell -------------------------------------------------------------------------------


def behind_cell(
    task: TaskType, lines: Iterable[str], truth: str | None, said: str | None, least: float = 0.0
) -> list[int]:
    """Numbers of those lines of predictions.jsonl whose images have such a judgement, the model's firmest
    first; boxes of a confidence below `least` don't count. Raises `InvalidLabel`."""
    # What the model did not find it missed the more firmly, the less it believed in it.
    sign = 1 if said is None else -1
    found = []
    for number, text in enumerate(lines):
        judgements = judge(task, json.loads(text), least)
        firmness = [sign * each.confidence for each in judgements if (each.truth, each.said) == (truth, said)]
        if firmness:
            found.append((min(firmness), number))
    return [number for _, number in sorted(found)]
