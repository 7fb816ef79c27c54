"""The new endpoint answers test images as agreed."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from loupe.domain.errors import ModelError
from loupe.domain.images.inspection import dimensions
from loupe.domain.label_values import Box, Boxes, SeveralLabels
from loupe.domain.serving.smoke_test import SmokeTestEndpoint, SmokeTestFailed
from loupe.domain.training.plans import TrainingPlan
from loupe.ports.loops import ServedModel
from tests.unit.training.world import NAMES, PROJECT, World

Predictions = list[dict[str, Any]]


def answer(best: str = "a", confidence: float = 0.9) -> Predictions:
    other = "b" if best == "a" else "a"
    return [{"label": best, "confidence": confidence}, {"label": other, "confidence": 1 - confidence}]


@dataclass
class FakeEndpoint:
    """Implements `loupe.ports.models.InvokesEndpoints`."""

    respond: Callable[[bytes], Predictions]
    asked: list[tuple[str, bytes, str]] = field(default_factory=list)

    def invoke(self, model: ServedModel, image: bytes, content_type: str) -> Predictions:
        self.asked.append((model.endpoint, image, content_type))
        return self.respond(image)


@pytest.fixture
def planned(world: World) -> World:
    digests = {world.upload(f"{number}"): "ab"[number % 2] for number in range(40)}
    world.finish("digits-1", digests)
    world.plan(world.build().version or "")
    return world


def smoke_test(world: World, respond: Callable[[bytes], Predictions]) -> FakeEndpoint:
    endpoint = FakeEndpoint(respond)
    images = SmokeTestEndpoint(endpoint, world.raw, world.workspace)(PROJECT, "0001")
    assert images == len(endpoint.asked)
    return endpoint


def predict(world: World, label: Any) -> None:
    """What the model predicted for all test images when it was measured."""
    lines = [
        json.dumps({"image-sha256": row["image-sha256"], "predicted": label}) + "\n"
        for row in world.rows("0001", "test")
    ]
    world.workspace.write_lines(NAMES.predictions("0001"), lines)


def test_three_test_images_are_asked_about(planned: World) -> None:
    endpoint = smoke_test(planned, lambda image: answer())
    assert len(endpoint.asked) == 3
    release = TrainingPlan.read(planned.workspace, PROJECT, "0001").release
    assert release is not None
    assert {(name, kind) for name, _, kind in endpoint.asked} == {(release.endpoint, "image/png")}


def test_test_images_that_are_gone_or_replaced_are_passed_over(planned: World) -> None:
    keys = [row["source-ref"].removeprefix("s3://raw/") for row in planned.rows("0001", "test")]
    for key in keys[:-1]:
        planned.raw.delete(key)
    planned.raw.write(keys[0], b"something else")
    assert len(smoke_test(planned, lambda image: answer()).asked) == 1
    planned.raw.delete(keys[-1])
    with pytest.raises(SmokeTestFailed, match="no test image"):
        smoke_test(planned, lambda image: answer())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ([{"label": "a", "confidence": 1.0}], "has the labels"),
        ([{"label": "a", "confidence": 1.5}, {"label": "b", "confidence": 0.1}], "between 0 and 1"),
        ([{"label": "a", "confidence": float("nan")}, {"label": "b", "confidence": 0.1}], "between 0 and 1"),
        ([{"label": "a", "confidence": 0.1}, {"label": "b", "confidence": 0.9}], "not sorted"),
    ],
)
def test_an_answer_of_another_shape_fails(planned: World, wrong: Predictions, words: str) -> None:
    with pytest.raises(SmokeTestFailed, match=words):
        smoke_test(planned, lambda image: wrong)


def test_a_model_that_breaks_down_fails(planned: World) -> None:
    def respond(image: bytes) -> Predictions:
        raise ModelError("no weights")

    with pytest.raises(SmokeTestFailed, match="no weights"):
        smoke_test(planned, respond)


def test_the_endpoint_must_see_what_the_trainer_saw(planned: World) -> None:
    predict(planned, "a")
    smoke_test(planned, lambda image: answer("a"))
    with pytest.raises(SmokeTestFailed, match="the trained model said 'a'"):
        smoke_test(planned, lambda image: answer("b"))


def test_images_that_the_model_wavers_about_may_come_out_differently(planned: World) -> None:
    predict(planned, "a")
    assert len(smoke_test(planned, lambda image: answer("b", 0.51)).asked) == 3


# Several labels -------------------------------------------------------------------------------------


@pytest.fixture
def several(world: World) -> World:
    world.configure(task="multi-label-classification")
    examples = [SeveralLabels(("a",)), SeveralLabels(("b",)), SeveralLabels(("a", "b"))]
    digests = [world.upload(f"{number}") for number in range(40)]
    world.finish("digits-1", {digest: examples[at % 3] for at, digest in enumerate(digests)})
    world.plan(world.build().version or "")
    return world


def with_threshold(a: float, b: float, threshold: float = 0.5) -> Predictions:
    both = [{"label": "a", "confidence": a}, {"label": "b", "confidence": b}]
    return sorted(
        ({**each, "threshold": threshold} for each in both),
        key=lambda each: each["confidence"],
        reverse=True,
    )


def test_several_labels_apply_as_they_did_for_the_trained_model(several: World) -> None:
    predict(several, ["a"])
    smoke_test(several, lambda image: with_threshold(0.9, 0.2))
    smoke_test(several, lambda image: with_threshold(0.9, 0.52))  # it wavers about the second
    with pytest.raises(SmokeTestFailed, match="gives the label 'b'"):
        smoke_test(several, lambda image: with_threshold(0.9, 0.9))
    with pytest.raises(SmokeTestFailed, match="does not give the label 'a'"):
        smoke_test(several, lambda image: with_threshold(0.2, 0.1))


def test_several_labels_need_a_threshold_each(several: World) -> None:
    with pytest.raises(SmokeTestFailed, match="confidences or thresholds"):
        smoke_test(several, lambda image: answer())


# Boxes ----------------------------------------------------------------------------------------------


@pytest.fixture
def boxed(world: World) -> World:
    world.configure(task="bounding-box")
    digests = [world.upload(f"{number}") for number in range(40)]
    examples = [Boxes((Box("ab"[at % 2], 4, 4, 16, 16),)) for at in range(40)]
    world.finish("digits-1", dict(zip(digests, examples, strict=True)))
    world.plan(world.build().version or "")
    return world


def measured(world: World, boxes: Predictions, threshold: float = 0.4) -> None:
    """What the model predicted for all test images, and the threshold that it had for each label."""
    predict(world, boxes)
    metrics = {"score": 0.9, "per_label": {"a": {"threshold": threshold}}}
    world.workspace.write(NAMES.evaluation("0001"), json.dumps({"candidate": metrics}).encode())


def box(left: float, confidence: float = 0.9, label: str = "a") -> dict[str, Any]:
    sides = {"left": left, "top": 4.0, "width": 16.0, "height": 16.0}
    return {"label": label, "confidence": confidence, "box": sides}


def test_boxes_are_where_the_trained_model_saw_them(boxed: World) -> None:
    measured(boxed, [box(4), box(30, confidence=0.45)])
    assert len(smoke_test(boxed, lambda image: [box(6), box(44, confidence=0.2)]).asked) == 3


@pytest.mark.parametrize("seen", [[], [box(24)], [box(4, label="b")]])
def test_a_box_that_the_endpoint_does_not_see_fails(boxed: World, seen: Predictions) -> None:
    measured(boxed, [box(4), box(30, confidence=0.45)])
    with pytest.raises(SmokeTestFailed, match="does not see the 'a'"):
        smoke_test(boxed, lambda image: seen)


def test_a_box_that_barely_reaches_its_threshold_may_be_missed(boxed: World) -> None:
    measured(boxed, [box(4, confidence=0.72)], threshold=0.7)
    smoke_test(boxed, lambda image: [])
    measured(boxed, [box(4, confidence=0.78)], threshold=0.7)
    with pytest.raises(SmokeTestFailed, match="does not see the 'a'"):
        smoke_test(boxed, lambda image: [])


def test_a_model_may_see_no_box_at_all(boxed: World) -> None:
    assert len(smoke_test(boxed, lambda image: []).asked) == 3


@pytest.mark.parametrize("wrong", [box(60), box(-3), {"label": "a", "confidence": 0.9}])
def test_boxes_have_to_lie_within_the_image(boxed: World, wrong: dict[str, Any]) -> None:
    with pytest.raises(SmokeTestFailed, match="not within its 64 by 64 pixels"):
        smoke_test(boxed, lambda image: [wrong])


def test_a_large_image_is_asked_about_reduced_and_its_boxes_are_scaled_back(world: World) -> None:
    world.configure(task="bounding-box")
    world.plan(world.build_with_large_image(Boxes((Box("a", 3040, 8, 32, 32),))))
    measured(world, [{**box(8), "box": {"left": 3040.0, "top": 8.0, "width": 32.0, "height": 32.0}}])
    endpoint = smoke_test(world, lambda image: [box(1520)])  # 16 by 16 pixels at half the size
    [(_, sent, kind)] = endpoint.asked
    assert dimensions(sent) == (1536, 768)
    assert kind == "image/jpeg"
    with pytest.raises(SmokeTestFailed, match="not within its 3072 by 1536 pixels"):
        smoke_test(world, lambda image: [box(1530)])


def test_labels_of_another_project_fail(boxed: World) -> None:
    with pytest.raises(SmokeTestFailed, match="has the labels"):
        smoke_test(boxed, lambda image: [box(4, label="z")])
