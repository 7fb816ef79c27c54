"""What SageMaker and Cognito are asked for a workforce, and what their refusals become."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from loupe.adapters.workforce import CognitoWorkerGroups, SageMakerWorkforce
from loupe.domain.errors import StoreUnavailable
from loupe.domain.labeling.workforce import WorkforceRefused
from loupe.ports.workforce import Workforce, Workteam

ARN = "arn:aws:sagemaker:us-east-1:111122223333"
DOCUMENT = {
    "WorkforceName": "private",
    "WorkforceArn": f"{ARN}:workforce/private",
    "SubDomain": "abc.labeling.us-east-1.sagemaker.aws",
    "CognitoConfig": {"UserPool": "us-east-1_pool", "ClientId": "client"},
}
WORKFORCE = Workforce("private", "us-east-1_pool", "client", "abc.labeling.us-east-1.sagemaker.aws", "loupe")
TAGS = [{"Key": "loupe:stack", "Value": "loupe"}]
MEMBERS = [
    {
        "CognitoMemberDefinition": {
            "UserPool": "us-east-1_pool",
            "UserGroup": "labelers",
            "ClientId": "client",
        }
    }
]


class Stubbed:
    """SageMaker with the answers that a test gives; the requests are checked against its model."""

    def __init__(self) -> None:
        client = boto3.client("sagemaker", region_name="us-east-1")
        self.stub = Stubber(client)
        self.workforce = SageMakerWorkforce(client)

    def answers(self, method: str, response: dict[str, Any], expected: dict[str, Any] | None = None) -> None:
        self.stub.add_response(method, response, expected)

    def refuses(self, method: str, code: str, message: str = "No.") -> None:
        self.stub.add_client_error(method, code, message, http_status_code=400)


@pytest.fixture
def sagemaker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubbed]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    stubbed = Stubbed()
    with stubbed.stub:
        yield stubbed
        stubbed.stub.assert_no_pending_responses()


def test_the_workforce_is_told_with_the_stack_that_made_it(sagemaker: Stubbed) -> None:
    sagemaker.answers("list_workforces", {"Workforces": [DOCUMENT]})
    sagemaker.answers("list_tags", {"Tags": TAGS}, {"ResourceArn": DOCUMENT["WorkforceArn"]})
    assert sagemaker.workforce.workforce() == WORKFORCE


def test_a_workforce_may_have_been_made_by_hand_and_without_cognito(sagemaker: Stubbed) -> None:
    own = {name: value for name, value in DOCUMENT.items() if name != "CognitoConfig"}
    sagemaker.answers("list_workforces", {"Workforces": [own]})
    sagemaker.answers("list_tags", {"Tags": []})
    found = sagemaker.workforce.workforce()
    assert found is not None
    assert (found.user_pool, found.client, found.stack) == (None, None, None)


def test_an_account_may_have_none(sagemaker: Stubbed) -> None:
    sagemaker.answers("list_workforces", {"Workforces": []})
    assert sagemaker.workforce.workforce() is None


def test_a_workforce_is_made_with_the_stack_s_mark(sagemaker: Stubbed) -> None:
    expected = {"WorkforceName": "private", "CognitoConfig": DOCUMENT["CognitoConfig"], "Tags": TAGS}
    sagemaker.answers("create_workforce", {"WorkforceArn": DOCUMENT["WorkforceArn"]}, expected)
    sagemaker.answers("describe_workforce", {"Workforce": DOCUMENT})
    sagemaker.answers("list_tags", {"Tags": TAGS})
    made = sagemaker.workforce.create_workforce("private", "us-east-1_pool", "client", "loupe")
    assert made == WORKFORCE


def test_a_work_team_is_found_among_others_by_its_whole_name(sagemaker: Stubbed) -> None:
    teams = [
        {"WorkteamName": name, "MemberDefinitions": MEMBERS, "WorkteamArn": f"{ARN}:workteam/x/{name}"}
        | {"Description": "x"}
        for name in ("loupe-2", "loupe")
    ]
    sagemaker.answers("list_workteams", {"Workteams": teams}, {"NameContains": "loupe"})
    sagemaker.answers("list_tags", {"Tags": TAGS})
    assert sagemaker.workforce.workteam("loupe") == Workteam("loupe", f"{ARN}:workteam/x/loupe", "loupe")
    sagemaker.answers("list_workteams", {"Workteams": teams[:1]})
    assert sagemaker.workforce.workteam("loupe") is None


def test_a_work_team_s_members_are_the_users_of_a_group(sagemaker: Stubbed) -> None:
    expected = {
        "WorkteamName": "loupe",
        "WorkforceName": "private",
        "MemberDefinitions": MEMBERS,
        "Description": "Labels the images of the Loupe stack loupe",
        "Tags": TAGS,
    }
    sagemaker.answers("create_workteam", {"WorkteamArn": f"{ARN}:workteam/x/loupe"}, expected)
    made = sagemaker.workforce.create_workteam("loupe", WORKFORCE, "labelers", "loupe")
    assert made.arn == f"{ARN}:workteam/x/loupe"
    sagemaker.answers(
        "update_workteam",
        {
            "Workteam": {
                "WorkteamName": "loupe",
                "MemberDefinitions": MEMBERS,
                "WorkteamArn": "x",
                "Description": "x",
            }
        },
        {"WorkteamName": "loupe", "MemberDefinitions": MEMBERS},
    )
    sagemaker.workforce.update_workteam("loupe", WORKFORCE, "labelers")


def test_a_workforce_in_use_is_not_deleted(sagemaker: Stubbed) -> None:
    sagemaker.refuses("delete_workforce", "ResourceInUse")
    assert not sagemaker.workforce.delete_workforce("private")
    sagemaker.answers("delete_workforce", {}, {"WorkforceName": "private"})
    assert sagemaker.workforce.delete_workforce("private")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("AccessDeniedException", "by 30 July 2026"),
        ("ResourceLimitExceeded", "Service Quotas"),
        ("ValidationException", "deploy with CreateWorkforce=false"),
    ],
)
def test_a_refusal_says_what_to_do(sagemaker: Stubbed, code: str, said: str) -> None:
    sagemaker.refuses("create_workforce", code, "Not here.")
    with pytest.raises(WorkforceRefused, match=f"could not create the workforce loupe: {code}: .*{said}"):
        sagemaker.workforce.create_workforce("loupe", "us-east-1_pool", "client", "loupe")


def test_what_may_pass_is_told_apart(sagemaker: Stubbed) -> None:
    sagemaker.refuses("list_workforces", "ThrottlingException", "Rate exceeded.")
    with pytest.raises(StoreUnavailable, match=r"Rate exceeded\. Deploy again"):
        sagemaker.workforce.workforce()


# User pools -----------------------------------------------------------------------------------------

POOL = "us-east-1_pool"


class StubbedCognito:
    def __init__(self) -> None:
        client = boto3.client("cognito-idp", region_name="us-east-1")
        self.stub = Stubber(client)
        self.groups = CognitoWorkerGroups(client)


@pytest.fixture
def cognito(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubbedCognito]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    stubbed = StubbedCognito()
    with stubbed.stub:
        yield stubbed
        stubbed.stub.assert_no_pending_responses()


def test_an_app_client_is_found_by_its_name(cognito: StubbedCognito) -> None:
    there = {
        "UserPoolClients": [
            {"ClientId": "one", "ClientName": "portal"},
            {"ClientId": "two", "ClientName": "loupe"},
        ]
    }
    cognito.stub.add_response("list_user_pool_clients", there, {"UserPoolId": POOL})
    assert cognito.groups.client(POOL, "loupe") == "two"
    cognito.stub.add_response("list_user_pool_clients", {"UserPoolClients": []})
    assert cognito.groups.client(POOL, "loupe") is None


def test_an_app_client_for_sagemaker_has_a_secret(cognito: StubbedCognito) -> None:
    expected = {"UserPoolId": POOL, "ClientName": "loupe", "GenerateSecret": True}
    cognito.stub.add_response("create_user_pool_client", {"UserPoolClient": {"ClientId": "two"}}, expected)
    assert cognito.groups.create_client(POOL, "loupe") == "two"


def test_who_signed_in_returns_to_the_workforce_s_pages(cognito: StubbedCognito) -> None:
    named = {"UserPoolClient": {"ClientId": "two", "ClientName": "loupe"}}
    cognito.stub.add_response("describe_user_pool_client", named)
    expected = {
        "UserPoolId": POOL,
        "ClientId": "two",
        "ClientName": "loupe",
        "CallbackURLs": ["https://abc.labeling.aws/oauth2/idpresponse"],
        "LogoutURLs": ["https://abc.labeling.aws/logout"],
        "SupportedIdentityProviders": ["COGNITO"],
        "AllowedOAuthFlows": ["code"],
        "AllowedOAuthScopes": ["openid", "email", "profile"],
        "AllowedOAuthFlowsUserPoolClient": True,
        "PreventUserExistenceErrors": "ENABLED",
    }
    cognito.stub.add_response("update_user_pool_client", named, expected)
    cognito.groups.let_return_to(POOL, "two", "abc.labeling.aws")


def test_a_group_that_is_there_stays_as_it_is(cognito: StubbedCognito) -> None:
    cognito.stub.add_client_error("create_group", "GroupExistsException")
    cognito.groups.create_group(POOL, "labelers", "Ours")
    there = {"Group": {"GroupName": "labelers", "Description": "Theirs"}}
    cognito.stub.add_response("get_group", there, {"UserPoolId": POOL, "GroupName": "labelers"})
    cognito.groups.delete_group(POOL, "labelers", "Ours")


def test_a_group_of_one_s_own_is_deleted(cognito: StubbedCognito) -> None:
    cognito.stub.add_response("get_group", {"Group": {"GroupName": "labelers", "Description": "Ours"}})
    cognito.stub.add_response("delete_group", {}, {"UserPoolId": POOL, "GroupName": "labelers"})
    cognito.groups.delete_group(POOL, "labelers", "Ours")


def test_what_is_gone_is_passed_over_when_cleaning_up(cognito: StubbedCognito) -> None:
    for method in ("list_user_pool_clients", "delete_user_pool_client", "get_group"):
        cognito.stub.add_client_error(method, "ResourceNotFoundException")
    assert cognito.groups.client(POOL, "loupe") is None
    cognito.groups.delete_client(POOL, "two")
    cognito.groups.delete_group(POOL, "labelers", "Ours")
