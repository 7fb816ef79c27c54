"""`loupe demo`: the whole loop on real handwritten digits."""

import shutil
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
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

from cli import drawing, localcloud
from cli.annotate import AnnotationReport, Annotator
from cli.console import PROGRESS_PER_SECOND, err, json_option, out, print_json
from cli.demo_pictures import MATERIALS, Material, Picture
from cli.digits import Digit, load_digits
from cli.errors import CommandFault, NotRegisteredYet
from cli.predict import in_words
from cli.project import store
from cli.session import Session, WorkerCredentials, pass_session
from cli.stack import PortalTask, ProjectStatus, Stack
from cli.status import describe_training
from cli.upload import Uploader, UploadReport, find_images
from cli.wait import REACHED, describe, wait_until
from local import launcher
from loupe.domain.label_values import LabelValue
from loupe.domain.projects import TaskType
from loupe.domain.training.metrics import SCORES, Answered, measure

UPLOAD_THREADS = 8
ANSWERS_AT_A_TIME = 4
SECONDS_BETWEEN_PROBES = 0.25


@dataclass
class Answers:
    """What came of asking the endpoint: its answers beside what is right, and how long each took, in
    seconds."""

    task: TaskType
    labels: Sequence[str]
    answered: list[Answered] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def score(self) -> float:
        """Of the kind that `SCORES` names."""
        score: float | None = measure(self.task, self.labels, self.answered)["score"]
        return score or 0.0

    @property
    def median_ms(self) -> float:
        return statistics.median(self.seconds) * 1000

    @property
    def p95_ms(self) -> float:
        return statistics.quantiles(self.seconds, n=20)[-1] * 1000

    def in_words(self) -> str:
        count = len(self.answered)
        if self.task == "image-classification":
            return f"{round(self.score * count)} of {count} right ({self.score:.1%})"
        return f"{SCORES[self.task]} {self.score:.3f} on {count} others"


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
    """The loop on one project. `folder` is for files that are gone afterwards."""

    def __init__(self, session: Session, worker: WorkerCredentials, folder: Path, material: Material) -> None:
        self._session = session
        self._stack = session.stack
        self._worker = worker
        self._folder = folder
        self._material = material
        self.project = free_project_name(self._stack, material.project)

    def run(self, stages: Stages) -> "DemoReport":
        """Raises CommandFault where a stage fails."""
        material = self._material
        self._configure(len(material.first))
        self._upload(stages, f"Uploading {len(material.first)} {material.noun}", material.first)
        self._label(stages, "Labeling them in the portal", material.first)
        first = self._train(stages, "Training and deploying a model", None)
        answers = self._ask(stages)
        report = DemoReport(self.project, first, answers, stages.seconds)
        return self._turn_again(stages, report) if material.second else report

    def _turn_again(self, stages: Stages, report: "DemoReport") -> "DemoReport":
        second = self._material.second
        # The second batch is smaller: with batch_size at its size, its job opens at once too.
        self._configure(len(second))
        with Probe(self._stack, self.project, self._material.test[0].png) as probe:
            self._upload(stages, f"Dropping {len(second)} more", second)
            self._label(stages, "Labeling those", second)
            status = self._train(stages, "The loop turns by itself", report.first)
        return replace(report, second=status, probe=probe)

    def _configure(self, batch_size: int) -> None:
        content = {
            "task": self._material.task,
            "labels": list(self._material.labels),
            "instructions": self._material.instructions,
            "labeling": {"batch_size": batch_size},
        }
        store(self._session, self.project, yaml.safe_dump(content, sort_keys=False), replace=True)

    def _upload(self, stages: Stages, name: str, pictures: Sequence[Picture]) -> None:
        folder = self._folder / self.project
        folder.mkdir(parents=True, exist_ok=True)
        before = self._registered()
        with stages.stage(name, len(pictures)) as stage:
            for picture in pictures:
                (folder / picture.name).write_bytes(picture.png)
            images, _ = find_images(folder, f"{self.project}/")
            uploader = Uploader(self._stack, self._stack.list_objects(f"{self.project}/"), UPLOAD_THREADS)

            def show(report: UploadReport) -> None:
                stage.show(report.stored, report.rate)

            report = uploader.run(images, show)
            if report.stopped:
                raise KeyboardInterrupt
            wanted = before + len(pictures)
            wait_until(
                self._session,
                self.project,
                lambda found: sum_of_images(found) >= wanted and REACHED["labeling"](found),
                self._material.patience,
                lambda found: stage.say(f"{sum_of_images(found) - before} registered"),
            )

    def _registered(self) -> int:
        try:
            return sum_of_images(self._session.project_status(self.project))
        except NotRegisteredYet:
            return 0

    def _label(self, stages: Stages, name: str, pictures: Sequence[Picture]) -> None:
        values = {f"{self.project}/{picture.name}": picture.value for picture in pictures}
        with stages.stage(name, len(pictures)) as stage:
            portal = self._stack.sign_in(self._worker.name, self._worker.password)
            started = time.monotonic()

            def show(report: AnnotationReport) -> None:
                rate = report.answered / max(time.monotonic() - started, 1e-3)
                stage.show(report.answered, f"{rate:.0f} answers/s, as {self._worker.name}")

            def answer_of(task: PortalTask) -> LabelValue | None:
                return values.get(task["image"]["name"])

            annotator = Annotator(portal, self.project, answer_of, ANSWERS_AT_A_TIME, self._session.sleep)
            report = annotator.run(show)
            if report.answered < len(pictures):
                raise CommandFault(f"Only {report.answered} of {len(pictures)} tasks could be answered.")

    def _train(self, stages: Stages, name: str, before: ProjectStatus | None) -> ProjectStatus:
        old = before["last_training"]["version"] if before and before["last_training"] else None

        def reached(found: ProjectStatus) -> bool:
            training = found["last_training"]
            return REACHED["deployed"](found) and training is not None and training["version"] != old

        with stages.stage(name) as stage:
            return wait_until(
                self._session,
                self.project,
                reached,
                self._material.patience,
                lambda found: stage.say(describe(found)),
            )

    def _ask(self, stages: Stages) -> Answers:
        asked = self._material.test
        answers = Answers(self._material.task, self._material.labels)
        with stages.stage(f"Asking the endpoint about {len(asked)} others", len(asked)) as stage:
            for picture in asked:
                started = time.perf_counter()
                predictions = self._stack.predict(self.project, picture.png, "image/png")["predictions"]
                answers.seconds.append(time.perf_counter() - started)
                answers.answered.append(Answered(picture.value, predictions))
                stage.show(len(answers.seconds))
            stage.say(answers.in_words())
        return answers


def sum_of_images(found: ProjectStatus) -> int:
    """All images that are registered, in whatever state."""
    images = found["images"]
    return images["pending"] + images["labeling"] + images["labeled"] + images["rejected"]


def free_project_name(stack: Stack, wanted: str) -> str:
    """`digits`, say, or the first of `digits-2`, `digits-3`, ... that is no project yet."""
    taken = set(stack.projects())
    if wanted not in taken:
        return wanted
    return next(name for number in range(2, len(taken) + 3) if (name := f"{wanted}-{number}") not in taken)


@dataclass
class DemoReport:
    """What the demo found. `first` and `second` are the project's status after each turn of the loop; where
    it turned once, `second` and `probe` are None."""

    project: str
    first: ProjectStatus
    answers: Answers
    seconds: dict[str, float]
    second: ProjectStatus | None = None
    probe: Probe | None = None

    def as_json(self) -> dict[str, object]:
        champion, last = self.first["champion"], self.second or self.first
        found: dict[str, object] = {
            "project": self.project,
            "images": last["images"],
            "dataset_version": last["dataset_version"],
            "score": champion["score"] if champion else None,
            "accuracy": self.answers.score,
            "answers": len(self.answers.seconds),
            "latency_ms": {"median": round(self.answers.median_ms, 1), "p95": round(self.answers.p95_ms, 1)},
            "seconds": {name: round(value, 1) for name, value in self.seconds.items()},
        }
        if self.answers.task != "image-classification":
            found[SCORES[self.answers.task]] = found.pop("accuracy")
        if self.second is not None and self.probe is not None:
            found["second_training"] = self.second["last_training"]
            found["calls_meanwhile"] = self.probe.calls
            found["failures_meanwhile"] = self.probe.failures
        return found

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
        table.add_row("REST answers", self.answers.in_words())
        table.add_row("Latency", f"median {self.answers.median_ms:.0f} ms, p95 {self.answers.p95_ms:.0f} ms")
        if self.second is not None and self.probe is not None:
            table.add_section()
            table.add_row(
                "Second batch",
                f"{self.second['images']['labeled']} labels, dataset {self.second['dataset_version']}",
            )
            table.add_row("", describe_training(self.second))
            table.add_row(
                "Endpoint meanwhile", f"{self.probe.calls} calls, {len(self.probe.failures)} failures"
            )
        table.add_section()
        for name, value in self.seconds.items():
            table.add_row(name, f"{value:.1f} s")
        table.add_row("Together", f"{sum(self.seconds.values()):.1f} s")
        return table


@click.command()
@click.option(
    "--task",
    type=click.Choice(list(MATERIALS)),
    default="image-classification",
    show_default=True,
    help="What the model is to learn: the digit of an image, or boxes around several.",
)
@click.option("--keep", is_flag=True, help="Leave the local cloud running at the end.")
@json_option
@pass_session
def demo(session: Session, task: TaskType, keep: bool, as_json: bool) -> None:
    """Run the whole loop in the local cloud, on real handwritten digits.

    Starts the local cloud, deploys the stack, uploads 800 digits, labels them through the portal as a
    worker, waits for the model, asks its endpoint about 200 other digits, then drops 200 more and lets
    the loop turn once more, with the endpoint answering throughout. Takes a few minutes. What it made
    stays in LOUPE_HOME: `make up` shows it.

    With --task bounding-box the loop turns once, on 300 scenes of several digits each; the endpoint finds
    the digits in 60 scenes of others, and one answer is drawn into its image.

    \b
    Examples:
      loupe demo
      loupe demo --keep
      loupe demo --task bounding-box
    """
    was_running = launcher.status(session.home).running
    try:
        report, drawn = _run(session, MATERIALS[task], keep)
    finally:
        if not keep and not was_running:
            with err().status("Stopping the local cloud"):
                launcher.down(session.home)
    if as_json:
        print_json(report.as_json() | ({"drawn": str(drawn)} if drawn else {}))
    else:
        out().print(report.table())
        if drawn:
            out().print(f"One of the answers is drawn in {drawn}", markup=False, soft_wrap=True)
        _say_where_to_look(report.project, running=keep or was_running)
    if report.probe is not None and report.probe.failures:
        raise CommandFault(f"The endpoint failed while the loop turned: {report.probe.failures[0]}")


def _run(
    session: Session, material_of: Callable[[Sequence[Digit]], Material], detach: bool
) -> tuple[DemoReport, Path | None]:
    with Stages(err()) as stages:
        with stages.stage("Starting the local cloud, deploying the stack"):
            cloud, connection = localcloud.start(session, detach)
        local = Session(lambda: connection, session.home, session.port, session.clock, session.sleep)
        folder, material = cloud.home / "tmp-demo", material_of(load_digits())
        try:
            report = Demo(local, local.worker(None, None), folder, material).run(stages)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    if material.task != "bounding-box":
        return report, None
    return report, draw_one(report, material, cloud.home / f"{report.project}.png")


def draw_one(report: DemoReport, material: Material, target: Path) -> Path:
    """The endpoint's first answer, drawn into its picture."""
    picture, answered = material.test[0], report.answers.answered[0]
    answer = {"task": material.task, "predictions": answered.predictions}
    drawing.save(drawing.draw(picture.png, answer, in_words(answer)), target)
    return target


def _say_where_to_look(project: str, running: bool) -> None:
    console = out()
    console.print("Where to look next:")
    if not running:
        console.print("  make up                          the same local cloud, with all of this still there")
    console.print(f"  loupe status {project:<20}how the project stands")
    console.print("  loupe open                       the labeling portal")
    console.print(f"  loupe predict {project} FILE.png   ask the model yourself")
