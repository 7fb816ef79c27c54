"""The stack's own work team for Ground Truth: made with the stack, and taken away with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import WaiterError

if TYPE_CHECKING:
    from tests.local.deployment import Deployment


class StackWorkforce:
    """What the deployed stack has of a workforce; the stack is updated as `sam deploy` would."""

    def __init__(self, deployment: Deployment) -> None:
        self.formation = deployment.client("cloudformation")
        self.sagemaker = deployment.client("sagemaker")
        self.cognito = deployment.client("cognito-idp")

    @property
    def stack(self) -> dict[str, Any]:
        [described] = self.formation.describe_stacks(StackName="loupe")["Stacks"]
        found: dict[str, Any] = described
        return found

    @property
    def outputs(self) -> dict[str, str]:
        return {output["OutputKey"]: output["OutputValue"] for output in self.stack["Outputs"]}

    def set(self, create_workforce: str) -> None:
        parameters = [
            {"ParameterKey": "CreateWorkforce", "ParameterValue": create_workforce}
            if parameter["ParameterKey"] == "CreateWorkforce"
            else {"ParameterKey": parameter["ParameterKey"], "UsePreviousValue": True}
            for parameter in self.stack["Parameters"]
        ]
        self.formation.update_stack(
            StackName="loupe",
            UsePreviousTemplate=True,
            Parameters=parameters,
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        )
        waiter = self.formation.get_waiter("stack_update_complete")
        waiter.wait(StackName="loupe", WaiterConfig={"Delay": 1, "MaxAttempts": 120})

    def workteams(self) -> list[str]:
        return [team["WorkteamName"] for team in self.sagemaker.list_workteams()["Workteams"]]

    def groups(self, user_pool: str) -> list[str]:
        return [group["GroupName"] for group in self.cognito.list_groups(UserPoolId=user_pool)["Groups"]]


@pytest.fixture
def workforce(deployment: Deployment) -> StackWorkforce:
    return StackWorkforce(deployment)


def test_the_stack_makes_its_work_team_and_takes_it_away(workforce: StackWorkforce) -> None:
    made = workforce.outputs
    assert made["WorkteamArn"].endswith(":workteam/private-crowd/loupe")
    assert made["GroundTruthUrl"].startswith("https://")
    [team] = workforce.sagemaker.describe_workteam(WorkteamName="loupe")["Workteam"]["MemberDefinitions"]
    member = team["CognitoMemberDefinition"]
    assert (member["UserPool"], member["UserGroup"]) == (made["WorkersPool"], made["WorkersGroup"])
    tags = workforce.sagemaker.list_tags(ResourceArn=made["WorkteamArn"])["Tags"]
    assert tags == [{"Key": "loupe:stack", "Value": "loupe"}]

    workforce.set("false")
    try:
        assert "WorkteamArn" not in workforce.outputs
        assert "loupe" not in workforce.workteams()
        assert "loupe" not in workforce.groups(made["WorkersPool"])
        described = workforce.sagemaker.list_workforces()["Workforces"]
        assert "loupe" not in [each["WorkforceName"] for each in described]
    finally:
        workforce.set("true")
    assert "loupe" in workforce.workteams()


def test_a_stack_that_can_not_have_a_work_team_says_why(workforce: StackWorkforce) -> None:
    workforce.set("false")
    pool = workforce.outputs["UserPoolId"]
    workforce.cognito.create_group(UserPoolId=pool, GroupName="others")
    made = workforce.cognito.create_user_pool_client(UserPoolId=pool, ClientName="others")
    client = made["UserPoolClient"]["ClientId"]
    there = workforce.sagemaker.list_workforces()["Workforces"]
    if not there:
        workforce.sagemaker.create_workforce(
            WorkforceName="theirs", CognitoConfig={"UserPool": pool, "ClientId": client}
        )
        there = workforce.sagemaker.list_workforces()["Workforces"]
    cognito = there[0]["CognitoConfig"]
    member = {"UserPool": cognito["UserPool"], "ClientId": cognito["ClientId"], "UserGroup": "others"}
    workforce.sagemaker.create_workteam(
        WorkteamName="loupe", MemberDefinitions=[{"CognitoMemberDefinition": member}], Description="Theirs"
    )
    try:
        with pytest.raises(WaiterError):
            workforce.set("true")
        events = workforce.formation.describe_stack_events(StackName="loupe")["StackEvents"]
        reasons = [event.get("ResourceStatusReason", "") for event in events]
        assert any("there is a work team loupe that is not this stack's" in reason for reason in reasons)
        assert "loupe" in workforce.workteams()
    finally:
        workforce.sagemaker.delete_workteam(WorkteamName="loupe")
        if there[0]["WorkforceName"] == "theirs":
            workforce.sagemaker.delete_workforce(WorkforceName="theirs")
        workforce.set("true")
