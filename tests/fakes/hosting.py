"""Models that run, in memory."""

from dataclasses import dataclass, field

from loupe.domain.errors import Conflict
from loupe.domain.projects import Hosting
from loupe.ports.loops import Champion, HostingState
from loupe.ports.models import HostedVersion


@dataclass
class FakeModels:
    """Implements `loupe.ports.models.RunsModels`. `hosts` are versions by the name of their project; a
    version that is started or stopped is on its way until `settle`."""

    hosts: dict[str, list[HostedVersion]] = field(default_factory=dict)
    started: list[tuple[str, tuple[int, int | None]]] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    quota_is_used_up: bool = False

    def versions(self, host: str) -> list[HostedVersion]:
        return list(self.hosts.get(host, []))

    def start(self, project: str, champion: Champion, hosting: Hosting) -> None:
        if self.quota_is_used_up:
            raise Conflict("the quota is used up")
        self.started.append((champion.model.endpoint, hosting.units))
        self._change(champion.model.endpoint, "starting")

    def stop(self, endpoint: str) -> None:
        states = {each.endpoint: each.state for versions in self.hosts.values() for each in versions}
        if states.get(endpoint) == "starting":
            raise Conflict(f"{endpoint} is starting and can't be stopped yet")
        self.stopped.append(endpoint)
        self._change(endpoint, "stopping")

    def settle(self) -> None:
        """Not part of the port: what time does."""
        ends: dict[HostingState, HostingState] = {"starting": "running", "stopping": "stopped"}
        for versions in list(self.hosts.values()):
            for version in versions:
                self._change(version.endpoint, ends.get(version.state, version.state))

    def _change(self, endpoint: str, state: HostingState) -> None:
        for host, versions in self.hosts.items():
            self.hosts[host] = [
                HostedVersion(each.endpoint, each.name, state) if each.endpoint == endpoint else each
                for each in versions
            ]
