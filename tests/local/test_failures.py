"""What fails in a turn of the loop changes nothing for the apps, is told in words, and is tried again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from loupe.domain.events import TrainingRequested
from tests.local.deployment import Deployment
from tests.local.digit_project import DigitProject, eventually, loupe


@contextmanager
def models_out_of_reach(project: DigitProject) -> Iterator[None]:
    """Meanwhile no endpoint gets its model: SageMaker's role may not read the project's next one."""
    iam, stack = project.deployment.client("iam"), project.deployment.client("cloudformation")
    role = stack.describe_stack_resource(StackName="loupe", LogicalResourceId="SageMakerRole")[
        "StackResourceDetail"
    ]["PhysicalResourceId"]
    bucket, version = project.deployment.outputs["WorkspaceBucket"], len(project.dataset_versions()) + 1
    statement = {
        "Effect": "Deny",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/{project.keys.models}{version:04}*",
    }
    name = f"no-models-of-{project.name}"
    iam.put_role_policy(
        RoleName=role,
        PolicyName=name,
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    try:
        yield
    finally:
        iam.delete_role_policy(RoleName=role, PolicyName=name)


@pytest.fixture(scope="module")
def project(deployment: Deployment) -> DigitProject:
    """A project with a champion."""
    made = DigitProject(deployment, batch_size=12)
    made.configure()
    assert made.turn()["status"] == "promoted"
    return made


def test_a_failed_training_leaves_the_champion_is_told_and_tried_again(project: DigitProject) -> None:
    champion = project.predict()["model_version"]
    project.configure(hyperparameters={"depth": "50"})
    failed = project.turn()
    assert failed["status"] == "failed"
    assert "unknown hyperparameter 'depth'" in str(failed["reason"])
    execution = project.executions()[0]
    assert (execution.arn, execution.status) == (failed["execution"], "FAILED")
    assert "unknown hyperparameter 'depth'" in str(execution.cause)
    assert project.predict()["model_version"] == champion
    told = loupe(project, "status", project.name)
    assert "last training failed: " in told
    assert "unknown hyperparameter 'depth'" in told
    assert "the next finished job tries again" in told

    project.configure()
    again = project.turn()
    assert again["status"] == "promoted"
    eventually(lambda: project.predict()["model_version"] == again["version"], "answers of the new model")


def test_an_endpoint_that_does_not_come_up_leaves_the_champion_in_service(project: DigitProject) -> None:
    before = project.status["champion"]
    with models_out_of_reach(project):
        failed = project.turn()
    assert (failed["status"], project.status["champion"]) == ("failed", before)
    assert "SageMaker rolled the endpoint back" in str(failed["reason"])
    execution = project.executions()[0]
    assert (execution.status, execution.error) == ("FAILED", "EndpointRolledBack")
    assert "Failed to fetch the model data" in str(execution.cause)
    assert before is not None
    assert project.predict()["model_version"] == before["version"]
    assert "last training failed: SageMaker rolled the endpoint back" in loupe(
        project, "status", project.name
    )

    project.publish(TrainingRequested(project.name, "the role was mended"))
    assert project.next_training(failed)["status"] == "promoted"


def test_a_worse_candidate_is_rejected_and_registered_as_such(project: DigitProject) -> None:
    before = project.status["champion"]
    project.configure(promotion={"min_gain": 1})
    rejected = project.turn()
    assert (rejected["status"], project.status["champion"]) == ("rejected", before)
    assert before is not None
    assert project.predict()["model_version"] == before["version"]
    assert project.registered_models()[-1]["ModelApprovalStatus"] == "Rejected"
    assert "was not better, so the champion stays" in loupe(project, "status", project.name)
    project.configure()


def test_a_first_endpoint_that_does_not_come_up_is_taken_away(deployment: Deployment) -> None:
    project = DigitProject(deployment, batch_size=12)
    project.configure()
    with models_out_of_reach(project):
        failed = project.turn()
    assert failed["status"] == "failed"
    assert "the endpoint did not come into service" in str(failed["reason"])
    found = deployment.client("sagemaker").list_endpoints(NameContains=project.name)["Endpoints"]
    assert found == []
    answer = deployment.request(
        "POST",
        f"/v1/projects/{project.name}/predictions",
        content=b"\x89PNG\r\n\x1a\n",
        headers={"content-type": "image/png"},
    )
    assert answer.status_code == 409
    assert "the endpoint did not come into service" in answer.json()["detail"]
