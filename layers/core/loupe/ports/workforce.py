"""The workforce of Ground Truth."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Workforce:
    """An account has at most one a region. Its workers are users of `user_pool`, who sign in by the app
    client `client` at `https://<sub_domain>`; both ids are None where they are users of something else.
    `stack` is the stack that made it, None if none of Loupe's did."""

    name: str
    user_pool: str | None
    client: str | None
    sub_domain: str
    stack: str | None


@dataclass(frozen=True)
class Workteam:
    """Those of the workforce who are given a job. `stack` as of `Workforce`."""

    name: str
    arn: str
    stack: str | None


class KeepsWorkforce(Protocol):
    """The workforce and its work teams. All methods raise `WorkforceRefused` and `StoreUnavailable`."""

    def workforce(self) -> Workforce | None: ...

    def create_workforce(self, name: str, user_pool: str, client: str, stack: str) -> Workforce: ...

    def delete_workforce(self, name: str) -> bool:
        """False, with nothing changed, while it has work teams."""
        ...

    def workteam(self, name: str) -> Workteam | None: ...

    def create_workteam(self, name: str, workforce: Workforce, group: str, stack: str) -> Workteam:
        """Whose members are the users in that group of the workforce's user pool."""
        ...

    def update_workteam(self, name: str, workforce: Workforce, group: str) -> None: ...

    def delete_workteam(self, name: str) -> None: ...


class KeepsWorkerGroups(Protocol):
    """Groups and app clients of user pools. What is to be deleted and is not there is passed over. All
    methods raise `WorkforceRefused` and `StoreUnavailable`."""

    def client(self, user_pool: str, name: str) -> str | None:
        """The id of the app client of that name."""
        ...

    def create_client(self, user_pool: str, name: str) -> str: ...

    def let_return_to(self, user_pool: str, client: str, sub_domain: str) -> None:
        """Send those who signed in back to the workforce's pages."""
        ...

    def delete_client(self, user_pool: str, client: str) -> None: ...

    def create_group(self, user_pool: str, group: str, description: str) -> None:
        """Leaves a group that is there as it is."""
        ...

    def delete_group(self, user_pool: str, group: str, description: str) -> None:
        """Unless it has another description: then somebody else made it."""
        ...
