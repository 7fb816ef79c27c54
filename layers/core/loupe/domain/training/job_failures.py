"""Why a training job of SageMaker did not complete, told apart by whether another one may do better.

What SageMaker says: FailureReason begins with the class of the error, and a job that was stopped says why in
its SecondaryStatus (API reference, DescribeTrainingJob; docs/decisions/training-retries.md).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from loupe.domain.failures import explain

FailureKind = Literal["input", "capacity", "interrupted", "service", "stopped", "too_long", "other"]
"""`input`: data, code or request are at fault. `capacity`: there was no instance. `interrupted`: spot
instances were taken away, and the time to wait for others ran out. `service`: SageMaker itself failed.
`stopped`: somebody asked for it. `too_long`: it reached its time limit. `other`: nothing that is known."""

MAY_PASS: frozenset[FailureKind] = frozenset({"capacity", "interrupted", "service"})
"""Kinds after which the same training may end well."""

FOR_LACK_OF_INSTANCES: frozenset[FailureKind] = frozenset({"capacity", "interrupted"})
"""Kinds after which spot capacity is not asked for again."""

_FROM_THE_INPUT = ("AlgorithmError", "ClientError")
_NO_INSTANCE = re.compile(r"CapacityError|insufficient capacity|unable to provision", re.IGNORECASE)
_OUT_OF_MEMORY = re.compile(r"exit code: 137\b|out of memory", re.IGNORECASE)
_MEMBERS = ("TrainingJobStatus", "SecondaryStatus", "FailureReason")

_INTERRUPTED = "no spot instances were left to it before training.max_wait_minutes were over"
_NOT_AGAIN = "not tried again with the same data, since it would fail in the same way"
_MEND = (
    "mend what it names, labels, images or training in project.yaml; then *Try again now* in the console, "
    "`loupe open`, trains at once"
)
_MEND_MEMORY = (
    "it ran out of memory, so set a smaller batch-size or a larger training.instance_type in project.yaml"
)
_MEND_TIME = "raise training.max_run_minutes in project.yaml, or train for fewer epochs"


@dataclass(frozen=True)
class JobFailure:
    """What kind of failure it was, and what SageMaker said of it, in one line."""

    kind: FailureKind
    reason: str

    @property
    def may_pass(self) -> bool:
        return self.kind in MAY_PASS

    @property
    def in_words(self) -> str:
        """The reason, and for a failure that is not tried again why, and what to do."""
        match self.kind:
            case "input" if _OUT_OF_MEMORY.search(self.reason):
                return f"{self.reason} ({_NOT_AGAIN}: {_MEND_MEMORY})"
            case "input":
                return f"{self.reason} ({_NOT_AGAIN}: {_MEND})"
            case "too_long":
                return f"{self.reason} ({_NOT_AGAIN}: {_MEND_TIME})"
            case _:
                return self.reason


def read_failure(failure: Mapping[str, str]) -> JobFailure:
    """Of the Error and Cause that Step Functions caught: the Cause of a job that ended is its description, as
    JSON, which may be cut off."""
    job = _job(failure.get("Cause") or "")
    reason, secondary = job.get("FailureReason") or "", job.get("SecondaryStatus") or ""
    match job.get("TrainingJobStatus"):
        case "Failed":
            return JobFailure(_kind(reason), reason or "the training job failed and gave no reason")
        case "Stopped" if secondary == "MaxRuntimeExceeded":
            return JobFailure("too_long", "the training took longer than training.max_run_minutes")
        case "Stopped" if secondary != "MaxWaitTimeExceeded" and _was_asked_to_stop(job):
            return JobFailure("stopped", "the training job was stopped by request")
        case "Stopped":
            return JobFailure("interrupted", _INTERRUPTED)
        case _:
            return JobFailure("other", explain(failure))


def _kind(reason: str) -> FailureKind:
    # A program may print anything: what it says is not looked at.
    if reason.startswith("AlgorithmError"):
        return "input"
    if _NO_INSTANCE.search(reason):
        return "capacity"
    if reason.startswith(_FROM_THE_INPUT):
        return "input"
    return "service" if reason.startswith("InternalServerError") else "other"


def _was_asked_to_stop(job: Mapping[str, Any]) -> bool:
    """StopTrainingJob leads a job over the status Stopping; what SageMaker ends by itself says so."""
    passed = job.get("SecondaryStatusTransitions")
    return not isinstance(passed, list) or any(
        isinstance(each, dict) and each.get("Status") == "Stopping" for each in passed
    )


def _job(cause: str) -> dict[str, Any]:
    """The description of a job; of one that was cut off, as much as decides."""
    try:
        document = json.loads(cause)
    except ValueError:
        found = ((name, re.search(rf'"{name}"\s*:\s*("(?:[^"\\]|\\.)*")', cause)) for name in _MEMBERS)
        return {name: json.loads(value[1]) for name, value in found if value}
    return document if isinstance(document, dict) else {}
