"""A workforce and user pools in memory."""

from dataclasses import dataclass, field

from loupe.domain.labeling.workforce import WorkforceRefused
from loupe.ports.workforce import Workforce, Workteam


@dataclass
class FakeWorkforce:
    """Implements `loupe.ports.workforce.KeepsWorkforce`. `members` has the group of each work team;
    `refuses` names a method that fails."""

    there: Workforce | None = None
    workteams: dict[str, Workteam] = field(default_factory=dict)
    members: dict[str, tuple[str | None, str]] = field(default_factory=dict)
    refuses: str | None = None

    def workforce(self) -> Workforce | None:
        return self.there

    def create_workforce(self, name: str, user_pool: str, client: str, stack: str) -> Workforce:
        self._may("create_workforce")
        assert self.there is None
        self.there = Workforce(name, user_pool, client, "x.labeling.aws", stack)
        return self.there

    def delete_workforce(self, name: str) -> bool:
        if self.workteams:
            return False
        self.there = None
        return True

    def workteam(self, name: str) -> Workteam | None:
        return self.workteams.get(name)

    def create_workteam(self, name: str, workforce: Workforce, group: str, stack: str) -> Workteam:
        self._may("create_workteam")
        self.workteams[name] = Workteam(name, f"arn:workteam/{name}", stack)
        self.members[name] = (workforce.user_pool, group)
        return self.workteams[name]

    def update_workteam(self, name: str, workforce: Workforce, group: str) -> None:
        self.members[name] = (workforce.user_pool, group)

    def delete_workteam(self, name: str) -> None:
        del self.workteams[name]

    def _may(self, method: str) -> None:
        if self.refuses == method:
            raise WorkforceRefused(f"{method} is not allowed")

    def lend_to(self, stack: str) -> None:
        """Somebody else's work team in this workforce."""
        self.workteams[stack] = Workteam(stack, f"arn:workteam/{stack}", stack)


@dataclass
class FakeWorkerGroups:
    """Implements `loupe.ports.workforce.KeepsWorkerGroups`. `groups` has descriptions and `clients` ids,
    both by user pool and name; `pages` has where each client's users return to."""

    groups: dict[tuple[str, str], str] = field(default_factory=dict)
    clients: dict[tuple[str, str], str] = field(default_factory=dict)
    pages: dict[str, str] = field(default_factory=dict)

    def client(self, user_pool: str, name: str) -> str | None:
        return self.clients.get((user_pool, name))

    def create_client(self, user_pool: str, name: str) -> str:
        self.clients[user_pool, name] = f"client-{len(self.clients)}"
        return self.clients[user_pool, name]

    def let_return_to(self, user_pool: str, client: str, sub_domain: str) -> None:
        self.pages[client] = sub_domain

    def delete_client(self, user_pool: str, client: str) -> None:
        self.clients = {key: each for key, each in self.clients.items() if each != client}

    def create_group(self, user_pool: str, group: str, description: str) -> None:
        self.groups.setdefault((user_pool, group), description)

    def delete_group(self, user_pool: str, group: str, description: str) -> None:
        if self.groups.get((user_pool, group)) == description:
            del self.groups[user_pool, group]
