"""Another training job where one failed for a reason that may pass."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass

from loupe.domain.errors import AlreadyWritten
from loupe.domain.training.job_failures import read_failure
from loupe.domain.training.plans import FailedAttempt, TrainingPlan, training_goes_on
from loupe.domain.workspace import Workspace
from loupe.ports.loops import KeepsLoops
from loupe.ports.messages import Clock
from loupe.ports.objects import StoresObjects

MAX_ATTEMPTS = 3
"""Training jobs for one model, at most: each may cost as much as the first."""

_GROWTH = 4


@dataclass(frozen=True)
class Retry:
    """Whether there is another attempt: if so, it begins in `wait_seconds` by `plan`; if not, `reason` says
    in words why the training failed, and what to do."""

    again: bool
    reason: str
    wait_seconds: int = 0
    plan: TrainingPlan | None = None


@dataclass(frozen=True)
class RetryTraining:
    """Decides what follows a training job that did not complete, and writes down that it failed.

    `first_wait` is how many seconds the second attempt waits; the third waits four times as long. Repeating a
    call changes nothing.
    """

    loops: KeepsLoops
    workspace: StoresObjects
    clock: Clock
    first_wait: int

    def __call__(self, project: str, version: str, job: str, failure: Mapping[str, str]) -> Retry:
        """`job` is the training job that failed, `failure` the Error and Cause that Step Functions caught.

        Raises `ObjectMissing`, `StoreUnavailable`.
        """
        plan = TrainingPlan.read(self.workspace, project, version)
        known = next((each for each in plan.failed_attempts if each.job == job), None)
        if known is None:
            found = read_failure(failure)
            number = len(plan.failed_attempts) + 1
            if not found.may_pass:
                return Retry(False, found.in_words)
            if number == MAX_ATTEMPTS:
                return Retry(False, f"{found.reason} (the last of {MAX_ATTEMPTS} attempts: {_told(plan)})")
            known = FailedAttempt(number, job, found.kind, found.reason, self.clock().isoformat())
            self._write(plan, known)
            plan = plan.after(known)
            self._tell(plan)
        return Retry(True, known.in_words, self.first_wait * _GROWTH ** (known.number - 1), plan)

    def _write(self, plan: TrainingPlan, attempt: FailedAttempt) -> None:
        key = Workspace(plan.project).failed_attempt(plan.version, attempt.number)
        content = json.dumps(asdict(attempt), ensure_ascii=False, indent=1).encode()
        with suppress(AlreadyWritten):
            self.workspace.write_once(key, content, "application/json")

    def _tell(self, plan: TrainingPlan) -> None:
        self.loops.save_last_training(plan.project, training_goes_on(plan))


def _told(plan: TrainingPlan) -> str:
    return "; ".join(each.in_words for each in plan.failed_attempts)
