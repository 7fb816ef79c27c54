"""`loupe annotate`: answers a project's open tasks from a file, through the labeling portal's API."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

import click

from cli.console import err, json_option, out, print_json, progress_bar
from cli.errors import ApiProblem, CommandFault, domain_errors_as_faults
from cli.label_files import LocalFiles
from cli.session import PROJECT, Session, pass_session, sign_in_options
from cli.stack import Lease, PortalJob, PortalProject, PortalSession, PortalTask, StoredObject
from loupe.domain.interchange import FORMATS
from loupe.domain.interchange.names import AmbiguousName, Names
from loupe.domain.interchange.records import Findings, Labeled, Reading
from loupe.domain.label_values import InvalidLabel, LabelValue, UnknownLabel, check_value
from loupe.domain.projects import TaskType

LEASE_COUNT = 20
"""Tasks asked for at a time: the most that the portal gives."""

LOOKS = 4
SECONDS_BETWEEN_LOOKS = 0.5

OVERTAKEN = frozenset({"lease-lost", "job-finished", "not-found"})
"""Problems that mean: this task is no longer ours to answer."""


def read_answers(file: Path, task: TaskType, labels: Sequence[str]) -> list[Labeled]:
    """What FILE says of each image that it names: COCO's JSON, or CSV.

    Raises CommandFault that names the place of the first thing that can't be used.
    """
    findings = Findings()
    form = FORMATS["coco" if file.suffix.lower() == ".json" else "csv"]
    reading = Reading(LocalFiles(file.parent, file.name, look_below=False), task, findings)
    with domain_errors_as_faults():
        answers = list(form.read(reading))
    for fault in findings.faults:
        raise CommandFault(str(fault), f"Faults in the file: {findings.fault_count}. Nothing was answered.")
    for answer in answers:
        try:
            check_value(answer.value, tuple(labels))
        except (UnknownLabel, InvalidLabel) as error:
            raise CommandFault(f"{answer.place}: {error.detail}", "Nothing was answered.") from error
    if not answers:
        raise CommandFault(f"{file} has no labels.")
    return answers


@dataclass(frozen=True)
class Matched:
    """`answers` by object key; `unmatched` are names in the file that are no image of the project."""

    answers: dict[str, Labeled]
    unmatched: list[str]


def match_keys(answers: Iterable[Labeled], project: str, stored: Iterable[StoredObject]) -> Matched:
    """Finds the object that each name means: its key, with or without the project; else the one image
    whose key is the end of that path, or ends in it. Raises CommandFault for a name that could mean several,
    and for an image that is named twice, and differently.

    Objects with the same bytes (ETag and size) share an answer, since only one of them becomes a task.
    """
    prefix = f"{project}/"
    same: dict[tuple[str, int], list[str]] = defaultdict(list)
    keys = set()
    for each in stored:
        keys.add(each.key)
        same[each.etag, each.size].append(each.key)
    names = Names(key.removeprefix(prefix) for key in keys)

    matched: dict[str, Labeled] = {}
    unmatched = []
    for answer in answers:
        key = _key_meant(answer.image, prefix, keys, names)
        if key is None:
            unmatched.append(answer.image)
        elif matched.setdefault(key, answer).value != answer.value:
            raise CommandFault(f"{answer.place}: {key} has another label in {matched[key].place}")
    for twins in same.values():
        known = [matched[key] for key in twins if key in matched]
        for key in twins if known else ():
            matched.setdefault(key, known[0])
    return Matched(matched, unmatched)


def _key_meant(name: str, prefix: str, keys: set[str], names: Names) -> str | None:
    for key in (prefix + name, name):
        if key in keys:
            return key
    try:
        found = names.find(name)
    except AmbiguousName as error:
        raise CommandFault(error.detail) from error
    return None if found is None else prefix + found


@dataclass
class AnswersOfFile:
    """Gives each task the answer that the file has for its image. `misfits` says which answers the image's
    size does not allow: boxes of a larger or a turned image."""

    matched: Matched
    misfits: list[str] = field(default_factory=list)

    def __call__(self, task: PortalTask) -> LabelValue | None:
        image = task["image"]
        answer, size = self.matched.answers.get(image["name"]), (image["width"], image["height"])
        if answer is None:
            return None
        try:
            value = answer.in_pixels(size)
            check_value(value, answer.value.names, size)
        except InvalidLabel as error:
            self.misfits.append(f"{answer.place}, {image['name']}: {error.detail}")
            return None
        return value


@dataclass
class AnnotationReport:
    """Counts of tasks. `overtaken`: somebody else answered, or the job ended. `left`: there is no answer."""

    answered: int = 0
    overtaken: int = 0
    left: int = 0
    job: PortalJob | None = None


class Annotator:
    """Answers tasks as long as the portal has some for which `answer_of` gives an answer.

    One thread decides and `parallel` connections carry: answers go out while further tasks come in with the
    answers' own replies, so that the portal is asked for tasks on their own only when none is at hand.
    """

    def __init__(
        self,
        portal: PortalSession,
        project: str,
        answer_of: Callable[[PortalTask], LabelValue | None],
        parallel: int,
        sleep: Callable[[float], None],
    ) -> None:
        self._portal = portal
        self._project = project
        self._answer_of = answer_of
        self._parallel = parallel
        self._sleep = sleep
        self._ready: deque[tuple[PortalTask, LabelValue]] = deque()
        self._seen: set[tuple[str, str]] = set()
        self._asked_for = 0
        self._report = AnnotationReport()

    def run(self, on_progress: Callable[[AnnotationReport], None]) -> AnnotationReport:
        """Ends when no open task is left that can be answered.

        Whatever ends it, tasks that it holds and did not answer are given back.
        """
        try:
            with ThreadPoolExecutor(self._parallel) as pool:
                self._answer_all(pool, on_progress)
        finally:
            self._portal.give_back(self._project)
        return self._report

    def _answer_all(self, pool: ThreadPoolExecutor, on_progress: Callable[[AnnotationReport], None]) -> None:
        waiting: dict[Future[Lease], int] = {}
        try:
            while True:
                while self._ready and len(waiting) < self._parallel:
                    lease = self._further()
                    waiting[pool.submit(self._answer, *self._ready.popleft(), lease)] = lease
                if not waiting:
                    if not self._find_more():
                        return
                    continue
                done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    self._asked_for -= waiting.pop(future)
                    self._settle(future)
                on_progress(self._report)
        finally:
            pool.shutdown(cancel_futures=True)

    def _find_more(self) -> bool:
        """Leases tasks until some of them can be answered; False if there are none.

        Tasks that can't be answered are given back, since the portal shows new ones first.
        """
        looks = LOOKS
        while looks:
            known = len(self._seen)
            lease = self._portal.lease(self._project, LEASE_COUNT)
            self._accept(lease)
            if self._ready:
                return True
            if len(self._seen) > known:
                self._portal.give_back(self._project)
                continue
            job = lease["job"]
            if job is None or job["answered"] + self._report.left >= job["tasks"]:
                return False
            # What is left is with other people, or the portal's list of free tasks lags behind a little.
            looks -= 1
            self._sleep(SECONDS_BETWEEN_LOOKS)
        return False

    def _answer(self, task: PortalTask, value: LabelValue, lease: int) -> Lease:
        return self._portal.annotate(self._project, task["job"], task["task"], value, lease)

    def _further(self) -> int:
        """How many tasks to ask for with the next answer: a full set as soon as half of one is left."""
        if len(self._ready) + self._asked_for > LEASE_COUNT // 2:
            return 0
        self._asked_for += LEASE_COUNT
        return LEASE_COUNT

    def _settle(self, answer: Future[Lease]) -> None:
        try:
            lease = answer.result()
        except ApiProblem as problem:
            if problem.slug not in OVERTAKEN:
                raise
            self._report.overtaken += 1
            return
        self._report.answered += 1
        self._accept(lease)

    def _accept(self, lease: Lease) -> None:
        self._report.job = _further_one(self._report.job, lease["job"])
        for task in lease["tasks"]:
            name = (task["job"], task["task"])
            if name in self._seen:
                continue
            self._seen.add(name)
            value = self._answer_of(task)
            if value is None:
                self._report.left += 1
            else:
                self._ready.append((task, value))


def _further_one(known: PortalJob | None, told: PortalJob | None) -> PortalJob | None:
    """The one that has come further: replies of answers given at a time arrive in any order."""
    if known is None or told is None:
        return told or known
    return known if known["job"] == told["job"] and known["answered"] > told["answered"] else told


@click.command()
@click.argument("name", type=PROJECT)
@click.argument("file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@sign_in_options
@click.option(
    "--parallel",
    type=click.IntRange(1, 16),
    default=4,
    show_default=True,
    help="Answers under way at a time.",
)
@json_option
@pass_session
def annotate(
    session: Session,
    name: str,
    file: Path,
    worker: str | None,
    password: str | None,
    parallel: int,
    as_json: bool,
) -> None:
    """Answer open tasks of the project NAME from FILE, as a worker who is signed in to the labeling portal.

    FILE is CSV with a first line `file,label`; where an image may have several labels, with a row for each,
    and an empty label for none of them. Boxes are COCO's JSON, or CSV with the columns
    `file,label,left,top,width,height` in pixels. An image is named by its key within the project, by its
    path, or by its bare name where only one image has it. Tasks whose image is not in FILE stay open for
    other people. Answers are counted once: run it again at any time to go on.

    \b
    Examples:
      loupe annotate parts labels.csv
      loupe annotate parts labels.csv --worker mara --password ...
      loupe annotate bolts instances_default.json
    """
    credentials = session.worker(worker, password)
    portal = session.stack.sign_in(credentials.name, credentials.password)
    project = _project_of(portal, name, session)
    answers = read_answers(file, project["task"], project["labels"])
    of_file = AnswersOfFile(match_keys(answers, name, session.stack.list_objects(f"{name}/")))
    report = annotate_tasks(session, portal, project, of_file, parallel)
    if as_json:
        print_json(
            {
                "project": name,
                "answered": report.answered,
                "overtaken": report.overtaken,
                "left": report.left,
                "misfits": of_file.misfits,
                "unmatched": of_file.matched.unmatched,
                "job": report.job,
            }
        )
    else:
        _print(name, report, of_file, session)
    if of_file.misfits:
        raise CommandFault(
            f"{len(of_file.misfits)} answers do not fit their image: {of_file.misfits[0]}",
            "Their tasks stay open: mend the file and annotate again.",
        )


def _project_of(portal: PortalSession, name: str, session: Session) -> PortalProject:
    for project in portal.projects():
        if project["project"] == name:
            return project
    raise session.unknown_project(name)


def annotate_tasks(
    session: Session,
    portal: PortalSession,
    project: PortalProject,
    answer_of: Callable[[PortalTask], LabelValue | None],
    parallel: int,
) -> AnnotationReport:
    """Answers with a progress bar on stderr."""
    with progress_bar(err()) as bar:
        job = project["job"]
        task = bar.add_task("Annotating", total=job["tasks"] if job else None, remark="")

        def show(report: AnnotationReport) -> None:
            if report.job is not None:
                bar.update(task, total=report.job["tasks"], completed=report.job["answered"])

        annotator = Annotator(portal, project["project"], answer_of, parallel, session.sleep)
        return annotator.run(show)


def _print(name: str, report: AnnotationReport, of_file: AnswersOfFile, session: Session) -> None:
    unmatched = of_file.matched.unmatched
    out().print(f"{report.answered} tasks of {name} answered.")
    if report.overtaken:
        out().print(f"{report.overtaken} were answered by somebody else meanwhile, or their job had ended.")
    left = report.left - len(of_file.misfits)
    if left:
        out().print(f"{left} open tasks are left to other people: their image is not in the file.")
    if unmatched:
        some = ", ".join(unmatched[:3])
        out().print(f"{len(unmatched)} names in the file are no image of {name}: {some} ...", markup=False)
    pending = session.stack.status(name)["images"]["pending"]
    if pending:
        out().print(
            f"{pending} images wait for the next job: `loupe wait {name} labeling`, then annotate again."
        )
