"""The loop with Rekognition Custom Labels: trained, asked, stopped when idle, started again, replaced."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cli.digits import SIDE
from loupe.adapters.table import IndexTable
from loupe.adapters.training_index import LoopIndex
from loupe.domain.manifests import S3Uri
from loupe.domain.projects import TaskType
from tests.local.deployment import Deployment
from tests.local.digit_project import LABELS, DigitProject, digits, loupe
from tests.local.flows import invoke
from tests.local.waiting import eventually

HOSTING = {"kind": "rekognition", "stop_after_idle_minutes": 30}


class RekognitionProject(DigitProject):
    """Digits that Rekognition learns and hosts."""

    @property
    def loops(self) -> LoopIndex:
        table = IndexTable(self.deployment.client("dynamodb"), self.deployment.outputs["IndexTable"])
        return LoopIndex(table)

    def versions(self) -> dict[str, str]:
        """Status of each version in Rekognition, by ARN."""
        client = self.deployment.client("rekognition")
        [project] = client.describe_projects(ProjectNames=[f"loupe-{self.name}"])["ProjectDescriptions"]
        found = client.describe_project_versions(ProjectArn=project["ProjectArn"])
        return {each["ProjectVersionArn"]: each["Status"] for each in found["ProjectVersionDescriptions"]}

    def entries(self) -> dict[str, list[dict[str, Any]]]:
        """The lines of each dataset in Rekognition: TRAIN and TEST."""
        client = self.deployment.client("rekognition")
        [project] = client.describe_projects(ProjectNames=[f"loupe-{self.name}"])["ProjectDescriptions"]
        return {
            dataset["DatasetType"]: [
                json.loads(line)
                for page in client.get_paginator("list_dataset_entries").paginate(
                    DatasetArn=dataset["DatasetArn"]
                )
                for line in page["DatasetEntries"]
            ]
            for dataset in project["Datasets"]
        }

    def ask(self) -> tuple[int, dict[str, Any]]:
        """Status and body of the REST API's answer to a digit."""
        answer = self.deployment.request(
            "POST",
            f"/v1/projects/{self.name}/predictions",
            content=digits()[-1].png(),
            headers={"content-type": "image/png"},
        )
        return answer.status_code, answer.json()

    def is_idle(self, minutes: int) -> None:
        """Have nobody called the model for so long."""
        loop = self.loops.loop(self.name)
        assert loop.hosting is not None
        earlier = loop.hosting.since - timedelta(minutes=minutes)
        self.loops.save_hosting(self.name, replace(loop.hosting, since=earlier))
        self.loops.save_call(self.name, earlier)


@pytest.mark.timeout(900)
def test_a_rekognition_model_is_trained_asked_stopped_started_and_replaced(deployment: Deployment) -> None:
    project = RekognitionProject(deployment, training={"trainer": "rekognition"}, hosting=HOSTING)
    project.configure()
    first = project.turn()
    assert first["status"] == "promoted", first["reason"]
    [old], [state] = project.versions().keys(), project.versions().values()
    assert state == "RUNNING"
    report = json.loads(project.workspace.read(project.keys.custom_labels_validation("0001")))
    assert report["ok"]
    assert report["codes"] == {}

    status, answer = project.ask()
    assert status == 200, answer
    assert answer["model_version"] == first["version"]
    assert {each["label"] for each in answer["predictions"]} <= set(LABELS)
    hosting = json.loads(json.dumps(project.status["hosting"]))
    assert hosting["state"] == "running"
    assert hosting["cost_per_hour"] == 4.0
    assert hosting["last_called_at"]
    assert "1 inference unit: at least $4.00 an hour" in loupe(project, "status", project.name)

    # Nobody calls it for longer than project.yaml allows.
    assert invoke(deployment, "StopIdleModelsFunction", {}) == {"stopped": []}
    project.is_idle(minutes=31)
    [stopped] = invoke(deployment, "StopIdleModelsFunction", {})["stopped"]
    assert stopped["project"] == project.name
    eventually(lambda: project.versions()[old] == "STOPPED", "the model to stop")
    status, answer = project.ask()
    assert (status, answer["type"]) == (409, "urn:loupe:problem:model-stopped")
    assert f"loupe model start {project.name}" in answer["detail"]

    assert "is running" in loupe(project, "model", "start", project.name)
    assert project.ask()[0] == 200

    # The next promotion replaces the version, and stops the old one once the new one answers.
    second = project.turn()
    assert second["status"] == "promoted", second["reason"]
    assert f"the champion {first['version']} has" in str(second["reason"])
    [new] = set(project.versions()) - {old}
    eventually(
        lambda: (project.versions()[old], project.versions()[new]) == ("STOPPED", "RUNNING"), "one to run"
    )
    status, answer = project.ask()
    assert (status, answer["model_version"]) == (200, second["version"])
    assert 0 <= project.evaluation(str(second["version"]))["champion"]["score"] <= 1
    assert "stopping" in loupe(project, "model", "stop", project.name)


def trained(deployment: Deployment, task: TaskType, test_dataset: str) -> RekognitionProject:
    """A project whose first model is in service and has answered."""
    training = {"trainer": "rekognition", "rekognition": {"test_dataset": test_dataset}}
    project = RekognitionProject(deployment, task=task, training=training, hosting=HOSTING)
    project.configure()
    first = project.turn()
    assert first["status"] == "promoted", first["reason"]
    assert 0 <= project.evaluation("0001")["candidate"]["score"] <= 1
    status, answer = project.ask()
    assert (status, answer["task"], answer["model_version"]) == (200, task, "0001"), answer
    assert {each["label"] for each in answer["predictions"]} <= set(project.label_names)
    for box in (each["box"] for each in answer["predictions"] if task == "bounding-box"):
        assert -1 <= box["left"] < box["left"] + box["width"] <= SIDE + 1
        assert -1 <= box["top"] < box["top"] + box["height"] <= SIDE + 1
    loupe(project, "model", "stop", project.name)
    return project


@pytest.mark.timeout(900)
def test_several_labels_are_an_attribute_each_and_tested_on_the_frozen_test_set(
    deployment: Deployment,
) -> None:
    project = trained(deployment, "multi-label-classification", "separate")
    entries = project.entries()
    assert len(entries["TEST"]) == len(project.split("0001", "test"))
    for row in (*entries["TRAIN"], *entries["TEST"]):
        names = {value["class-name"] for name, value in row.items() if name.endswith("-metadata")}
        assert names == set(project.value_of(S3Uri.parse(row["source-ref"]).key).names)


@pytest.mark.timeout(900)
def test_boxes_are_tested_on_what_rekognition_takes_from_all_images(deployment: Deployment) -> None:
    project = trained(deployment, "bounding-box", "distribute")
    entries = project.entries()
    assert len(entries["TRAIN"]) + len(entries["TEST"]) == project.dropped
    assert 0 < len(entries["TEST"]) < len(entries["TRAIN"])
    assert all(row["boxes"]["annotations"] for row in entries["TEST"])
