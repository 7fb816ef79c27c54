"""The one workforce of an account, and its work teams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from local.sagemaker.errors import (
    NotAvailableError,
    ResourceInUseError,
    ResourceLimitExceededError,
    ValidationError,
)
from local.sagemaker.validation import only_members, validate
from local.sagemaker.workteams import Workteams

POOL = {"UserPool": "us-east-1_pool", "ClientId": "client"}


def member(**changes: str) -> dict[str, Any]:
    return {"CognitoMemberDefinition": {**POOL, "UserGroup": "people", **changes}}


@pytest.fixture
def workteams(tmp_path: Path) -> Workteams:
    made = Workteams(tmp_path, lambda _pool, group: group == "people")
    made.create_workforce({"WorkforceName": "private", "CognitoConfig": POOL})
    return made


def create(workteams: Workteams, name: str = "team", **changes: Any) -> str:
    request = {"WorkteamName": name, "MemberDefinitions": [member()], "Description": "team", **changes}
    validate("CreateWorkteam", request)
    made: str = workteams.create_workteam(request)["WorkteamArn"]
    return made


def test_a_work_team_belongs_to_the_workforce(workteams: Workteams) -> None:
    arn = create(workteams)
    assert arn == "arn:aws:sagemaker:us-east-1:000000000000:workteam/private-crowd/team"
    described = workteams.describe_workteam({"WorkteamName": "team"})["Workteam"]
    workforce = workteams.describe_workforce({"WorkforceName": "private"})["Workforce"]
    assert described["WorkforceArn"] == workforce["WorkforceArn"]
    assert described["SubDomain"] == workforce["SubDomain"]
    assert workforce["Status"] == "Active"
    workteams.require(arn)


def test_lists_hold_what_there_is(workteams: Workteams) -> None:
    create(workteams, "one")
    create(workteams, "two")
    assert [each["WorkforceName"] for each in workteams.list_workforces({})["Workforces"]] == ["private"]
    page = workteams.list_workteams({"SortBy": "Name", "SortOrder": "Ascending", "MaxResults": 1})
    assert [each["WorkteamName"] for each in page["Workteams"]] == ["one"]
    rest = workteams.list_workteams(
        {"SortBy": "Name", "SortOrder": "Ascending", "NextToken": page["NextToken"]}
    )
    assert [each["WorkteamName"] for each in rest["Workteams"]] == ["two"]


def test_everything_outlives_a_restart(workteams: Workteams, tmp_path: Path) -> None:
    arn = create(workteams)
    Workteams(tmp_path, lambda _pool, _group: False).require(arn)


def test_there_is_one_workforce_a_region(workteams: Workteams) -> None:
    with pytest.raises(ValidationError, match=r"already exists .*workforce/private"):
        workteams.create_workforce({"WorkforceName": "second", "CognitoConfig": POOL})


def test_a_workforce_with_work_teams_can_not_be_deleted(workteams: Workteams) -> None:
    create(workteams)
    with pytest.raises(ResourceInUseError, match="contains work teams"):
        workteams.delete_workforce({"WorkforceName": "private"})
    assert workteams.delete_workteam({"WorkteamName": "team"}) == {"Success": True}
    workteams.delete_workforce({"WorkforceName": "private"})
    with pytest.raises(ValidationError, match="Could not find workforce"):
        workteams.describe_workforce({"WorkforceName": "private"})
    with pytest.raises(ValidationError, match="no private workforce"):
        create(workteams)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"MemberDefinitions": [member(UserPool="us-east-1_other")]}, "those of the workforce"),
        ({"MemberDefinitions": [member(ClientId="other")]}, "those of the workforce"),
        ({"MemberDefinitions": [member(UserGroup="nobody")]}, "user group nobody does not exist"),
        (
            {"MemberDefinitions": [{"OidcMemberDefinition": {"Groups": ["x"]}}]},
            "CognitoMemberDefinition only",
        ),
        ({"WorkforceName": "other"}, "Could not find workforce"),
    ],
)
def test_members_are_groups_of_the_workforce_s_user_pool(
    workteams: Workteams, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        create(workteams, **changes)


def test_a_work_team_s_members_can_be_replaced(workteams: Workteams) -> None:
    create(workteams)
    with pytest.raises(ValidationError, match="nobody does not exist"):
        workteams.update_workteam({"WorkteamName": "team", "MemberDefinitions": [member(UserGroup="nobody")]})
    updated = workteams.update_workteam({"WorkteamName": "team", "Description": "better"})
    assert only_members("UpdateWorkteam", updated)["Workteam"]["Description"] == "better"


def test_names_and_numbers_are_limited(workteams: Workteams) -> None:
    for number in range(25):
        create(workteams, f"team-{number}")
    with pytest.raises(ResourceInUseError, match="team-0 already exists"):
        create(workteams, "team-0")
    with pytest.raises(ResourceLimitExceededError, match="25"):
        create(workteams, "one-more")


def test_identity_providers_of_one_s_own_are_not_here(tmp_path: Path) -> None:
    with pytest.raises(NotAvailableError, match="OidcConfig"):
        Workteams(tmp_path, lambda _pool, _group: True).create_workforce(
            {"WorkforceName": "private", "OidcConfig": {}}
        )


def test_a_workforce_needs_workers(tmp_path: Path) -> None:
    made = Workteams(tmp_path, lambda _pool, _group: True)
    with pytest.raises(ValidationError, match="CognitoConfig or OidcConfig"):
        made.create_workforce({"WorkforceName": "private"})
    with pytest.raises(ValidationError, match="not both"):
        made.create_workforce({"WorkforceName": "private", "CognitoConfig": POOL, "OidcConfig": {}})
