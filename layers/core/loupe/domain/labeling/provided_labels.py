"""The end of a job that its provider concludes: from Ground Truth's last word to a finished job."""

import re
from dataclasses import dataclass

from loupe.domain.label_attributes import has_label
from loupe.domain.labeling.ground_truth import PROVIDER, worker_task
from loupe.domain.labeling.job_ends import FailJob, JobEnd, write_end
from loupe.domain.labeling.review import ConcludeReview
from loupe.domain.labeling.starting import announce, give_back_strays
from loupe.domain.manifests import read_rows
from loupe.domain.workspace import Workspace
from loupe.ports.images import KeepsImages
from loupe.ports.labeling import (
    JobCard,
    KeepsLabelingJobs,
    LabelingJob,
    ProviderProgress,
    WatchesLabelingJobs,
)
from loupe.ports.messages import Clock, PublishesEvents
from loupe.ports.objects import StoresObjects

_JOB_NAME = re.compile(r"(.+)-\d{8}t\d{6}-[0-9a-f]{4}")


def project_of_job(job: str) -> str | None:
    """The project that a labeling job's name is of; None for a name that Loupe does not give."""
    match = _JOB_NAME.fullmatch(job)
    return match[1] if match else None


@dataclass(frozen=True)
class ConcludeLabelingJob:
    """Asks the provider how a job stands, and ends it as the portal's jobs end once nothing more comes.

    Labels that are there are kept, whatever became of the job. Without any it failed: its images wait again.
    """

    jobs: KeepsLabelingJobs
    images: KeepsImages
    workspace: StoresObjects
    provider: WatchesLabelingJobs
    events: PublishesEvents
    clock: Clock

    def __call__(self, project: str, job: str) -> str | None:
        """The job's state afterwards; None for a job that is not Loupe's, or another provider's. Does nothing
        to a job that has ended or is not open yet, however often it is called."""
        known = self.jobs.job(project, job)
        if known is None or known.provider != PROVIDER:
            return None
        if known.state in ("open", "consolidating"):
            self._look(known)
        now = self.jobs.job(project, job)
        return now.state if now else None

    def _look(self, job: LabelingJob) -> None:
        progress = self.provider.progress(job.job)
        if progress is None:
            self._fail(job, "Ground Truth does not have the job any more")
            return
        answered = min(progress.labeled + progress.failed, job.tasks)
        self.jobs.progress(job.project, job.job, answered, min(progress.failed, answered), self.clock())
        if progress.state != "running":
            self._conclude(job, self.jobs.card(job.project, job.job), progress)

    def _conclude(self, job: LabelingJob, card: JobCard, progress: ProviderProgress) -> None:
        manifest = output_of(card)
        is_written = self.workspace.exists(manifest)
        rows = read_rows(self.workspace.lines(manifest)) if is_written else iter(())
        attribute = worker_task(card.task, card.review).attribute
        labeled = sum(has_label(row, attribute) for row in rows)
        reason = _why(progress, labeled, job.tasks)
        if not is_written or (labeled == 0 and progress.state != "completed"):
            self._fail(job, reason or "Ground Truth wrote no output manifest")
            return
        self.jobs.end(job.project, job.job, reason, self.clock())
        if card.review is not None:
            ConcludeReview(self.workspace, self.clock)(card)
        write_end(self.workspace, job.project, job.job, JobEnd("finished", reason, self.clock()))
        give_back_strays(self.images, self.workspace, job.project, job.job)
        if self.jobs.finish(job.project, job.job, self.clock()):
            announce(self.jobs, self.events, job.project, job.job)

    def _fail(self, job: LabelingJob, reason: str) -> None:
        fail = FailJob(self.jobs, self.images, self.workspace, self.events)
        fail(job.project, job.job, reason, self.clock())


def output_of(card: JobCard) -> str:
    """Key of the output manifest that the provider writes."""
    space = Workspace(card.project)
    return space.reviewed_manifest(card.job) if card.review else space.output_manifest(card.job)


def _why(progress: ProviderProgress, labeled: int, images: int) -> str | None:
    """Why labels are missing, if any are."""
    said = f": {progress.reason}" if progress.reason else ""
    match progress.state:
        case "failed":
            return f"the Ground Truth job failed with {labeled} of {images} images labeled{said}"
        case "stopped":
            return f"the Ground Truth job was stopped with {labeled} of {images} images labeled{said}"
        case _ if labeled < images:
            return f"Ground Truth labeled {labeled} of {images} images{said}"
    return None
