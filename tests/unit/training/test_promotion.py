"""Whether a candidate becomes the champion."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from loupe.domain.errors import ObjectMissing
from loupe.domain.projects import Promotion
from loupe.domain.promotion import Decision, InvalidEvaluation, decide
from loupe.ports import Champion, ServedModel
from tests.unit.training.world import NAMES, World

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
        True, "accuracy 0.5000 on 120 test images; it is the first model", 0.5, None
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
    decision = evaluate(world, {"data/evaluation.json": content, "predictions.jsonl": b"{}\n", "other": b"x"})
    assert decision.promote
    assert json.loads(world.workspace.read(NAMES.evaluation("0001"))) == json.loads(content)
    assert world.workspace.read(NAMES.predictions("0001")) == b"{}\n"


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
