"""What the votes of several workers amount to: expectation maximisation over the workers' skill.

The model is Dawid and Skene's ("Maximum Likelihood Estimation of Observer Error-Rates Using the EM
Algorithm", 1979): for each worker, how likely he votes for each class where another one is true. Where a
worker has few votes for a class, his skill as a whole stands in for it, and for a new worker the skill of
all; so a handful of votes is no certainty. docs/decisions/agreement.md has the reasons.

Plain Python, and the same votes in the same order give the same numbers.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from math import exp, log
from operator import add, sub

Votes = tuple[tuple[str, int], ...]
"""What was said about one thing: worker and class, one vote a worker, by worker."""

_ROUNDS = 50
_SETTLED = 1e-3
"""When no probability changes by more, the estimate stands."""
_SKILL_VOTES = 4.0
"""The skill of all workers counts in each worker's as much as so many votes of his own."""
_CLASS_VOTES = 32.0
"""A worker's skill counts in his votes on one class as much as so many of them."""
_MOST_VOTES = 20_000
"""Skills are estimated from so many different votes at most; more would not change them, but take minutes."""


def votes(said: Mapping[str, int]) -> Votes:
    """The votes by worker, whoever came first."""
    return tuple(sorted(said.items()))


@dataclass(frozen=True)
class Question:
    """Things that were voted on with the same classes. `known` are those whose class is known."""

    votes: Counter[Votes]
    known: Counter[tuple[Votes, int]]

    @classmethod
    def of(cls, said: Iterable[Votes], known: Iterable[tuple[Votes, int]] = ()) -> "Question":
        return cls(Counter(said), Counter(known))


class Consensus:
    """What is to be believed, given all votes on some questions.

    `kinds` has a number for each class: classes of the same number are equally hard, so that a worker has one
    skill for them. Questions of the same workers support each other in the same way.
    """

    def __init__(self, questions: Sequence[Question], kinds: Sequence[int]) -> None:
        self._kinds = tuple(kinds)
        self._classes = range(len(kinds))
        said = (each for question in questions for each in (*question.votes, *(v for v, _ in question.known)))
        self._workers = sorted({worker for each in said for worker, _ in each})
        self._skills: dict[str, list[float]] = {}
        self._estimates = self._settle(questions)

    def probabilities(self, question: int, said: Votes) -> list[float]:
        """How likely each class is, given these votes on the question of that number."""
        return self._estimates[question].probabilities(said)

    def skill(self, worker: str, kind: int = 0) -> float:
        """How likely the worker votes for the true class, where it is of that kind. Half for one of whom
        nothing was heard."""
        return self._skills[worker][kind] if worker in self._skills else 0.5

    def _settle(self, questions: Sequence[Question]) -> list["_Estimate"]:
        most = _MOST_VOTES // max(len(questions), 1)
        samples = [list(islice(question.votes.items(), most)) for question in questions]
        believed = [[_shares(said, len(self._classes)) for said, _ in sample] for sample in samples]
        for _ in range(_ROUNDS):
            counts = [self._count(*each) for each in zip(questions, samples, believed, strict=True)]
            self._skills = self._estimate_skills(counts)
            estimates = [self._estimate(each) for each in counts]
            before = believed
            believed = [
                [estimate.probabilities(said) for said, _ in sample]
                for estimate, sample in zip(estimates, samples, strict=True)
            ]
            pairs = zip(chain(*before), chain(*believed), strict=True)
            if all(max(map(abs, map(sub, *pair))) < _SETTLED for pair in pairs):
                break
        return estimates

    def _count(
        self, question: Question, sample: Iterable[tuple[Votes, int]], believed: Iterable[list[float]]
    ) -> "_Counts":
        counts = _Counts(len(self._classes), self._workers)
        for (said, times), each in zip(sample, believed, strict=True):
            counts.add(said, each if times == 1 else [times * share for share in each])
        for (said, true), times in question.known.items():
            counts.add(said, [float(times) if each == true else 0.0 for each in self._classes])
        return counts

    def _estimate_skills(self, counts: Sequence["_Counts"]) -> dict[str, list[float]]:
        """For each worker and kind of class, how often he is right."""
        kinds = range(max(self._kinds) + 1)
        right = {worker: [0.0] * len(kinds) for worker in self._workers}
        total = {worker: [0.0] * len(kinds) for worker in self._workers}
        for count in counts:
            for worker in self._workers:
                for voted, column in enumerate(count.votes[worker]):
                    for true, number in enumerate(column):
                        total[worker][self._kinds[true]] += number
                        if true == voted:
                            right[worker][self._kinds[true]] += number
        skills: dict[str, list[float]] = {worker: [] for worker in self._workers}
        for kind in kinds:
            of_all = (sum(right[w][kind] for w in self._workers) + 3.0) / (
                sum(total[w][kind] for w in self._workers) + 4.0
            )
            for worker in self._workers:
                skills[worker].append(
                    (right[worker][kind] + _SKILL_VOTES * of_all) / (total[worker][kind] + _SKILL_VOTES)
                )
        return skills

    def _estimate(self, counts: "_Counts") -> "_Estimate":
        classes = len(self._classes)
        whole = sum(counts.classes) + classes
        prior = [log((number + 1) / whole) for number in counts.classes]
        columns: dict[str, list[list[float]]] = {}
        for worker in self._workers:
            said = counts.votes[worker]
            rows = [sum(column[true] for column in said) + _CLASS_VOTES for true in self._classes]
            columns[worker] = [
                [
                    log((column[true] + _CLASS_VOTES * self._expected(worker, true, voted)) / rows[true])
                    for true in self._classes
                ]
                for voted, column in enumerate(said)
            ]
        return _Estimate(prior, columns)

    def _expected(self, worker: str, true: int, voted: int) -> float:
        skill = self._skills[worker][self._kinds[true]]
        return skill if true == voted else (1 - skill) / (len(self._classes) - 1)


class _Counts:
    """How often each class is true, and how often each worker votes for a class where each is true."""

    def __init__(self, classes: int, workers: Iterable[str]) -> None:
        self.classes = [0.0] * classes
        self.votes = {worker: [[0.0] * classes for _ in range(classes)] for worker in workers}

    def add(self, said: Votes, weights: Sequence[float]) -> None:
        self.classes = list(map(add, self.classes, weights))
        for worker, voted in said:
            columns = self.votes[worker]
            columns[voted] = list(map(add, columns[voted], weights))


@dataclass(frozen=True)
class _Estimate:
    """Logarithms: of each class's share, and, by worker and class that he votes for, of the vote's likelihood
    where each class is true."""

    prior: list[float]
    columns: Mapping[str, list[list[float]]]

    def probabilities(self, said: Votes) -> list[float]:
        scores = self.prior
        for worker, voted in said:
            if worker in self.columns:  # not one whose first answer came after the estimate
                scores = list(map(add, scores, self.columns[worker][voted]))
        best = max(scores)
        weights = [exp(score - best) for score in scores]
        whole = sum(weights)
        return [weight / whole for weight in weights]


def _shares(said: Votes, classes: int) -> list[float]:
    """Each class's share of the votes: what is believed before any skill is known."""
    shares = [0.0] * classes
    for _, voted in said:
        shares[voted] += 1 / len(said)
    return shares
