"""What people decide of models, in the local cloud."""

from __future__ import annotations

import json

from cli.localcloud import SEEDED_WORKER
from tests.local.digit_project import DigitProject, asking, loupe
from tests.local.flows import PASSWORD, problem
from tests.local.waiting import eventually


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
