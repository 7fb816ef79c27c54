"""The workforce in SageMaker and its workers in Cognito, behind `loupe.ports`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from loupe.domain.errors import StoreUnavailable
from loupe.domain.labeling.workforce import WorkforceRefused
from loupe.ports.workforce import Workforce, Workteam

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp.client import CognitoIdentityProviderClient
    from mypy_boto3_sagemaker.client import SageMakerClient
    from mypy_boto3_sagemaker.type_defs import MemberDefinitionUnionTypeDef
    from mypy_boto3_sagemaker.type_defs import WorkforceTypeDef as WorkforceDocument

_STACK = "loupe:stack"
_MAY_PASS = {"InternalFailure", "ServiceUnavailable", "ThrottlingException", "TooManyRequestsException"}
_ADVICE = {
    "AccessDeniedException": "Accounts that had no Ground Truth jobs by 30 July 2026 may get no workforce; "
    "else an organization's policy forbids it. Deploy with CreateWorkforce=false there.",
    "ResourceLimitExceeded": "Service Quotas raises the limit, or delete a work team that nobody uses.",
}


class SageMakerWorkforce:
    """Implements `loupe.ports.workforce.KeepsWorkforce`."""

    def __init__(self, client: "SageMakerClient") -> None:
        self._client = client

    def workforce(self) -> Workforce | None:
        with _explained("find the workforce"):
            found = self._client.list_workforces()["Workforces"]
            return self._workforce(found[0]) if found else None

    def _workforce(self, document: "WorkforceDocument") -> Workforce:
        pool = document.get("CognitoConfig")
        return Workforce(
            name=document["WorkforceName"],
            user_pool=pool["UserPool"] if pool else None,
            client=pool["ClientId"] if pool else None,
            sub_domain=document.get("SubDomain", ""),
            stack=self._stack(document["WorkforceArn"]),
        )

    def create_workforce(self, name: str, user_pool: str, client: str, stack: str) -> Workforce:
        with _explained(f"create the workforce {name}"):
            self._client.create_workforce(
                WorkforceName=name,
                CognitoConfig={"UserPool": user_pool, "ClientId": client},
                Tags=[{"Key": _STACK, "Value": stack}],
            )
            return self._workforce(self._client.describe_workforce(WorkforceName=name)["Workforce"])

    def delete_workforce(self, name: str) -> bool:
        with _explained(f"delete the workforce {name}"):
            try:
                self._client.delete_workforce(WorkforceName=name)
            except ClientError as error:
                if _code(error) not in ("ResourceInUse", "ResourceInUseException"):
                    raise
                return False
        return True

    def workteam(self, name: str) -> Workteam | None:
        with _explained(f"find the work team {name}"):
            pages = self._client.get_paginator("list_workteams").paginate(NameContains=name)
            for page in pages:
                for found in page["Workteams"]:
                    if found["WorkteamName"] == name:
                        return Workteam(name, found["WorkteamArn"], self._stack(found["WorkteamArn"]))
        return None

    def create_workteam(self, name: str, workforce: Workforce, group: str, stack: str) -> Workteam:
        with _explained(f"create the work team {name}"):
            arn = self._client.create_workteam(
                WorkteamName=name,
                WorkforceName=workforce.name,
                MemberDefinitions=_members(workforce, group),
                Description=f"Labels the images of the Loupe stack {stack}",
                Tags=[{"Key": _STACK, "Value": stack}],
            )["WorkteamArn"]
        return Workteam(name, arn, stack)

    def update_workteam(self, name: str, workforce: Workforce, group: str) -> None:
        with _explained(f"update the work team {name}"):
            self._client.update_workteam(WorkteamName=name, MemberDefinitions=_members(workforce, group))

    def delete_workteam(self, name: str) -> None:
        with _explained(f"delete the work team {name}"):
            self._client.delete_workteam(WorkteamName=name)

    def _stack(self, arn: str) -> str | None:
        tags = self._client.list_tags(ResourceArn=arn)["Tags"]
        return next((tag["Value"] for tag in tags if tag["Key"] == _STACK), None)


def _members(workforce: Workforce, group: str) -> list["MemberDefinitionUnionTypeDef"]:
    if workforce.user_pool is None or workforce.client is None:
        raise WorkforceRefused(f"the workforce {workforce.name} has no user pool")
    return [
        {
            "CognitoMemberDefinition": {
                "UserPool": workforce.user_pool,
                "UserGroup": group,
                "ClientId": workforce.client,
            }
        }
    ]


class CognitoWorkerGroups:
    """Implements `loupe.ports.workforce.KeepsWorkerGroups`."""

    def __init__(self, client: "CognitoIdentityProviderClient") -> None:
        self._client = client

    def client(self, user_pool: str, name: str) -> str | None:
        with _explained(f"find the app client {name}"):
            pages = self._client.get_paginator("list_user_pool_clients").paginate(UserPoolId=user_pool)
            try:
                for page in pages:
                    for found in page["UserPoolClients"]:
                        if found["ClientName"] == name:
                            return found["ClientId"]
            except self._client.exceptions.ResourceNotFoundException:
                return None
        return None

    def create_client(self, user_pool: str, name: str) -> str:
        with _explained(f"create the app client {name}"):
            # SageMaker signs workers in on its own pages, which takes a client with a secret.
            made = self._client.create_user_pool_client(
                UserPoolId=user_pool, ClientName=name, GenerateSecret=True
            )
        return made["UserPoolClient"]["ClientId"]

    def let_return_to(self, user_pool: str, client: str, sub_domain: str) -> None:
        with _explained(f"let workers return to {sub_domain}"):
            found = self._client.describe_user_pool_client(UserPoolId=user_pool, ClientId=client)
            self._client.update_user_pool_client(
                UserPoolId=user_pool,
                ClientId=client,
                ClientName=found["UserPoolClient"]["ClientName"],
                CallbackURLs=[f"https://{sub_domain}/oauth2/idpresponse"],
                LogoutURLs=[f"https://{sub_domain}/logout"],
                SupportedIdentityProviders=["COGNITO"],
                AllowedOAuthFlows=["code"],
                AllowedOAuthScopes=["openid", "email", "profile"],
                AllowedOAuthFlowsUserPoolClient=True,
                PreventUserExistenceErrors="ENABLED",
            )

    def delete_client(self, user_pool: str, client: str) -> None:
        with _explained(f"delete the app client {client}"):
            try:
                self._client.delete_user_pool_client(UserPoolId=user_pool, ClientId=client)
            except self._client.exceptions.ResourceNotFoundException:
                return

    def create_group(self, user_pool: str, group: str, description: str) -> None:
        with _explained(f"create the group {group} in the user pool {user_pool}"):
            try:
                self._client.create_group(UserPoolId=user_pool, GroupName=group, Description=description)
            except self._client.exceptions.GroupExistsException:
                return

    def delete_group(self, user_pool: str, group: str, description: str) -> None:
        with _explained(f"delete the group {group} of the user pool {user_pool}"):
            try:
                found = self._client.get_group(UserPoolId=user_pool, GroupName=group)["Group"]
                if found.get("Description") == description:
                    self._client.delete_group(UserPoolId=user_pool, GroupName=group)
            except self._client.exceptions.ResourceNotFoundException:
                return


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Raises `WorkforceRefused` or `StoreUnavailable` for what the services answer."""
    try:
        yield
    except ClientError as error:
        code, said = _code(error), error.response["Error"].get("Message") or str(error)
        if code in _MAY_PASS:
            raise StoreUnavailable(f"AWS could not {what} now: {said} Deploy again.") from error
        advice = _ADVICE.get(code, "Mend that, or deploy with CreateWorkforce=false.")
        raise WorkforceRefused(f"Loupe could not {what}: {code}: {said} {advice}") from error
    except BotoCoreError as error:
        raise StoreUnavailable(f"Loupe could not {what}: {error} Deploy again.") from error


def _code(error: ClientError) -> str:
    return error.response["Error"]["Code"]
