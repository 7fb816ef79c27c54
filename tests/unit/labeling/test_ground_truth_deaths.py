"""Runs that end jobs of Ground Truth may die at any use of a port: the next minutes put everything right."""

from collections.abc import Callable
from itertools import count
from typing import Any

from loupe.domain.datasets.labels import AcceptLabels
from loupe.domain.events import LabelingJobFailed, LabelingJobFinished
from loupe.domain.labeling.job_ends import read_end
from loupe.domain.labeling.provided_labels import ConcludeLabelingJob
from loupe.domain.labeling.starting import LabelingRefused
from loupe.ports.labeling import ProviderProgress
from tests.unit.labeling.conftest import PROJECT, Loop
from tests.unit.labeling.test_ground_truth_jobs import answer, newest
from tests.unit.labeling.test_interleavings import Death


class Life:
    """So many uses of ports, and then death."""

    def __init__(self, uses: int) -> None:
        self._left = uses

    def of(self, port: Any) -> Any:
        return Mortal(port, self)

    def use(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Death


class Mortal:
    """A port of a run that may die before each use of it."""

    def __init__(self, port: Any, life: Life) -> None:
        self._port, self._life = port, life

    def __getattr__(self, name: str) -> Any:
        used = getattr(self._port, name)
        if not callable(used):
            return used

        def use(*arguments: Any, **named: Any) -> Any:
            self._life.use()
            return used(*arguments, **named)

        return use


def deaths(work: Callable[[Loop, Life], None], prepare: Callable[[Loop], None]) -> list[Loop]:
    """What is left of a project after each death that the work can die, some minutes later."""
    left = []
    for uses in count():
        loop = Loop()
        loop.configure(provider="ground-truth")
        loop.register(3)
        prepare(loop)
        try:
            work(loop, Life(uses))
        except Death:
            left.append(loop)
        else:
            assert len(left) > 5
            return left
        for _ in range(3):
            loop.clock.advance(minutes=1)
            loop.start(PROJECT)
    raise AssertionError("count never ends")


def conclude(loop: Loop, life: Life) -> None:
    mortal = ConcludeLabelingJob(
        jobs=life.of(loop.jobs),
        images=life.of(loop.images),
        workspace=life.of(loop.workspace),
        provider=life.of(loop.ground_truth),
        events=life.of(loop.events),
        clock=loop.clock,
    )
    mortal(PROJECT, loop.open_job().job)


def test_a_finished_job_is_finished_whenever_its_conclusion_dies() -> None:
    def prepare(loop: Loop) -> None:
        loop.start(PROJECT)
        job = loop.open_job().job
        answer(loop, job, ["ok", None, "dent"])
        loop.ground_truth.jobs[job] = ProviderProgress("stopped", 2, 0)

    for loop in deaths(conclude, prepare):
        job = newest(loop)
        assert (job.state, job.announced) == ("finished", True)
        assert LabelingJobFinished(PROJECT, job.job) in loop.events.published
        assert loop.jobs.open_job(PROJECT) is None
        end = read_end(loop.workspace, PROJECT, job.job)
        assert end is not None
        assert end.state == "finished"
        AcceptLabels(loop.images, loop.workspace, loop.raw_data.bucket, loop.clock)(
            loop.jobs.card(PROJECT, job.job)
        )
        counts = loop.projects.counts(PROJECT)
        assert (counts.labeled, counts.pending, counts.labeling) == (2, 1, 0)


def assert_failed(loop: Loop) -> None:
    job = newest(loop)
    assert (job.state, job.announced) == ("failed", True)
    assert LabelingJobFailed(PROJECT, job.job, job.reason or "") in loop.events.published
    end = read_end(loop.workspace, PROJECT, job.job)
    assert end is not None
    assert (end.state, end.reason) == ("failed", job.reason)
    assert loop.jobs.open_job(PROJECT) is None
    assert loop.projects.counts(PROJECT).pending == 3


def test_a_failed_job_gives_its_images_back_whenever_its_conclusion_dies() -> None:
    def prepare(loop: Loop) -> None:
        loop.start(PROJECT)
        loop.ground_truth.jobs[loop.open_job().job] = ProviderProgress("failed", 0, 0, "no access")

    for loop in deaths(conclude, prepare):
        assert_failed(loop)


def test_a_refused_job_gives_its_images_back_whenever_its_start_dies() -> None:
    def prepare(loop: Loop) -> None:
        loop.ground_truth.error = LabelingRefused("the workteam is gone")

    def start(loop: Loop, life: Life) -> None:
        ports = {
            name: life.of(getattr(loop, name))
            for name in ("projects", "images", "jobs", "workspace", "events")
        }
        loop.start_labeling(**ports)(PROJECT)

    for loop in deaths(start, prepare):
        assert_failed(loop)
