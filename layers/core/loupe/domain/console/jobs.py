"""A project's jobs as the console shows them: what waits, what is worked on, what failed and why, and what a
person can have done about it."""

from dataclasses import asdict, dataclass
from typing import Any

from loupe.domain.errors import Conflict, ProjectNotFound
from loupe.domain.events import LabelingRequested, ReconciliationRequested, TrainingRequested
from loupe.domain.projects import ProjectConfig, check_project_name
from loupe.domain.serving.releases import failed_release
from loupe.domain.status import DescribeProject, plain
from loupe.ports.labeling import KeepsLabelingJobs
from loupe.ports.loops import KeepsLoops
from loupe.ports.messages import Clock, PublishesEvents
from loupe.ports.objects import StoresObjects
from loupe.ports.projects import KeepsProjects

REJECTED_A_PAGE = 100

Json = dict[str, Any]


@dataclass(frozen=True)
class ShowJobs:
    """Reads the index and the last release, so that a page may ask again and again; what people ask for goes
    out as an event, and the functions that listen do it as they do it by themselves."""

    describe: DescribeProject
    projects: KeepsProjects
    jobs: KeepsLabelingJobs
    loops: KeepsLoops
    workspace: StoresObjects
    events: PublishesEvents
    clock: Clock

    def show(self, project: str) -> Json:
        """The project's status, with its rules of labeling, the release that is under way or failed last,
        and the last reconciliation. Raises `ProjectNotFound`."""
        found = self.describe.describe(project)
        record = self.projects.project(project)
        labeling = record.config.labeling if record and record.config else None
        loop = self.loops.loop(project)
        last, failed = loop.reconciliation, failed_release(project, loop, self.workspace)
        return {
            **found,
            "now": self.clock().isoformat(),
            "labeling": {
                "provider": labeling.provider,
                "batch_size": labeling.batch_size,
                "max_wait_minutes": labeling.max_wait_minutes,
            }
            if labeling
            else None,
            "several_workers": self._several_workers(project),
            "releasing": plain(loop.wanted, "version", "kind", "by", "at"),
            "failed_release": {name: failed.get(name) for name in ("version", "kind", "reason", "ended_at")}
            if failed
            else None,
            "reconciliation": {"at": last.at.isoformat(), "mended": last.mended} if last else None,
        }

    def _several_workers(self, project: str) -> Json | None:
        """The open job at the portal if it may need more than one worker an image, with how many tasks need
        somebody who has not answered them."""
        job = self.jobs.open_job(project)
        if job is None or job.state != "open" or job.provider != "portal":
            return None
        card = self.jobs.card(project, job.job)
        if card.takes_one_answer:
            return None
        return {
            "job": job.job,
            "waiting": job.tasks - job.answered,
            **{name: getattr(card, name) for name in ("workers", "max_workers", "min_accuracy")},
        }

    def rejected(self, project: str, after: str | None) -> Json:
        """A page of rejected images, each with its reason. Raises `BadRequest` for an odd `after`."""
        return self.describe.rejected(project, REJECTED_A_PAGE, after)

    # What a person asks for

    def label_now(self, project: str, who: str) -> Json:
        """Have a labeling job cut of what is pending, whether or not it is a whole batch. Raises
        `ProjectNotFound`, `Conflict`."""
        labeling = self._config(project).labeling
        if (job := self.jobs.open_job(project)) is not None:
            raise Conflict(f"the labeling job {job.job} is open: the next one is cut when it has ended")
        pending = self.projects.counts(project).pending
        if pending == 0:
            raise Conflict("no image is pending: upload some first")
        if labeling.waits_for_whole_batches and pending < labeling.batch_size:
            raise Conflict(
                f"Ground Truth labels by itself only batches of {labeling.batch_size} images "
                f"(labeling.batch_size), and {pending} are pending"
            )
        self.events.publish(LabelingRequested(project, _asked(who)))
        return self._requested()

    def train_now(self, project: str, who: str) -> Json:
        """Have a training begun. Raises `ProjectNotFound`, `Conflict`."""
        self._config(project)
        if self.loops.loop(project).training is not None:
            raise Conflict("a training is under way already")
        self.events.publish(TrainingRequested(project, _asked(who)))
        return self._requested()

    def reconcile(self, project: str, who: str) -> Json:
        """Have the project reconciled. Raises `ProjectNotFound`."""
        self._config(project)
        self.events.publish(ReconciliationRequested(project, _asked(who)))
        return self._requested()

    def _config(self, project: str) -> ProjectConfig:
        record = self.projects.project(check_project_name(project))
        counts = asdict(self.projects.counts(project))
        if record is None and not any(counts.values()):
            raise ProjectNotFound(f"there is no project {project!r}; `loupe project create` makes one")
        # What is asked for would be passed over without a word.
        if record is None or record.config is None:
            error = (record and record.config_error) or "project.yaml is missing"
            raise Conflict(f"project.yaml has to be put right first: {error}")
        return record.config

    def _requested(self) -> Json:
        return {"requested_at": self.clock().isoformat()}


def _asked(who: str) -> str:
    return f"{who} asked for it in the console"
