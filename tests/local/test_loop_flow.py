"""The whole loop in the local cloud: from dropped digits to a model that answers, again and again."""

from __future__ import annotations

import base64
import json
from typing import Any
from unittest.mock import ANY

import httpx
import pytest

from loupe.domain.datasets.versions import latest_card
from loupe.domain.events import (
    AnnotationsCompleted,
    Event,
    ImagesRegistered,
    LabelingJobFinished,
    ProjectConfigured,
    TrainingRequested,
)
from loupe.domain.training.plans import TrainingPlan
from tests.local.deployment import Deployment
from tests.local.digit_project import LABELS, DigitProject, asking, digits, loupe
from tests.local.waiting import eventually


def test_a_turn_of_the_loop_ends_with_a_champion_in_service(in_service: DigitProject) -> None:
    status = in_service.status
    champion = status["champion"]
    assert champion is not None
    assert status["images"] == {"pending": 0, "labeling": 0, "labeled": in_service.dropped, "rejected": 0}
    assert status["dataset_version"] == in_service.dataset_versions()[-1]
    assert {job["state"] for job in status["jobs"]} == {"finished"}
    sagemaker = in_service.deployment.client("sagemaker")
    assert sagemaker.describe_endpoint(EndpointName=champion["endpoint"])["EndpointStatus"] == "InService"
    assert in_service.registered_models()[0]["ModelApprovalStatus"] == "Approved"


def test_the_log_lines_of_an_upload_have_one_id_up_to_its_predictions(in_service: DigitProject) -> None:
    version = in_service.champion["version"]
    job = TrainingPlan.read(in_service.workspace, in_service.name, version).correlation_id
    prediction = in_service.predict()["prediction_id"]

    def lines() -> list[dict[str, Any]]:
        """Predict's own come a moment after its answer."""
        traced = loupe(in_service, "trace", in_service.name, version, "--logs", "--json")
        found: list[dict[str, Any]] = json.loads(traced)["lines"]
        return found if any(line.get("prediction_id") == prediction for line in found) else []

    found = eventually(lines, "the line of a prediction")
    assert {(line["project"], line["correlation_id"]) for line in found} == {(in_service.name, job)}
    assert {line["service"] for line in found} >= {
        "start_labeling",
        "labeling_api",
        "consolidate_annotations",
        "build_dataset",
        "plan_training",
        "evaluate_candidate",
        "begin_release",
        "smoke_test_endpoint",
        "conclude_training",
        "predict",
    }
    [cut] = [line for line in found if line["message"] == "job cut"]
    assert cut["images"] == len(list(in_service.workspace.lines(cut["input_manifest"])))
    [answer] = [line for line in found if line.get("prediction_id") == prediction]
    assert (answer["model_version"], answer["outcome"]) == (version, "ok")

    image = sorted(in_service.split(in_service.champion["version"].partition("-")[0], "train"))[0]
    way = json.loads(loupe(in_service, "trace", in_service.name, image, "--logs", "--json"))
    assert way["ids"][0] == f"image-{image[:16]}"
    [registered] = [line for line in way["lines"] if line["correlation_id"] == way["ids"][0]]
    assert (registered["sha256"], registered["state"]) == (image, "registered")
    assert {"start_labeling", "build_dataset"} <= {line["service"] for line in way["lines"]}


def test_the_endpoint_answers_an_image_however_it_is_sent(in_service: DigitProject) -> None:
    path, image = f"/v1/projects/{in_service.name}/predictions", digits()[-1].png()
    dropped = next(iter(in_service.labels))
    answers = [
        in_service.deployment.request("POST", path, content=image, headers={"content-type": "image/png"}),
        in_service.deployment.request("POST", path, json={"image": base64.b64encode(image).decode()}),
        in_service.deployment.request(
            "POST", path, json={"s3_uri": f"s3://{in_service.deployment.outputs['RawDataBucket']}/{dropped}"}
        ),
    ]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert (found["project"], found["task"]) == (in_service.name, "image-classification")
        assert {prediction["label"] for prediction in found["predictions"]} == set(LABELS)
        confidences = [prediction["confidence"] for prediction in found["predictions"]]
        assert confidences == sorted(confidences, reverse=True)
        assert sum(confidences) == pytest.approx(1, abs=1e-3)
    assert answers[0].json()["predictions"] == answers[1].json()["predictions"]


def test_workers_see_small_images_and_what_the_model_suggests(in_service: DigitProject) -> None:
    portal, base = in_service.deployment.portal_request, f"/projects/{in_service.name}"
    in_service.configure(suggest=True)
    listed = {project["project"]: project for project in portal("GET", "/projects").json()["projects"]}
    assert listed[in_service.name]["suggest"]
    [job] = in_service.status["jobs"][-1:]
    told = portal("GET", f"{base}/jobs/{job['job']}/tasks/000000/suggestion").json()
    champion = in_service.status["champion"]
    assert champion is not None
    assert told == {"model_version": champion["version"], "label": ANY, "confidences": [ANY]}
    assert told["label"] in LABELS

    images = sorted(in_service.split(in_service.dataset_versions()[-1], "train"))[:2]
    wanted = {"size": "thumbnail", "images": [*images, "0" * 64]}
    made = portal("POST", f"{base}/previews", json=wanted).json()
    assert [preview["sha256"] for preview in made["previews"]] == images
    assert [none["reason"] for none in made["missing"]] == ["unknown-image"]
    shown = httpx.get(made["previews"][0]["url"])
    assert (shown.headers["content-type"], shown.content[8:12]) == ("image/webp", b"WEBP")
    in_service.configure()


def test_a_further_batch_turns_the_loop_while_the_endpoint_answers(in_service: DigitProject) -> None:
    before = in_service.status["champion"]
    assert before is not None
    with asking(in_service) as caller:
        training = in_service.turn()
        assert training["status"] == "promoted"
        eventually(lambda: training["version"] in caller.versions, "answers of the new model")
    assert caller.refused == []
    assert caller.versions == {before["version"], training["version"]}


def test_a_test_image_stays_one_in_all_versions(in_service: DigitProject) -> None:
    if len(in_service.dataset_versions()) < 2:
        in_service.turn()
    versions = in_service.dataset_versions()
    tested = [in_service.split(version, "test") for version in versions]
    for version, earlier, later in zip(versions[1:], tested, tested[1:], strict=False):
        assert earlier <= later, version
    ever_tested = set.union(*tested)
    for version in versions:
        assert not ever_tested & in_service.split(version, "train")
        assert not ever_tested & in_service.split(version, "validation")


def test_events_that_come_again_in_another_order_change_nothing(in_service: DigitProject) -> None:
    def state() -> tuple[object, ...]:
        stored = {found.key: found.etag for found in in_service.workspace.list(f"{in_service.keys.root}/")}
        status = in_service.status
        models = len(in_service.registered_models())
        return stored, status["champion"], status["images"], status["jobs"], models

    before, executions = state(), len(in_service.await_executions())
    jobs = [job["job"] for job in in_service.status["jobs"][:2]]
    events: list[Event] = [
        TrainingRequested(in_service.name, "once more"),
        *(LabelingJobFinished(in_service.name, job) for job in jobs),
        *(AnnotationsCompleted(in_service.name, job) for job in reversed(jobs)),
        ProjectConfigured(in_service.name),
        ImagesRegistered(in_service.name, in_service.dropped),
    ]
    in_service.publish(*events)
    after = in_service.await_executions(executions + 1 + len(jobs))
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
