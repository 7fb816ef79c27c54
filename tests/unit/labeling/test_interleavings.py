"""Runs of start_labeling that overlap, repeat and die anywhere: each image gets into exactly one job."""

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from loupe.domain.errors import StoreUnavailable
from loupe.domain.workspace import Workspace
from tests.unit.labeling.conftest import PROJECT, Loop

BATCH_SIZE = 3


class Death(BaseException):
    """The process is gone; no handler of an `except Exception` sees it."""


class Run:
    """A use case in a thread of its own, which stops before each use of a port until it is let go on."""

    def __init__(self, work: Callable[["Run"], None]) -> None:
        self._go, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._dies = False
        self.is_over = False
        self._thread = threading.Thread(target=self._work, args=(work,), daemon=True)
        self._thread.start()

    def _work(self, work: Callable[["Run"], None]) -> None:
        self._go.acquire()
        try:
            if not self._dies:
                work(self)
        except (Death, StoreUnavailable):
            pass
        finally:
            self.is_over = True
            self._stopped.release()

    def pause(self) -> None:
        """Called by the use case's ports."""
        self._stopped.release()
        self._go.acquire()
        if self._dies:
            raise Death

    def step(self) -> None:
        """Let it go on to its next use of a port."""
        if not self.is_over:
            self._go.release()
            self._stopped.acquire()

    def die(self) -> None:
        self._dies = True
        self.step()
        self._thread.join()

    def finish(self) -> None:
        while not self.is_over:
            self.step()
        self._thread.join()


class Pausing:
    """A port each use of which is a moment at which others come in between, or the process dies."""

    def __init__(self, port: Any, run: Run) -> None:
        self._port, self._run = port, run

    def __getattr__(self, name: str) -> Any:
        used = getattr(self._port, name)
        if not callable(used):
            return used

        def use(*arguments: Any, **named: Any) -> Any:
            self._run.pause()
            return used(*arguments, **named)

        return use


def start_labeling(loop: Loop) -> Run:
    def work(run: Run) -> None:
        ports = {
            name: Pausing(getattr(loop, name), run)
            for name in ("projects", "images", "jobs", "workspace", "events", "tasks")
        }
        loop.start_labeling(**ports)(PROJECT)

    return Run(work)


def label_and_conclude(loop: Loop) -> None:
    """What people and consolidate_annotations do with the open job, if there is one by now."""
    job = loop.jobs.open_job(PROJECT)
    if job is not None and job.state in {"open", "consolidating"} and job.tasks:
        loop.answer_all()
        with suppress(StoreUnavailable):
            loop.consolidate(PROJECT, job.job)


def forget_an_image(loop: Loop) -> None:
    """The image that would be taken next is none to label any more."""
    for image in loop.images.pending(PROJECT, 1):
        loop.images.accept(PROJECT, "nobody", [image.sha256], [])


def check(loop: Loop) -> None:
    jobs = loop.jobs.jobs(PROJECT, 100)
    assert sum(job.state != "finished" for job in jobs) <= 1
    names = list(loop.workspace.list_folders(Workspace(PROJECT).jobs))
    manifests = [name for name in names if loop.workspace.exists(Workspace(PROJECT).input_manifest(name))]
    listed = Counter(row["image-sha256"] for name in manifests for row in loop.input_rows(name))
    assert all(times == 1 for times in listed.values())
    assert all(len(loop.input_rows(name)) <= BATCH_SIZE for name in manifests)


# Often what makes runs meet: starting them while others stand still, and letting a minute pass.
ACTIONS = [*["start", "wait"] * 4, *["steps"] * 12, "die", "register", "forget", "label", "bus"]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 99)), min_size=40, max_size=100))
def test_no_image_is_in_two_jobs_or_in_none(actions: list[tuple[str, int]]) -> None:
    loop = Loop()
    loop.configure(batch_size=BATCH_SIZE, max_wait_minutes=5)
    loop.register(4)
    runs: list[Run] = []

    def alive() -> list[Run]:
        return [run for run in runs if not run.is_over]

    for action, number in actions:
        match action:
            case "start" if len(alive()) < 4:
                runs.append(start_labeling(loop))
            case "steps" | "die" if alive():
                run = alive()[number % len(alive())]
                for _ in range(1 + number % 4):
                    run.step()
                if action == "die":
                    run.die()
            case "register":
                loop.register(1 + number % 4)
            case "forget":
                forget_an_image(loop)
            case "wait":
                loop.clock.advance(seconds=20 + number)
            case "label":
                label_and_conclude(loop)
            case "bus":
                loop.events.is_down = not loop.events.is_down
        check(loop)

    for at, run in enumerate(alive()):
        if at % 2:
            run.die()
        else:
            run.finish()
        check(loop)
    loop.events.is_down = False
    go_on_to_the_end(loop)

    concluded = {
        row["image-sha256"]: job.job
        for job in loop.jobs.jobs(PROJECT, 100)
        for row in loop.output_rows(job.job)
    }
    registered = loop.projects.counts(PROJECT)
    assert registered.pending == 0
    assert len(concluded) == registered.labeling
    for sha256, job in concluded.items():
        image = loop.images.image(PROJECT, sha256)
        assert image is not None
        assert image.job == job


def go_on_to_the_end(loop: Loop) -> None:
    """The schedule's runs, and people who label whatever is there."""
    for _ in range(100):
        loop.clock.advance(minutes=6)
        loop.start(PROJECT)
        label_and_conclude(loop)
        check(loop)
        if loop.projects.counts(PROJECT).pending == 0 and loop.jobs.open_job(PROJECT) is None:
            return
    raise AssertionError("labeling never comes to its end")
