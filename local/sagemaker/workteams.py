"""The account's private workforce and its work teams: who a labeling job may be given to."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

from local.home import ACCOUNT_ID, REGION
from local.sagemaker import listing
from local.sagemaker.arns import arn
from local.sagemaker.errors import (
    NotAvailableError,
    ResourceInUseError,
    ResourceLimitExceededError,
    ValidationError,
)
from local.sagemaker.store import Document, Record, Store

HasGroup = Callable[[str, str], bool]
"""Whether there is a user pool (its id) with such a group (its name)."""

_MOST_WORKTEAMS = 25


class Workteams:
    """CreateWorkforce, CreateWorkteam and their kin. There is at most one workforce, as on AWS."""

    def __init__(self, folder: Path, has_group: HasGroup) -> None:
        self._workforces = Store(folder / "workforces")
        self._workteams = Store(folder / "workteams")
        self._has_group = has_group
        self._lock = threading.Lock()

    # -- workforces --------------------------------------------------------------------------------

    def create_workforce(self, request: Document) -> Document:
        name = request["WorkforceName"]
        if "CognitoConfig" in request and "OidcConfig" in request:
            raise ValidationError("Specify either CognitoConfig or OidcConfig, not both.")
        for member in ("OidcConfig", "WorkforceVpcConfig"):
            if member in request:
                raise NotAvailableError(f"a workforce with {member}")
        if "CognitoConfig" not in request:
            raise ValidationError("CognitoConfig or OidcConfig is required to create a workforce.")
        now = time.time()
        workforce = {
            **{name: value for name, value in request.items() if name != "Tags"},
            "WorkforceArn": arn("workforce", name),
            "SubDomain": _sub_domain(name),
            "CreateDate": now,
            "LastUpdatedDate": now,
            "Status": "Active",
        }
        with self._lock:
            for there, _ in self._workforces:
                raise ValidationError(
                    "A private workforce already exists in this account and Region: "
                    f"{arn('workforce', there)}"
                )
            self._workforces.put(name, Record(workforce))
        return {"WorkforceArn": workforce["WorkforceArn"]}

    def describe_workforce(self, request: Document) -> Document:
        return {"Workforce": self._workforce(request["WorkforceName"])}

    def delete_workforce(self, request: Document) -> Document:
        name = request["WorkforceName"]
        with self._lock:
            workforce = self._workforce(name)
            if any(
                record.document["WorkforceArn"] == workforce["WorkforceArn"] for _, record in self._workteams
            ):
                raise ResourceInUseError(
                    f"The workforce {name} contains work teams. Delete all of its work teams first."
                )
            self._workforces.remove(name)
        return {}

    def list_workforces(self, request: Document) -> Document:
        return listing.page(
            [record.document for _, record in self._workforces],
            request,
            result="Workforces",
            name="WorkforceName",
            status="Status",
            created="CreateDate",
            summarize=dict,
        )

    def _workforce(self, name: str) -> Document:
        record = self._workforces.get(name)
        if record is None:
            raise ValidationError(f"Could not find workforce {name!r}.")
        return record.document

    # -- work teams --------------------------------------------------------------------------------

    def create_workteam(self, request: Document) -> Document:
        name = request["WorkteamName"]
        now = time.time()
        with self._lock:
            if name in self._workteams:
                raise ResourceInUseError(f"A work team with the name {name} already exists.")
            if len(list(self._workteams)) >= _MOST_WORKTEAMS:
                raise ResourceLimitExceededError(
                    f"The account-level service limit for work teams is {_MOST_WORKTEAMS} a Region."
                )
            workforce = self._workforce_of(request)
            self._check_members(request["MemberDefinitions"], workforce)
            workteam = {
                **{name: value for name, value in request.items() if name not in ("Tags", "WorkforceName")},
                "WorkteamArn": arn("workteam/private-crowd", name),
                "WorkforceArn": workforce["WorkforceArn"],
                "SubDomain": workforce["SubDomain"],
                "CreateDate": now,
                "LastUpdatedDate": now,
            }
            self._workteams.put(name, Record(workteam))
        return {"WorkteamArn": workteam["WorkteamArn"]}

    def _workforce_of(self, request: Document) -> Document:
        if "WorkforceName" in request:
            return self._workforce(request["WorkforceName"])
        for _, record in self._workforces:
            return record.document
        raise ValidationError("There is no private workforce in this account and Region. Create one first.")

    def _check_members(self, members: list[Document], workforce: Document) -> None:
        pool = workforce["CognitoConfig"]
        for member in members:
            given = member.get("CognitoMemberDefinition")
            if given is None:
                raise ValidationError("A Cognito workforce takes work teams of CognitoMemberDefinition only.")
            if (given["UserPool"], given["ClientId"]) != (pool["UserPool"], pool["ClientId"]):
                raise ValidationError(
                    "UserPool and ClientId of each member must be those of the workforce: "
                    f"{pool['UserPool']}, {pool['ClientId']}"
                )
            if not self._has_group(given["UserPool"], given["UserGroup"]):
                raise ValidationError(
                    f"The user group {given['UserGroup']} does not exist in the user pool "
                    f"{given['UserPool']}."
                )

    def describe_workteam(self, request: Document) -> Document:
        return {"Workteam": self._workteam(request["WorkteamName"])}

    def update_workteam(self, request: Document) -> Document:
        name = request["WorkteamName"]
        with self._lock:
            workteam = self._workteam(name)
            if "MemberDefinitions" in request:
                self._check_members(request["MemberDefinitions"], self._workforce_of({}))
            workteam = {**workteam, **request, "LastUpdatedDate": time.time()}
            self._workteams.put(name, Record(workteam))
        return {"Workteam": workteam}

    def delete_workteam(self, request: Document) -> Document:
        with self._lock:
            self._workteam(request["WorkteamName"])
            self._workteams.remove(request["WorkteamName"])
        return {"Success": True}

    def list_workteams(self, request: Document) -> Document:
        return listing.page(
            [record.document for _, record in self._workteams],
            request,
            result="Workteams",
            name="WorkteamName",
            status="",
            created="CreateDate",
            summarize=dict,
        )

    def _workteam(self, name: str) -> Document:
        record = self._workteams.get(name)
        if record is None:
            raise ValidationError(f"Could not find work team {name!r}.")
        return record.document

    def require(self, workteam_arn: str) -> None:
        """Raises ValidationError unless that is one of the work teams here."""
        if "/private-crowd/" not in workteam_arn:
            raise NotAvailableError("a labeling job for a vendor's work team or Amazon Mechanical Turk")
        name = workteam_arn.rpartition("/")[2]
        if name not in self._workteams or workteam_arn != arn("workteam/private-crowd", name):
            raise ValidationError(f"The work team {workteam_arn} does not exist in this account and Region.")


def _sub_domain(name: str) -> str:
    """Where workers sign in on AWS: ten characters that stay the same for an account and workforce."""
    drawn = hashlib.sha256(f"{ACCOUNT_ID}/{name}".encode()).hexdigest()[:10]
    return f"{drawn}.labeling.{REGION}.sagemaker.aws"
