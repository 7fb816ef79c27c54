"""What the console is told of models."""

import json
from dataclasses import asdict, replace
from typing import Any, Literal

import pytest

from loupe.domain.console.models import IMAGES_A_PAGE, ModelNotFound, NoPredictions, ShowModels
from loupe.domain.errors import BadRequest, ProjectNotFound
from loupe.domain.projects import Trainer
from loupe.domain.training.plans import TrainingPlan
from loupe.domain.training.turns import Result
from loupe.ports.loops import Pause
from tests.unit.training.world import NAMES, PROJECT, World, execution

SECOND = execution("second")


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def show(world: World) -> ShowModels:
    return ShowModels(world.projects, world.loops, world.raw, world.workspace)


def label_images(world: World, job: str, prefix: str) -> None:
    digests = [world.upload(f"{prefix}{number}.png") for number in range(20)]
    world.finish(job, {digest: "ab"[number % 2] for number, digest in enumerate(digests)})


@pytest.fixture
def version(world: World) -> str:
    """A model that is the champion."""
    label_images(world, "digits-1", "first")
    found = world.turn()
    assert found is not None
    return found


def keep_answers(world: World, version: str, answers: list[tuple[str, str, float]]) -> list[str]:
    """Write what the model answered to the test images in turn; returns their SHA-256s."""
    rows = world.rows(TrainingPlan.read(world.workspace, PROJECT, version).dataset_version, "test")
    lines = [
        {
            "source-ref": row["source-ref"],
            "image-sha256": row["image-sha256"],
            **dict(zip(("label", "predicted", "confidence"), answer, strict=True)),
        }
        for row, answer in zip(rows, answers, strict=False)
    ]
    world.workspace.write_lines(NAMES.predictions(version), (json.dumps(line) + "\n" for line in lines))
    return [line["image-sha256"] for line in lines]


def test_models_are_told_newest_first_with_what_became_of_them(
    world: World, show: ShowModels, version: str
) -> None:
    label_images(world, "digits-2", "second")
    plan = world.plan(world.build(SECOND).version or "", SECOND)
    running = show.models(PROJECT)["models"][0]
    assert (running["version"], running["outcome"]) == (plan.version, "running")
    world.conclude(Result(PROJECT, SECOND, "rejected", plan.version, "not better", 0.8, 0.9))
    told = show.models(PROJECT)
    assert told["champion"] == version
    assert [(m["version"], m["outcome"], m["reason"], m["is_champion"]) for m in told["models"]] == [
        (plan.version, "rejected", "not better", False),
        (version, "promoted", "good", True),
    ]
    assert (told["models"][0]["score"], told["models"][0]["champion_score"]) == (0.8, 0.9)
    assert (told["models"][0]["measure"], told["more"]) == ("accuracy", 0)


def wait_for_approval(world: World, champion: str) -> str:
    """A candidate that waits; returns its version."""
    label_images(world, "digits-2", "second")
    plan = world.plan(world.build(SECOND).version or "", SECOND)
    world.workspace.write(NAMES.decision(plan.version), json.dumps({"champion": champion}).encode())
    world.conclude(Result(PROJECT, SECOND, "awaiting_approval", plan.version, "better", 0.9, 0.8, "arn:p"))
    return plan.version


@pytest.mark.parametrize(
    ("action", "outcome", "reason"),
    [
        (None, "awaiting_approval", "better"),
        ("reject", "rejected", "ann rejected it; better"),
        ("approve", "approved", "ann approved it; better"),
    ],
)
def test_a_candidate_that_waited_is_told_with_what_a_person_decided(
    world: World, show: ShowModels, version: str, action: str | None, outcome: str, reason: str
) -> None:
    candidate = wait_for_approval(world, version)
    if action:
        world.decide(action, candidate)
    told = show.models(PROJECT)["models"][0]
    assert (told["outcome"], told["reason"]) == (outcome, reason)
    assert show.model(PROJECT, candidate)["outcome"] == outcome


def test_models_are_told_with_what_a_person_can_decide_and_the_release_that_is_under_way(
    world: World, show: ShowModels, version: str
) -> None:
    candidate = wait_for_approval(world, version)
    told = show.models(PROJECT)
    assert [(each["version"], each["choices"], each["compared_with"]) for each in told["models"]] == [
        (candidate, ["approve", "reject"], version),
        (version, [], None),
    ]
    assert (told["champion"], told["releasing"]) == (version, None)
    world.decide("approve", candidate, by="maria")
    one = show.model(PROJECT, candidate)
    assert one["choices"] == []
    assert one["champion"] == version
    under_way = {"version": candidate, "kind": "approval", "by": "maria", "at": world.clock().isoformat()}
    assert one["releasing"] == under_way
    release(world, candidate)
    told = show.models(PROJECT)
    assert [each["choices"] for each in told["models"]] == [[], ["rollback"]]
    assert (told["champion"], told["releasing"]) == (candidate, None)


def release(world: World, version: str, failure: dict[str, str] | None = None) -> None:
    """What the execution does that the newest request started."""
    wanted, by = world.loops.loop(PROJECT).wanted, execution("release")
    assert wanted
    world.clock.advance(minutes=1)
    outcome: Literal["failed", "promoted"] = "failed" if failure else "promoted"
    world.conclude_release(wanted.request, Result(PROJECT, by, outcome, version, "asked", failure=failure))


def test_a_release_that_failed_is_told_until_the_next_one_of_the_version_succeeds(
    world: World, show: ShowModels, version: str
) -> None:
    candidate = wait_for_approval(world, version)
    world.decide("approve", candidate)
    release(world, candidate, {"Error": "SmokeTestFailed", "Cause": "wrong labels"})
    told, champion = show.models(PROJECT)["models"]
    assert told["outcome"] == "approved"
    assert "wrong labels" in told["release_failed"]
    assert champion["release_failed"] is None
    assert show.model(PROJECT, candidate)["release_failed"] == told["release_failed"]
    world.decide("approve", candidate)
    release(world, candidate)
    assert show.model(PROJECT, candidate)["release_failed"] is None


def test_a_pause_of_promotion_is_told(world: World, show: ShowModels, version: str) -> None:
    assert show.models(PROJECT)["promotion_paused"] is None
    world.loops.save_pause(PROJECT, Pause(world.clock(), "ann", "rollback to 0001"))
    paused = {"since": world.clock().isoformat(), "by": "ann", "reason": "rollback to 0001"}
    assert show.models(PROJECT)["promotion_paused"] == paused


def test_a_model_that_nobody_works_on_and_nobody_concluded_is_lost(
    world: World, show: ShowModels, version: str
) -> None:
    label_images(world, "digits-2", "second")
    lost = world.plan(world.build(SECOND).version or "", SECOND)
    last = world.loops.loop(PROJECT).last_training
    assert last is not None
    world.loops.save_last_training(PROJECT, replace(last, version="0009"))
    assert show.model(PROJECT, lost.version)["outcome"] == "lost"


def test_a_model_has_its_figures_beside_the_champions(world: World, show: ShowModels, version: str) -> None:
    evaluation = {"candidate": {"score": 0.9}, "champion": None, "test_images": 4}
    world.workspace.write(NAMES.evaluation(version), json.dumps(evaluation).encode())
    keep_answers(world, version, [("a", "a", 0.9)])
    told = show.model(PROJECT, version)
    assert told["evaluation"] == evaluation
    assert told["answers"] == {"known": True, "reason": None}
    assert told["labels"] == ["a", "b"]
    assert told["requested"] == {"instance_type": "ml.g5.xlarge", "hyperparameters": {}}


def test_the_report_of_its_dataset_is_linked_to_where_there_is_one(
    world: World, show: ShowModels, version: str
) -> None:
    assert "datasets/0001/report.html" in show.model(PROJECT, version)["report_url"]
    world.workspace.delete(NAMES.dataset_report("0001"))
    assert show.model(PROJECT, version)["report_url"] is None


def test_judgements_are_of_all_answers(world: World, show: ShowModels, version: str) -> None:
    keep_answers(world, version, [("a", "a", 0.9), ("a", "b", 0.6)])
    told = show.judgements(PROJECT, version)
    assert told["images"] == 2
    assert {"truth": "a", "predicted": "b", "count": 1} in told["confusion"]["cells"]
    assert told["curves"]["all"]["support"] == 2


def test_the_images_behind_a_cell_can_be_shown(world: World, show: ShowModels, version: str) -> None:
    digests = keep_answers(world, version, [("a", "b", 0.6), ("a", "a", 0.9)])
    page = show.images(PROJECT, version, "a", "b")
    [image] = page["images"]
    assert (page["total"], page["next"], page["dataset_version"]) == (1, None, "0001")
    assert (image["sha256"], image["width"], image["height"]) == (digests[0], 64, 64)
    assert image["name"].startswith(f"{PROJECT}/first")
    assert image["name"] in image["url"]
    assert f"previews/thumbnail/{digests[0]}.webp" in image["thumbnail"]
    assert (image["truth"], image["predicted"], image["confidence"]) == ({"label": "a"}, "b", 0.6)


@pytest.mark.parametrize(("trainer", "shown"), [("builtin", [0.9, 0.2]), ("script", [0.9, 0.2, 0.1])])
def test_of_boxes_of_a_built_in_model_those_count_and_are_shown_that_it_believes_in(
    world: World, show: ShowModels, version: str, trainer: Trainer, shown: list[float]
) -> None:
    [digest] = keep_answers(world, version, [("a", "b", 0.5)])
    plan = TrainingPlan.read(world.workspace, PROJECT, version)
    plan = replace(plan, trainer=trainer, task="bounding-box")
    world.workspace.write(NAMES.plan(version), json.dumps(asdict(plan)).encode())
    box = {"left": 0, "top": 0, "width": 9, "height": 9}
    said = [{"label": "a", "confidence": confidence, "box": box} for confidence in (0.9, 0.2, 0.1)]
    line = {"source-ref": "s3://raw/digits/x.png", "image-sha256": digest, "boxes": [], "predicted": said}
    world.workspace.write_lines(NAMES.predictions(version), [json.dumps(line)])
    told = show.judgements(PROJECT, version)
    assert told["confusion"]["cells"] == [{"truth": None, "predicted": "a", "count": len(shown)}]
    assert told["curves"]["all"]["precision"][0] == 0.0
    [image] = show.images(PROJECT, version, None, "a")["images"]
    assert [each["confidence"] for each in image["predicted"]] == shown


def test_images_come_in_pages(world: World, show: ShowModels, version: str) -> None:
    [digest] = keep_answers(world, version, [("a", "b", 0.5)])
    line = {"source-ref": "s3://raw/digits/x.png", "image-sha256": digest, "label": "a", "predicted": "b"}
    lines = [json.dumps({**line, "confidence": number / 100}) + "\n" for number in range(IMAGES_A_PAGE + 3)]
    world.workspace.write_lines(NAMES.predictions(version), lines)
    first = show.images(PROJECT, version, "a", "b")
    second = show.images(PROJECT, version, "a", "b", first["next"])
    assert (len(first["images"]), first["total"], first["next"]) == (60, 63, 60)
    assert [image["confidence"] for image in second["images"]] == [0.02, 0.01, 0.0]
    assert second["next"] is None


def test_an_image_of_another_bucket_is_shown_where_it_is(
    world: World, show: ShowModels, version: str
) -> None:
    [digest] = keep_answers(world, version, [("a", "b", 0.5)])
    line = {"source-ref": "s3://archive/2026/x.png", "image-sha256": digest, "label": "a", "predicted": "b"}
    world.workspace.write_lines(NAMES.predictions(version), [json.dumps({**line, "confidence": 1.0})])
    [image] = show.images(PROJECT, version, "a", "b")["images"]
    assert image["name"] == "s3://archive/2026/x.png"
    assert image["url"].startswith("https://archive.invalid/2026/x.png?")


def test_what_rekognition_does_not_tell_is_said(world: World, show: ShowModels, version: str) -> None:
    plan = TrainingPlan.read(world.workspace, PROJECT, version)
    plan = replace(plan, trainer="rekognition", hosting="rekognition")
    world.workspace.write(NAMES.plan(version), json.dumps(asdict(plan)).encode())
    told: dict[str, Any] = show.model(PROJECT, version)
    assert told["measure"] == "macro F1"
    assert not told["answers"]["known"]
    assert "Rekognition" in told["answers"]["reason"]
    with pytest.raises(NoPredictions, match="Rekognition"):
        show.judgements(PROJECT, version)


@pytest.mark.parametrize("named", ["0009", "../0001", "1-", "", "0001/x"])
def test_a_model_that_there_is_not_is_named(show: ShowModels, version: str, named: str) -> None:
    with pytest.raises(ModelNotFound, match="has no model"):
        show.model(PROJECT, named)


def test_a_cell_of_nothing_is_refused(show: ShowModels, version: str) -> None:
    with pytest.raises(BadRequest, match="truth"):
        show.images(PROJECT, version, None, None)


def test_a_project_that_there_is_not_is_named(show: ShowModels) -> None:
    with pytest.raises(ProjectNotFound, match="nothing"):
        show.models("nothing")


def test_before_the_first_training_there_are_no_models(show: ShowModels) -> None:
    assert show.models(PROJECT)["models"] == []
