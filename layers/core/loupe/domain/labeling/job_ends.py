"""How labeling jobs end that their provider concludes, or that fail: written to S3 once, and once decides.

An output manifest alone says nothing of the end: Ground Truth writes it again and again while people work.
"""

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from loupe.domain.errors import AlreadyWritten, ObjectMissing
from loupe.domain.events import LabelingJobFailed
from loupe.domain.workspace import Workspace
from loupe.ports.images import KeepsImages
from loupe.ports.labeling import KeepsLabelingJobs, LabelingJob
from loupe.ports.messages import PublishesEvents
from loupe.ports.objects import StoresObjects


@dataclass(frozen=True)
class JobEnd:
    """`reason` says why the job failed, or why a finished one lacks labels; None where it lacks none."""

    state: Literal["finished", "failed"]
    reason: str | None
    at: datetime


def read_end(workspace: StoresObjects, project: str, job: str) -> JobEnd | None:
    """None while the job goes on, and for the portal's finished jobs, whose output manifest is their end."""
    try:
        content = json.loads(workspace.read(Workspace(project).end(job)))
    except ObjectMissing:
        return None
    return JobEnd(content["state"], content["reason"], datetime.fromisoformat(content["at"]))


def has_failed(workspace: StoresObjects, project: str, job: str) -> bool:
    """Whether the job ended without labels, so that nobody waits for them."""
    end = read_end(workspace, project, job)
    return end is not None and end.state == "failed"


def write_end(workspace: StoresObjects, project: str, job: str, end: JobEnd) -> None:
    """Does nothing if an end is written already."""
    content = {"state": end.state, "reason": end.reason, "at": end.at.isoformat()}
    with suppress(AlreadyWritten):
        workspace.write_once(
            Workspace(project).end(job),
            json.dumps(content, ensure_ascii=False, indent=1).encode(),
            "application/json",
        )


@dataclass(frozen=True)
class FailJob:
    """Ends a job without labels: its images wait again, and people hear of it."""

    jobs: KeepsLabelingJobs
    images: KeepsImages
    workspace: StoresObjects
    events: PublishesEvents

    def __call__(self, project: str, job: str, reason: str, at: datetime) -> None:
        """Does nothing to a job that has ended."""
        if self.jobs.fail(project, job, reason, at):
            failed = self.jobs.job(project, job)
            if failed is not None:
                self.settle(failed)

    def settle(self, job: LabelingJob) -> None:
        """What follows from a failure; for one whose run did not live to do it, as often as wanted."""
        reason, at = job.reason or "it failed", job.finished_at or job.changed_at
        write_end(self.workspace, job.project, job.job, JobEnd("failed", reason, at))
        images = [image.sha256 for image in self.images.in_job(job.project, job.job)]
        self.images.give_back(job.project, job.job, images)
        self.events.publish(LabelingJobFailed(job.project, job.job, reason))
        self.jobs.announce(job.project, job.job)
