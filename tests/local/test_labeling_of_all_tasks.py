"""Several labels and boxes from the portal's API to a dataset version, in the deployed stack."""

from __future__ import annotations

import json
from typing import Any

import pytest

from loupe.domain.workspace import Workspace
from tests.local.deployment import Deployment
from tests.local.flows import (
    NO_TRAINING,
    Json,
    Portal,
    finished_job,
    invoke,
    key_of,
    new_project,
    open_job,
    output_manifest,
    problem,
    read_workspace,
)
from tests.local.waiting import eventually
from tests.unit.ingest.pictures import png

LABELS = ["bolt", "nut"]
IMAGES = 12


def annotation(number: int) -> list[Json]:
    """Boxes of every third image: none, one bolt, or a bolt and a nut."""
    return [
        {"label": label, "left": 2 * at, "top": 1.5, "width": 8, "height": 6.25}
        for at, label in enumerate(LABELS[: number % 3])
    ]


def labels(number: int) -> list[str]:
    return LABELS[: number % 3]


TASKS: dict[str, Any] = {
    "multi-label-classification": {
        "member": "labels",
        "answer": labels,
        "type": "groundtruth/image-classification-multilabel",
        "attribute": lambda number: [LABELS.index(label) for label in labels(number)],
        "wrong": {"label": "bolt"},
    },
    "bounding-box": {
        "member": "boxes",
        "answer": annotation,
        "type": "groundtruth/object-detection",
        "attribute": lambda number: {
            "image_size": [{"width": 24, "height": 24, "depth": 3}],
            "annotations": [
                {"class_id": LABELS.index(box.pop("label")), **box} for box in annotation(number)
            ],
        },
        "wrong": {"boxes": [{"label": "bolt", "left": 20, "top": 0, "width": 5, "height": 5}]},
    },
}


@pytest.fixture(scope="module")
def ana(deployment: Deployment) -> Portal:
    return Portal(deployment, "ana-of-all-tasks")


@pytest.mark.parametrize("task", TASKS)
def test_answers_become_ground_truths_manifest_and_a_dataset_version(
    deployment: Deployment, ana: Portal, task: str
) -> None:
    expected, project = TASKS[task], new_project("tasks")
    settings = {"task": task, "labels": LABELS, "labeling": {"batch_size": IMAGES}}
    deployment.stack.write_configuration(project, json.dumps({**settings, "training": NO_TRAINING}))
    for number in range(IMAGES):
        deployment.drop(f"{project}/{number:03}.png", png(24, 24, seed=number))
    open_job(deployment, project, IMAGES)

    tasks = ana.lease(project, 20)
    assert len(tasks) == IMAGES
    assert problem(ana.answer(project, tasks[0], **expected["wrong"])) == (422, "invalid-label")
    for each in tasks:
        number = int(each["image"]["name"].removesuffix(".png").rpartition("/")[2])
        answer = ana.answer(project, each, **{expected["member"]: expected["answer"](number)})
        assert answer.status_code == 200, answer.text

    job = finished_job(deployment, project)
    rows = output_manifest(deployment, project, job)
    numbers = {f"{project}/{number:03}.png": number for number in range(IMAGES)}
    assert {key_of(deployment, row) for row in rows} == numbers.keys()
    for row in rows:
        number = numbers[key_of(deployment, row)]
        assert row[expected["member"]] == expected["attribute"](number)
        metadata = row[f"{expected['member']}-metadata"]
        assert metadata["type"] == expected["type"]
        assert metadata["class-map"] == {str(at): label for at, label in enumerate(labels(number))}
        assert metadata["job-name"] == f"labeling-job/{job}"

    deployment.wait_for(project, lambda status: status["images"]["labeled"] == IMAGES, 60)
    card = dataset_version(deployment, project, settings)
    assert sum(split["images"] for split in card["splits"].values()) == IMAGES
    for split, content in card["splits"].items():
        found = [numbers[key_of(deployment, row)] for row in split_rows(deployment, project, split)]
        assert content["without"] == sum(number % 3 == 0 for number in found)
        assert content["labels"] == {
            label: sum(label in labels(number) for number in found) for label in LABELS
        }


def dataset_version(deployment: Deployment, project: str, settings: Json) -> Json:
    """The card of the project's dataset version, which is built as the state machine does it; nothing is
    trained then."""
    deployment.stack.write_configuration(project, json.dumps(settings))
    execution = f"{deployment.outputs['TrainAndDeployArn']}:none".replace(":stateMachine:", ":execution:")
    event = {"project": project, "execution": execution}

    def build() -> Json:
        built: Json = invoke(deployment, "BuildDatasetFunction", event)
        return built if built["outcome"] == "built" else {}

    version = eventually(build, "a dataset version")["version"]
    card: Json = json.loads(read_workspace(deployment, Workspace(project).dataset_card(version)))
    return card


def split_rows(deployment: Deployment, project: str, split: str) -> list[Json]:
    text = read_workspace(deployment, Workspace(project).split("0001", split)).decode()
    return [json.loads(line) for line in text.splitlines()]
