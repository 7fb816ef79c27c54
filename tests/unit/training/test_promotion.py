"""Whether a candidate becomes the champion."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from loupe.domain.errors import ObjectMissing
from loupe.domain.projects import Promotion
from loupe.domain.training.promotion import Decision, InvalidEvaluation, LabelChange, decide
from loupe.domain.training.turns import Result
from loupe.ports.loops import Champion, ServedModel
from tests.unit.training.world import FIRST, NAMES, PROJECT, World

MODEL = ServedModel("serverless", "script", "image-classification", ("a", "b"), "endpoint")
CHAMPION = Champion("0001", 0.9, MODEL, "config", "arn:p", datetime(2026, 11, 21, tzinfo=UTC))


def evaluation(candidate: Any, champion: Any = None) -> dict[str, Any]:
    return {
        "dataset_version": "0001",
        "test_images": 120,
        "candidate": {"score": candidate},
        "champion": {"score": champion} if isinstance(champion, float) else champion,
    }


def test_a_first_model_is_promoted() -> None:
    assert decide(evaluation(0.5), None, Promotion()) == Decision(
        True, "accuracy 0.5000 on 120 test images; it is the first model", 0.5, None, test_images=120
    )


def test_below_min_score_nothing_is_promoted() -> None:
    decision = decide(evaluation(0.5), None, Promotion(min_score=0.6))
    assert not decision.promote
    assert "below min_score 0.6000" in decision.reason


@pytest.mark.parametrize(
    ("candidate", "measured", "min_gain", "promoted"),
    [
        (0.91, 0.9, 0.0, True),
        (0.9, 0.9, 0.0, True),  # an equal one learned from more labels
        (0.89, 0.9, 0.0, False),
        (0.91, 0.9, 0.02, False),
        (0.9 + 0.02, 0.9, 0.02, True),  # 0.02 is a rounding error away
        (0.89, 0.9, -0.02, True),
        (0.95, 0.97, 0.0, False),  # the champion's score of today, not that of its promotion
    ],
)
def test_the_gain_over_the_champion_on_the_same_images_decides(
    candidate: float, measured: float, min_gain: float, promoted: bool
) -> None:
    decision = decide(evaluation(candidate, measured), CHAMPION, Promotion(min_gain=min_gain))
    assert decision.promote is promoted
    assert decision.champion_score == measured
    assert "the champion 0001 has" in decision.reason


def test_a_champion_that_could_not_be_loaded_keeps_the_score_of_its_promotion() -> None:
    worse = decide(evaluation(0.85, {"error": "no such layer"}), CHAMPION, Promotion())
    better = decide(evaluation(0.95, None), CHAMPION, Promotion())
    assert (worse.promote, better.promote) == (False, True)
    assert "could not be evaluated again" in worse.reason


def per_label(score: float, member: str = "f1", **labels: float) -> dict[str, Any]:
    metrics: dict[str, dict[str, float]] = {
        label: {member: value, "support": 9} for label, value in labels.items()
    }
    return {"score": score, "per_label": {**metrics, "unseen": {member: 0.0, "support": 0}}}


def compared(candidate: dict[str, Any], champion: dict[str, Any], task: str) -> dict[str, Any]:
    return {"task": task, "test_images": 120, "candidate": candidate, "champion": champion}


@pytest.mark.parametrize(
    ("task", "member"), [("image-classification", "f1"), ("bounding-box", "ap_50"), ("bounding-box", "f1")]
)
@pytest.mark.parametrize(
    ("most", "promoted"), [(None, True), (0.1, False), (0.2, True), (0.9 - 0.7 - 1e-12, True), (0.0, False)]
)
def test_no_label_may_fall_by_more_than_max_label_drop(
    task: str, member: str, most: float | None, promoted: bool
) -> None:
    found = compared(
        per_label(0.95, member, a=0.99, b=0.7), per_label(0.9, member, a=0.9, b=0.9, unseen=0.8), task
    )
    decision = decide(found, CHAMPION, Promotion(max_label_drop=most))
    assert decision.promote is promoted
    assert decision.labels == (LabelChange("a", 0.99, 0.9), LabelChange("b", 0.7, 0.9))
    assert ("the label 'b' fell from 0.9000 to 0.7000" in decision.reason) is not promoted


def test_a_label_whose_fall_is_allowed_does_not_hide_one_that_is_not_better() -> None:
    found = compared(per_label(0.8, a=0.8), per_label(0.9, a=0.8), "image-classification")
    assert not decide(found, CHAMPION, Promotion(max_label_drop=1)).promote


def test_without_a_measured_champion_no_label_is_compared() -> None:
    found = {**evaluation(0.95), "candidate": per_label(0.95, a=0.1), "champion": {"error": "gone"}}
    assert decide(found, CHAMPION, Promotion(max_label_drop=0)).promote


@pytest.mark.parametrize("champion", [None, CHAMPION])
def test_a_test_set_that_is_too_small_holds_promotion_back(champion: Champion | None) -> None:
    held = decide(evaluation(0.95, 0.9), champion, Promotion(min_test_images=121))
    assert not held.promote
    assert held.reason.endswith("on 120 test images, and promotion waits for 121 of them")
    assert decide(evaluation(0.95, 0.9), champion, Promotion(min_test_images=120)).promote
    unknown = decide({**evaluation(0.95), "test_images": None}, champion, Promotion(min_test_images=1))
    assert (unknown.promote, unknown.reason.partition(",")[0]) == (
        False,
        "how many test images there were is not known",
    )


@pytest.mark.parametrize(
    ("images", "interval", "note"),
    [
        (120, (0.85, 0.95), "(95 % interval 0.8500 to 0.9500)"),
        (120, (0.7, 0.95), "(95 % interval 0.7000 to 0.9500, too few images for it to say much)"),
        (29, (0.9, 0.9), "(95 % interval 0.9000 to 0.9000, too few images for it to say much)"),
        (29, None, "(too few images for it to say much)"),
    ],
)
def test_the_decision_says_what_the_score_is_worth(
    images: int, interval: tuple[float, float] | None, note: str
) -> None:
    found = {**evaluation(0.9), "test_images": images}
    decision = decide(found, None, Promotion(), interval)
    assert decision.reason == f"accuracy 0.9000 on {images} test images {note}; it is the first model"
    assert decision.interval == interval


@pytest.mark.parametrize("score", [None, "0.9", float("nan"), 1.5, -0.1])
def test_a_score_that_is_none_is_an_error(score: Any) -> None:
    with pytest.raises(InvalidEvaluation, match="candidate's score"):
        decide(evaluation(score), None, Promotion())


def evaluate(world: World, files: dict[str, bytes]) -> Decision:
    digests = {world.upload(f"{number}"): "ab"[number % 2] for number in range(20)}
    world.finish("digits-1", digests)
    plan = world.plan(world.build().version or "")
    if files:
        world.write_output(plan, files)
    return world.evaluate(plan.version)


def test_the_evaluation_is_kept_beside_the_model(world: World) -> None:
    content = json.dumps(evaluation(0.7)).encode()
    answers = b'{"label": "a", "predicted": "a", "confidence": 0.9}\n' * 7
    answers += b'{"label": "b", "predicted": null, "confidence": 0.0}\n' * 3
    decision = evaluate(world, {"data/evaluation.json": content, "predictions.jsonl": answers, "other": b"x"})
    assert decision.promote
    low, high = decision.interval or pytest.fail("no interval")
    assert 0.3 <= low < 0.7 < high <= 1.0
    assert "too few images" in decision.reason
    assert json.loads(world.workspace.read(NAMES.evaluation("0001"))) == json.loads(content)
    assert world.workspace.read(NAMES.predictions("0001")) == answers


def test_a_decision_is_kept_with_its_numbers_and_its_rule(world: World) -> None:
    world.configure(promotion={"min_score": 0.8, "max_label_drop": 0.05})
    decision = evaluate(world, {"evaluation.json": json.dumps(evaluation(0.7)).encode()})
    kept = json.loads(world.workspace.read(NAMES.decision("0001")))
    assert kept["rule"] == Promotion(min_score=0.8, max_label_drop=0.05).model_dump()
    assert (kept["promote"], kept["reason"], kept["score"]) == (False, decision.reason, 0.7)
    world.conclude(Result(PROJECT, FIRST, "rejected", "0001", decision.reason, 0.7, None))
    assert json.loads(world.workspace.read(NAMES.outcome("0001")))["decision"] == kept


def test_an_output_without_evaluation_is_an_error_in_words(world: World) -> None:
    with pytest.raises(InvalidEvaluation, match=r"left no evaluation\.json"):
        evaluate(world, {"other": b"x"})


def test_an_evaluation_of_another_dataset_is_an_error(world: World) -> None:
    content = json.dumps({**evaluation(0.7), "dataset_version": "0009"}).encode()
    with pytest.raises(InvalidEvaluation, match="0009"):
        evaluate(world, {"evaluation.json": content})


def test_a_training_without_output_is_an_error(world: World) -> None:
    with pytest.raises(ObjectMissing):
        evaluate(world, {})


def test_an_output_that_is_no_archive_is_an_error(world: World) -> None:
    digests = {world.upload(f"{number}"): "ab"[number % 2] for number in range(20)}
    world.finish("digits-1", digests)
    plan = world.plan(world.build().version or "")
    assert plan.release
    world.workspace.write(plan.release.output, b"not an archive")
    with pytest.raises(InvalidEvaluation, match="can't be unpacked"):
        world.evaluate(plan.version)
