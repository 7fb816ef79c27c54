"""`loupe annotate`: answers a project's open tasks from a CSV file, through the labeling portal's API."""

import csv
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import click

from cli.console import err, json_option, out, print_json, progress_bar
from cli.errors import ApiProblem, CommandFault
from cli.session import PROJECT, Session, pass_session
from cli.stack import Lease, PortalJob, PortalProject, PortalSession, PortalTask, StoredObject

LEASE_COUNT = 20
"""Tasks asked for at a time: the most that the portal gives."""

LOOKS = 4
SECONDS_BETWEEN_LOOKS = 0.5

OVERTAKEN = frozenset({"lease-lost", "job-finished", "not-found"})
"""Problems that mean: this task is no longer ours to answer."""


def read_answers(file: Path, labels: Sequence[str]) -> dict[str, str]:
    """Labels by the file names of a CSV with the columns `file` and `label`.

    Raises CommandFault that names the line, for a label that the project lacks or a file with two labels.
    """
    if file.suffix.lower() == ".json":
        raise CommandFault(
            f"{file} is JSON. COCO boxes can't be annotated from a file by this version.",
            "For image classification, give a CSV with the columns file,label.",
        )
    answers: dict[str, str] = {}
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            rows = csv.DictReader(opened, skipinitialspace=True)
            if not {"file", "label"} <= set(rows.fieldnames or ()):
                raise CommandFault(f"{file} must begin with a line that names the columns: file,label")
            for row in rows:
                _take(answers, row, labels, f"{file}, line {rows.line_num}")
    except (UnicodeDecodeError, csv.Error) as error:
        raise CommandFault(f"{file} is not CSV in UTF-8: {error}") from error
    if not answers:
        raise CommandFault(f"{file} has no rows.")
    return answers


def _take(answers: dict[str, str], row: Mapping[str, str | None], labels: Sequence[str], where: str) -> None:
    name, label = row["file"], row["label"]
    if not name or not label:
        raise CommandFault(f"{where}: a row needs a file and a label.")
    if label not in labels:
        raise CommandFault(
            f"{where}: {label!r} is no label of the project.", f"Its labels: {', '.join(labels)}."
        )
    if answers.setdefault(name, label) != label:
        raise CommandFault(f"{where}: {name} has the label {answers[name]!r} further up.")


@dataclass(frozen=True)
class Matched:
    """`labels` by object key; `unmatched` are names in the file that are no image of the project."""

    labels: dict[str, str]
    unmatched: list[str]


def match_keys(answers: Mapping[str, str], project: str, stored: Iterable[StoredObject]) -> Matched:
    """Finds the object that each name means: its key, with or without the project; else the one image
    whose key is the end of that path, or ends in it. A name that could mean several is a CommandFault.

    Objects with the same bytes (ETag and size) share a label, since only one of them becomes a task.
    """
    prefix = f"{project}/"
    by_base: dict[str, list[StoredObject]] = defaultdict(list)
    same: dict[tuple[str, int], list[str]] = defaultdict(list)
    keys = set()
    for each in stored:
        keys.add(each.key)
        by_base[each.key.rpartition("/")[2]].append(each)
        same[each.etag, each.size].append(each.key)

    labels: dict[str, str] = {}
    unmatched = []
    for name, label in answers.items():
        key = _key_meant(name, prefix, keys, by_base)
        if key is None:
            unmatched.append(name)
        else:
            labels[key] = label
    for twins in same.values():
        known = [labels[key] for key in twins if key in labels]
        for key in twins if known else ():
            labels.setdefault(key, known[0])
    return Matched(labels, unmatched)


def _key_meant(
    name: str, prefix: str, keys: set[str], by_base: Mapping[str, Sequence[StoredObject]]
) -> str | None:
    for key in (prefix + name, name):
        if key in keys:
            return key
    path = name.replace("\\", "/").removeprefix("./")
    near = []
    for each in by_base.get(path.rpartition("/")[2], ()):
        relative = each.key.removeprefix(prefix)
        if f"/{path}".endswith(f"/{relative}") or f"/{relative}".endswith(f"/{path}"):
            near.append(each.key)
    if len(near) > 1:
        # Of several keys that are the end of the path, the longest one says most; otherwise nobody can tell.
        longest = max(near, key=len)
        if f"/{path}".endswith(f"/{longest.removeprefix(prefix)}"):
            return longest
        raise CommandFault(
            f"{name} could be {near[0]} or {near[1]}.", "Name files by their key within the project."
        )
    return near[0] if near else None


@dataclass
class AnnotationReport:
    """Counts of tasks. `overtaken`: somebody else answered, or the job ended. `left`: FILE has no answer."""

    answered: int = 0
    overtaken: int = 0
    left: int = 0
    job: PortalJob | None = None


class Annotator:
    """Answers tasks as long as the portal has some that `labels` (by object key) answers.

    One thread decides and `parallel` connections carry: answers go out while further tasks come in with the
    answers' own replies, so that the portal is asked for tasks on their own only when none is at hand.
    """

    def __init__(
        self,
        portal: PortalSession,
        project: str,
        labels: Mapping[str, str],
        parallel: int,
        sleep: Callable[[float], None],
    ) -> None:
        self._portal = portal
        self._project = project
        self._labels = labels
        self._parallel = parallel
        self._sleep = sleep
        self._ready: deque[PortalTask] = deque()
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
                    waiting[pool.submit(self._answer, self._ready.popleft(), lease)] = lease
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

    def _answer(self, task: PortalTask, lease: int) -> Lease:
        label = self._labels[task["image"]["name"]]
        return self._portal.annotate(self._project, task["job"], task["task"], label, lease)

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
        if lease["job"] is not None:
            self._report.job = lease["job"]
        for task in lease["tasks"]:
            name = (task["job"], task["task"])
            if name in self._seen:
                continue
            self._seen.add(name)
            if task["image"]["name"] in self._labels:
                self._ready.append(task)
            else:
                self._report.left += 1


@click.command()
@click.argument("name", type=PROJECT)
@click.argument("file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--worker", envvar="LOUPE_WORKER", help="Who signs in.  [default: the local cloud's worker]")
@click.option("--password", envvar="LOUPE_PASSWORD", help="Their password; asked for if it is not known.")
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

    FILE is CSV with a first line `file,label`. A file is named by its key within the project, by its path, or
    by its bare name where only one image has it. Tasks whose image is not in FILE stay open for other people.
    Answers are counted once: run it again at any time to go on.

    \b
    Examples:
      loupe annotate parts labels.csv
      loupe annotate parts labels.csv --worker mara --password ...
    """
    credentials = session.worker(worker, password)
    portal = session.stack.sign_in(credentials.name, credentials.password)
    project = _project_of(portal, name, session)
    matched = match_keys(read_answers(file, project["labels"]), name, session.stack.list_objects(f"{name}/"))
    report = annotate_tasks(session, portal, project, matched.labels, parallel)
    if as_json:
        print_json(
            {
                "project": name,
                "answered": report.answered,
                "overtaken": report.overtaken,
                "left": report.left,
                "unmatched": matched.unmatched,
                "job": report.job,
            }
        )
        return
    _print(name, report, matched, session)


def _project_of(portal: PortalSession, name: str, session: Session) -> PortalProject:
    for project in portal.projects():
        if project["project"] == name:
            return project
    raise session.unknown_project(name)


def annotate_tasks(
    session: Session,
    portal: PortalSession,
    project: PortalProject,
    labels: Mapping[str, str],
    parallel: int,
) -> AnnotationReport:
    """Answers with a progress bar on stderr."""
    with progress_bar(err()) as bar:
        job = project["job"]
        task = bar.add_task("Annotating", total=job["tasks"] if job else None, remark="")

        def show(report: AnnotationReport) -> None:
            if report.job is not None:
                bar.update(task, total=report.job["tasks"], completed=report.job["answered"])

        annotator = Annotator(portal, project["project"], labels, parallel, session.sleep)
        return annotator.run(show)


def _print(name: str, report: AnnotationReport, matched: Matched, session: Session) -> None:
    out().print(f"{report.answered} tasks of {name} answered.")
    if report.overtaken:
        out().print(f"{report.overtaken} were answered by somebody else meanwhile, or their job had ended.")
    if report.left:
        out().print(f"{report.left} open tasks are left to other people: their image is not in the file.")
    if matched.unmatched:
        some = ", ".join(matched.unmatched[:3])
        out().print(
            f"{len(matched.unmatched)} names in the file are no image of {name}: {some} ...", markup=False
        )
    pending = session.stack.status(name)["images"]["pending"]
    if pending:
        out().print(
            f"{pending} images wait for the next job: `loupe wait {name} labeling`, then annotate again."
        )
