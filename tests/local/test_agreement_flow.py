"""Several workers label the same images through the deployed portal, with IAM as on AWS."""

from __future__ import annotations

import json

from loupe.domain.workspace import Workspace
from tests.local.deployment import Deployment
from tests.local.flows import (
    NO_TRAINING,
    Json,
    Portal,
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

LABELS = ["cat", "dog", "bird"]


def drop(deployment: Deployment, project: str, first: int, images: int) -> None:
    for number in range(first, first + images):
        deployment.drop(f"{project}/{number:03}.png", png(24, 24, seed=number))


def is_finished(deployment: Deployment, project: str, jobs: int) -> str:
    """The newest job's name, once all of so many are finished."""
    status = deployment.wait_for(
        project,
        lambda status: [job["state"] for job in status["jobs"]] == ["finished"] * jobs,
        60,
    )
    return status["jobs"][0]["job"]


def test_labels_that_several_workers_agree_on_and_measure_the_next(deployment: Deployment) -> None:
    """Three workers; the third decides where the two others disagree, and is measured in the next job."""
    ana, ben, cleo = (Portal(deployment, name) for name in ("ana", "ben", "cleo"))
    project = new_project("agreement")
    labeling = {"batch_size": 5, "workers_per_image": 2, "max_workers_per_image": 3}
    deployment.configure(project, LABELS, labeling=labeling, training=NO_TRAINING)
    drop(deployment, project, 0, 5)
    open_job(deployment, project, 5)

    of_ana, of_ben = ana.lease(project, 20), ben.lease(project, 20)
    assert {task["task"] for task in of_ana} == {task["task"] for task in of_ben}
    assert cleo.lease(project, 20) == []
    for task in of_ana:
        assert ana.answer(project, task, label="cat").status_code == 200
    assert ana.lease(project, 20) == []
    doubtful = of_ben[0]
    for task in of_ben:
        said = "dog" if task == doubtful else "cat"
        assert ben.answer(project, task, label=said).status_code == 200

    # Two of five were the last answers; the one on which they disagree is asked again.
    [task] = eventually(lambda: cleo.lease(project, 20), "the image in doubt to be asked again", 60)
    assert task["task"] == doubtful["task"]
    assert ana.answer(project, doubtful, label="dog").status_code == 200  # his own answer, corrected
    assert ana.answer(project, doubtful, label="cat").status_code == 200
    assert cleo.answer(project, task, label="cat").status_code == 200
    job = is_finished(deployment, project, 1)
    assert problem(cleo.answer(project, task, label="bird")) == (409, "job-finished")

    rows = output_manifest(deployment, project, job)
    assert [row["label"] for row in rows] == [0] * 5
    by_key: dict[str, Json] = {key_of(deployment, row): row for row in rows}
    decided = by_key[doubtful["image"]["name"]]
    assert (decided["loupe-workers"], decided["loupe-agreement"]) == (["ana", "ben", "cleo"], 0.6667)
    assert all(0 < row["label-metadata"]["confidence"] <= 1 for row in rows)
    eventually(lambda: deployment.stack.status(project)["images"]["labeled"] == 5, "accepted labels", 60)

    # What two agreed on measures the workers of the next job.
    asked = {"batch_size": 3, "check_every": 2, "min_accuracy": 0.9}
    deployment.configure(project, LABELS, labeling=asked, training=NO_TRAINING)
    drop(deployment, project, 5, 3)
    tasks = eventually(lambda: cleo.lease(project, 20), "the next job", 60)
    new = {f"{project}/{number:03}.png" for number in (5, 6, 7)}
    checks = [task for task in tasks if task["image"]["name"] not in new]
    assert (len(tasks), len(checks)) == (6, 3)
    for task in tasks:
        assert cleo.answer(project, task, label="bird").status_code == 200
    job = is_finished(deployment, project, 2)
    assert [row["label"] for row in output_manifest(deployment, project, job)] == [2] * 3
    told = {each["name"]: each for each in cleo.workers(project)["workers"]}
    assert (told["cleo"]["answers"], told["cleo"]["checks"], told["cleo"]["accuracy"]) == (7, 3, 0.0)
    assert not told["cleo"]["below_min_accuracy"]  # three are too few to tell
    assert (told["ana"]["answers"], told["ana"]["agreement"]) == (5, 1.0)
    counted = json.loads(read_workspace(deployment, Workspace(project).worker_counts(job)))
    assert [each["name"] for each in counted["workers"]] == ["cleo"]

    # A project that reconciliation has looked at is as it was.
    invoke(deployment, "ReconcileFunction", {"project": project})
    assert is_finished(deployment, project, 2) == job
