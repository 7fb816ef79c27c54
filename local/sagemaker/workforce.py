"""The workers of labeling jobs here: whoever signs in at the labeling portal of the job's stack.

On AWS, Ground Truth shows an image to a worker in a page of its own. The portal does that here, so a job's
images become its tasks. This is the one module of the local cloud that knows the application that it runs:
how the portal keeps tasks and answers, and how labels stand in a manifest, are Loupe's own to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, cast

from botocore.exceptions import BotoCoreError, ClientError

from local.sagemaker.labeling import Batch, Progress, WorkersAwayError, WorkersError
from local.sagemaker.labeling_rules import Row
from loupe.adapters.labeling_index import TaskIndex
from loupe.adapters.table import IndexTable
from loupe.domain.errors import DomainError, StoreUnavailable
from loupe.domain.label_attributes import Label, read_label, write_failure, write_label
from loupe.domain.labeling.starting import tasks_of_manifest
from loupe.domain.manifests import HEIGHT, SHA256, WIDTH, S3Uri
from loupe.domain.projects import TaskType
from loupe.ports.labeling import KeepsTasks, Task

Client = Callable[[str], Any]
"""Makes boto3 clients by the name of the service."""

_NEEDED = (SHA256, WIDTH, HEIGHT)


class PortalWorkers:
    """Implements `Workers` with the portal of one stack, whose images lie in `raw_data_bucket`, or in other
    buckets that it refers to."""

    def __init__(
        self, tasks: KeepsTasks, raw_data_bucket: str, referred: frozenset[str] = frozenset()
    ) -> None:
        self._tasks = tasks
        self._raw_data_bucket = raw_data_bucket
        self._buckets = {raw_data_bucket, *referred}

    @classmethod
    def of_stack(cls, client: Client, stack: str) -> PortalWorkers:
        """Raises WorkersError if there is no such stack."""
        try:
            [described] = client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        except (ClientError, BotoCoreError) as error:
            raise WorkersError(
                f"There is no stack {stack!r} whose portal could ask workers: {error}"
            ) from error
        outputs = {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", [])}
        if not {"IndexTable", "RawDataBucket"} <= outputs.keys():
            raise WorkersError(f"The stack {stack!r} is not one of Loupe's, or not complete yet")
        table = IndexTable(client("dynamodb"), outputs["IndexTable"])
        referred = frozenset(filter(None, outputs.get("BucketsReferredTo", "").split(",")))
        return cls(TaskIndex(table), outputs["RawDataBucket"], referred)

    def hand_over(self, batch: Batch, rows: Iterator[Row]) -> None:
        try:
            checked = (self._checked(row) for row in rows)
            self._tasks.add(batch.job, tasks_of_manifest(checked, self._raw_data_bucket))
        except StoreUnavailable as error:
            raise WorkersAwayError(str(error)) from error

    def _checked(self, row: Row) -> Row:
        source = S3Uri.parse(row["source-ref"])
        if source.bucket not in self._buckets:
            where = " or ".join(sorted(self._buckets))
            raise WorkersError(f"{source} does not lie in {where}, whose images alone the portal can show")
        missing = [name for name in _NEEDED if name not in row]
        if missing:
            raise WorkersError(f"The row of {source} has no {missing[0]}, which the portal needs to show it")
        return row

    def progress(self, batch: Batch) -> Progress | None:
        try:
            job, last = self._tasks.task(batch.project, batch.job, f"{batch.images - 1:06d}")
            if last is None:
                return None
            if job is None or job.answered < batch.images:
                return Progress(job.answered - job.skipped, job.skipped) if job else Progress()
            # The count may be another's estimate; the end of a job is not to be guessed.
            answers = [task.answer for task in self._tasks.tasks(batch.job) if task.answer is not None]
        except StoreUnavailable as error:
            raise WorkersAwayError(str(error)) from error
        failed = sum(answer.value is None for answer in answers)
        return Progress(len(answers) - failed, failed)

    def label(self, batch: Batch, rows: Iterator[Row], *, failure: str | None) -> Iterator[Row]:
        now = datetime.now(UTC)
        try:
            for row, task in zip(rows, self._tasks.tasks(batch.job), strict=True):
                if row[SHA256] != task.sha256:
                    raise WorkersError(f"The portal's task {task.task} is not the one of {row['source-ref']}")
                yield row | _members(batch, row, task, failure, now)
        except StoreUnavailable as error:
            raise WorkersAwayError(str(error)) from error


def _members(batch: Batch, row: Row, task: Task, failure: str | None, now: datetime) -> Row:
    """What the job adds to a row: the label and its metadata, or why there is none."""
    kind = cast("TaskType", batch.task)
    answer = task.answer
    if answer is None:
        return write_failure(failure, batch.attribute, kind, batch.job, now) if failure else {}
    if answer.value is None:
        reason = f"skipped by {answer.worker_name}: {answer.skip}"
        return write_failure(reason, batch.attribute, kind, batch.job, answer.answered_at)
    # A confidence is what several workers agree about; of one worker Ground Truth writes 0.
    confidences = (0.0,) * len(answer.value.names)
    label = Label(answer.value, confidences, answer.answered_at, is_human=True, job=batch.job)
    members = write_label(label, batch.attribute, kind, batch.labels, (task.width, task.height))
    if batch.audited is not None:
        is_adjusted = _said_before(batch, row, batch.audited) != answer.value
        members[f"{batch.attribute}-metadata"]["adjustment-status"] = (
            "adjusted" if is_adjusted else "unadjusted"
        )
    return members


def _said_before(batch: Batch, row: Row, attribute: str) -> object:
    """The value that an adjustment started from; None for one that can't be read."""
    try:
        label = read_label(row, attribute, cast("TaskType", batch.task), batch.labels)
    except DomainError:
        return None
    return label.value if isinstance(label, Label) else None


def has_group(client: Client, user_pool: str, group: str) -> bool:
    """Whether the user pool, whose users sign in at the portal, has such a group."""
    try:
        client("cognito-idp").get_group(UserPoolId=user_pool, GroupName=group)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return False
        raise
    return True
