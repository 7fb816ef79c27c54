"""Where a project's loop stands, rebuilt from S3."""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from loupe.domain.datasets.versions import latest_card
from loupe.domain.errors import ObjectMissing
from loupe.domain.serving.releases import after_release, approval_of, champions, pause_of, releases_of
from loupe.domain.training.plans import TrainingPlan, model_versions, training_goes_on
from loupe.domain.training.turns import last_training_of, outcomes
from loupe.ports.loops import KeepsLoops, LastTraining, TrainingLock, WatchesExecutions
from loupe.ports.objects import StoresObjects


@dataclass(frozen=True)
class RestoreLoop:
    """Rebuilds where a project's loop stands from S3, for an index that was lost."""

    loops: KeepsLoops
    executions: WatchesExecutions
    workspace: StoresObjects

    def __call__(self, project: str) -> bool:
        """Put back champion, last training, dataset version, whether promotion is stopped, and the lock of an
        execution that still runs. What the index does know stays. Returns whether it lacked anything."""
        before = self.loops.loop(project)
        known = list(outcomes(project, self.workspace))
        answered = champions(project, self.workspace)
        if answered and before.champion is None:
            self.loops.save_champion(project, answered[-1])
        pause = pause_of(project, self.workspace)
        if before.paused != pause:
            self.loops.save_pause(project, pause)
        if before.last_training is None:
            self._restore_last_training(project, {outcome["version"]: outcome for outcome in known})
        card = latest_card(project, self.workspace)
        if card and before.dataset_version is None:
            self.loops.save_dataset_version(project, card.version)
        return self.loops.loop(project) != before

    def _restore_last_training(self, project: str, known: dict[str, dict[str, Any]]) -> None:
        plans: list[TrainingPlan] = []
        for version in model_versions(project, self.workspace):
            with suppress(ObjectMissing):
                plans.append(TrainingPlan.read(self.workspace, project, version))
        if not plans:
            return
        plan = max(plans, key=lambda plan: plan.started_at)
        started_at = datetime.fromisoformat(plan.started_at)
        if plan.version in known:
            self.loops.save_last_training(project, self._settled(project, known[plan.version]))
            return
        self.loops.save_last_training(project, training_goes_on(plan))
        if self.executions.is_running(plan.execution):
            self.loops.lock_training(project, TrainingLock(plan.execution, started_at))

    def _settled(self, project: str, outcome: dict[str, Any]) -> LastTraining:
        """A training, with what a person decided of its model after it."""
        training = last_training_of(outcome)
        if training.status == "awaiting_approval" and training.version:
            approval = approval_of(project, training.version, self.workspace)
            for record in releases_of(project, training.version, self.workspace):
                training = after_release(training, record)
            if approval and approval.decision == "rejected":
                return replace(training, status="rejected", reason=f"{approval.by} rejected it")
        return training
