"""A project whose images are labeled through the portal, in memory."""

from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from loupe.adapters.portal_provider import PortalProvider
from loupe.domain.label_values import OneLabel
from loupe.domain.labeling.annotation import LabelingPortal, Work, Worker
from loupe.domain.labeling.consolidation import ConsolidateAnnotations
from loupe.domain.labeling.provided_labels import ConcludeLabelingJob
from loupe.domain.labeling.restoration import RestoreJob
from loupe.domain.labeling.starting import StartLabeling
from loupe.domain.manifests import Row, read_rows
from loupe.domain.projects import ProjectConfig, TaskType
from loupe.domain.workspace import Workspace
from loupe.ports.images import ImageRecord
from loupe.ports.labeling import KeepsTasks, LabelingJob
from tests.fakes.clock import FakeClock
from tests.fakes.events import FakeEvents
from tests.fakes.ground_truth import FakeGroundTruth
from tests.fakes.images import FakeImages
from tests.fakes.labeling import FakeLabelingJobs, FakeTasks
from tests.fakes.log import FakeLog
from tests.fakes.objects import FakeObjects
from tests.fakes.projects import FakeProjects

PROJECT = "digits"
ADA, BEN = Worker("1111", "ada"), Worker("2222", "ben")


@dataclass
class Loop:
    """Everything between registered images and a finished job."""

    clock: FakeClock = field(default_factory=FakeClock)
    projects: FakeProjects = field(default_factory=FakeProjects)
    jobs: FakeLabelingJobs = field(default_factory=FakeLabelingJobs)
    events: FakeEvents = field(default_factory=FakeEvents)
    raw_data: FakeObjects = field(default_factory=lambda: FakeObjects("raw-data"))
    workspace: FakeObjects = field(default_factory=lambda: FakeObjects("workspace"))

    def __post_init__(self) -> None:
        self.images = FakeImages(self.projects, self.jobs)
        self.tasks = FakeTasks(self.jobs)
        self._suffixes = count()
        self._image_numbers = count()
        self.ground_truth = FakeGroundTruth(self.workspace)
        self.conclude = ConcludeLabelingJob(
            jobs=self.jobs,
            images=self.images,
            workspace=self.workspace,
            provider=self.ground_truth,
            events=self.events,
            clock=self.clock,
        )
        self.restore = RestoreJob(
            jobs=self.jobs,
            tasks=self.tasks,
            workspace=self.workspace,
            raw_data_bucket=self.raw_data.bucket,
            providers={
                "portal": PortalProvider(self.workspace, self.tasks, self.raw_data.bucket),
                "ground-truth": self.ground_truth,
            },
            clock=self.clock,
        )
        self.log = FakeLog()
        self.start = self.start_labeling()
        self.portal = self.labeling_portal(self.tasks)
        self.consolidate = self.consolidate_annotations()

    def consolidate_annotations(self, **instead: Any) -> ConsolidateAnnotations:
        """The use case, with some of its ports replaced."""
        ports: dict[str, Any] = {
            "jobs": self.jobs,
            "tasks": self.tasks,
            "images": self.images,
            "workspace": self.workspace,
            "events": self.events,
            "clock": self.clock,
        }
        return ConsolidateAnnotations(**ports | instead)

    def start_labeling(self, **instead: Any) -> StartLabeling:
        """The use case, with some of its ports replaced."""
        workspace, tasks = instead.get("workspace", self.workspace), instead.pop("tasks", self.tasks)
        ports: dict[str, Any] = {
            "projects": self.projects,
            "images": self.images,
            "jobs": self.jobs,
            "workspace": self.workspace,
            "events": self.events,
            "clock": self.clock,
            "restore_job": self.restore,
            "conclude": {"ground-truth": self.conclude},
            "log": self.log,
        }
        return StartLabeling(
            **ports | instead,
            raw_data_bucket=self.raw_data.bucket,
            providers={
                "portal": PortalProvider(workspace, tasks, self.raw_data.bucket),
                "ground-truth": self.ground_truth,
            },
            suffix=lambda: f"{next(self._suffixes):04x}",
        )

    def labeling_portal(self, tasks: KeepsTasks, **instead: Any) -> LabelingPortal:
        """The use case, with some of its ports replaced."""
        ports: dict[str, Any] = {
            "projects": self.projects,
            "jobs": self.jobs,
            "raw_data": self.raw_data,
            "workspace": self.workspace,
            "events": self.events,
            "clock": self.clock,
        }
        return LabelingPortal(tasks=tasks, **ports | instead)

    def configure(
        self, project: str = PROJECT, task: TaskType = "image-classification", **labeling: Any
    ) -> None:
        settings = {"batch_size": 3, "max_wait_minutes": 60} | labeling
        config = ProjectConfig.model_validate(
            {
                "task": task,
                "labels": ["ok", "scratch", "dent"],
                "instructions": "Mark the worst defect.",
                "labeling": settings,
            }
        )
        self.projects.save_config(project, config, None, "etag")

    def register(self, images: int, project: str = PROJECT, folder: str | None = None) -> None:
        """So many new images become pending, in the project's folder or in that one of another bucket."""
        for number in (next(self._image_numbers) for _ in range(images)):
            image = ImageRecord(
                sha256=f"{number:064x}",
                key=f"{folder or project}/im age {number}.png",
                version_id=f"v{number}",
                etag="e",
                bytes=100,
                width=64,
                height=48,
                format="PNG",
                phash="0" * 16,
                registered_at=self.clock() + timedelta(microseconds=number),
            )
            self.images.restore(project, [image])

    def open_job(self, project: str = PROJECT) -> LabelingJob:
        job = self.jobs.open_job(project)
        assert job is not None
        return job

    def answer_all(self, worker: Worker = ADA, label: str = "ok") -> Work:
        """The worker answers what is open."""
        work = self.portal.lease(PROJECT, worker, 1)
        while work.tasks:
            [leased] = work.tasks
            task = leased.task
            work = self.portal.annotate(PROJECT, task.job, task.task, worker, value=OneLabel(label), lease=1)
        return work

    def input_rows(self, job: str, project: str = PROJECT) -> list[Row]:
        return list(read_rows(self.workspace.lines(Workspace(project).input_manifest(job))))

    def output_rows(self, job: str, project: str = PROJECT) -> list[Row]:
        return list(read_rows(self.workspace.lines(Workspace(project).output_manifest(job))))

    def lose_index(self) -> None:
        """The table is gone; the buckets are not."""
        self.__dict__.update(vars(Loop(self.clock, workspace=self.workspace, raw_data=self.raw_data)))


@pytest.fixture
def loop() -> Loop:
    loop = Loop()
    loop.configure()
    return loop


@pytest.fixture
def open_loop(loop: Loop) -> Loop:
    """A job of three tasks is open."""
    loop.register(3)
    loop.start(PROJECT)
    loop.events.published.clear()
    return loop
