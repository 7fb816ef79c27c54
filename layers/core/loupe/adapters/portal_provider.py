"""Loupe's own labeling portal as a labeling provider."""

from loupe.domain.labeling import tasks_of_manifest
from loupe.domain.manifests import read_rows
from loupe.domain.workspace import Workspace
from loupe.ports import JobCard, KeepsTasks, StoresObjects


class PortalProvider:
    """Implements `loupe.ports.StartsLabelingJobs`: a task for each row of the input manifest."""

    def __init__(self, workspace: StoresObjects, tasks: KeepsTasks, raw_data_bucket: str) -> None:
        self._workspace = workspace
        self._tasks = tasks
        self._raw_data_bucket = raw_data_bucket

    def start(self, card: JobCard) -> int:
        manifest = Workspace(card.project).input_manifest(card.job)
        rows = read_rows(self._workspace.lines(manifest))
        tasks = tasks_of_manifest(rows, self._raw_data_bucket, card.workers)
        return self._tasks.add(card.job, tasks)
