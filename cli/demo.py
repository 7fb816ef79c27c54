"""`loupe demo`: the whole loop, twice, on real handwritten digits."""

import shutil
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click
import yaml
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from cli import localcloud
from cli.annotate import AnnotationReport, Annotator
from cli.console import PROGRESS_PER_SECOND, err, json_option, out, print_json
from cli.digits import LABELS, Digit, load_digits, write_out
from cli.errors import CommandFault, NotRegisteredYet
from cli.project import store
from cli.session import Session, WorkerCredentials, pass_session
from cli.stack import PortalTask, ProjectStatus, Stack
from cli.status import describe_training
from cli.upload import Uploader, UploadReport, find_images
from cli.wait import REACHED, describe, wait_until
from local import launcher
from loupe.domain.label_values import LabelValue, OneLabel

FIRST_BATCH = 800
SECOND_BATCH = 200
TEST_DIGITS = 200
STAGE_TIMEOUT = 600.0
UPLOAD_THREADS = 8
ANSWERS_AT_A_TIME = 4
SECONDS_BETWEEN_PROBES = 0.25


@dataclass(frozen=True)
class Sizes:
    """How many digits the demo labels at first, then, and asks the endpoint about."""

    first: int = FIRST_BATCH
    second: int = SECOND_BATCH
    test: int = TEST_DIGITS


@dataclass
class Answers:
    """What came of asking the endpoint: how many were right, and how long each took, in seconds."""

    right: int = 0
    seconds: list[float] = field(default_factory=list)

    @property
    def accuracy(self) -> float:
        return self.right / len(self.seconds)

    @property
    def median_ms(self) -> float:
        return statistics.median(self.seconds) * 1000

    @property
    def p95_ms(self) -> float:
        return statistics.quantiles(self.seconds, n=20)[-1] * 1000


class Stages:
    """Live progress: a line a stage, with its time; without a terminal, a line when a stage ends."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.seconds: dict[str, float] = {}
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[remark]}", style="dim", markup=False),
            console=console,
            refresh_per_second=PROGRESS_PER_SECOND,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> "Stages":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    @contextmanager
    def stage(self, name: str, total: int = 1) -> "Iterator[Stage]":
        """Times what is done inside, and shows it as done at the end."""
        task = self._progress.add_task(name, total=total, remark="")
        stage = Stage(self._progress, task)
        started = time.monotonic()
        yield stage
        self.seconds[name] = time.monotonic() - started
        self._progress.update(task, completed=total)
        if not self._console.is_terminal:
            self._console.print(f"{name}: {self.seconds[name]:.1f} s {stage.remark}".rstrip())


@dataclass
class Stage:
    """One line of the display."""

    progress: Progress
    task: TaskID
    remark: str = ""

    def show(self, completed: int, remark: str = "") -> None:
        self.remark = remark
        self.progress.update(self.task, completed=completed, remark=remark)

    def say(self, remark: str) -> None:
        self.remark = remark
        self.progress.update(self.task, remark=remark)


class Probe:
    """Calls the endpoint all the time from a thread of its own, and counts the calls and the failures."""

    def __init__(
        self, stack: Stack, project: str, image: bytes, pause: float = SECONDS_BETWEEN_PROBES
    ) -> None:
        self._stack = stack
        self._project = project
        self._image = image
        self._pause = pause
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="endpoint probe", daemon=True)
        self.calls = 0
        self.failures: list[str] = []
        self.versions: list[str] = []

    def __enter__(self) -> "Probe":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.is_set():
            self.calls += 1
            try:
                version = self._stack.predict(self._project, self._image, "image/png")["model_version"]
            except CommandFault as fault:
                self.failures.append(fault.message)
            else:
                if version not in self.versions:
                    self.versions.append(version)
            self._end.wait(self._pause)


class Demo:
    """The loop on one project of digits."""

    def __init__(
        self, session: Session, worker: WorkerCredentials, folder: Path, digits: Sequence[Digit], sizes: Sizes
    ) -> None:
        self._session = session
        self._stack = session.stack
        self._worker = worker
        self._folder = folder
        self._sizes = sizes
        self._first = digits[: sizes.first]
        self._second = digits[sizes.first : sizes.first + sizes.second]
        self._test = digits[sizes.first + sizes.second : sizes.first + sizes.second + sizes.test]
        self.project = free_project_name(self._stack)

    def run(self, stages: Stages) -> "DemoReport":
        """Raises CommandFault where a stage fails."""
        self._configure(self._sizes.first)
        self._upload(stages, f"Uploading {len(self._first)} digits", self._first)
        self._label(stages, "Labeling them in the portal", self._first)
        first = self._train(stages, "Training and deploying a model", None)
        answers = self._ask(stages)

        # The second batch is smaller: with batch_size at its size, its job opens at once too.
        self._configure(self._sizes.second)
        with Probe(self._stack, self.project, self._test[0].png()) as probe:
            self._upload(stages, f"Dropping {len(self._second)} more", self._second)
            self._label(stages, "Labeling those", self._second)
            second = self._train(stages, "The loop turns by itself", first)
        return DemoReport(self.project, first, second, answers, probe, stages.seconds)

    def _configure(self, batch_size: int) -> None:
        content = {
            "task": "image-classification",
            "labels": list(LABELS),
            "instructions": "Which digit is this?",
            "labeling": {"batch_size": batch_size},
        }
        store(self._session, self.project, yaml.safe_dump(content, sort_keys=False), replace=True)

    def _upload(self, stages: Stages, name: str, digits: Sequence[Digit]) -> None:
        folder = self._folder / self.project
        before = self._registered()
        with stages.stage(name, len(digits)) as stage:
            write_out(digits, folder)
            images, _ = find_images(folder, f"{self.project}/")
            uploader = Uploader(self._stack, self._stack.list_objects(f"{self.project}/"), UPLOAD_THREADS)

            def show(report: UploadReport) -> None:
                stage.show(report.stored, report.rate)

            report = uploader.run(images, show)
            if report.stopped:
                raise KeyboardInterrupt
            wanted = before + len(digits)
            wait_until(
                self._session,
                self.project,
                lambda found: sum_of_images(found) >= wanted and REACHED["labeling"](found),
                STAGE_TIMEOUT,
                lambda found: stage.say(f"{sum_of_images(found) - before} registered"),
            )

    def _registered(self) -> int:
        try:
            return sum_of_images(self._session.project_status(self.project))
        except NotRegisteredYet:
            return 0

    def _label(self, stages: Stages, name: str, digits: Sequence[Digit]) -> None:
        labels = {f"{self.project}/{digit.name}": OneLabel(digit.label) for digit in digits}
        with stages.stage(name, len(digits)) as stage:
            portal = self._stack.sign_in(self._worker.name, self._worker.password)
            started = time.monotonic()

            def show(report: AnnotationReport) -> None:
                rate = report.answered / max(time.monotonic() - started, 1e-3)
                stage.show(report.answered, f"{rate:.0f} answers/s, as {self._worker.name}")

            def answer_of(task: PortalTask) -> LabelValue | None:
                return labels.get(task["image"]["name"])

            annotator = Annotator(portal, self.project, answer_of, ANSWERS_AT_A_TIME, self._session.sleep)
            report = annotator.run(show)
            if report.answered < len(digits):
                raise CommandFault(f"Only {report.answered} of {len(digits)} tasks could be answered.")

    def _train(self, stages: Stages, name: str, before: ProjectStatus | None) -> ProjectStatus:
        old = before["last_training"]["version"] if before and before["last_training"] else None

        def reached(found: ProjectStatus) -> bool:
            training = found["last_training"]
            return REACHED["deployed"](found) and training is not None and training["version"] != old

        with stages.stage(name) as stage:
            return wait_until(
                self._session, self.project, reached, STAGE_TIMEOUT, lambda found: stage.say(describe(found))
            )

    def _ask(self, stages: Stages) -> Answers:
        answers = Answers()
        with stages.stage(f"Asking the endpoint about {len(self._test)} others", len(self._test)) as stage:
            for digit in self._test:
                image = digit.png()
                started = time.perf_counter()
                predictions = self._stack.predict(self.project, image, "image/png")["predictions"]
                answers.seconds.append(time.perf_counter() - started)
                answers.right += bool(predictions) and predictions[0]["label"] == digit.label
                stage.show(len(answers.seconds), f"{answers.accuracy:.1%} right")
        return answers


def sum_of_images(found: ProjectStatus) -> int:
    """All images that are registered, in whatever state."""
    images = found["images"]
    return images["pending"] + images["labeling"] + images["labeled"] + images["rejected"]


def free_project_name(stack: Stack) -> str:
    """`digits`, or the first of `digits-2`, `digits-3`, ... that is no project yet."""
    taken = set(stack.projects())
    if "digits" not in taken:
        return "digits"
    return next(name for number in range(2, len(taken) + 3) if (name := f"digits-{number}") not in taken)


@dataclass
class DemoReport:
    """What the demo found. `first` and `second` are the project's status after each turn of the loop."""

    project: str
    first: ProjectStatus
    second: ProjectStatus
    answers: Answers
    probe: Probe
    seconds: dict[str, float]

    def as_json(self) -> dict[str, object]:
        champion = self.first["champion"]
        return {
            "project": self.project,
            "images": self.second["images"],
            "dataset_version": self.second["dataset_version"],
            "score": champion["score"] if champion else None,
            "accuracy": self.answers.accuracy,
            "answers": len(self.answers.seconds),
            "latency_ms": {"median": round(self.answers.median_ms, 1), "p95": round(self.answers.p95_ms, 1)},
            "second_training": self.second["last_training"],
            "calls_meanwhile": self.probe.calls,
            "failures_meanwhile": self.probe.failures,
            "seconds": {name: round(value, 1) for name, value in self.seconds.items()},
        }

    def table(self) -> Table:
        table = Table(title=f"The loop on {self.project}", show_header=False, title_justify="left")
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        champion = self.first["champion"]
        first_images = self.first["images"]
        table.add_row("Images registered", str(sum_of_images(self.first)))
        table.add_row("Labels", str(first_images["labeled"]))
        table.add_row("Dataset version", str(self.first["dataset_version"]))
        if champion is not None:
            table.add_row("Test score", f"{champion['score']:.1%}")
            table.add_row("Endpoint", champion["endpoint"])
        right = f"{self.answers.right} of {len(self.answers.seconds)} right ({self.answers.accuracy:.1%})"
        table.add_row("REST answers", right)
        table.add_row("Latency", f"median {self.answers.median_ms:.0f} ms, p95 {self.answers.p95_ms:.0f} ms")
        table.add_section()
        table.add_row(
            "Second batch",
            f"{self.second['images']['labeled']} labels, dataset {self.second['dataset_version']}",
        )
        table.add_row("", describe_training(self.second["last_training"]))
        table.add_row("Endpoint meanwhile", f"{self.probe.calls} calls, {len(self.probe.failures)} failures")
        table.add_section()
        for name, value in self.seconds.items():
            table.add_row(name, f"{value:.1f} s")
        table.add_row("Together", f"{sum(self.seconds.values()):.1f} s")
        return table


@click.command()
@click.option("--keep", is_flag=True, help="Leave the local cloud running at the end.")
@json_option
@pass_session
def demo(session: Session, keep: bool, as_json: bool) -> None:
    """Run the whole loop in the local cloud, on real handwritten digits.

    Starts the local cloud, deploys the stack, uploads 800 digits, labels them through the portal as a
    worker, waits for the model, asks its endpoint about 200 other digits, then drops 200 more and lets
    the loop turn once more, with the endpoint answering throughout. Takes a few minutes. What it made
    stays in LOUPE_HOME: `make up` shows it.

    \b
    Examples:
      loupe demo
      loupe demo --keep
    """
    was_running = launcher.status(session.home).running
    try:
        report = _run(session, keep)
    finally:
        if not keep and not was_running:
            with err().status("Stopping the local cloud"):
                launcher.down(session.home)
    if as_json:
        print_json(report.as_json())
    else:
        out().print(report.table())
        _say_where_to_look(report.project, running=keep or was_running)
    if report.probe.failures:
        raise CommandFault(f"The endpoint failed while the loop turned: {report.probe.failures[0]}")


def _run(session: Session, detach: bool) -> DemoReport:
    with Stages(err()) as stages:
        with stages.stage("Starting the local cloud, deploying the stack"):
            cloud, connection = localcloud.start(session, detach)
        local = Session(lambda: connection, session.home, session.port, session.clock, session.sleep)
        folder = cloud.home / "tmp-demo"
        try:
            return Demo(local, local.worker(None, None), folder, load_digits(), Sizes()).run(stages)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _say_where_to_look(project: str, running: bool) -> None:
    console = out()
    console.print("Where to look next:")
    if not running:
        console.print("  make up                          the same local cloud, with all of this still there")
    console.print(f"  loupe status {project:<20}how the project stands")
    console.print("  loupe open                       the labeling portal")
    console.print(f"  loupe predict {project} FILE.png   ask the model yourself")
