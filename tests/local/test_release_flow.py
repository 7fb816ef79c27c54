"""What people decide of models, in the local cloud."""

from __future__ import annotations

from tests.local.digit_project import DigitProject, asking, loupe
from tests.local.waiting import eventually


def test_a_model_is_approved_in_the_registry_and_rolled_back_while_the_endpoint_answers(
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
    loupe(in_service, "model", "resume", in_service.name)
    assert in_service.status["promotion_paused"] is None
    in_service.configure()
