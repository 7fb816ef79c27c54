"""What fails in a turn of the loop changes nothing for the apps, is told in words, and is tried again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from tests.local.deployment import Deployment
from tests.local.digit_project import DigitProject, loupe
from tests.local.instances import lose_instance
from tests.local.waiting import eventually


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


def training_jobs(project: DigitProject, version: str) -> dict[str, str]:
    """Status of each training job of a model, by name, in the order of attempts."""
    listed = project.deployment.client("sagemaker").list_training_jobs(
        NameContains=f"{project.name}-{version}-", SortBy="CreationTime", SortOrder="Ascending"
    )["TrainingJobSummaries"]
    return {job["TrainingJobName"]: job["TrainingJobStatus"] for job in listed}


def test_a_training_whose_instance_is_lost_is_tried_again_from_its_checkpoint(
    in_service: DigitProject,
) -> None:
    before, version = in_service.last_training, f"{len(in_service.dataset_versions()) + 1:04}"
    in_service.configure(hyperparameters={"epochs": "40", "patience": "40"})
    in_service.drop(in_service.batch_size)
    in_service.label(in_service.batch_size)
    checkpoint = f"{in_service.keys.checkpoints(version)}/checkpoint.pt"
    eventually(lambda: in_service.workspace.exists(checkpoint), "a checkpoint")
    [first] = training_jobs(in_service, version)
    lose_instance(first)

    def failed_attempts() -> list[str]:
        training = in_service.last_training
        return training["failed_attempts"] if training else []

    [attempt] = eventually(failed_attempts, "the failed attempt to be told")
    assert attempt.startswith("attempt 1: InternalServerError: ")
    assert attempt in loupe(in_service, "status", in_service.name)

    promoted = in_service.next_training(before)
    assert (promoted["status"], promoted["version"]) == ("promoted", version)
    assert promoted["failed_attempts"] == [attempt]
    assert training_jobs(in_service, version) == {first: "Failed", f"{first}-2": "Completed"}
    training = in_service.evaluation(version)["training"]
    assert (training["epochs"], training["resumed_after_epoch"] >= 1) == (40, True)
    package = in_service.registered_models()[-1]["ModelPackageArn"]
    described = in_service.deployment.client("sagemaker").describe_model_package(ModelPackageName=package)
    assert described["CustomerMetadataProperties"]["training_attempts"] == "2"
    assert attempt in loupe(in_service, "model", "show", in_service.name, version)
    eventually(lambda: in_service.predict()["model_version"] == version, "answers of the new model")
    in_service.configure()


def test_an_endpoint_that_does_not_come_up_leaves_the_champion_in_service(in_service: DigitProject) -> None:
    before = in_service.status["champion"]
    with models_out_of_reach(in_service):
        failed = in_service.turn()
    assert (failed["status"], in_service.status["champion"]) == ("release_failed", before)
    assert "the endpoint for its rehearsal did not come into service" in str(failed["reason"])
    execution = in_service.executions()[0]
    assert (execution.status, execution.error) == ("FAILED", "EndpointFailed")
    assert "Failed to fetch the model data" in str(execution.cause)
    assert before is not None
    assert in_service.predict()["model_version"] == before["version"]
    told = loupe(in_service, "status", in_service.name)
    answering = (
        f"the release of version {failed['version']} failed, and version {before['version']} still answers"
    )
    assert f"{answering}: the endpoint for its rehearsal did not come into service" in told


def test_a_failed_training_leaves_the_champion_is_told_and_tried_again(in_service: DigitProject) -> None:
    champion = in_service.predict()["model_version"]
    in_service.configure(hyperparameters={"depth": "50"})
    failed = in_service.turn()
    assert failed["status"] == "failed"
    assert "unknown hyperparameter 'depth'" in str(failed["reason"])
    execution = in_service.executions()[0]
    assert (execution.arn, execution.status) == (failed["execution"], "FAILED")
    assert "unknown hyperparameter 'depth'" in str(execution.cause)
    assert in_service.predict()["model_version"] == champion
    # Its configuration is at fault: it was tried once.
    assert "not tried again with the same data" in str(failed["reason"])
    assert "mend what it names" in str(failed["reason"])
    assert len(training_jobs(in_service, str(failed["version"]))) == 1
    told = loupe(in_service, "status", in_service.name)
    assert "last training failed: " in told
    assert "unknown hyperparameter 'depth'" in told
    assert "the next finished job tries again" in told

    in_service.configure()
    again = in_service.turn()
    assert again["status"] == "promoted"
    eventually(lambda: in_service.predict()["model_version"] == again["version"], "answers of the new model")


def test_a_worse_candidate_is_rejected_and_registered_as_such(in_service: DigitProject) -> None:
    before = in_service.status["champion"]
    in_service.configure(promotion={"min_gain": 1})
    rejected = in_service.turn()
    assert (rejected["status"], in_service.status["champion"]) == ("rejected", before)
    assert before is not None
    assert in_service.predict()["model_version"] == before["version"]
    assert in_service.registered_models()[-1]["ModelApprovalStatus"] == "Rejected"
    assert "was not promoted, so the champion stays" in loupe(in_service, "status", in_service.name)
    in_service.configure()


def test_a_first_endpoint_that_does_not_come_up_is_taken_away(deployment: Deployment) -> None:
    project = DigitProject(deployment, batch_size=12)
    project.configure()
    with models_out_of_reach(project):
        failed = project.turn()
    assert failed["status"] == "release_failed"
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
