"""A candidate's score is Rekognition's own; the champion's is measured in the same way."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from loupe.domain.custom_labels.evaluation import (
    Counts,
    InvalidSummary,
    MeasureCustomLabels,
    MeasuredByRekognition,
    applied,
    summary_metrics,
)
from loupe.domain.errors import ModelError, ModelNotRunning, StoreUnavailable
from loupe.domain.images.inspection import dimensions
from loupe.domain.label_values import Box, Boxes, OneLabel, SeveralLabels
from loupe.domain.projects import Promotion
from loupe.domain.training.plans import TrainingPlan
from loupe.domain.training.promotion import decide
from loupe.ports.loops import Champion, ServedModel
from tests.fakes.objects import FakeObjects
from tests.unit.rekognition.test_plan import configure, plan
from tests.unit.training.world import NAMES, PROJECT, World

SUMMARY = f"{NAMES.model('0001')}EvaluationResultSummary.json"
HOSTED = ServedModel("rekognition", "rekognition", "image-classification", ("a", "b"), "arn:champion")


def summary(**f1: float) -> bytes:
    labels = [
        {
            "Label": label,
            "Metrics": {"F1Score": score, "Precision": score, "Recall": score, "Threshold": 0.4},
            "NumberOfTestingImages": 5,
        }
        for label, score in f1.items()
    ]
    overall = {"F1Score": 0.5, "Precision": 0.6, "Recall": 0.7, "ConfusionMatrix": []}
    return json.dumps({"AggregatedEvaluationResults": overall, "LabelEvaluationResults": labels}).encode()


@dataclass
class FakeChampion:
    """Implements `loupe.ports.models.InvokesEndpoints`."""

    respond: Callable[[bytes], list[dict[str, Any]]]
    asked: list[bytes] = field(default_factory=list)

    def invoke(self, model: ServedModel, image: bytes, content_type: str) -> list[dict[str, Any]]:
        self.asked.append(image)
        return self.respond(image)


def nobody(image: bytes) -> list[dict[str, Any]]:
    raise AssertionError("nobody is to be asked")


@pytest.fixture
def planned(world: World) -> World:
    """A candidate on forty images, and Rekognition's summary of it."""
    configure(world)
    world.finish("digits-1", {world.upload(f"{n}"): "ab"[n % 2] for n in range(40)})
    world.build()
    plan(world)
    world.workspace.write(SUMMARY, summary(a=0.9, b=0.7))
    return world


def measure(world: World, respond: Callable[[bytes], list[dict[str, Any]]] = nobody) -> dict[str, Any]:
    """The evaluation, as the decision reads it."""
    use = MeasureCustomLabels(world.loops, FakeChampion(respond), world.raw, world.workspace)
    score = use(PROJECT, "0001", SUMMARY)
    planned = TrainingPlan.read(world.workspace, PROJECT, "0001")
    evaluation = MeasuredByRekognition(world.workspace).measure(planned, {})
    assert evaluation["candidate"]["score"] == score
    return evaluation


def crown(world: World, version: str = "0000", model: ServedModel = HOSTED) -> Champion:
    champion = Champion(version, 0.5, model, None, None, world.clock())
    world.loops.save_champion(PROJECT, champion)
    return champion


def test_the_score_is_the_mean_f1_of_the_labels(planned: World) -> None:
    evaluation = measure(planned)
    assert evaluation["candidate"]["score"] == pytest.approx(0.8)
    assert evaluation["candidate"]["per_label"]["a"]["threshold"] == 0.4
    assert evaluation["test_images"] == len(planned.rows("0001", "test"))
    assert evaluation["champion"] is None
    assert decide(evaluation, None, Promotion()).reason.startswith("macro F1 0.8000 on ")


def test_labels_without_test_images_do_not_count() -> None:
    document = json.loads(summary(a=0.9, b=0.1))
    document["LabelEvaluationResults"][1]["NumberOfTestingImages"] = 0
    assert summary_metrics(json.dumps(document).encode())["score"] == 0.9


@pytest.mark.parametrize("content", [b"{", b"{}", b"[]", summary(), b'{"AggregatedEvaluationResults": {}}'])
def test_a_summary_that_can_not_be_read_is_named(content: bytes) -> None:
    with pytest.raises(InvalidSummary):
        summary_metrics(content)


def test_a_champion_with_the_same_test_set_keeps_its_figures_and_is_not_asked(planned: World) -> None:
    crown(planned)
    evaluation = measure(planned, lambda _: [])
    before = {"test_set": evaluation["test_set"], "candidate": {"score": 0.6}}
    planned.workspace.write(NAMES.evaluation("0000"), json.dumps(before).encode())
    assert measure(planned)["champion"] == {"score": 0.6}


def test_a_champion_with_another_test_set_is_asked_about_this_one(planned: World) -> None:
    champion = crown(planned)
    other = {"test_set": "another", "candidate": {"score": 1.0}}
    planned.workspace.write(NAMES.evaluation("0000"), json.dumps(other).encode())
    truth = {
        planned.raw.read(row["source-ref"].removeprefix("s3://raw/")): row["label-metadata"]["class-name"]
        for row in planned.rows("0001", "test")
    }
    right = measure(planned, lambda image: [{"label": truth[image], "confidence": 0.9}])
    assert right["champion"]["score"] == 1.0
    assert right["champion"]["asked"] == len(truth)
    silent = measure(planned, lambda _: [])
    assert silent["champion"]["score"] == 0.0
    decision = decide(right, champion, Promotion())
    assert not decision.promote
    assert "1.0000 on the same images" in decision.reason


@pytest.mark.parametrize(
    "error", [ModelNotRunning("stopped"), ModelError("broken"), StoreUnavailable("too many calls")]
)
def test_a_champion_that_does_not_answer_keeps_the_score_of_its_promotion(
    planned: World, error: Exception
) -> None:
    champion = crown(planned)

    def respond(image: bytes) -> list[dict[str, Any]]:
        raise error

    evaluation = measure(planned, respond)
    assert "error" in evaluation["champion"]
    decision = decide(evaluation, champion, Promotion())
    assert decision.promote
    assert decision.champion_score == 0.5


class Unreadable(FakeObjects):
    """A bucket that does not answer."""

    def read(self, key: str, version_id: str | None = None) -> bytes:
        raise StoreUnavailable("S3 does not answer")


def test_that_images_can_not_be_read_is_not_held_against_the_champion(planned: World) -> None:
    crown(planned)
    planned.raw = Unreadable("raw")
    with pytest.raises(StoreUnavailable):
        measure(planned)


def test_a_champion_of_another_task_is_not_asked(planned: World) -> None:
    crown(planned, model=ServedModel("rekognition", "rekognition", "bounding-box", ("a", "b"), "arn:boxes"))
    assert measure(planned)["champion"] == {"error": "the champion does bounding-box"}


def test_scores_on_test_images_that_rekognition_picked_are_not_compared(world: World) -> None:
    configure(world, distribute=True)
    world.finish("digits-1", {world.upload(f"{n}"): "ab"[n % 2] for n in range(40)})
    world.build()
    plan(world)
    world.workspace.write(SUMMARY, summary(a=0.9, b=0.7))
    crown(world)
    evaluation = measure(world)
    assert "picked" in evaluation["champion"]["error"]
    assert evaluation["test_images"] is None


def test_images_that_are_gone_or_replaced_are_not_asked_about(planned: World) -> None:
    crown(planned)
    first, second, *rest = [
        row["source-ref"].removeprefix("s3://raw/") for row in planned.rows("0001", "test")
    ]
    planned.raw.delete(first)
    planned.raw.write(second, b"another image")
    assert measure(planned, lambda _: [])["champion"]["asked"] == len(rest)


def test_a_champion_is_not_judged_by_test_images_that_are_all_gone(planned: World) -> None:
    champion = crown(planned)
    for row in planned.rows("0001", "test"):
        planned.raw.delete(row["source-ref"].removeprefix("s3://raw/"))
    evaluation = measure(planned, lambda _: [])
    assert evaluation["champion"] == {"error": "no test image is there any more to ask about"}
    assert decide(evaluation, champion, Promotion()).champion_score == champion.score


def test_boxes_of_large_images_are_counted_in_the_pixels_of_the_original(world: World) -> None:
    configure(world, task="bounding-box")
    plan(world, world.build_with_large_image(Boxes((Box("a", 200, 100, 400, 200),))))
    world.workspace.write(SUMMARY, summary(a=0.9, b=0.7))
    crown(world, model=replace(HOSTED, task="bounding-box"))
    sent = []

    def respond(image: bytes) -> list[dict[str, Any]]:
        sent.append(dimensions(image))
        box = {"left": 100, "top": 50, "width": 200, "height": 100}
        return [{"label": "a", "confidence": 0.9, "box": box}]

    champion = measure(world, respond)["champion"]
    assert sent == [(1536, 768)]
    assert champion["asked"] == 1
    assert champion["per_label"]["a"]["f1"] == 1.0


def test_what_applies_depends_on_where_the_model_is_hosted() -> None:
    two = [{"label": "a", "confidence": 0.6}, {"label": "b", "confidence": 0.4}]
    assert applied(two, HOSTED) == two
    own = ServedModel("serverless", "script", "image-classification", ("a", "b"), "loupe-digits")
    assert applied(two, own) == two[:1]
    several = ServedModel("serverless", "script", "multi-label-classification", ("a", "b"), "loupe-digits")
    with_thresholds = [{**each, "threshold": 0.5} for each in two]
    assert applied(with_thresholds, several) == with_thresholds[:1]


def test_labels_are_counted_as_hits_misses_and_false_alarms() -> None:
    counts = Counts()
    counts.add(SeveralLabels(("a", "b")), [{"label": "a", "confidence": 1.0}])
    counts.add(OneLabel("b"), [{"label": "b", "confidence": 1.0}, {"label": "a", "confidence": 0.5}])
    metrics = counts.metrics(("a", "b", "c"))
    assert metrics["per_label"]["a"] == {"precision": 0.5, "recall": 1.0, "f1": 2 / 3, "support": 1}
    assert metrics["per_label"]["b"] == {"precision": 1.0, "recall": 0.5, "f1": 2 / 3, "support": 2}
    assert metrics["score"] == pytest.approx(2 / 3)


def test_a_box_is_found_once_and_by_half_an_overlap() -> None:
    counts = Counts()
    found = {"label": "bolt", "confidence": 0.9, "box": {"left": 0, "top": 0, "width": 10, "height": 10}}
    beside = {**found, "box": {"left": 6, "top": 0, "width": 10, "height": 10}}
    counts.add(Boxes((Box("bolt", 0, 0, 10, 10), Box("bolt", 50, 50, 10, 10))), [found, found, beside])
    assert counts.metrics(("bolt",))["per_label"]["bolt"] == {
        "precision": 1 / 3,
        "recall": 0.5,
        "f1": 0.4,
        "support": 2,
    }
