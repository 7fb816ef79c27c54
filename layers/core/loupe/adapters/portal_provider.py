"""Loupe's own labeling portal as a labeling provider."""

from collections.abc import Iterator

from loupe.domain.labeling.checks import read_checks
from loupe.domain.labeling.starting import tasks_of_job
from loupe.domain.manifests import SHA256, Row, read_rows
from loupe.domain.workspace import Workspace
from loupe.ports.labeling import JobCard, KeepsTasks
from loupe.ports.objects import StoresObjects


class PortalProvider:
    """Implements `loupe.ports.labeling.StartsLabelingJobs`: a task for each row of the input manifest, and
    tasks of known answer among them."""

    def __init__(self, workspace: StoresObjects, tasks: KeepsTasks, raw_data_bucket: str) -> None:
        self._workspace = workspace
        self._tasks = tasks
        self._raw_data_bucket = raw_data_bucket

    def start(self, card: JobCard) -> int:
        checks = read_checks(card, self._workspace)
        if checks:  # an image is in a job once: one whose label was withdrawn meanwhile is asked about
            asked = {row[SHA256] for row in self._rows(card)}
            checks = [row for row in checks if row[SHA256] not in asked]
        tasks = tasks_of_job(card, self._rows(card), checks, self._raw_data_bucket)
        return self._tasks.add(card.job, tasks)

    def _rows(self, card: JobCard) -> Iterator[Row]:
        return read_rows(self._workspace.lines(Workspace(card.project).input_manifest(card.job)))
