"""Lease plus answer at the portal through the local cloud, by one and by two workers with a plain client.

There are 1,000 and 100,000 open tasks. The benchmark `portal` has Loupe's own time beside it.
"""

import time
from collections.abc import Iterator, Sequence

from benchmarks._cloud import Cloud, deployed
from benchmarks._processes import Meter
from benchmarks.portal import SIZES, answers_a_second, open_tasks
from cli.session import WorkerCredentials
from cli.worker import new_password
from loupe.adapters.labeling_index import LabelingJobIndex, TaskIndex
from loupe.adapters.projects_index import IndexedProjects

_ANSWERS = 300
_WARM_UP = 20
_TO_REACH = {1: "25", 2: "40"}
_PEERS = {1: "12.9 at 10,000 tasks, 7.3 at 100,000", 2: "12.4 at 10,000 tasks, 6.7 at 100,000"}


def run() -> Iterator[tuple[str, str, str]]:
    """Rows: what, measured, to reach or compare with."""
    cloud = deployed()
    tokens = [cloud.id_token(worker) for worker in _two_workers(cloud)]
    for number in SIZES:
        project = f"tasks-{number}-{time.time():.0f}"
        open_tasks(
            IndexedProjects(cloud.table),
            LabelingJobIndex(cloud.table),
            TaskIndex(cloud.table),
            project,
            number,
        )
        answers_a_second(cloud.outputs["ApiUrl"], project, tokens, _WARM_UP)
        for workers in (1, 2):
            yield _row(cloud, project, number, tokens[:workers])


def _row(cloud: Cloud, project: str, number: int, tokens: Sequence[str]) -> tuple[str, str, str]:
    meter, workers = Meter(cloud.pid), len(tokens)
    rate = answers_a_second(cloud.outputs["ApiUrl"], project, tokens, _ANSWERS // workers)
    return (
        f"lease plus answer, {number:,} open tasks, {workers} worker(s), local cloud",
        f"{rate:.1f} a second; processor time of each: {meter.read().of(_ANSWERS)}",
        f"at least {_TO_REACH[workers]}; Label Studio 1.23.2: {_PEERS[workers]}",
    )


def _two_workers(cloud: Cloud) -> Iterator[WorkerCredentials]:
    yield cloud.session.worker(None, None)
    second = WorkerCredentials("second", new_password())
    cloud.session.stack.create_worker(second.name, second.password)
    yield second
