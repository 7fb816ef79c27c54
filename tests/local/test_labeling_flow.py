"""Workers at the portal of the deployed stack: from tasks to the output manifest and the event."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import httpx
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
    listening,
    new_project,
    open_job,
    output_manifest,
    problem,
    read_workspace,
)
from tests.unit.ingest.pictures import png

LABELS = ["cat", "dog"]


def start_job(deployment: Deployment, images: int) -> str:
    """A project with one open job of so many images, `000.png` and so on; it never trains."""
    project = new_project("portal")
    deployment.configure(project, LABELS, labeling={"batch_size": images}, training=NO_TRAINING)
    for number in range(images):
        deployment.drop(f"{project}/{number:03}.png", png(24, 24, seed=number))
    open_job(deployment, project, images)
    return project


def progress(deployment: Deployment, project: str) -> tuple[int, int]:
    """How many tasks of the project's only job have an answer, and how many of these were skipped."""
    [job] = deployment.stack.status(project)["jobs"]
    return job["answered"], job["skipped"]


@pytest.fixture(scope="module")
def ana(deployment: Deployment) -> Portal:
    return Portal(deployment, "ana")


@pytest.fixture(scope="module")
def ben(deployment: Deployment) -> Portal:
    return Portal(deployment, "ben")


@pytest.mark.parametrize("headers", [{}, {"Authorization": "not-a-token"}], ids=["none", "a wrong one"])
def test_the_portal_is_shut_without_a_token(deployment: Deployment, headers: dict[str, str]) -> None:
    root = f"{deployment.outputs['ApiUrl']}/portal/api/projects"
    answers = [
        httpx.get(root, headers=headers, timeout=60),
        httpx.post(f"{root}/digits/leases", headers=headers, json={"count": 1}, timeout=60),
    ]
    assert list(map(problem, answers)) == [(401, "signed-out")] * 2


def test_workers_who_ask_at_the_same_moment_never_get_the_same_task(
    deployment: Deployment, ana: Portal, ben: Portal
) -> None:
    project = start_job(deployment, 12)
    barrier = Barrier(4)

    def work(worker: Portal) -> list[str]:
        barrier.wait()
        return [task["task"] for _ in range(2) for task in worker.lease(project, 6)]

    # Each worker has two windows open: leases are a worker's, whichever window asks.
    with ThreadPoolExecutor(4) as threads:
        of_ana, also_of_ana, of_ben, also_of_ben = threads.map(work, [ana, ana, ben, ben])
    assert set(of_ana + also_of_ana).isdisjoint(of_ben + also_of_ben)
    held = [task["task"] for worker in (ana, ben) for task in worker.lease(project, 20)]
    assert sorted(held) == [f"{number:06}" for number in range(12)]


def test_an_answer_counts_once_however_often_it_is_sent(deployment: Deployment, ana: Portal) -> None:
    project = start_job(deployment, 2)
    [task, _] = ana.lease(project, 20)
    with ThreadPoolExecutor(3) as threads:
        answers = list(threads.map(lambda _: ana.answer(project, task, label="cat"), range(3)))
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert ana.answer(project, task, label="cat").json()["job"]["answered"] == 1
    assert progress(deployment, project) == (1, 0)


def test_answers_that_cannot_be_taken_are_refused_in_words_and_change_nothing(
    deployment: Deployment, ana: Portal, ben: Portal
) -> None:
    project = start_job(deployment, 2)
    [mine] = ana.lease(project, 1)
    [other] = ben.lease(project, 1)
    assert problem(ben.answer(project, mine, label="cat")) == (409, "lease-lost")
    unknown = ana.answer(project, mine, label="bird")
    assert problem(unknown) == (422, "unknown-label")
    assert "cat, dog" in unknown.json()["detail"]
    assert problem(ana.answer(project, mine | {"task": "000099"}, label="cat")) == (404, "not-found")
    assert problem(ana.answer(project, mine | {"job": "no-such-job"}, label="cat")) == (404, "not-found")
    assert problem(ana.answer(project, mine)) == (400, "bad-request")
    assert progress(deployment, project) == (0, 0)
    assert ana.answer(project, mine, label="cat").status_code == 200
    assert problem(ben.answer(project, mine, label="dog")) == (409, "lease-lost")
    assert ben.answer(project, other, label="dog").status_code == 200
    finished_job(deployment, project)
    assert problem(ana.answer(project, mine, label="dog")) == (409, "job-finished")
    assert ana.answer(project, mine, label="cat").status_code == 200


def test_a_finished_job_has_ground_truths_manifest_with_the_last_word_on_each_image(
    deployment: Deployment, ana: Portal
) -> None:
    project = start_job(deployment, 3)
    corrected, skipped, last = ana.lease(project, 20)
    assert ana.answer(project, corrected, label="cat").status_code == 200
    assert ana.answer(project, skipped, skip="too dark").status_code == 200
    assert ana.answer(project, corrected, label="dog").status_code == 200
    assert progress(deployment, project) == (2, 1)
    assert ana.answer(project, last, label="cat").status_code == 200
    job = finished_job(deployment, project)
    inputs = read_workspace(deployment, Workspace(project).input_manifest(job)).decode().splitlines()
    rows = output_manifest(deployment, project, job)
    assert len(rows) == len(inputs) == 3
    by_key = {key_of(deployment, row): row for row in rows}
    common = {
        "type": "groundtruth/image-classification",
        "job-name": f"labeling-job/{job}",
        "human-annotated": "yes",
    }
    for task, expected in (
        (corrected, {"label": 1, "class-name": "dog"}),
        (last, {"label": 0, "class-name": "cat"}),
    ):
        row = by_key[task["image"]["name"]]
        assert row["label"] == expected["label"]
        assert metadata(row) == common | {"class-name": expected["class-name"], "confidence": 0.0}
    row = by_key[skipped["image"]["name"]]
    assert "label" not in row
    assert metadata(row) == common | {"failure-reason": "skipped by ana: too dark"}
    # Taking the labels over is the first step of a training, which then finds too few of them.
    deployment.wait_for(project, lambda status: status["images"]["rejected"] == 1, 60)
    [rejected] = deployment.stack.rejected(project)
    assert (rejected["key"], rejected["reason"]) == (skipped["image"]["name"], "no-label")
    assert "too dark" in rejected["detail"]


def metadata(row: Json) -> Json:
    """A row's metadata without the date, which is as Ground Truth writes it."""
    found = dict(row["label-metadata"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}", found.pop("creation-date"))
    return found


def test_a_finished_job_is_told_once_and_starts_one_execution(deployment: Deployment, ana: Portal) -> None:
    project = start_job(deployment, 2)
    first, last = ana.lease(project, 20)
    ana.answer(project, first, label="cat")
    pattern = {
        "source": ["loupe"],
        "detail-type": ["LabelingJobFinished"],
        "detail": {"project": [project]},
    }
    with listening(deployment, pattern) as listener:
        with ThreadPoolExecutor(2) as threads:
            answers = list(threads.map(lambda _: ana.answer(project, last, label="dog"), range(2)))
        assert [answer.status_code for answer in answers] == [200, 200]
        job = finished_job(deployment, project)
        listener.wait_for(1)
        completed = {"source": "loupe", "detail-type": "AnnotationsCompleted"}
        for _ in range(2):
            event = completed | {"detail": {"project": project, "job": job}}
            invoke(deployment, "ConsolidateAnnotationsFunction", event)
        assert len(listener.heard()) == 1
    assert len(executions(deployment, project)) == 1


def executions(deployment: Deployment, project: str) -> list[Any]:
    """Executions of train_and_deploy for the project."""
    states = deployment.client("stepfunctions")
    pages = states.get_paginator("list_executions").paginate(
        stateMachineArn=deployment.outputs["TrainAndDeployArn"]
    )
    found = [execution for page in pages for execution in page["executions"]]
    inputs = (states.describe_execution(executionArn=each["executionArn"])["input"] for each in found)
    return [execution for execution, text in zip(found, inputs, strict=True) if project in text]
