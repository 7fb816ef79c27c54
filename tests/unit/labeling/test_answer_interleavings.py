"""Workers who lease, answer and correct the same tasks at once, and die anywhere: no answer is lost or
counted twice, and nobody answers for two."""

from collections import defaultdict
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from loupe.domain.errors import Conflict, StoreUnavailable
from loupe.domain.label_values import OneLabel
from loupe.domain.labeling.annotation import LeaseLost, Worker
from loupe.ports.labeling import Task
from tests.unit.labeling.conftest import PROJECT, Loop
from tests.unit.labeling.test_interleavings import Pausing, Run

WORKERS = [Worker(str(number) * 4, name) for number, name in enumerate(("ada", "ben", "cleo", "dan", "eve"))]
LABELS = ("ok", "scratch", "dent")
IMAGES, EACH, MOST = 2, 2, 4


class World:
    """A job of two images, each for two workers or, in doubt, up to four."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.loop.configure(batch_size=IMAGES, workers_per_image=EACH, max_workers_per_image=MOST)
        self.loop.register(IMAGES)
        self.loop.start(PROJECT)
        self.job = self.loop.open_job().job
        self.runs: list[Run] = []
        self.tried: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.acknowledged: set[tuple[str, str]] = set()

    def alive(self) -> list[Run]:
        return [run for run in self.runs if not run.is_over]

    def tasks(self) -> list[Task]:
        return list(self.loop.tasks.tasks(self.job))

    def answers(self) -> dict[tuple[str, str], str]:
        """What each worker says of each task, by the index."""
        found = {}
        for task in self.tasks():
            for answer in task.answers:
                assert isinstance(answer.value, OneLabel)
                found[task.task, answer.worker] = answer.value.label
        return found

    def start_answer(self, number: int) -> None:
        """A worker leases what he can get, and answers a task, be it his or not."""
        worker, label = WORKERS[number % 5], LABELS[number % 3]
        task = f"{number % IMAGES:06d}"

        def work(run: Run) -> None:
            ports = {name: Pausing(getattr(self.loop, name), run) for name in ("workspace", "tasks", "jobs")}
            portal = self.loop.labeling_portal(**ports)
            portal.lease(PROJECT, worker, 1 + number % 2)
            self.tried[task, worker.id].add(label)
            with suppress(Conflict):
                portal.annotate(PROJECT, self.job, task, worker, value=OneLabel(label), lease=number % 2)
                self.acknowledged.add((task, worker.id))

        self.runs.append(Run(work))

    def start_consolidation(self) -> None:
        def work(run: Run) -> None:
            ports = {name: Pausing(getattr(self.loop, name), run) for name in ("workspace", "tasks", "jobs")}
            self.loop.consolidate_annotations(**ports)(PROJECT, self.job)

        self.runs.append(Run(work))

    def check(self) -> None:
        found = self.loop.jobs.job(PROJECT, self.job)
        assert found is not None
        tasks = self.tasks()
        assert found.answered == sum(task.is_done for task in tasks)
        for task in tasks:
            workers = [answer.worker for answer in task.answers]
            assert len({*workers}) == len(workers)
            assert not {*workers} & {lease.worker for lease in task.leases}
            assert len(workers) + len(task.leases) <= max(task.workers, len(workers))
        if found.state == "finished":
            assert all(task.is_done for task in tasks)
        self.check_answers()

    def check_answers(self) -> None:
        """Who was told that his answer is taken finds it, or a later one of his own."""
        said = self.answers()
        for each in self.acknowledged:
            assert said[each] in self.tried[each]

    def go_on_to_the_end(self) -> None:
        for _ in range(2 * MOST):
            self.loop.clock.advance(minutes=11)
            for worker in WORKERS:
                work = self.loop.portal.lease(PROJECT, worker, IMAGES)
                for leased in work.tasks:
                    with suppress(LeaseLost):
                        task = leased.task
                        self.loop.portal.annotate(PROJECT, task.job, task.task, worker, value=OneLabel("ok"))
                        self.acknowledged.add((task.task, worker.id))
                        self.tried[task.task, worker.id].add("ok")
            self.loop.consolidate(PROJECT, self.job)
            self.check()
            if self.loop.jobs.open_job(PROJECT) is None:
                return
        raise AssertionError("the job never comes to its end")


ACTIONS = [*["answer"] * 6, *["steps"] * 14, "die", "wait", "consolidate", "restore"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 59)), min_size=30, max_size=80))
def test_no_answer_is_lost_and_none_counts_twice(actions: list[tuple[str, int]]) -> None:
    world = World()
    for action, number in actions:
        match action:
            case "answer" if len(world.alive()) < 5:
                world.start_answer(number)
            case "consolidate" if len(world.alive()) < 5:
                world.start_consolidation()
            case "steps" | "die" if world.alive():
                run = world.alive()[number % len(world.alive())]
                for _ in range(1 + number % 5):
                    run.step()
                if action == "die":
                    run.die()
            case "wait":
                world.loop.clock.advance(minutes=number % 12)
            case "restore":
                with suppress(StoreUnavailable):
                    world.loop.restore(PROJECT, world.job)
        world.check()
    for at, run in enumerate(world.alive()):
        if at % 3 == 2:
            run.die()
        else:
            run.finish()
        world.check()

    before = world.answers()
    if world.loop.jobs.open_job(PROJECT) is not None:
        world.loop.lose_index()
        world.loop.restore(PROJECT, world.job)
        if world.loop.jobs.open_job(PROJECT) is not None:
            assert before.keys() <= world.answers().keys()
            world.check()
        world.go_on_to_the_end()
    rows = world.loop.output_rows(world.job)
    concluded = {(f"{at:06d}", name) for at, row in enumerate(rows) for name in row["loupe-workers"]}
    names = {worker.id: worker.name for worker in WORKERS}
    said = world.answers() or before  # a finished job comes back without its tasks
    assert concluded == {(task, names[worker]) for task, worker in said}
