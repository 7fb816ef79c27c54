"""What a project looks like right now: images by state, jobs, dataset version, champion, last training."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from loupe.domain.errors import ProjectNotFound
from loupe.domain.projects import Hosting, check_project_name
from loupe.domain.serving.hosting import described
from loupe.domain.training.intervals import says_little
from loupe.ports.images import KeepsImages
from loupe.ports.labeling import KeepsLabelingJobs
from loupe.ports.loops import Champion, KeepsLoops
from loupe.ports.messages import Clock
from loupe.ports.projects import KeepsProjects

JOBS_SHOWN = 20
MAX_REJECTED = 1000


@dataclass(frozen=True)
class DescribeProject:
    """Reads the index only, so the answer costs the same for ten images and for a million."""

    projects: KeepsProjects
    images: KeepsImages
    jobs: KeepsLabelingJobs
    loops: KeepsLoops
    clock: Clock
    unit_hour_price: float

    def describe(self, project: str) -> dict[str, Any]:
        """The document that `GET /v1/projects/{project}` answers. Raises `ProjectNotFound`."""
        record = self.projects.project(check_project_name(project))
        counts = self.projects.counts(project)
        if record is None and not any(asdict(counts).values()):
            raise ProjectNotFound(f"there is no project {project!r}; `loupe project create` makes one")
        config = record.config if record else None
        loop = self.loops.loop(project)
        return {
            "project": project,
            "task": config.task if config else None,
            "labels": list(config.labels) if config else [],
            "config_error": None if config else (record and record.config_error) or "project.yaml is missing",
            "images": asdict(counts),
            "jobs": [
                {
                    "job": job.job,
                    "provider": job.provider,
                    "state": job.state,
                    "reason": job.reason,
                    "tasks": job.tasks,
                    "answered": job.answered,
                    "skipped": job.skipped,
                    "created_at": job.created_at.isoformat(),
                    "finished_at": job.finished_at.isoformat() if job.finished_at else None,
                }
                for job in self.jobs.jobs(project, JOBS_SHOWN)
            ],
            "dataset_version": loop.dataset_version,
            "champion": _champion(loop.champion),
            "hosting": described(
                loop, config.hosting if config else Hosting(), self.clock(), self.unit_hour_price
            ),
            "training_since": loop.training.started_at.isoformat() if loop.training else None,
            "waiting_for": loop.waiting_for,
            "promotion_paused": plain(loop.paused, "since", "by", "reason"),
            "last_training": plain(
                loop.last_training,
                "version",
                "status",
                "reason",
                "started_at",
                "ended_at",
                "execution",
                "failed_attempts",
            ),
        }

    def rejected(self, project: str, limit: int, after: str | None) -> dict[str, Any]:
        """The document of `GET /v1/projects/{project}/rejected`. Raises `BadRequest` for an odd `after`."""
        page = self.images.rejected(check_project_name(project), min(limit, MAX_REJECTED), after)
        return {
            "rejected": [plain(record, "key", "reason", "detail", "at") for record in page.rejected],
            "next": page.next,
        }


def _champion(champion: Champion | None) -> dict[str, Any] | None:
    if champion is None:
        return None
    return {
        "version": champion.version,
        "score": champion.score,
        "test_images": champion.test_images,
        "interval": list(champion.interval) if champion.interval else None,
        "says_little": says_little(champion.test_images, champion.interval),
        "trainer": champion.model.trainer,
        "hosting": champion.model.hosting,
        "endpoint": champion.model.endpoint,
        "promoted_at": champion.promoted_at.isoformat(),
    }


def plain(record: object | None, *names: str) -> dict[str, Any] | None:
    """Those attributes of a record, times as text."""
    if record is None:
        return None
    values = {name: getattr(record, name) for name in names}
    return {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()
    }
