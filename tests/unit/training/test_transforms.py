"""Candidate and champion, asked by batch transform about the same test images."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from loupe.domain.errors import ObjectMissing
from loupe.domain.projects import TaskType
from loupe.domain.training.plans import TrainingPlan
from loupe.domain.training.promotion import Decision
from loupe.domain.training.transforms import NotMeasured
from loupe.ports.loops import Champion, ServedModel
from tests.unit.training.requests import assert_sagemaker_takes
from tests.unit.training.test_builtin_training import label
from tests.unit.training.world import NAMES, PROJECT, World, execution

SECOND = execution("second")
Answer = Callable[[dict[str, Any]], Any]
FAILED = {"Error": "States.TaskFailed", "Cause": '{"FailureReason": "one image is broken"}'}


def right(row: dict[str, Any]) -> list[float]:
    """What a perfect classifier answers."""
    return [0.9 if index == row["label"] else 0.05 for index in range(3)]


def wrong(row: dict[str, Any]) -> list[float]:
    return [0.9 if index == (row["label"] + 1) % 3 else 0.05 for index in range(3)]


def answer(world: World, plan: TrainingPlan, whose: str, respond: Answer, left_out: int = 0) -> None:
    """A batch transform: an answer to all test images but the first few."""
    for row in world.rows(plan.dataset_version, "test")[left_out:]:
        key = f"{NAMES.answers(plan.version, whose)}{row['image-sha256']}.out"
        world.workspace.write(key, json.dumps(respond(row)).encode())


def champion(world: World, trainer: str) -> None:
    """A first turn that ends with a champion of that trainer."""
    label(world, "image-classification", {"trainer": trainer})
    world.turn()
    world.configure(labels=("a", "b", "c"), training={"trainer": "builtin"})


def evaluation(world: World, version: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(world.workspace.read(NAMES.evaluation(version)))
    return content


def test_test_images_are_copied_to_flat_names_and_listed(world: World) -> None:
    label(world, "image-classification")
    plan = world.plan(world.build().version or "")
    prefix, *digests = json.loads(world.workspace.read(NAMES.test_images_manifest("0001")))
    assert prefix == {"prefix": "s3://workspace/projects/digits/images/"}
    assert sorted(digests) == sorted(row["image-sha256"] for row in world.rows("0001", "test"))
    assert all(world.workspace.exists(NAMES.image_copy(digest)) for digest in digests)
    assert plan.transforms
    assert plan.transforms.champion is None
    request = plan.transforms.candidate
    assert request
    assert request["ModelName"] == plan.model_name
    assert request["TransformOutput"]["S3OutputPath"] == (
        "s3://workspace/projects/digits/models/0001/answers/candidate"
    )
    assert request["TransformResources"] == {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1}


@pytest.mark.parametrize("trainer", ["script", "builtin"])
def test_a_champion_of_whatever_trainer_of_sagemaker_is_asked_too(world: World, trainer: str) -> None:
    champion(world, trainer)
    plan = world.plan("0001", SECOND)
    assert plan.transforms
    assert plan.transforms.champion
    assert_sagemaker_takes("CreateTransformJob", plan.transforms.champion)
    first = TrainingPlan.read(world.workspace, PROJECT, "0001")
    assert plan.transforms.champion["ModelName"] == first.model_name
    assert plan.transforms.candidate
    names = {request["TransformJobName"] for request in (plan.transforms.candidate, plan.transforms.champion)}
    assert len(names) == 2


@pytest.mark.parametrize(
    ("trainer", "environment"), [("script", {"LOUPE_MIN_CONFIDENCE": "0"}), ("builtin", None)]
)
def test_of_a_champion_that_holds_boxes_back_all_are_asked_for(
    world: World, trainer: str, environment: dict[str, str] | None
) -> None:
    label(world, "bounding-box", {"trainer": trainer})
    world.turn()
    world.configure(task="bounding-box", labels=("a", "b", "c"), training={"trainer": "builtin"})
    plan = world.plan("0001", SECOND)
    assert plan.transforms
    assert plan.transforms.champion
    assert_sagemaker_takes("CreateTransformJob", plan.transforms.champion)
    assert plan.transforms.champion.get("Environment") == environment


def test_loupes_own_trainer_compares_itself_with_its_own_models_alone(world: World) -> None:
    champion(world, "builtin")
    world.configure(labels=("a", "b", "c"))
    plan = world.plan("0001", SECOND)
    assert plan.training_job
    assert "champion" not in {channel["ChannelName"] for channel in plan.training_job["InputDataConfig"]}
    assert plan.transforms
    assert plan.transforms.candidate is None
    measured = {"dataset_version": "0001", "test_images": 9, "candidate": {"score": 0.9}, "champion": None}
    world.write_output(plan, {"evaluation.json": json.dumps(measured).encode()})
    answer(world, plan, "champion", right)
    decision = world.evaluate(plan.version)
    assert (decision.promote, decision.champion_score) == (False, 1.0)


def test_a_first_candidate_is_measured_by_its_answers(world: World) -> None:
    label(world, "image-classification")
    plan = world.plan(world.build().version or "")
    answer(world, plan, "candidate", right)
    images = len(world.rows("0001", "test"))
    told = (
        f"accuracy 1.0000 on {images} test images (95 % interval 1.0000 to 1.0000, too few images for it to "
        "say much); it is the first model"
    )
    assert world.evaluate("0001") == Decision(True, told, 1.0, None, test_images=images, interval=(1.0, 1.0))
    kept = evaluation(world, "0001")
    assert (kept["task"], kept["test_images"], kept["left_out"]) == ("image-classification", images, {})
    assert kept["champion"] is None
    lines = [json.loads(line) for line in world.workspace.lines(NAMES.predictions("0001"))]
    assert len(lines) == images
    assert {line["label"] == line["predicted"] for line in lines} == {True}
    assert set(lines[0]) == {"source-ref", "image-sha256", "label", "predicted", "confidence"}


@pytest.mark.parametrize(
    ("of_candidate", "of_champion", "promoted"), [(right, wrong, True), (wrong, right, False)]
)
def test_the_better_of_both_on_the_same_images_wins(
    world: World, of_candidate: Answer, of_champion: Answer, promoted: bool
) -> None:
    champion(world, "builtin")
    plan = world.plan("0001", SECOND)
    answer(world, plan, "candidate", of_candidate)
    answer(world, plan, "champion", of_champion)
    decision = world.evaluate(plan.version)
    assert decision.promote is promoted
    assert (decision.score, decision.champion_score) == ((1.0, 0.0) if promoted else (0.0, 1.0))


def test_a_champion_that_does_not_answer_keeps_the_score_of_its_promotion(world: World) -> None:
    champion(world, "builtin")
    plan = world.plan("0001", SECOND)
    answer(world, plan, "candidate", right)
    answer(world, plan, "champion", right, left_out=1)
    decision = world.evaluate(plan.version, {"champion": FAILED})
    assert decision.champion_score == 0.9
    assert "could not be evaluated again" in decision.reason
    assert evaluation(world, plan.version)["champion"]["error"].endswith("one image is broken")


def test_a_few_images_without_an_answer_are_left_out_for_both(world: World) -> None:
    label(world, "image-classification", images=180)
    world.turn()
    plan = world.plan("0001", SECOND)
    answer(world, plan, "candidate", right, left_out=2)
    answer(world, plan, "champion", right)
    assert world.evaluate(plan.version, {"candidate": FAILED}).champion_score == 1.0
    kept = evaluation(world, plan.version)
    assert kept["left_out"] == {"no answer": 2}
    supports = [
        sum(each["support"] for each in kept[whose]["per_label"].values())
        for whose in ("candidate", "champion")
    ]
    assert supports == [kept["test_images"]] * 2


def test_a_candidate_that_hardly_answers_is_not_measured(world: World) -> None:
    label(world, "image-classification")
    plan = world.plan(world.build().version or "")
    with pytest.raises(NotMeasured, match=r"answered 0 of \d+ test images .*: one image is broken"):
        world.evaluate(plan.version, {"candidate": FAILED})
    answer(world, plan, "candidate", right, left_out=3)
    with pytest.raises(NotMeasured, match="in batch transform"):
        world.evaluate(plan.version)


def of_task(row: dict[str, Any]) -> Any:
    """The perfect answer to an image with several labels or boxes."""
    if "labels" in row:
        return [0.9 if index in row["labels"] else 0.1 for index in range(3)]
    size = row["boxes"]["image_size"][0]
    return {
        "prediction": [
            [
                float(box["class_id"]),
                0.9,
                box["left"] / size["width"],
                box["top"] / size["height"],
                (box["left"] + box["width"]) / size["width"],
                (box["top"] + box["height"]) / size["height"],
            ]
            for box in row["boxes"]["annotations"]
        ]
    }


@pytest.mark.parametrize(
    ("task", "told"), [("multi-label-classification", "macro F1 1.0"), ("bounding-box", "mAP@0.5 1.0")]
)
def test_several_labels_and_boxes_are_measured_by_their_own_scores(
    world: World, task: TaskType, told: str
) -> None:
    label(world, task)
    plan = world.plan(world.build().version or "")
    answer(world, plan, "candidate", of_task)
    decision = world.evaluate("0001")
    assert told in decision.reason
    lines = [json.loads(line) for line in world.workspace.lines(NAMES.predictions("0001"))]
    if task == "multi-label-classification":
        assert all(sorted(line["labels"]) == sorted(line["predicted"]) for line in lines)
        assert set(lines[0]["confidences"]) == {"a", "b", "c"}
    else:
        assert all(len(line["boxes"]) == len(line["predicted"]) for line in lines)


def test_a_test_image_that_vanished_is_not_asked_about(world: World) -> None:
    label(world, "image-classification")
    version = world.build().version or ""
    gone = world.rows(version, "test")[0]
    world.raw.delete(gone["source-ref"].removeprefix("s3://raw/"))
    world.plan(version)
    _, *digests = json.loads(world.workspace.read(NAMES.test_images_manifest(version)))
    assert gone["image-sha256"] not in digests
    with pytest.raises(ObjectMissing):
        world.workspace.read(NAMES.image_copy(gone["image-sha256"]))


def test_a_champion_of_another_task_is_neither_asked_nor_in_the_way(world: World) -> None:
    label(world, "bounding-box")
    model = ServedModel("serverless", "builtin", "image-classification", ("a", "b"), "loupe-digits")
    world.loops.save_champion(PROJECT, Champion("0000", 1.0, model, "config", "arn:p", world.clock()))
    plan = world.plan(world.build().version or "")
    assert plan.transforms
    assert plan.transforms.champion is None
    answer(world, plan, "candidate", lambda row: {"prediction": []})
    decision = world.evaluate("0001")
    assert (decision.promote, decision.champion_score) == (True, None)
