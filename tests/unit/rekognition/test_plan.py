"""What Rekognition is asked for: decided before anything is paid for, and within what its API takes."""

import json
from typing import Any

import pytest

from loupe.domain.custom_labels.plans import CustomLabelsTraining
from loupe.domain.custom_labels.report import ManifestsRefused
from loupe.domain.projects import HostingKind, TaskType
from loupe.domain.serving.hosting import StopIdleModels
from loupe.domain.training.plans import PlanTraining, TrainingPlan
from loupe.domain.training.turns import Result
from loupe.ports.loops import Champion, HostingRecord, ServedModel, TrainingLock
from loupe.ports.models import HostedVersion, RunsModels
from tests.fakes.hosting import FakeModels
from tests.unit.training.requests import assert_aws_takes
from tests.unit.training.world import FIRST, NAMES, PROJECT, World, execution

PROJECT_ARN = "arn:aws:rekognition:us-east-1:123456789012:project/loupe-digits/1777900000000"
VERSION_ARN = PROJECT_ARN.replace("/1777900000000", "/version/loupe-digits-0001-abcd/1777900000001")


def configure(
    world: World, distribute: bool = False, task: TaskType = "image-classification", **hosting: Any
) -> None:
    training: dict[str, Any] = {"trainer": "rekognition"}
    if distribute:
        training["rekognition"] = {"test_dataset": "distribute"}
    world.configure(task=task, training=training, hosting={"kind": "rekognition", **hosting})


def plan(world: World, version: str = "0001") -> TrainingPlan:
    trainers = {"rekognition": CustomLabelsTraining(world.loops, world.raw, world.workspace, "loupe")}
    planning = PlanTraining(world.projects, world.loops, world.workspace, "loupe", trainers, world.clock)  # type: ignore[arg-type]
    return planning(PROJECT, version, FIRST)


def test_of_a_version_that_refers_to_images_elsewhere_rekognition_gets_copies_in_one_bucket(
    world: World,
) -> None:
    configure(world)
    digests = [world.upload(f"{n}", elsewhere=n % 2 == 0) for n in range(40)]
    world.finish("digits-1", {digest: "ab"[n // 2 % 2] for n, digest in enumerate(digests)})
    assert world.build().version == "0001"
    [gone, *_] = [row for row in world.rows("0001", "train") if row["source-ref"].startswith("s3://archive/")]
    world.archive.delete(gone["source-ref"].removeprefix("s3://archive/"))
    plan(world)
    rows = [*written(world, "train"), *written(world, "test")]
    copies = f"s3://workspace/{NAMES.image_copies}"
    assert {row["source-ref"].removeprefix(copies) for row in rows} == set(digests) - {gone["image-sha256"]}
    assert len({row["source-ref"] for row in rows}) == len(rows) == 39
    assert all(world.workspace.exists(row["source-ref"].removeprefix("s3://workspace/")) for row in rows)
    report = json.loads(world.workspace.read(NAMES.custom_labels_validation("0001")))
    assert report["codes"] == {"ERROR_INVALID_IMAGE": 1}
    [finding] = report["findings"]
    assert f"{gone['source-ref']} is gone" in json.dumps(finding)


def stop_idle(world: World, models: FakeModels) -> None:
    hosts: dict[HostingKind, RunsModels] = {"rekognition": models}
    stop = StopIdleModels(
        world.projects, world.loops, hosts, world.workspace, world.events, world.clock, "loupe"
    )
    stop()


def requests(planned: TrainingPlan) -> dict[str, Any]:
    assert planned.custom_labels is not None
    return planned.custom_labels


def written(world: World, dataset: str, version: str = "0001") -> list[dict[str, Any]]:
    key = NAMES.custom_labels_manifest(version, dataset)
    return [json.loads(line) for line in world.workspace.lines(key)]


@pytest.fixture
def labeled(world: World) -> World:
    """Dataset version 0001 of forty images."""
    configure(world)
    world.finish("digits-1", {world.upload(f"{n}"): "ab"[n % 2] for n in range(40)})
    assert world.build().version == "0001"
    return world


def test_each_request_is_one_that_rekognition_takes(labeled: World) -> None:
    configure(labeled, inference_units=2, max_inference_units=5)
    asked = requests(plan(labeled))
    arn = {"ProjectArn": PROJECT_ARN}
    assert_aws_takes("rekognition", "CreateProject", asked["project"])
    assert_aws_takes("rekognition", "CreateDataset", asked["train"] | arn)
    assert_aws_takes("rekognition", "CreateDataset", asked["test"] | arn)
    assert_aws_takes("rekognition", "CreateProjectVersion", asked["version"] | arn)
    start = asked["start"] | {"ProjectVersionArn": VERSION_ARN}
    assert_aws_takes("rekognition", "StartProjectVersion", start)
    assert (start["MinInferenceUnits"], start["MaxInferenceUnits"]) == (2, 5)


def test_the_frozen_test_set_is_the_test_dataset_and_the_rest_is_trained_on(labeled: World) -> None:
    planned = plan(labeled)
    tested = {row["source-ref"] for row in written(labeled, "test")}
    assert tested == {row["source-ref"] for row in labeled.rows("0001", "test")}
    rest = [row["source-ref"] for split in ("train", "validation") for row in labeled.rows("0001", split)]
    assert [row["source-ref"] for row in written(labeled, "train")] == rest
    assert planned.training_job is None
    assert planned.release is None
    report = json.loads(labeled.workspace.read(NAMES.custom_labels_validation("0001")))
    assert report["ok"]


def test_all_images_are_one_dataset_where_rekognition_distributes(labeled: World) -> None:
    configure(labeled, distribute=True)
    asked = requests(plan(labeled))
    assert len(written(labeled, "train")) == 40
    assert asked["test"] == {"DatasetType": "TEST"}
    assert asked["distribute"]
    assert asked["test_set"] is None


def test_the_test_set_is_known_by_what_it_holds(labeled: World) -> None:
    first = requests(plan(labeled))["test_set"]
    labeled.workspace.delete(NAMES.plan("0001"))
    assert requests(plan(labeled))["test_set"] == first


def test_bad_rows_are_left_out_and_reported(labeled: World) -> None:
    key = NAMES.split("0001", "train")
    lines = list(labeled.workspace.lines(key))
    labeled.workspace.write_lines(key, (f"{line}\n" for line in [*lines, "{"]))
    plan(labeled)
    report = json.loads(labeled.workspace.read(NAMES.custom_labels_validation("0001")))
    assert report["codes"] == {"ERROR_INVALID_JSON_LINE": 1}
    assert len(written(labeled, "train")) == len(lines) + len(labeled.rows("0001", "validation"))


def test_what_a_first_training_leaves_running_is_stopped_though_project_yaml_was_changed(
    labeled: World,
) -> None:
    """The candidate of an execution that was aborted, before there was a champion."""
    planned = plan(labeled)
    labeled.loops.unlock_training(PROJECT, FIRST)
    labeled.configure()
    models = FakeModels()
    models.hosts["loupe-digits"] = [HostedVersion(VERSION_ARN, planned.model_name, "running")]
    stop_idle(labeled, models)
    assert models.stopped == [VERSION_ARN]


@pytest.mark.parametrize("is_written", [True, False])
def test_a_promotion_that_was_never_concluded_ends_with_one_model_running(
    labeled: World, is_written: bool
) -> None:
    """Champion and candidate run, and the execution is lost before or after it wrote its outcome."""
    old_arn, now = VERSION_ARN.replace("0001", "0000"), labeled.clock()
    model = ServedModel("rekognition", "rekognition", "image-classification", ("a", "b"), old_arn)
    champion = Champion("0000", 0.5, model, None, None, now)
    labeled.loops.save_champion(PROJECT, champion)
    planned = plan(labeled)
    before = labeled.loops.loop(PROJECT)
    assert before.last_training is not None
    if is_written:
        labeled.conclude(Result(PROJECT, FIRST, "promoted", "0001", "good", 0.9, 0.5, endpoint=VERSION_ARN))
        labeled.loops.save_champion(PROJECT, champion)
        labeled.loops.save_last_training(PROJECT, before.last_training)
        labeled.loops.lock_training(PROJECT, TrainingLock(FIRST, now))
    models = FakeModels()
    models.hosts["loupe-digits"] = [
        HostedVersion(VERSION_ARN, planned.model_name, "running"),
        HostedVersion(old_arn, "loupe-digits-0000-abcd", "running"),
    ]
    stop_idle(labeled, models)
    assert models.stopped == []
    labeled.build(execution("second"))  # which reconcile asks for
    labeled.clock.advance(minutes=3)  # functions may remember the champion before for a while
    stop_idle(labeled, models)
    assert models.stopped == [old_arn if is_written else VERSION_ARN]


def test_planning_leaves_what_is_known_of_a_champion(labeled: World) -> None:
    running = HostingRecord("running", labeled.clock(), 2)
    labeled.loops.save_hosting(PROJECT, running)
    plan(labeled)
    assert labeled.loops.loop(PROJECT).hosting == running


def test_a_dataset_version_that_would_be_refused_is_not_planned_and_the_report_stays(labeled: World) -> None:
    labeled.workspace.write_lines(NAMES.split("0001", "train"), ["{\n"] * 40)
    with pytest.raises(ManifestsRefused, match="ERROR_TOO_MANY_INVALID_ROWS_IN_MANIFEST"):
        plan(labeled)
    assert not labeled.workspace.exists(NAMES.plan("0001"))
    assert not json.loads(labeled.workspace.read(NAMES.custom_labels_validation("0001")))["ok"]


def test_the_version_that_runs_now_is_the_one_to_stop(labeled: World) -> None:
    assert requests(plan(labeled))["old_version"] is None
    model = ServedModel("rekognition", "rekognition", "image-classification", ("a", "b"), "arn:old")
    labeled.loops.save_champion(PROJECT, Champion("0000", 0.5, model, None, None, labeled.clock()))
    labeled.workspace.delete(NAMES.plan("0001"))
    assert requests(plan(labeled))["old_version"] == "arn:old"
