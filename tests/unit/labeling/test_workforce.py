"""A stack's work team: made, changed and removed, beside what others have."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from aws_lambda_powertools import Logger

from loupe.custom_resources import Asked, answer
from loupe.domain.labeling.workforce import ManageWorkforce, WorkforceRefused, workteam_name
from loupe.ports.workforce import Workforce, Workteam
from tests.fakes.workforce import FakeWorkerGroups, FakeWorkforce

STACK, POOL = "loupe", "eu-west-1_own"
FOREIGN = Workforce("private", "eu-west-1_theirs", "their-client", "their.labeling.aws", None)

LOGGER = Logger(service="test")


class World:
    def __init__(self, there: Workforce | None = None) -> None:
        self.workforces, self.groups = FakeWorkforce(there), FakeWorkerGroups()
        self.manage = ManageWorkforce(self.workforces, self.groups)

    @property
    def is_empty(self) -> bool:
        return not (
            self.workforces.there or self.workforces.workteams or self.groups.groups or self.groups.clients
        )


def test_a_stack_makes_the_workforce_where_the_account_has_none() -> None:
    world = World()
    provided = world.manage.provide(STACK, POOL)
    assert provided.arn == "arn:workteam/loupe"
    assert world.workforces.there == Workforce("loupe", POOL, "client-0", "x.labeling.aws", STACK)
    assert world.workforces.members["loupe"] == (POOL, "loupe")
    assert (POOL, "loupe") in world.groups.groups
    assert world.groups.pages == {"client-0": "x.labeling.aws"}


def test_a_workforce_that_is_there_is_used_with_its_own_user_pool() -> None:
    world = World(FOREIGN)
    provided = world.manage.provide(STACK, POOL)
    assert (provided.workforce, provided.user_pool) == ("private", "eu-west-1_theirs")
    assert world.workforces.members["loupe"] == ("eu-west-1_theirs", "loupe")
    assert world.groups.clients == {}
    assert world.groups.pages == {}


def test_a_workforce_that_an_earlier_stack_of_this_name_left_keeps_its_user_pool() -> None:
    world = World(Workforce("loupe", "eu-west-1_old", "old-client", "x.labeling.aws", STACK))
    provided = world.manage.provide(STACK, POOL)
    assert provided.user_pool == "eu-west-1_old"
    assert world.groups.pages == {}


def test_making_it_again_changes_nothing() -> None:
    world = World()
    first = world.manage.provide(STACK, POOL)
    assert world.manage.provide(STACK, POOL) == first
    assert len(world.groups.clients) == len(world.workforces.workteams) == 1


@pytest.mark.parametrize("method", ["create_workforce", "create_workteam"])
def test_what_failed_half_way_goes_on_or_is_taken_away(method: str) -> None:
    world = World()
    world.workforces.refuses = method
    with pytest.raises(WorkforceRefused):
        world.manage.provide(STACK, POOL)
    world.workforces.refuses = None
    world.manage.provide(STACK, POOL)
    assert len(world.groups.clients) == 1

    world = World()
    world.workforces.refuses = method
    with pytest.raises(WorkforceRefused):
        world.manage.provide(STACK, POOL)
    world.manage.remove(STACK, POOL)
    assert world.is_empty


def test_removing_takes_away_all_that_was_made() -> None:
    world = World()
    world.manage.provide(STACK, POOL)
    world.manage.remove(STACK, POOL)
    assert world.is_empty
    world.manage.remove(STACK, POOL)


def test_a_workforce_of_somebody_else_is_never_deleted() -> None:
    world = World(FOREIGN)
    world.manage.provide(STACK, POOL)
    world.manage.remove(STACK, POOL)
    assert world.workforces.there == FOREIGN
    assert not world.workforces.workteams
    assert not world.groups.groups


def test_a_workforce_that_others_use_stays_with_its_app_client() -> None:
    world = World()
    world.manage.provide(STACK, POOL)
    world.workforces.lend_to("other")
    world.manage.remove(STACK, POOL)
    assert world.workforces.there is not None
    assert set(world.workforces.workteams) == {"other"}
    assert world.groups.clients == {(POOL, "loupe"): "client-0"}


def test_a_work_team_and_a_group_of_somebody_else_are_left_alone() -> None:
    world = World(FOREIGN)
    world.workforces.workteams["loupe"] = Workteam("loupe", "arn:workteam/loupe", None)
    world.groups.groups["eu-west-1_theirs", "loupe"] = "Ours"
    with pytest.raises(WorkforceRefused, match="WorkteamArn=arn:workteam/loupe"):
        world.manage.provide(STACK, POOL)
    world.manage.remove(STACK, POOL)
    assert set(world.workforces.workteams) == {"loupe"}
    assert world.groups.groups == {("eu-west-1_theirs", "loupe"): "Ours"}


def test_a_workforce_without_user_pool_is_for_its_owner_to_divide() -> None:
    world = World(Workforce("company", None, None, "x", None))
    with pytest.raises(WorkforceRefused, match="CreateWorkforce=false and WorkteamArn"):
        world.manage.provide(STACK, POOL)


def test_the_work_team_is_called_like_the_stack_as_far_as_names_go() -> None:
    assert workteam_name("Loupe-1") == "Loupe-1"
    assert workteam_name("a" * 62 + "-b") == "a" * 62


# The answer to CloudFormation -----------------------------------------------------------------------


def event(kind: str = "Create", **members: str) -> dict[str, Any]:
    return {
        "RequestType": kind,
        "RequestId": "request-1",
        "ResponseURL": "https://cloudformation.example/answer",
        "StackId": "arn:aws:cloudformation:eu-west-1:111122223333:stack/loupe/6ce39927",
        "LogicalResourceId": "Workforce",
        "ResourceType": "Custom::Workforce",
        "ResourceProperties": {"ServiceToken": "arn", "StackName": STACK, "UserPoolId": POOL},
        **members,
    }


class Mailbox:
    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, url: str, content: bytes) -> None:
        assert len(content) < 4096
        self.got.append((url, json.loads(content)))


def test_cloudformation_is_told_what_was_made() -> None:
    box, asked = Mailbox(), list[Asked]()

    def work(what: Asked) -> Mapping[str, str]:
        asked.append(what)
        return {"WorkteamArn": "arn"}

    answer(event(), work, LOGGER, box)
    assert box.got == [
        (
            "https://cloudformation.example/answer",
            {
                "Status": "SUCCESS",
                "StackId": "arn:aws:cloudformation:eu-west-1:111122223333:stack/loupe/6ce39927",
                "RequestId": "request-1",
                "LogicalResourceId": "Workforce",
                "PhysicalResourceId": "loupe/Workforce",
                "Data": {"WorkteamArn": "arn"},
            },
        )
    ]
    assert (asked[0].kind, asked[0].properties["UserPoolId"]) == ("Create", POOL)


@pytest.mark.parametrize("kind", ["Create", "Update", "Delete"])
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (WorkforceRefused("delete a work team that nobody uses"), "delete a work team that nobody uses"),
        (KeyError("StackName"), "KeyError: 'StackName' The function's log has the details."),
        (WorkforceRefused("x" * 9_000), "x" * 1_000),
    ],
)
def test_cloudformation_gets_an_answer_whatever_goes_wrong(kind: str, error: Exception, reason: str) -> None:
    box = Mailbox()

    def work(what: Asked) -> Mapping[str, str]:
        raise error

    answer(event(kind, PhysicalResourceId="loupe/Workforce"), work, LOGGER, box)
    [(_, told)] = box.got
    assert told["Status"] == "FAILED"
    assert told["Reason"] == reason
    assert told["PhysicalResourceId"] == "loupe/Workforce"


def test_the_physical_id_never_changes() -> None:
    box = Mailbox()
    answer(event("Create"), lambda _: {}, LOGGER, box)
    answer(event("Update", PhysicalResourceId="loupe/Workforce"), lambda _: {}, LOGGER, box)
    answer(event("Delete", PhysicalResourceId="loupe/Workforce"), lambda _: {}, LOGGER, box)
    assert {told["PhysicalResourceId"] for _, told in box.got} == {"loupe/Workforce"}


def test_an_answer_that_does_not_arrive_fails_the_invocation() -> None:
    def lost(url: str, content: bytes) -> None:
        raise OSError("no route to CloudFormation")

    with pytest.raises(OSError, match="no route"):
        answer(event(), lambda _: {}, LOGGER, lost)
