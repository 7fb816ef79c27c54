"""start_labeling cuts one job of 10,000 and one of 100,000 images, each in a process of its own.

Storage is faked: pending images come out of a generator, objects are files, and DynamoDB's client takes every
transaction and keeps nothing. What is measured is Loupe's own work: reading, writing and reading back the
manifest, and building the requests that add a task for each image.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from loupe.adapters.labeling_index import TaskIndex
from loupe.adapters.portal_provider import PortalProvider
from loupe.adapters.table import IndexTable
from loupe.domain.errors import AlreadyWritten
from loupe.domain.labeling.starting import StartLabeling
from loupe.domain.projects import ProjectConfig
from loupe.ports.images import ImageRecord, KeepsImages
from loupe.ports.objects import StoredObject, StoresObjects
from tests.fakes.events import FakeEvents
from tests.fakes.labeling import FakeLabelingJobs
from tests.fakes.log import FakeLog
from tests.fakes.projects import FakeProjects

SIZES = (10_000, 100_000)
_NOW = datetime(2026, 11, 21, 10, 15, tzinfo=UTC)
_PROJECT = "digits"


class Images:
    """So many pending images, each made when it is asked for."""

    def __init__(self, number: int) -> None:
        self._number = number

    def pending(self, project: str, limit: int) -> Iterator[ImageRecord]:
        for number in range(min(limit, self._number)):
            yield ImageRecord(
                sha256=f"{number:064x}",
                key=f"{project}/camera {number % 7}/{number:06d}.jpg",
                version_id=f"{number:032x}",
                etag=f"{number:032x}",
                bytes=300_000,
                width=1280,
                height=960,
                format="JPEG",
                phash=f"{number:016x}",
                registered_at=_NOW + timedelta(milliseconds=number),
            )

    def take(self, project: str, job: str, sha256s: Iterable[str]) -> set[str]:
        return set(sha256s)


class Files:
    """Objects as files below a folder."""

    bucket = "workspace"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def lines(self, key: str) -> Iterator[str]:
        with self._path(key).open(encoding="utf-8") as file:
            yield from file

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """There are no other jobs."""
        return iter(())

    def list_folders(self, prefix: str) -> Iterator[str]:
        """There are no other jobs."""
        return iter(())

    def write(self, key: str, content: bytes, content_type: str = "") -> None:
        self._path(key).write_bytes(content)

    def write_lines_once(self, key: str, lines: Iterable[str]) -> None:
        if self._path(key).exists():
            raise AlreadyWritten(key)
        with self._path(key).open("w", encoding="utf-8") as file:
            file.writelines(lines)

    def _path(self, key: str) -> Path:
        return self._folder / key.replace("/", "_")


class Forgetful:
    """A DynamoDB client that takes everything and keeps nothing."""

    def transact_write_items(self, **request: Any) -> dict[str, Any]:
        return {}


def cut_job(number: int) -> dict[str, float]:
    """Cut one job of so many images. Seconds, and the process's peak memory in MB."""
    projects, jobs = FakeProjects(), FakeLabelingJobs()
    config = {"task": "image-classification", "labels": ["ok", "dent"], "labeling": {"batch_size": number}}
    projects.save_config(_PROJECT, ProjectConfig.model_validate(config), None, None)
    projects.count(_PROJECT, {"pending": number})
    with tempfile.TemporaryDirectory() as folder:
        workspace = cast("StoresObjects", Files(Path(folder)))
        tasks = TaskIndex(IndexTable(cast("Any", Forgetful()), "index"))
        start_labeling = StartLabeling(
            projects=projects,
            images=cast("KeepsImages", Images(number)),
            jobs=jobs,
            workspace=workspace,
            raw_data_bucket="raw-data",
            providers={"portal": PortalProvider(workspace, tasks, "raw-data")},
            events=FakeEvents(),
            clock=lambda: _NOW,
            suffix=lambda: "1a2b",
            restore_job=lambda _project, _job: False,
            conclude={},
            log=FakeLog(),
        )
        started = time.perf_counter()
        start_labeling(_PROJECT)
        seconds = time.perf_counter() - started
    job = jobs.open_job(_PROJECT)
    assert job is not None
    assert job.tasks == number
    return {"seconds": seconds, "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def run() -> Iterator[tuple[str, str, str]]:
    """Rows (what, measured, target)."""
    for number in SIZES:
        command = [sys.executable, "-m", "benchmarks.labeling", str(number)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        target = "under 20 s, under 300 MB" if number == SIZES[-1] else ""
        measured = f"{found['seconds']:.1f} s, {found['megabytes']:.0f} MB"
        yield f"start_labeling, {number:,} images, storage faked", measured, target


if __name__ == "__main__":
    print(json.dumps(cut_job(int(sys.argv[1]))))
