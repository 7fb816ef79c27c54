"""From a dataset version to the request for a training job."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loupe.domain.training.plans import MAX_NAME, TrainingPlan, legal_name, model_versions
from loupe.domain.training.script_training import is_file_path
from tests.unit.training.requests import assert_sagemaker_takes
from tests.unit.training.world import FIRST, NAMES, PROJECT, World, execution

SECOND = execution("second")


@pytest.fixture
def labeled(world: World) -> World:
    """A project with a dataset version."""
    digests = {world.upload(f"train 1/{number} b.png"): "ab"[number % 2] for number in range(20)}
    world.finish("digits-1", digests)
    world.build()
    return world


def channels(plan: TrainingPlan) -> dict[str, tuple[str, str]]:
    """Kind and place of the channels, by name."""
    assert plan.training_job
    sources = {
        channel["ChannelName"]: channel["DataSource"]["S3DataSource"]
        for channel in plan.training_job["InputDataConfig"]
    }
    return {name: (source["S3DataType"], source["S3Uri"]) for name, source in sources.items()}


def test_sagemaker_takes_the_request(labeled: World) -> None:
    labeled.configure(training={"hyperparameters": {"epochs": "5"}, "instance_type": "ml.m5.large"})
    plan = labeled.plan("0001")
    assert plan.training_job
    assert_sagemaker_takes("CreateTrainingJob", plan.training_job)
    assert plan.training_job["EnableNetworkIsolation"] is True
    assert plan.training_job["HyperParameters"]["epochs"] == "5"
    assert plan.training_job["ResourceConfig"]["InstanceType"] == "ml.m5.large"


def test_the_trainer_is_told_where_its_checkpoints_are_kept(labeled: World) -> None:
    job = labeled.plan("0001").training_job
    assert job
    assert job["CheckpointConfig"] == {"S3Uri": "s3://workspace/projects/digits/models/0001/checkpoints"}
    assert job["Environment"]["CHECKPOINT_DIR"] == "/opt/ml/checkpoints"


def test_what_is_made_for_a_model_goes_by_the_id_of_the_newest_job(labeled: World) -> None:
    plan = labeled.plan("0001")
    assert plan.correlation_id == "digits-1"
    assert {"Key": "loupe:correlation-id", "Value": "digits-1"} in plan.tags
    assert plan.registry["correlation_id"] == "digits-1"
    assert plan.training_job
    assert plan.training_job["Tags"] == plan.tags
    assert plan.training_job["Environment"]["LOUPE_CORRELATION_ID"] == "digits-1"
    assert TrainingPlan.read(labeled.workspace, PROJECT, "0001") == plan


def test_a_dataset_version_of_before_there_were_such_ids_is_trained_on(labeled: World) -> None:
    key = NAMES.dataset_card("0001")
    card = json.loads(labeled.workspace.read(key))
    del card["correlation_id"]
    labeled.workspace.write(key, json.dumps(card).encode())
    plan = labeled.plan("0001")
    assert plan.correlation_id is None
    assert plan.training_job
    assert "LOUPE_CORRELATION_ID" not in plan.training_job["Environment"]
    assert_sagemaker_takes("CreateTrainingJob", plan.training_job)


def test_spot_instances_are_waited_for(labeled: World) -> None:
    labeled.configure(training={"spot": "true", "max_run_minutes": "30", "max_wait_minutes": "60"})
    job = labeled.plan("0001").training_job
    assert job
    assert_sagemaker_takes("CreateTrainingJob", job)
    assert job["EnableManagedSpotTraining"] is True
    assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 1800, "MaxWaitTimeInSeconds": 3600}


def test_the_source_travels_as_a_channel_since_the_container_has_no_network(labeled: World) -> None:
    plan = labeled.plan("0001")
    kind, uri = channels(plan)["code"]
    assert kind == "S3Prefix"
    assert labeled.workspace.read(uri.removeprefix("s3://workspace/")) == b"source"
    assert plan.training_job
    submit = plan.training_job["HyperParameters"]["sagemaker_submit_directory"]
    assert submit == f"/opt/ml/input/data/code/{uri.rpartition('/')[2]}"


def test_images_travel_as_a_list_of_their_keys(labeled: World) -> None:
    assert channels(labeled.plan("0001"))["images"] == (
        "ManifestFile",
        "s3://workspace/projects/digits/datasets/0001/images.manifest",
    )
    prefix, *keys = json.loads(labeled.workspace.read(NAMES.images_manifest("0001")))
    assert prefix == {"prefix": "s3://raw/"}
    assert sorted(keys) == sorted(f"digits/train 1/{number} b.png" for number in range(20))


def test_images_whose_key_cannot_be_a_path_are_copied_to_flat_names(labeled: World) -> None:
    names = [
        "new\nline.png",
        "a//b.png",
        "../up.png",
        "./here.png",
        "é" * 128 + ".png",
        "file",
        "file/below.png",
        "folder/",
    ]
    digests = {name: labeled.upload(name) for name in names}
    labeled.finish("digits-2", dict.fromkeys(digests.values(), "a"))
    labeled.build()
    plan = labeled.plan("0002")
    assert channels(plan)["copies"][0] == "ManifestFile"
    prefix, *copied = json.loads(labeled.workspace.read(NAMES.copies_manifest("0002")))
    assert prefix == {"prefix": "s3://workspace/projects/digits/images/"}
    assert set(copied) == {digest for name, digest in digests.items() if name != "file/below.png"}
    assert all(labeled.workspace.exists(NAMES.image_copy(digest)) for digest in copied)
    _, *keys = json.loads(labeled.workspace.read(NAMES.images_manifest("0002")))
    assert len(keys) == 21
    assert "copies" not in channels(labeled.plan("0001", SECOND))


def test_an_image_that_vanishes_meanwhile_is_not_copied(labeled: World) -> None:
    digest = labeled.upload("odd\n")
    labeled.finish("digits-2", {digest: "a"})
    labeled.build()
    labeled.raw.delete(f"{PROJECT}/odd\n")
    assert "copies" not in channels(labeled.plan("0002"))


def test_the_champion_travels_along_to_be_compared_with(labeled: World) -> None:
    labeled.turn()
    plan = labeled.plan("0001", SECOND)
    first = TrainingPlan.read(labeled.workspace, PROJECT, "0001")
    assert first.release
    assert channels(plan)["champion"] == ("S3Prefix", first.release.model_data_url)


def test_the_same_execution_gets_the_same_plan_and_another_one_a_new_version(labeled: World) -> None:
    first = labeled.plan("0001")
    labeled.clock.advance(minutes=1)
    assert labeled.plan("0001") == first
    second = labeled.plan("0001", SECOND)
    assert second.version == "0001-2"
    assert second.model_name != first.model_name
    assert model_versions(PROJECT, labeled.workspace) == ["0001", "0001-2"]


def test_the_status_says_that_a_model_is_being_trained(labeled: World) -> None:
    labeled.plan("0001")
    last = labeled.loops.loop(PROJECT).last_training
    assert last is not None
    assert (last.version, last.status, last.execution) == ("0001", "running", FIRST)


@given(
    st.from_regex(r"[a-zA-Z][-a-zA-Z0-9]{0,127}", fullmatch=True),
    st.from_regex(r"[a-z0-9](-?[a-z0-9]){0,15}", fullmatch=True),
)
def test_every_stack_and_project_make_a_legal_name(stack: str, project: str) -> None:
    name = legal_name(stack, project, "0001-12", "abcd")
    assert len(name) <= MAX_NAME
    assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*", name)
    assert name.endswith(f"{project}-0001-12-abcd")


def test_stacks_that_begin_alike_get_different_names() -> None:
    one, other = (legal_name("x" * 60 + end, "digits") for end in "ab")
    assert one != other


@pytest.mark.parametrize("key", ["digits/a b.png", "digits/ü+%.png", "digits/🙂.png", "digits/'\".png"])
def test_ordinary_keys_are_paths(key: str) -> None:
    assert is_file_path(key)
