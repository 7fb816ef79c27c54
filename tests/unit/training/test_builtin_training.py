"""From a dataset version to the request for a training job of a built-in algorithm."""

import json
from typing import Any

import pytest

from loupe.domain.datasets.versions import DatasetCard
from loupe.domain.errors import InvalidProject
from loupe.domain.label_values import Box, Boxes, LabelValue, OneLabel, SeveralLabels
from loupe.domain.manifests import write_rows
from loupe.domain.projects import LABEL_ATTRIBUTES, TaskType, parse_project_yaml
from loupe.domain.training.builtin import NothingToTrainOn
from loupe.domain.training.builtin_rules import REGISTRIES
from loupe.domain.training.plans import TrainingPlan
from tests.unit.training.requests import assert_sagemaker_takes
from tests.unit.training.world import NAMES, World

LABELS = ("a", "b", "c")
TASKS: tuple[TaskType, ...] = ("image-classification", "multi-label-classification", "bounding-box")
EXAMPLES: dict[TaskType, list[LabelValue]] = {
    "image-classification": [OneLabel("a"), OneLabel("b"), OneLabel("c")],
    "multi-label-classification": [SeveralLabels(("a",)), SeveralLabels(("b", "c")), SeveralLabels(())],
    "bounding-box": [
        Boxes((Box("a", 0, 0, 8, 8),)),
        Boxes((Box("b", 0, 0, 8, 8), Box("c", 8, 8, 8, 8))),
        Boxes(()),
    ],
}


def label(world: World, task: TaskType, training: dict[str, Any] | None = None, images: int = 60) -> None:
    """A project of that task whose images are labeled in turn as in its examples."""
    world.configure(task=task, labels=LABELS, training={"trainer": "builtin", **(training or {})})
    digests = [world.upload(f"{number}") for number in range(images)]
    world.finish("digits-1", {digest: EXAMPLES[task][at % 3] for at, digest in enumerate(digests)})


def plan(world: World, task: TaskType, training: dict[str, Any] | None = None) -> TrainingPlan:
    label(world, task, training)
    return world.plan(world.build().version or "")


def job(plan: TrainingPlan) -> dict[str, Any]:
    assert plan.training_job
    return plan.training_job


@pytest.mark.parametrize("task", TASKS)
def test_sagemaker_takes_the_requests(world: World, task: TaskType) -> None:
    planned = plan(world, task, {"spot": "true"})
    assert_sagemaker_takes("CreateTrainingJob", job(planned))
    assert planned.transforms
    assert planned.transforms.candidate
    assert_sagemaker_takes("CreateTransformJob", planned.transforms.candidate)


def test_channels_are_augmented_manifests_in_pipe_mode_wrapped_as_recordio(world: World) -> None:
    planned = plan(world, "image-classification")
    train, validation = job(planned)["InputDataConfig"]
    assert train == {
        "ChannelName": "train",
        "ContentType": "application/x-recordio",
        "InputMode": "Pipe",
        "RecordWrapperType": "RecordIO",
        "CompressionType": "None",
        "ShuffleConfig": {"Seed": 7},
        "DataSource": {
            "S3DataSource": {
                "S3DataType": "AugmentedManifestFile",
                "S3Uri": "s3://workspace/projects/digits/datasets/0001/builtin/train.manifest",
                "S3DataDistributionType": "FullyReplicated",
                "AttributeNames": ["source-ref", "label"],
            }
        },
    }
    assert validation["ChannelName"] == "validation"
    assert job(planned)["AlgorithmSpecification"]["TrainingInputMode"] == "Pipe"
    assert planned.release
    assert planned.release.image == job(planned)["AlgorithmSpecification"]["TrainingImage"]
    assert planned.release.environment == {}


def test_several_labels_come_as_class_ids(world: World) -> None:
    request = job(plan(world, "multi-label-classification"))
    types = {channel["ContentType"] for channel in request["InputDataConfig"]}
    assert types == {"application/x-recordio; label-format=class-id"}
    assert request["HyperParameters"]["multi_label"] == "1"
    assert "MetricDefinitions" not in request["AlgorithmSpecification"]  # the algorithm has its own


def test_the_algorithms_manifest_has_the_image_and_its_label_alone(world: World) -> None:
    plan(world, "image-classification")
    written = world.workspace.read(NAMES.builtin_manifest("0001", "train")).decode().splitlines()
    assert len(written) == len(world.rows("0001", "train"))
    assert '"label":' in written[0]
    assert "image-sha256" not in written[0]


@pytest.mark.parametrize("task", ["multi-label-classification", "bounding-box"])
def test_images_with_no_label_and_no_box_are_left_out_of_the_algorithms_manifests(
    world: World, task: TaskType
) -> None:
    values = job(plan(world, task))["HyperParameters"]
    card = DatasetCard.from_json(world.workspace.read(NAMES.dataset_card("0001")))
    for split in ("train", "validation"):
        lines = world.workspace.read(NAMES.builtin_manifest("0001", split)).decode().splitlines()
        assert len(lines) == len(world.rows("0001", split)) - card.without[split]
        metadata = [json.loads(line)[f"{LABEL_ATTRIBUTES[task]}-metadata"] for line in lines]
        assert all(each["class-map"] for each in metadata)
        assert card.without[split] > 0
        assert split != "train" or values["num_training_samples"] == str(len(lines))


def test_hyperparameters_follow_from_the_data(world: World) -> None:
    values = job(plan(world, "image-classification"))["HyperParameters"]
    samples = len(world.rows("0001", "train"))
    assert values == {
        "num_classes": "3",
        "num_training_samples": str(samples),
        "mini_batch_size": "32",
        "use_pretrained_model": "1",
        "num_layers": "50",
        "image_shape": "3,224,224",
        "resize": "256",
        "learning_rate": "0.01",
    }


def test_the_batch_is_never_larger_than_the_data(world: World) -> None:
    label(world, "image-classification", images=24)
    planned = world.plan(world.build().version or "")
    samples = len(world.rows("0001", "train"))
    assert samples < 32
    assert job(planned)["HyperParameters"]["mini_batch_size"] == str(samples)


def test_the_label_width_has_room_for_the_image_with_most_boxes(world: World) -> None:
    assert job(plan(world, "bounding-box"))["HyperParameters"]["label_width"] == "350"
    crowd = Boxes(tuple(Box("a", at, 0, 8, 8) for at in range(200)))
    world.finish("digits-2", {world.upload(f"crowd/{number}"): crowd for number in range(20)})
    version = world.build().version or ""
    values = job(world.plan(version))["HyperParameters"]
    assert int(values["label_width"]) >= 200 * 5 + 2
    world.configure(
        task="bounding-box",
        labels=LABELS,
        training={"trainer": "builtin", "hyperparameters": {"label_width": "500"}},
    )
    with pytest.raises(InvalidProject, match=r"label_width: 500 is too small for the 200 boxes"):
        world.plan(version, "another execution")


def test_what_project_yaml_says_goes_before_defaults(world: World) -> None:
    given = {
        "use_pretrained_model": "0",
        "num_layers": "20",
        "image_shape": "3,32,32",
        "mini_batch_size": "8",
        "epochs": "3",
    }
    values = job(plan(world, "image-classification", {"hyperparameters": given}))["HyperParameters"]
    assert values.items() >= given.items()
    assert values["resize"] == "36"
    assert "learning_rate" not in values


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"num_classes": "7"}, "num_classes: is 7, but the dataset has 3"),
        ({"num_training_samples": "1"}, "num_training_samples: is 1, but the dataset has"),
        ({"mini_batch_size": "64"}, "mini_batch_size: 64 is more than the"),
    ],
)
def test_a_hyperparameter_that_contradicts_the_data_is_named(
    world: World, given: dict[str, str], words: str
) -> None:
    with pytest.raises(InvalidProject, match=words):
        plan(world, "image-classification", {"hyperparameters": given})


@pytest.mark.parametrize("spot", ["true", "false"])
def test_a_training_goes_on_from_its_checkpoints(world: World, spot: str) -> None:
    request = job(plan(world, "image-classification", {"spot": spot}))
    assert request["EnableManagedSpotTraining"] is (spot == "true")
    assert request["CheckpointConfig"] == {"S3Uri": "s3://workspace/projects/digits/models/0001/checkpoints"}


def test_the_algorithms_image_is_the_regions_unless_the_stack_has_another(world: World) -> None:
    world.region = "eu-central-1"
    label(world, "bounding-box")
    version = world.build().version or ""
    request = job(world.plan(version, "first"))
    assert request["AlgorithmSpecification"]["TrainingImage"] == (
        "813361260812.dkr.ecr.eu-central-1.amazonaws.com/object-detection:1"
    )
    world.region = "mars-north-1"
    with pytest.raises(InvalidProject, match="in region mars-north-1; give it as a parameter"):
        world.plan(version, "second")
    world.algorithm_images = {"object-detection": "registry/own:1"}
    own = job(world.plan(version, "third"))
    assert own["AlgorithmSpecification"]["TrainingImage"] == "registry/own:1"


def test_every_registry_is_an_account() -> None:
    assert all(len(account) == 12 and account.isdecimal() for account in REGISTRIES.values())
    assert len(set(REGISTRIES.values())) == len(REGISTRIES)


@pytest.mark.parametrize(
    ("task", "nothing", "words"),
    [
        ("multi-label-classification", [], "has a label"),
        (
            "bounding-box",
            {"image_size": [{"width": 64, "height": 48, "depth": 3}], "annotations": []},
            "a box",
        ),
    ],
)
def test_a_dataset_with_nothing_to_validate_on_is_nothing_to_train_on(
    world: World, task: TaskType, nothing: Any, words: str
) -> None:
    label(world, task)
    version = world.build().version or ""
    bare = [{**row, LABEL_ATTRIBUTES[task]: nothing} for row in world.rows(version, "validation")]
    world.workspace.write_lines(NAMES.split(version, "validation"), write_rows(bare))
    with pytest.raises(NothingToTrainOn, match=f"no image of the validation split .* {words}"):
        world.plan(version)


# project.yaml ---------------------------------------------------------------------------------------

YAML = """
task: {task}
labels: [a, b]
training: {{trainer: builtin, instance_type: {instance}, hyperparameters: {{{given}}}}}
"""


@pytest.mark.parametrize(
    ("task", "given", "words"),
    [
        ("image-classification", "epoch: 3", "hyperparameters.epoch: the algorithm has no such"),
        ("image-classification", "epochs: many", "hyperparameters.epochs: "),
        ("image-classification", "optimizer: adagrad", "must be 'sgd', 'adam', 'rmsprop' or 'nag'"),
        ("image-classification", "num_layers: 20", "num_layers: pretrained are networks of 18, 34"),
        ("image-classification", "image_shape: '3,64,64'", "pretrained networks take 3,224,224 only"),
        ("image-classification", "resize: 224", "resize: 224 must be larger than both sides"),
        ("image-classification", "multi_label: 1", "multi_label: is 0 for image-classification"),
        ("multi-label-classification", "multi_label: 0", "multi_label: is 1 for multi-label"),
        ("image-classification", "checkpoint_frequency: 31", "31 is more than there are epochs"),
        ("bounding-box", "learning_rate: 0", "learning_rate: input should be greater than 0"),
        ("bounding-box", "image_shape: 299", "image_shape: input should be greater than or equal to 300"),
        ("bounding-box", "num_layers: 50", "num_layers: the algorithm has no such hyperparameter"),
    ],
)
def test_hyperparameters_that_the_algorithm_would_refuse_are_refused_with_project_yaml(
    task: str, given: str, words: str
) -> None:
    with pytest.raises(InvalidProject, match=words):
        parse_project_yaml(YAML.format(task=task, instance="ml.g5.xlarge", given=given))
    script = YAML.format(task=task, instance="ml.g5.xlarge", given=given).replace("builtin", "script")
    parse_project_yaml(script)


def test_an_instance_without_a_gpu_is_refused_with_project_yaml() -> None:
    with pytest.raises(InvalidProject, match=r"train on GPUs, of the families p2, p3, g4dn, g5; ml\.m5"):
        parse_project_yaml(YAML.format(task="bounding-box", instance="ml.m5.large", given=""))
