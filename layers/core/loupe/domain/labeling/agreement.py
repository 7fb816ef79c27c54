"""What the answers of several workers to one image amount to, for each task.

    image-classification         one of the labels, or none
    multi-label-classification   each label by itself: it applies or not
    bounding-box                 each object that anybody drew: one of the labels, or no object

An answer that skips an image is a vote for its having no label. How far each vote counts is for
`loupe.domain.labeling.votes` to say, from all answers of the job and from those whose right answer is known.

What all say of a thing is never overruled, however little they are believed.

A `Jury` hears all answers first, and then says of each image what it concludes; it keeps counts of votes and
no answers, so that a job of 100,000 images can be read twice instead of being held in memory.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from loupe.domain.label_values import Box, Boxes, LabelValue, OneLabel, SeveralLabels
from loupe.domain.labeling.box_groups import Group, group, matches
from loupe.domain.labeling.votes import Consensus, Question, Votes, votes
from loupe.domain.projects import TaskType
from loupe.ports.labeling import Answer

SURE_FROM = 0.9
"""An image is in doubt where workers disagree on something, and what is concluded is less likely than that.
Where it has no more than half of the votes it is no surer than their share: that one label is rare would else
decide one against one."""
SAME_FROM = 0.8
"""From this likeness on, an answer counts as the known one."""

Size = tuple[int, int]
"""Width and height of an image in pixels."""


@dataclass(frozen=True)
class Verdict:
    """What is concluded for an image: `value`, or None if it has no label. `confidences` are between 0 and 1,
    one for each part of the value, as Ground Truth gives them: 0 where nobody confirmed the only answer.
    `certainty` is that of the least sure thing of which workers said different things, 1 if there is none."""

    value: LabelValue | None
    confidences: tuple[float, ...]
    certainty: float

    @property
    def is_in_doubt(self) -> bool:
        return self.certainty < SURE_FROM


def verdict_of_one(answer: Answer) -> Verdict:
    """Of an image that one worker answered: nobody can say how sure that is."""
    return Verdict(answer.value, (0.0,) * len(answer.value.names) if answer.value else (), 1.0)


def likeness(one: LabelValue | None, other: LabelValue | None) -> float:
    """How far two labels of an image say the same, between 0 and 1: for several labels the share of those in
    either that are in both; for boxes twice the matching ones among all."""
    match one, other:
        case (None, _) | (_, None) | (OneLabel(), _):
            return float(one == other)
        case SeveralLabels(labels), SeveralLabels(others):
            either = {*labels, *others}
            return len({*labels} & {*others}) / len(either) if either else 1.0
        case Boxes(boxes), Boxes(others):
            all_boxes = len(boxes) + len(others)
            return 2 * matches(boxes, others) / all_boxes if all_boxes else 1.0
    return 0.0


def agreement(answers: Sequence[Answer], concluded: LabelValue | None) -> float:
    """How far the answers say what was concluded from them, on average, between 0 and 1."""
    return round(sum(likeness(answer.value, concluded) for answer in answers) / len(answers), 4)


class Jury(Protocol):
    """Concludes what the images of one job show."""

    def hear(self, answers: Sequence[Answer], known: LabelValue | None = None) -> None:
        """The answers to one image, and its label if that is known."""
        ...

    def conclude(self, answers: Sequence[Answer], size: Size, /) -> Verdict:
        """What follows for an image, once all were heard. There is at least one answer."""
        ...


def jury(task: TaskType, labels: Sequence[str]) -> Jury:
    """One that has heard nothing yet."""
    juries: dict[TaskType, Callable[[Sequence[str]], Jury]] = {
        "image-classification": _OfOneLabel,
        "multi-label-classification": _OfSeveralLabels,
        "bounding-box": _OfBoxes,
    }
    return juries[task](labels)


class _Votes:
    """The votes on one question, and what was known of them."""

    def __init__(self) -> None:
        self._question = Question.of(())

    def add(self, said: Votes, known: int | None) -> None:
        if not said:
            return
        if known is None:
            self._question.votes[said] += 1
        else:
            self._question.known[said, known] += 1

    @property
    def question(self) -> Question:
        return self._question


class _OfOneLabel:
    """Classes are the labels, and that there is none."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._classes: tuple[OneLabel | None, ...] = (*map(OneLabel, labels), None)
        self._numbers = {value: number for number, value in enumerate(self._classes)}
        self._votes = _Votes()
        self._consensus: Consensus | None = None

    def hear(self, answers: Sequence[Answer], known: LabelValue | None = None) -> None:
        self._votes.add(self._said(answers), self._number(known) if known is not None else None)

    def conclude(self, answers: Sequence[Answer], _size: Size, /) -> Verdict:
        if len(answers) == 1:
            return verdict_of_one(answers[0])
        if self._consensus is None:
            self._consensus = Consensus([self._votes.question], [0] * len(self._classes))
        found = _found(self._consensus, 0, self._said(answers))
        value = self._classes[found.best]
        return Verdict(value, (found.confidence,) if value else (), found.certainty)

    def _said(self, answers: Iterable[Answer]) -> Votes:
        return votes({answer.worker: self._number(answer.value) for answer in answers})

    def _number(self, value: LabelValue | None) -> int:
        return self._numbers[value if isinstance(value, OneLabel) else None]


_NO, _YES = 0, 1


class _SkipsFirst:
    """Whether an image has a label at all is decided first, and by those who say so, which."""

    def __init__(self) -> None:
        self._skips = _Votes()
        self._skip_consensus: Consensus | None = None

    def _hear_skips(self, answers: Sequence[Answer], known: LabelValue | None) -> None:
        self._skips.add(_skips(answers), _NO if known is not None else None)

    def _is_skipped(self, answers: Sequence[Answer]) -> tuple[bool, float]:
        """Whether the image has no label, and how sure that is."""
        skipped = sum(answer.value is None for answer in answers)
        if skipped in (0, len(answers)):
            return skipped > 0, 1.0
        if self._skip_consensus is None:
            self._skip_consensus = Consensus([self._skips.question], [0, 1])
        found = _found(self._skip_consensus, 0, _skips(answers))
        return found.best == _YES, found.certainty


def _skips(answers: Iterable[Answer]) -> Votes:
    return votes({answer.worker: _YES if answer.value is None else _NO for answer in answers})


class _OfSeveralLabels(_SkipsFirst):
    """A question a label: does it apply?"""

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__()
        self._labels = tuple(labels)
        self._votes = [_Votes() for _ in labels]
        self._consensus: Consensus | None = None

    def hear(self, answers: Sequence[Answer], known: LabelValue | None = None) -> None:
        self._hear_skips(answers, known)
        for label, heard in zip(self._labels, self._votes, strict=True):
            heard.add(_applies(label, answers), None if known is None else int(label in known.names))

    def conclude(self, answers: Sequence[Answer], _size: Size, /) -> Verdict:
        if len(answers) == 1:
            return verdict_of_one(answers[0])
        is_skipped, certainty = self._is_skipped(answers)
        if is_skipped:
            return Verdict(None, (), certainty)
        if self._consensus is None:
            self._consensus = Consensus([heard.question for heard in self._votes], [0, 1])
        applying: dict[str, float] = {}
        for number, label in enumerate(self._labels):
            found = _found(self._consensus, number, _applies(label, answers))
            certainty = min(certainty, found.certainty)
            if found.best == _YES:
                applying[label] = found.confidence
        return Verdict(SeveralLabels(tuple(applying)), tuple(applying.values()), certainty)


def _applies(label: str, answers: Iterable[Answer]) -> Votes:
    return votes(
        {
            answer.worker: _YES if label in answer.value.names else _NO
            for answer in answers
            if answer.value is not None
        }
    )


class _OfBoxes(_SkipsFirst):
    """Things that are voted on are the groups of matching boxes. Classes are the labels, and that there is no
    object: who has drawn nothing there says that."""

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__()
        self._labels = tuple(labels)
        self._numbers = {label: number for number, label in enumerate(labels)}
        self._nothing = len(self._labels)
        self._votes = _Votes()
        self._consensus: Consensus | None = None

    def hear(self, answers: Sequence[Answer], known: LabelValue | None = None) -> None:
        self._hear_skips(answers, known)
        drawn = _boxes(answers)
        if not isinstance(known, Boxes):
            for each in group(drawn):
                self._votes.add(self._said(each, drawn), None)
            return
        for each in group({_KNOWN: known.boxes, **drawn}):
            true = each.boxes.get(_KNOWN)
            number = self._nothing if true is None else self._numbers.get(true.label, self._nothing)
            self._votes.add(self._said(each, drawn), number)

    def conclude(self, answers: Sequence[Answer], size: Size, /) -> Verdict:
        if len(answers) == 1:
            return verdict_of_one(answers[0])
        is_skipped, certainty = self._is_skipped(answers)
        if is_skipped:
            return Verdict(None, (), certainty)
        drawn = _boxes(answers)
        boxes, confidences = [], []
        for each in group(drawn):
            consensus = self._agreed()
            found = _found(consensus, 0, self._said(each, drawn))
            certainty = min(certainty, found.certainty)
            if found.best != self._nothing:
                weights = {worker: consensus.skill(worker) for worker in drawn}
                boxes.append(each.merged(self._labels[found.best], weights, size))
                confidences.append(found.confidence)
        return Verdict(Boxes(tuple(boxes)), tuple(confidences), certainty)

    def _agreed(self) -> Consensus:
        if self._consensus is None:
            self._consensus = Consensus([self._votes.question], [0] * self._nothing + [1])
        return self._consensus

    def _said(self, each: Group, drawn: Iterable[str]) -> Votes:
        return votes(
            {
                worker: self._numbers[each.boxes[worker].label] if worker in each.boxes else self._nothing
                for worker in drawn
            }
        )


_KNOWN = ""
"""In place of a worker: no worker's id is empty, so that known boxes come first."""


def _boxes(answers: Iterable[Answer]) -> dict[str, tuple[Box, ...]]:
    return {answer.worker: answer.value.boxes for answer in answers if isinstance(answer.value, Boxes)}


@dataclass(frozen=True)
class _Found:
    """The class that is concluded, and how likely it is."""

    best: int
    confidence: float
    certainty: float


def _found(consensus: Consensus, question: int, said: Votes) -> _Found:
    """What is concluded from votes: what all say, or else what is likeliest; of equals the first."""
    probabilities = consensus.probabilities(question, said)
    classes = {voted for _, voted in said}
    best = max(classes if len(classes) == 1 else range(len(probabilities)), key=probabilities.__getitem__)
    confidence = round(probabilities[best], 4)
    if len(classes) == 1:
        return _Found(best, confidence, 1.0)
    share = sum(voted == best for _, voted in said) / len(said)
    return _Found(best, confidence, confidence if share > 0.5 else min(confidence, share))
