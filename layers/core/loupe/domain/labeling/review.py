"""Reviews of labels: people look at labels of a dataset version again, and what they find corrects them.

A review is a labeling job like any other, whose images have a label already. Its provider's answers become
the job's output manifest: an image that got another label has it there, one whose label was found wrong is
withdrawn and waits for a new one, and one whose label is right has nothing, so that its label stands.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from heapq import nsmallest
from json import dumps

from loupe.domain.configuration import valid_config
from loupe.domain.datasets.splits import SPLITS
from loupe.domain.datasets.versions import DatasetCard, latest_card
from loupe.domain.errors import AlreadyWritten, BadRequest, Conflict, NotFound, ObjectMissing
from loupe.domain.events import LabelingJobStarted
from loupe.domain.label_attributes import Label, read_label, write_label, write_withdrawal
from loupe.domain.label_values import Boxes, LabelValue
from loupe.domain.labeling.ground_truth import worker_task
from loupe.domain.labeling.job_ends import FailJob
from loupe.domain.labeling.starting import LabelingRefused, job_name, write_card
from loupe.domain.manifests import (
    HEIGHT,
    SHA256,
    VERSION_ID,
    WIDTH,
    Row,
    label_categories,
    read_rows,
    write_rows,
)
from loupe.domain.projects import LABEL_ATTRIBUTES, MAX_GROUND_TRUTH_LABELS
from loupe.domain.workspace import Workspace
from loupe.ports.images import KeepsImages
from loupe.ports.labeling import JobCard, KeepsLabelingJobs, ReviewKind, StartsLabelingJobs
from loupe.ports.messages import Clock, PublishesEvents
from loupe.ports.objects import StoresObjects
from loupe.ports.projects import KeepsProjects

CURRENT, CLASSES = "current", "classes"
"""Keys of a review's input manifest, from which the workers' page shows the label of now and all labels."""
VERDICTS = ("right", "wrong")
"""What workers say in a verification; its page has them, too."""
MAX_ATTRIBUTE_CHARACTERS = 20_000
"""Longest label that Ground Truth takes in an input manifest."""

_PASSED_ON = ("source-ref", SHA256, VERSION_ID, WIDTH, HEIGHT)


class NothingToReview(BadRequest):
    """No label of the version is what was asked for."""

    slug, title = "nothing-to-review", "There is nothing to review"


@dataclass(frozen=True)
class ReviewRequest:
    """Which labels are reviewed, and how. `version` None is the newest; `label` None is any; of more labels
    than `limit`, those whose hash comes first are taken: others in each job."""

    project: str
    version: str | None
    label: str | None
    limit: int
    kind: ReviewKind


@dataclass(frozen=True)
class ReviewStarted:
    """The review's labeling job, and how many images it has; `left_out` more have too many boxes for it."""

    project: str
    job: str
    dataset_version: str
    images: int
    left_out: int


@dataclass(frozen=True)
class StartReview:
    """Cuts a labeling job from labels of a dataset version. `suffix` gives four hexadecimal digits."""

    projects: KeepsProjects
    jobs: KeepsLabelingJobs
    images: KeepsImages
    workspace: StoresObjects
    provider: StartsLabelingJobs
    events: PublishesEvents
    clock: Clock
    suffix: Callable[[], str]

    def __call__(self, request: ReviewRequest) -> ReviewStarted:
        """Raises `ProjectNotFound`, `InvalidProject`, `NotFound`, `NothingToReview`, `Conflict` and
        `LabelingRefused`."""
        config = valid_config(self.projects, request.project)
        version = self._version(request)
        worker_task(version.task, request.kind)
        _categories(version.labels, request.kind)
        if request.label is not None and request.label not in version.labels:
            has = ", ".join(version.labels)
            raise BadRequest(
                f"{request.label!r} is not a label of version {version.version}, which has: {has}"
            )
        now = self.clock()
        job = job_name(request.project, now, self.suffix())
        rows, left_out = self._chosen(request, version, job)
        if not rows:
            raise NothingToReview(f"version {version.version} has no such label")
        record = self.projects.project(request.project)
        card = JobCard(
            project=request.project,
            job=job,
            provider="ground-truth",
            task=version.task,
            labels=version.labels,
            instructions=config.instructions,
            batch_size=len(rows),
            created_at=now,
            review_of=version.version,
            review=request.kind,
            config_etag=record.config_etag if record else None,
        )
        self._start(card, rows)
        return ReviewStarted(request.project, job, version.version, len(rows), left_out)

    def _start(self, card: JobCard, rows: list[Row]) -> None:
        if not self.jobs.claim(card):
            raise Conflict(
                f"project {card.project!r} has an open labeling job; review labels when it has ended"
            )
        space = Workspace(card.project)
        write_card(self.workspace, card)
        categories = label_categories(_categories(card.labels, card.review)).encode()
        self.workspace.write(space.label_categories(card.job), categories, "application/json")
        self.workspace.write_lines_once(space.input_manifest(card.job), write_rows(rows))
        try:
            tasks = self.provider.start(card)
        except LabelingRefused as refusal:
            fail = FailJob(self.jobs, self.images, self.workspace, self.events)
            fail(card.project, card.job, refusal.detail, self.clock())
            raise
        self.events.publish(LabelingJobStarted(card.project, card.job, tasks))
        self.jobs.open(card.project, card.job, tasks, self.clock())

    def _version(self, request: ReviewRequest) -> DatasetCard:
        if request.version is None:
            card = latest_card(request.project, self.workspace)
            if card is None:
                raise NotFound(
                    f"project {request.project!r} has no dataset version yet, so no labels to review"
                )
            return card
        try:
            content = self.workspace.read(Workspace(request.project).dataset_card(request.version))
        except ObjectMissing as error:
            raise NotFound(
                f"project {request.project!r} has no dataset version {request.version!r}"
            ) from error
        return DatasetCard.from_json(content)

    def _chosen(self, request: ReviewRequest, version: DatasetCard, job: str) -> tuple[list[Row], int]:
        """Rows of the review's input manifest, and how many don't fit into one."""
        left_out = 0

        def candidates() -> Iterator[Row]:
            nonlocal left_out
            for row, label in self._labels(request.project, version):
                if request.label is not None and request.label not in label.value.names:
                    continue
                chosen = review_row(row, label, version)
                if any(len(dumps(value)) > MAX_ATTRIBUTE_CHARACTERS for value in chosen.values()):
                    left_out += 1
                    continue
                yield chosen

        def place(row: Row) -> bytes:
            # Another job draws another sample.
            return sha256(f"{job}/{row[SHA256]}".encode()).digest()

        return nsmallest(request.limit, candidates(), key=place), left_out

    def _labels(self, project: str, version: DatasetCard) -> Iterator[tuple[Row, Label]]:
        attribute = LABEL_ATTRIBUTES[version.task]
        for split in SPLITS:
            for row in read_rows(self.workspace.lines(Workspace(project).split(version.version, split))):
                label = read_label(row, attribute, version.task, version.labels)
                if isinstance(label, Label):
                    yield row, label


def verification_categories(labels: Sequence[str]) -> tuple[str, ...]:
    """Categories of a verification: Ground Truth wants those of the labels that it is about, and lets others
    be added. Raises `LabelingRefused` for more than it takes."""
    categories = tuple(dict.fromkeys((*labels, *VERDICTS)))
    if len(categories) > MAX_GROUND_TRUTH_LABELS:
        most = MAX_GROUND_TRUTH_LABELS - len(VERDICTS)
        raise LabelingRefused(
            f"Ground Truth takes at most {MAX_GROUND_TRUTH_LABELS} categories, which are the labels and the "
            f"verdicts of a verification: so {most} labels, not {len(labels)}. Correct boxes instead "
            "(--kind adjustment)"
        )
    return categories


def _categories(labels: tuple[str, ...], kind: ReviewKind | None) -> tuple[str, ...]:
    return verification_categories(labels) if kind == "verification" else labels


def review_row(row: Row, label: Label, version: DatasetCard) -> Row:
    """A dataset manifest's row as a review's input manifest has it."""
    attribute = LABEL_ATTRIBUTES[version.task]
    kept = (*_PASSED_ON, attribute, f"{attribute}-metadata")
    current = {CURRENT: label.value.to_json(), CLASSES: list(version.labels)}
    return {name: row[name] for name in kept if name in row} | current


# What a review found --------------------------------------------------------------------------------


@dataclass(frozen=True)
class ConcludeReview:
    """Writes a review's output manifest from what its provider wrote."""

    workspace: StoresObjects
    clock: Clock

    def __call__(self, card: JobCard) -> None:
        """Does nothing where an earlier call did it. Raises `InvalidManifest` and `ObjectMissing`."""
        space = Workspace(card.project)
        found = read_rows(self.workspace.lines(space.reviewed_manifest(card.job)))
        with suppress(AlreadyWritten):
            self.workspace.write_lines_once(
                space.output_manifest(card.job), write_rows(self._concluded(card, row) for row in found)
            )

    def _concluded(self, card: JobCard, row: Row) -> Row:
        image = {name: row[name] for name in _PASSED_ON if name in row}
        if card.review == "verification":
            return image | self._verdict(card, row)
        return image | self._correction(card, row)

    def _verdict(self, card: JobCard, row: Row) -> Row:
        """A withdrawal of a label that was found wrong; nothing for any other."""
        attribute = worker_task(card.task, card.review).attribute
        said = read_label(row, attribute, "image-classification", _categories(card.labels, card.review))
        if not isinstance(said, Label) or said.value.names != ("wrong",):
            return {}
        at = said.labeled_at or self.clock()
        return write_withdrawal(LABEL_ATTRIBUTES[card.task], card.task, card.job, at)

    def _correction(self, card: JobCard, row: Row) -> Row:
        """The label that workers gave instead; nothing where they left it as it was."""
        task, attribute = card.task, LABEL_ATTRIBUTES[card.task]
        before = read_label(row, attribute, task, card.labels)
        after = read_label(row, worker_task(task, card.review).attribute, task, card.labels)
        if not isinstance(after, Label) or (isinstance(before, Label) and _agree(before, after)):
            return {}
        corrected = Label(
            after.value, after.confidences, after.labeled_at or self.clock(), after.is_human, card.job
        )
        return write_label(corrected, attribute, task, card.labels, (row[WIDTH], row[HEIGHT]))


def _agree(before: Label, after: Label) -> bool:
    """Whether two labels say the same, in whatever order; boxes to the pixel, as people see them."""
    return _parts(before.value) == _parts(after.value)


def _parts(value: LabelValue) -> list[tuple[object, ...]]:
    if isinstance(value, Boxes):
        return sorted(
            (box.label, *map(round, (box.left, box.top, box.width, box.height))) for box in value.boxes
        )
    return sorted((name,) for name in value.names)
