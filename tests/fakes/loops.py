"""Where loops stand, and executions, in memory."""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import datetime

from loupe.ports.loops import (
    Champion,
    HostingRecord,
    LastTraining,
    LoopRecord,
    Pause,
    Reconciliation,
    TrainingLock,
    WantedRelease,
)


@dataclass
class FakeLoops:
    """Implements `loupe.ports.loops.KeepsLoops`."""

    _loops: defaultdict[str, LoopRecord] = field(default_factory=lambda: defaultdict(LoopRecord))

    def loop(self, project: str) -> LoopRecord:
        return self._loops[project]

    def lock_training(self, project: str, lock: TrainingLock, instead_of: str | None = None) -> bool:
        held = self._loops[project].training
        if held is None or held.execution == instead_of:
            self._loops[project] = replace(self._loops[project], training=lock)
            return True
        return held.execution == lock.execution

    def unlock_training(self, project: str, execution: str) -> None:
        held = self._loops[project].training
        if held and held.execution == execution:
            self._loops[project] = replace(self._loops[project], training=None)

    def lock_release(self, project: str, lock: TrainingLock, instead_of: str | None = None) -> bool:
        held = self._loops[project].release
        if held is None or held.execution == instead_of:
            self._loops[project] = replace(self._loops[project], release=lock)
            return True
        return held.execution == lock.execution

    def unlock_release(self, project: str, execution: str) -> None:
        held = self._loops[project].release
        if held and held.execution == execution:
            self._loops[project] = replace(self._loops[project], release=None)

    def save_wanted(self, project: str, wanted: WantedRelease) -> None:
        self._loops[project] = replace(self._loops[project], wanted=wanted)

    def save_attempts(self, project: str, request: str, attempts: int) -> None:
        wanted = self._loops[project].wanted
        if wanted and wanted.request == request:
            self.save_wanted(project, replace(wanted, attempts=attempts))

    def drop_wanted(self, project: str, request: str) -> None:
        wanted = self._loops[project].wanted
        if wanted and wanted.request == request:
            self._loops[project] = replace(self._loops[project], wanted=None)

    def save_pause(self, project: str, pause: Pause | None) -> None:
        self._loops[project] = replace(self._loops[project], paused=pause)

    def save_dataset_version(self, project: str, version: str) -> None:
        self._loops[project] = replace(self._loops[project], dataset_version=version)

    def save_champion(self, project: str, champion: Champion) -> None:
        self._loops[project] = replace(self._loops[project], champion=champion)

    def save_last_training(self, project: str, training: LastTraining) -> None:
        self._loops[project] = replace(self._loops[project], last_training=training)

    def save_waiting_for(self, project: str, reason: str | None) -> None:
        self._loops[project] = replace(self._loops[project], waiting_for=reason)

    def save_hosting(self, project: str, hosting: HostingRecord) -> None:
        self._loops[project] = replace(self._loops[project], hosting=hosting)

    def save_reconciliation(self, project: str, reconciliation: Reconciliation) -> None:
        self._loops[project] = replace(self._loops[project], reconciliation=reconciliation)

    def save_call(self, project: str, at: datetime) -> None:
        self._loops[project] = replace(self._loops[project], last_called_at=at)


@dataclass
class FakeExecutions:
    """Implements `loupe.ports.loops.WatchesExecutions`."""

    running: set[str] = field(default_factory=set)

    def is_running(self, execution: str) -> bool:
        return execution in self.running
