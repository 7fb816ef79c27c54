"""Releases in the local cloud: what people decide of models, and models that turn out bad."""

from __future__ import annotations

import io
import json
import tarfile
from hashlib import sha256

import pytest

from cli.localcloud import SEEDED_WORKER
from cli.stack import Training
from loupe.domain.manifests import S3Uri
from loupe.domain.serving.endpoints import alarm_names
from loupe.domain.serving.releases import failed_releases
from loupe.domain.training.plans import EndpointRelease, TrainingPlan
from tests.local.deployment import Deployment
from tests.local.digit_project import DigitProject, asking, digits, loupe
from tests.local.flows import PASSWORD, problem
from tests.local.waiting import eventually

FAILS = """
def predict_fn(*_):
    raise RuntimeError("this model is broken")
"""
FAILS_ON = """
import hashlib
_predict = predict_fn
def predict_fn(image, model):
    if hashlib.sha256(bytes(image)).hexdigest() == "{}":
        raise RuntimeError("this model can not bear the image")
    return _predict(image, model)
"""
REALTIME = {"shift": "canary", "shift_percent": 50, "bake_seconds": 3}


def test_a_model_is_approved_in_the_registry_and_in_the_console_and_rolled_back_while_the_endpoint_answers(
    in_service: DigitProject,
) -> None:
    before = in_service.status["champion"]
    assert before is not None
    in_service.configure(promotion={"min_gain": -1, "require": "approval"})
    waiting = in_service.turn()
    assert waiting["status"] == "awaiting_approval"
    package = in_service.registered_models()[-1]
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    assert in_service.predict()["model_version"] == before["version"]

    with asking(in_service) as caller:
        in_service.deployment.client("sagemaker").update_model_package(
            ModelPackageArn=package["ModelPackageArn"], ModelApprovalStatus="Approved"
        )
        in_service.await_champion(waiting["version"])
        eventually(lambda: waiting["version"] in caller.versions, "answers of the approved model")
        assert "has begun" in loupe(in_service, "model", "rollback", in_service.name)
        in_service.await_champion(before["version"])
        in_service.await_executions()
    assert caller.refused == []
    eventually(
        lambda: in_service.predict()["model_version"] == before["version"], "answers of the earlier model"
    )
    assert "loupe model resume" in loupe(in_service, "status", in_service.name)

    listed = loupe(in_service, "model", "list", in_service.name)
    assert "approved" in listed
    shown = loupe(in_service, "model", "show", in_service.name, str(waiting["version"]))
    assert "the model registry approved it" in shown
    assert "trainer_code" in shown

    approve_in_the_console(in_service, str(waiting["version"]), str(before["version"]))
    assert in_service.status["promotion_paused"] is None
    in_service.configure()


def approve_in_the_console(project: DigitProject, version: str, champion: str) -> None:
    """Have the candidate released once more, by who may decide of it, and let promotion go on."""
    ask, models = project.deployment.portal_request, f"/projects/{project.name}/models"
    project.deployment.stack.create_worker("labeler", PASSWORD)
    labeler = {"authorization": project.deployment.id_token_of("labeler", PASSWORD)}
    assert ask("GET", models, headers=labeler).json()["may_release"] is False
    for path in (f"{version}/approval", f"{version}/rollback", "resume"):
        refused = ask("POST", f"{models}/{path}", headers=labeler, json={"decision": "approve"})
        assert problem(refused) == (403, "not-a-releaser")
    assert ask("GET", models).json()["may_release"] is True
    for _ in range(2):
        approved = ask("POST", f"{models}/{version}/approval", json={"decision": "approve"})
        assert (approved.status_code, approved.json()["state"]) == (202, "requested")
    project.await_champion(version)
    project.await_executions()
    told = ask("GET", models).json()
    assert (told["champion"], told["releasing"]) == (version, None)
    [choices] = [each["choices"] for each in told["models"] if each["version"] == champion]
    assert choices == ["rollback"]
    assert problem(ask("POST", f"{models}/9999/rollback")) == (404, "unknown-model")
    assert ask("POST", f"{models}/resume").json()["state"] == "resumed"
    *_, pause = project.workspace.list(project.keys.pauses)
    assert json.loads(project.workspace.read(pause.key))["by"] == SEEDED_WORKER


# Models that turn out bad ---------------------------------------------------------------------------


def waiting_model(project: DigitProject) -> str:
    """The version of a further model that waits to be approved."""
    project.configure(promotion={"min_gain": -1, "require": "approval"})
    waiting: Training = project.turn()
    assert waiting["status"] == "awaiting_approval", waiting["reason"]
    assert waiting["version"] is not None
    return waiting["version"]


def release_of(project: DigitProject, version: str) -> EndpointRelease:
    release = TrainingPlan.read(project.workspace, project.name, version).release
    assert release is not None
    return release


def spoil(project: DigitProject, version: str, code: str) -> None:
    """Have the model in S3 do something else than what was measured."""
    key = S3Uri.parse(release_of(project, version).model_data_url).key
    spoiled = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(project.workspace.read(key))) as good,
        tarfile.open(fileobj=spoiled, mode="w:gz") as bad,
    ):
        for member in good:
            file = good.extractfile(member)
            content = file.read() if file else b""
            if member.name.removeprefix("./") == "code/inference.py":
                content += code.encode()
            member.size = len(content)
            bad.addfile(member, io.BytesIO(content))
    project.workspace.write(key, spoiled.getvalue(), "application/gzip")


def reason_of_failure(project: DigitProject, version: str) -> str:
    """Why the release of that model failed, once it did."""
    failed = eventually(
        lambda: failed_releases(project.name, project.workspace).get(version), "the release to fail"
    )
    project.await_executions()
    return str(failed["reason"])


def test_a_model_that_answers_with_errors_never_comes_near_the_apps(in_service: DigitProject) -> None:
    before = in_service.champion["version"]
    bad = waiting_model(in_service)
    spoil(in_service, bad, FAILS)
    with asking(in_service) as caller:
        loupe(in_service, "model", "approve", in_service.name, bad)
        assert "this model is broken" in reason_of_failure(in_service, bad)
    assert (caller.refused, caller.versions) == ([], {before})
    assert in_service.champion["version"] == before
    sagemaker = in_service.deployment.client("sagemaker")
    answering = {each["EndpointName"] for each in sagemaker.list_endpoints()["Endpoints"]}
    assert release_of(in_service, bad).rehearsal not in answering
    in_service.configure()


@pytest.fixture(scope="module")
def on_instances(deployment: Deployment) -> DigitProject:
    """A project whose champion answers on an instance."""
    project = DigitProject(
        deployment,
        batch_size=12,
        hosting={"kind": "realtime", "realtime": {**REALTIME, "max_instances": 2}},
    )
    project.configure()
    assert (first := project.turn())["status"] == "promoted", first["reason"]
    return project


def test_an_endpoint_on_instances_scales_and_is_stopped_and_started(on_instances: DigitProject) -> None:
    hosting = on_instances.status["hosting"]
    assert hosting is not None
    assert (hosting["kind"], hosting["state"], hosting["units"]) == ("realtime", "running", 1)
    endpoint = on_instances.champion["endpoint"]
    scaling = on_instances.deployment.client("application-autoscaling")

    def scaled() -> dict[str, int]:
        targets = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
        return {target["ResourceId"]: target["MaxCapacity"] for target in targets}

    eventually(lambda: scaled().get(f"endpoint/{endpoint}/variant/AllTraffic") == 2, "the endpoint to scale")

    loupe(on_instances, "model", "stop", on_instances.name)
    answer = on_instances.deployment.request(
        "POST",
        f"/v1/projects/{on_instances.name}/predictions",
        content=digits()[-1].png(),
        headers={"content-type": "image/png"},
    )
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:loupe:problem:model-stopped")
    assert "is running" in loupe(on_instances, "model", "start", on_instances.name)
    assert on_instances.predict()["model_version"] == on_instances.champion["version"]


def test_a_good_model_comes_by_a_canary_and_one_that_fails_some_calls_goes_by_it(
    on_instances: DigitProject,
) -> None:
    before = on_instances.champion["version"]
    with asking(on_instances) as caller:
        second = on_instances.turn()
        assert second["version"] is not None
        eventually(lambda: second["version"] in caller.versions, "answers of the new model")
    assert (second["status"], caller.refused) == ("promoted", [])
    plans = [
        TrainingPlan.read(on_instances.workspace, on_instances.name, version)
        for version in (before, second["version"])
    ]
    names = [name for plan in plans for name in alarm_names(plan.model_name)]
    alarms = on_instances.deployment.client("cloudwatch").describe_alarms(AlarmNames=names)["MetricAlarms"]
    assert {alarm["AlarmName"] for alarm in alarms} == set(alarm_names(plans[1].model_name))

    bad = waiting_model(on_instances)
    unbearable = digits()[-2].png()
    spoil(on_instances, bad, FAILS_ON.format(sha256(unbearable).hexdigest()))
    loupe(on_instances, "model", "approve", on_instances.name, bad)
    failures = 0

    def is_given_up() -> bool:
        nonlocal failures
        answer = on_instances.deployment.request(
            "POST",
            f"/v1/projects/{on_instances.name}/predictions",
            content=unbearable,
            headers={"content-type": "image/png"},
        )
        failures += answer.status_code == 502
        return bad in failed_releases(on_instances.name, on_instances.workspace)

    eventually(is_given_up, "the alarm to undo the release")
    assert failures > 0
    assert "rolled the endpoint back" in reason_of_failure(on_instances, bad)
    assert on_instances.predict()["model_version"] == second["version"]
