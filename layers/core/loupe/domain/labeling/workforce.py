"""The private workforce of Ground Truth: made for a stack where the account has none, and taken away with it.

CloudFormation has no type for a workforce, and an account has one a region, which others may use, too. So
what is there is used as it is; only what bears the stack's own mark is changed or deleted.
"""

from dataclasses import dataclass

from loupe.domain.errors import DomainError
from loupe.ports.workforce import KeepsWorkerGroups, KeepsWorkforce, Workforce

MAX_NAME = 63


class WorkforceRefused(DomainError):
    """SageMaker or Cognito does not do what the workforce needs; the message says what to do about it."""

    status, slug, title = 422, "workforce-refused", "The workforce can't be made"


@dataclass(frozen=True)
class ProvidedWorkteam:
    """What a stack's labeling jobs are given to; workers sign in at `https://<sub_domain>`."""

    arn: str
    workforce: str
    user_pool: str
    group: str
    sub_domain: str


@dataclass(frozen=True)
class ManageWorkforce:
    """Makes and removes a stack's work team, and the workforce if need be. Repeating a call changes nothing
    more, and goes on where an earlier one failed."""

    workforces: KeepsWorkforce
    groups: KeepsWorkerGroups

    def provide(self, stack: str, user_pool: str) -> ProvidedWorkteam:
        """The stack's work team. `user_pool` is the stack's: its users become workers where the account has
        no workforce yet. Raises `WorkforceRefused` and `StoreUnavailable`."""
        name = workteam_name(stack)
        workforce = self.workforces.workforce() or self._create_workforce(name, stack, user_pool)
        if workforce.user_pool is None or workforce.client is None:
            raise WorkforceRefused(
                f"the workforce {workforce.name} of this account and region does not sign in by Amazon "
                "Cognito: make a work team there, and deploy with CreateWorkforce=false and WorkteamArn"
            )
        if (workforce.stack, workforce.user_pool) == (stack, user_pool):
            self.groups.let_return_to(workforce.user_pool, workforce.client, workforce.sub_domain)
        self.groups.create_group(workforce.user_pool, name, _mark(stack))
        arn = self._provide_workteam(name, stack, workforce)
        return ProvidedWorkteam(arn, workforce.name, workforce.user_pool, name, workforce.sub_domain)

    def _create_workforce(self, name: str, stack: str, user_pool: str) -> Workforce:
        client = self.groups.client(user_pool, name) or self.groups.create_client(user_pool, name)
        return self.workforces.create_workforce(name, user_pool, client, stack)

    def _provide_workteam(self, name: str, stack: str, workforce: Workforce) -> str:
        found = self.workforces.workteam(name)
        if found is None:
            return self.workforces.create_workteam(name, workforce, name, stack).arn
        if found.stack != stack:
            raise WorkforceRefused(
                f"there is a work team {name} that is not this stack's: deploy with CreateWorkforce=false "
                f"and WorkteamArn={found.arn} to use it, or delete it, or give the stack another name"
            )
        self.workforces.update_workteam(name, workforce, name)
        return found.arn

    def remove(self, stack: str, user_pool: str) -> None:
        """Take away what was made for the stack. A workforce that other work teams use stays, and with it the
        app client by which their workers sign in. Raises `WorkforceRefused` and `StoreUnavailable`."""
        name = workteam_name(stack)
        workteam = self.workforces.workteam(name)
        if workteam is not None and workteam.stack == stack:
            self.workforces.delete_workteam(name)
        workforce = self.workforces.workforce()
        if workforce is not None and workforce.user_pool is not None:
            self.groups.delete_group(workforce.user_pool, name, _mark(stack))
        if (
            workforce is not None
            and workforce.stack == stack
            and self.workforces.delete_workforce(workforce.name)
        ):
            workforce = None
        client = self.groups.client(user_pool, name)
        if client is not None and (workforce is None or workforce.client != client):
            self.groups.delete_client(user_pool, client)


def workteam_name(stack: str) -> str:
    """What the work team, its group, and the workforce and its app client are called."""
    return stack[:MAX_NAME].rstrip("-")


def _mark(stack: str) -> str:
    return f"Workers of the Loupe stack {stack}"
