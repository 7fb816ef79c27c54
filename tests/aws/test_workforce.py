"""The work team of a stack that is deployed to AWS with CreateWorkforce=true. It costs nothing.

Run it with the stack's name in LOUPE_AWS_STACK and credentials in the environment:
`LOUPE_AWS_STACK=loupe .venv/bin/pytest -m aws tests/aws/test_workforce.py`. It makes a user and takes it
away.
"""

import os
import secrets

import boto3
import httpx
import pytest

pytestmark = [pytest.mark.aws, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def outputs() -> dict[str, str]:
    [stack] = boto3.client("cloudformation").describe_stacks(StackName=os.environ["LOUPE_AWS_STACK"])[
        "Stacks"
    ]
    found = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    if "WorkersGroup" not in found:
        pytest.skip("the stack was deployed without CreateWorkforce=true")
    return found


def test_the_work_team_is_the_users_of_the_group(outputs: dict[str, str]) -> None:
    sagemaker = boto3.client("sagemaker")
    name = outputs["WorkteamArn"].rpartition("/")[2]
    team = sagemaker.describe_workteam(WorkteamName=name)["Workteam"]
    [member] = team["MemberDefinitions"]
    cognito = member["CognitoMemberDefinition"]
    assert (cognito["UserPool"], cognito["UserGroup"]) == (outputs["WorkersPool"], outputs["WorkersGroup"])
    tags = sagemaker.list_tags(ResourceArn=outputs["WorkteamArn"])["Tags"]
    assert {"Key": "loupe:stack", "Value": os.environ["LOUPE_AWS_STACK"]} in tags
    [workforce] = sagemaker.list_workforces()["Workforces"]
    assert f"https://{workforce['SubDomain']}" == outputs["GroundTruthUrl"]


def test_a_user_can_join_the_group(outputs: dict[str, str]) -> None:
    cognito = boto3.client("cognito-idp")
    pool, group, name = outputs["WorkersPool"], outputs["WorkersGroup"], f"worker-{secrets.token_hex(4)}"
    cognito.admin_create_user(UserPoolId=pool, Username=name, MessageAction="SUPPRESS")
    try:
        cognito.admin_add_user_to_group(UserPoolId=pool, Username=name, GroupName=group)
        [joined] = cognito.admin_list_groups_for_user(UserPoolId=pool, Username=name)["Groups"]
        assert joined["GroupName"] == group
    finally:
        cognito.admin_delete_user(UserPoolId=pool, Username=name)


def test_workers_are_sent_to_the_sign_in_page(outputs: dict[str, str]) -> None:
    answer = httpx.get(outputs["GroundTruthUrl"], follow_redirects=True, timeout=30)
    assert answer.status_code == 200
    assert "html" in answer.headers["content-type"]
