"""The local cloud is killed at any moment of the loop: what was taken in is there, and the loop goes on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local import launcher
from loupe.domain.label_values import OneLabel
from tests.local.conftest import LocalCloud
from tests.local.deployment import Deployment
from tests.local.digit_project import DigitProject, loupe
from tests.local.waiting import eventually

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DigitProject]:
    """A project in a cloud of its own, which may crash."""
    cloud = LocalCloud(tmp_path_factory.mktemp("crashing-home"), launcher.free_port())
    try:
        made = DigitProject(Deployment.of(cloud))
        made.configure()
        yield made
    finally:
        cloud.stop()


def crash(project: DigitProject) -> None:
    """Kill the cloud and start it again, as `make up` does."""
    project.deployment.cloud.kill()
    project.deployment.cloud.restart()
    loupe(project, "local", "up", "--detach")


def answer(project: DigitProject, count: int) -> None:
    """Answer that many tasks of the open job one by one; each answer was acknowledged."""
    worker = project.deployment.worker()
    for task in worker.lease(project.name, count)["tasks"]:
        value = OneLabel(project.labels[task["image"]["name"]])
        worker.annotate(project.name, task["job"], task["task"], value, lease=0)


def answered(project: DigitProject) -> int:
    """Answers in the newest job."""
    jobs = project.status["jobs"]
    return jobs[0]["answered"] if jobs else 0


def test_a_loop_that_is_killed_again_and_again_comes_to_its_end(project: DigitProject) -> None:
    sagemaker = project.deployment.client("sagemaker")

    def is_under_way(operation: str, summaries: str, status: str) -> bool:
        found = getattr(sagemaker, operation)(NameContains=project.name, StatusEquals=status)
        return bool(found[summaries])

    # During the upload.
    project.drop(16)
    crash(project)
    eventually(lambda: project.status["images"]["pending"] == 16, "all images that were uploaded")
    project.drop(8)

    # During labeling.
    eventually(lambda: project.deployment.worker().lease(project.name, 1)["tasks"], "tasks")
    answer(project, 10)
    crash(project)
    assert answered(project) == 10
    assert sum(project.status["images"].values()) == 24  # type: ignore[arg-type]

    # After the last answer.
    project.label(14)
    crash(project)
    assert (len(project.status["jobs"]), answered(project)) == (1, 24)

    # During training.
    eventually(lambda: is_under_way("list_training_jobs", "TrainingJobSummaries", "InProgress"), "a training")
    crash(project)

    # While the endpoint comes up.
    eventually(lambda: is_under_way("list_endpoints", "Endpoints", "Creating"), "an endpoint")
    crash(project)

    champion = eventually(lambda: project.status["champion"], "a champion")
    assert project.predict()["model_version"] == champion["version"]
    project.await_executions()
    status = project.status
    assert status["images"] == {"pending": 0, "labeling": 0, "labeled": 24, "rejected": 0}
    assert [(job["state"], job["answered"]) for job in status["jobs"]] == [("finished", 24)]
    assert status["last_training"] is not None
    assert status["last_training"]["status"] == "promoted"


def test_a_lost_index_is_rebuilt_from_the_buckets(project: DigitProject) -> None:
    before = project.status
    table, dynamodb = project.deployment.outputs["IndexTable"], project.deployment.client("dynamodb")
    for page in dynamodb.get_paginator("scan").paginate(TableName=table):
        for item in page["Items"]:
            dynamodb.delete_item(TableName=table, Key={"pk": item["pk"], "sk": item["sk"]})

    loupe(project, "reconcile")

    def is_known_again() -> bool:
        now = project.status
        return now["images"] == before["images"] and now["config_error"] is None

    eventually(is_known_again, "all images and project.yaml to be known again")
    now = project.status
    assert (now["champion"], now["last_training"]) == (before["champion"], before["last_training"])
    assert (now["labels"], now["dataset_version"]) == (before["labels"], before["dataset_version"])
    assert [job["job"] for job in now["jobs"]] == [job["job"] for job in before["jobs"]]
    assert before["champion"] is not None
    assert project.predict()["model_version"] == before["champion"]["version"]
