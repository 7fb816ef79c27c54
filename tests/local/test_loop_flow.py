"""The whole loop in the local cloud: from dropped digits to a model that answers, again and again."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from unittest.mock import ANY

import pytest

from loupe.domain.datasets import latest_card
from loupe.domain.events import (
    AnnotationsCompleted,
    Event,
    ImagesRegistered,
    LabelingJobFinished,
    ProjectConfigured,
    TrainingRequested,
)
from tests.local.deployment import Deployment
from tests.local.digit_project import LABELS, DigitProject, digits, eventually


@pytest.fixture(scope="module")
def project(deployment: Deployment) -> DigitProject:
    """A project whose loop has turned once: it has a champion."""
    made = DigitProject(deployment)
    made.configure()
    assert made.turn()["status"] == "promoted"
    return made


def test_a_turn_of_the_loop_ends_with_a_champion_in_service(project: DigitProject) -> None:
    status = project.status
    training, champion = status["last_training"], status["champion"]
    assert training is not None
    assert champion is not None
    assert (training["status"], training["version"]) == ("promoted", champion["version"])
    assert status["images"]["labeled"] == project.dropped
    assert status["dataset_version"] == project.dataset_versions()[-1]
    assert {job["state"] for job in status["jobs"]} == {"finished"}
    endpoint = project.deployment.client("sagemaker").describe_endpoint(EndpointName=champion["endpoint"])
    assert endpoint["EndpointStatus"] == "InService"
    assert {model["ModelApprovalStatus"] for model in project.registered_models()} == {"Approved"}


def test_the_endpoint_answers_an_image_however_it_is_sent(project: DigitProject) -> None:
    path, image = f"/v1/projects/{project.name}/predictions", digits()[-1].png()
    dropped = next(iter(project.labels))
    answers = [
        project.deployment.request("POST", path, content=image, headers={"content-type": "image/png"}),
        project.deployment.request("POST", path, json={"image": base64.b64encode(image).decode()}),
        project.deployment.request(
            "POST", path, json={"s3_uri": f"s3://{project.deployment.outputs['RawDataBucket']}/{dropped}"}
        ),
    ]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert (found["project"], found["task"]) == (project.name, "image-classification")
        assert {prediction["label"] for prediction in found["predictions"]} == set(LABELS)
        confidences = [prediction["confidence"] for prediction in found["predictions"]]
        assert confidences == sorted(confidences, reverse=True)
        assert sum(confidences) == pytest.approx(1, abs=1e-3)
    assert answers[0].json()["predictions"] == answers[1].json()["predictions"]


@dataclass
class Caller:
    """An app that asks the endpoint again and again."""

    versions: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)


@contextmanager
def asking(project: DigitProject) -> Iterator[Caller]:
    """Have an app ask the project's endpoint meanwhile."""
    caller, enough = Caller(), threading.Event()

    def ask() -> None:
        while not enough.wait(0.1):
            try:
                caller.versions.add(project.predict()["model_version"])
            except (AssertionError, OSError) as error:
                caller.refused.append(str(error))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield caller
    finally:
        enough.set()
        thread.join()


def test_a_further_batch_turns_the_loop_while_the_endpoint_answers(project: DigitProject) -> None:
    before = project.status["champion"]
    assert before is not None
    with asking(project) as caller:
        training = project.turn()
        assert training["status"] == "promoted"
        eventually(lambda: training["version"] in caller.versions, "answers of the new model")
    assert caller.refused == []
    assert caller.versions == {before["version"], training["version"]}


def test_a_test_image_stays_one_in_all_versions(project: DigitProject) -> None:
    if len(project.dataset_versions()) < 2:
        project.turn()
    versions = project.dataset_versions()
    tested = [project.split(version, "test") for version in versions]
    for version, earlier, later in zip(versions[1:], tested, tested[1:], strict=False):
        assert earlier < later, version
    ever_tested = set.union(*tested)
    for version in versions:
        assert not ever_tested & project.split(version, "train")
        assert not ever_tested & project.split(version, "validation")


def test_events_that_come_again_in_another_order_change_nothing(project: DigitProject) -> None:
    def state() -> tuple[object, ...]:
        stored = {found.key: found.etag for found in project.workspace.list(f"{project.keys.root}/")}
        status = project.status
        return stored, status["champion"], status["images"], status["jobs"], len(project.registered_models())

    before, executions = state(), len(project.await_executions())
    jobs = [job["job"] for job in project.status["jobs"]]
    events: list[Event] = [
        TrainingRequested(project.name, "once more"),
        *(LabelingJobFinished(project.name, job) for job in jobs),
        *(AnnotationsCompleted(project.name, job) for job in reversed(jobs)),
        ProjectConfigured(project.name),
        ImagesRegistered(project.name, project.dropped),
    ]
    project.publish(*events)
    after = project.await_executions(executions + 1 + len(jobs))
    again = after[: len(after) - executions]
    assert {execution.status for execution in again} == {"SUCCEEDED"}
    assert {execution.output["outcome"] for execution in again} <= {"nothing_new", "covered"}
    assert state() == before


def test_jobs_that_finish_while_a_model_is_trained_share_the_next_training(deployment: Deployment) -> None:
    project = DigitProject(deployment, batch_size=12)
    project.configure()
    project.drop(36)
    project.label(36)
    eventually(lambda: project.model_versions() == ["0001", "0002"], "the training after the first one")
    executions = project.await_executions()
    assert {execution.status for execution in executions} == {"SUCCEEDED"}
    assert executions[-1].output == {"reason": ANY}
    card = latest_card(project.name, project.workspace)
    assert card is not None
    assert len(card.jobs) == 3
