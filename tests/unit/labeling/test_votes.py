"""Expectation maximisation over workers' skill, and what is concluded for each task."""

import random
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loupe.domain.label_values import Box, Boxes, LabelValue, OneLabel, SeveralLabels, check_value
from loupe.domain.labeling.agreement import Verdict, agreement, jury, likeness
from loupe.domain.labeling.box_groups import group, overlap
from loupe.domain.labeling.votes import Consensus, Question, Votes, votes
from loupe.domain.projects import TaskType
from loupe.ports.labeling import Answer

NOW = datetime(2026, 11, 21, 10, 15, tzinfo=UTC)
LABELS = ("ok", "dent", "scratch")
SIZE = (64, 48)


def answer(worker: str, said: LabelValue | str) -> Answer:
    given: dict[str, Any] = {"skip": said} if isinstance(said, str) else {"value": said}
    return Answer(worker, worker.title(), NOW, **given)


def conclude(task: TaskType, *images: dict[str, LabelValue | str]) -> list[Verdict]:
    """What follows from what workers said of these images."""
    heard = jury(task, LABELS)
    said = [[answer(worker, each) for worker, each in image.items()] for image in images]
    for answers in said:
        heard.hear(answers)
    return [heard.conclude(answers, SIZE) for answers in said]


# Expectation maximisation ---------------------------------------------------------------------------


def simulated(skills: dict[str, float], classes: int, number: int) -> list[tuple[int, Votes]]:
    """The truth about so many things, and what workers of such skills say of each."""
    chance = random.Random(7)  # noqa: S311 - nothing is secret here
    found = []
    for _ in range(number):
        true = chance.randrange(classes)
        wrong = [each for each in range(classes) if each != true]
        said = {w: true if chance.random() < s else chance.choice(wrong) for w, s in skills.items()}
        found.append((true, votes(said)))
    return found


def test_one_skilled_worker_outweighs_two_who_guess() -> None:
    things = simulated({"ada": 0.95, "ben": 0.4, "cleo": 0.4, "dan": 0.4}, 4, 400)
    consensus = Consensus([Question.of(said for _, said in things)], [0] * 4)
    assert consensus.skill("ada") > 0.8 > 0.6 > consensus.skill("ben")
    probabilities = consensus.probabilities(0, votes({"ada": 2, "ben": 1, "cleo": 1}))
    assert max(probabilities) == probabilities[2]
    assert sum(probabilities) == pytest.approx(1)


def test_it_is_right_more_often_than_the_majority() -> None:
    things = simulated({"ada": 0.95, "ben": 0.5, "cleo": 0.5}, 5, 500)
    consensus = Consensus([Question.of(said for _, said in things)], [0] * 5)
    ours = majority = 0
    for true, said in things:
        probabilities = consensus.probabilities(0, said)
        ours += probabilities.index(max(probabilities)) == true
        count = [sum(voted == each for _, voted in said) for each in range(5)]
        majority += count.index(max(count)) == true
    assert ours > majority + 25


def test_a_worker_who_mistakes_one_class_for_another_is_understood() -> None:
    things = [
        (n % 3, votes({"ada": n % 3, "ben": n % 3, "eve": 0 if n % 3 == 1 else n % 3})) for n in range(150)
    ]
    consensus = Consensus([Question.of(said for _, said in things)], [0] * 3)
    says_zero = consensus.probabilities(0, votes({"eve": 0}))
    says_two = consensus.probabilities(0, votes({"eve": 2}))
    assert says_zero[1] > 0.3
    assert says_two[2] > 0.8


def test_known_answers_tell_who_is_right_where_two_disagree() -> None:
    said = [votes({"ada": 0, "eve": 1})] * 6
    known = [(votes({"ada": n % 2, "eve": 1 - n % 2}), n % 2) for n in range(10)]
    consensus = Consensus([Question.of(said, known)], [0, 0])
    assert consensus.probabilities(0, said[0])[0] > 0.9


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.dictionaries(st.sampled_from("abcde"), st.integers(0, 2), min_size=1, max_size=5),
        min_size=1,
        max_size=20,
    )
)
def test_probabilities_are_probabilities_and_the_same_each_time(said: list[dict[str, int]]) -> None:
    def settle(order: int) -> list[list[float]]:
        things = [votes(dict(list(each.items())[::order])) for each in said]
        consensus = Consensus([Question.of(things)], [0, 0, 0])
        return [consensus.probabilities(0, each) for each in things]

    found = settle(1)
    assert found == settle(-1)
    for probabilities in found:
        assert sum(probabilities) == pytest.approx(1)
        assert min(probabilities) >= 0


# Verdicts -------------------------------------------------------------------------------------------


def test_two_against_one_is_concluded_and_one_against_one_is_in_doubt() -> None:
    ok, dent = OneLabel("ok"), OneLabel("dent")
    agreed: dict[str, LabelValue | str] = {"ada": ok, "ben": ok, "cleo": ok}
    two, one, all_say = conclude(
        "image-classification",
        {"ada": dent, "ben": dent, "cleo": ok},
        {"ada": ok, "ben": dent},
        agreed,
        *[agreed] * 20,
    )[:3]
    assert two.value == dent
    assert one.is_in_doubt
    assert (all_say.value, all_say.certainty, all_say.is_in_doubt) == (ok, 1.0, False)
    assert 0.9 < all_say.confidences[0] <= 1


def test_a_single_answer_stands_with_confidence_0() -> None:
    found = conclude("image-classification", {"ada": OneLabel("ok")}, {"ada": "dark"})
    assert found == [Verdict(OneLabel("ok"), (0.0,), 1.0), Verdict(None, (), 1.0)]
    [boxes] = conclude("bounding-box", {"ada": Boxes((Box("ok", 0.1, 0.2, 3, 4),) * 2)})
    assert (boxes.value, boxes.confidences) == (Boxes((Box("ok", 0.1, 0.2, 3, 4),) * 2), (0.0, 0.0))


@pytest.mark.parametrize(
    ("task", "label"),
    [
        ("image-classification", OneLabel("ok")),
        ("multi-label-classification", SeveralLabels(("ok",))),
        ("bounding-box", Boxes((Box("ok", 1, 2, 3, 4),))),
    ],
)
def test_skips_are_votes_for_no_label(task: TaskType, label: LabelValue) -> None:
    skipped, labeled, all_skip = conclude(
        task,
        {"ada": "dark", "ben": "dark", "cleo": label},
        {"ada": label, "ben": label, "cleo": "dark"},
        {"ada": "dark", "ben": "blurred"},
    )
    assert (skipped.value, skipped.confidences) == (None, ())
    assert labeled.value == label
    assert (all_skip.value, all_skip.certainty) == (None, 1.0)


def test_nothing_to_mark_is_an_answer() -> None:
    for task, nothing in (("multi-label-classification", SeveralLabels(())), ("bounding-box", Boxes(()))):
        [found] = conclude(task, {"ada": nothing, "ben": nothing})  # type: ignore[arg-type]
        assert found == Verdict(nothing, (), 1.0)


def test_an_object_with_two_labels_gets_that_of_the_majority_and_its_boxes() -> None:
    def drawn(label: str, left: float) -> Boxes:
        return Boxes((Box(label, left, 10, 20, 20),))

    [found] = conclude(
        "bounding-box", {"ada": drawn("dent", 10), "ben": drawn("dent", 10), "cleo": drawn("scratch", 14)}
    )
    assert found.value == drawn("dent", 10)


def test_each_object_is_decided_by_itself() -> None:
    near, far = Box("ok", 2, 2, 10, 10), Box("dent", 40, 30, 10, 10)
    both: dict[str, LabelValue | str] = {w: Boxes((near, far)) for w in ("ada", "ben", "cleo")}
    *_, found = conclude("bounding-box", *[both] * 8, both | {"cleo": Boxes((far,))})
    assert found.value == Boxes((near, far))
    assert len(found.confidences) == 2


side = st.floats(0.01, 20)
boxes = st.builds(Box, st.sampled_from(LABELS), st.floats(0, 44), st.floats(0, 28), side, side)
drawings = st.lists(boxes, max_size=4).map(lambda each: Boxes(tuple(each)))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.dictionaries(st.sampled_from("abc"), drawings | st.just("dark"), min_size=1),
        min_size=1,
        max_size=4,
    )
)
def test_concluded_boxes_are_boxes_of_the_image(images: list[dict[str, LabelValue | str]]) -> None:
    for found, said in zip(conclude("bounding-box", *images), images, strict=True):
        assert 0 <= found.certainty <= 1
        if found.value is not None:
            check_value(found.value, LABELS, SIZE)
            assert len(found.confidences) == len(found.value.names)
            assert all(0 <= each <= 1 for each in found.confidences)
        drawn = {w: each.boxes for w, each in said.items() if isinstance(each, Boxes)}
        groups = group(drawn)
        assert sum(len(each.boxes) for each in groups) == sum(map(len, drawn.values()))


def test_boxes_overlap_by_intersection_over_union() -> None:
    box = Box("ok", 0, 0, 10, 10)
    assert overlap(box, box) == 1
    assert overlap(box, Box("ok", 5, 0, 10, 10)) == pytest.approx(1 / 3)
    assert overlap(box, Box("ok", 10, 0, 10, 10)) == 0


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (None, None, 1),
        (None, OneLabel("ok"), 0),
        (Boxes(()), None, 0),
        (OneLabel("ok"), OneLabel("ok"), 1),
        (OneLabel("ok"), OneLabel("dent"), 0),
        (SeveralLabels(("ok", "dent")), SeveralLabels(("dent",)), 0.5),
        (SeveralLabels(()), SeveralLabels(()), 1),
        (Boxes((Box("ok", 0, 0, 9, 9),)), Boxes((Box("ok", 1, 0, 9, 9), Box("ok", 20, 20, 5, 5))), 2 / 3),
        (Boxes((Box("ok", 0, 0, 9, 9),)), Boxes((Box("dent", 0, 0, 9, 9),)), 0),
        (Boxes(()), Boxes(()), 1),
    ],
)
def test_labels_are_more_or_less_alike(
    one: LabelValue | None, other: LabelValue | None, alike: float
) -> None:
    assert likeness(one, other) == pytest.approx(alike)
    assert likeness(other, one) == pytest.approx(alike)


def test_agreement_is_how_far_answers_say_what_was_concluded() -> None:
    said = [answer("ada", OneLabel("ok")), answer("ben", OneLabel("ok")), answer("cleo", "dark")]
    assert agreement(said, OneLabel("ok")) == 0.6667
    assert agreement(said, None) == 0.3333
