"""Looking at a dataset version: its images by whatever one asks for, and how it differs from another.

Everything is found in the columns of `gallery_index`, of which each process keeps those of a few versions;
only the lines of the images that are shown are read.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from loupe.domain.batches import in_parallel
from loupe.domain.datasets.gallery_index import DIGEST_BYTES, GalleryIndex, write_gallery
from loupe.domain.datasets.mistakes import Verdicts, read_verdicts
from loupe.domain.datasets.splits import SPLITS, Split
from loupe.domain.datasets.versions import DatasetCard
from loupe.domain.errors import BadRequest, NotFound, ObjectMissing
from loupe.domain.json_lines import read_line
from loupe.domain.projects import TaskType
from loupe.domain.workspace import Workspace
from loupe.ports.objects import StoresObjects

_KEPT_GALLERIES = 4
_KEPT_SELECTIONS = 16
_NEAR_BYTES = 32 * 1024
"""Lines no further apart are read with one request."""
_READERS = 8

Change = Literal["added", "removed", "relabeled", "moved"]
Order = Literal["dataset", "newest", "confidence"]
LATEST = "latest"
"""In place of a version: the newest one."""
NO_LABELS = ""
"""In place of a label: images that have none of them."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """Which images: all that are as each given field says.

    `confidence` is the range, both ends included, that the lowest confidence of an image's parts is in.
    `says` is a label that the champion answered, of those images that it was tested with; `mistakes` wants
    those whose label it firmly contradicts, firmest first; `disagreement` those whose workers did not all
    say the same; `change` what happened to them since the version `since`.
    """

    label: str | None = None
    split: Split | None = None
    job: str | None = None
    worker: str | None = None
    confidence: tuple[float, float] | None = None
    human: bool | None = None
    says: str | None = None
    disagreement: bool = False
    mistakes: bool = False
    since: str | None = None
    change: Change | None = None
    order: Order = "dataset"


@dataclass
class Gallery:
    """One version, ready to be looked at."""

    project: str
    card: DatasetCard
    index: GalleryIndex
    store: StoresObjects
    _selections: "OrderedDict[Any, Sequence[int]]" = field(default_factory=OrderedDict)

    def rows(self, positions: Sequence[int]) -> list[Row]:
        """The lines of those images, in this order; neighbours are read with one request."""
        offset, key = self.index.offset, Workspace(self.project).gallery_rows(self.card.version)
        stretches: list[tuple[int, int]] = []
        for position in sorted(set(positions)):
            start, end = offset[position], offset[position + 1]
            if stretches and start - stretches[-1][1] <= _NEAR_BYTES:
                stretches[-1] = (stretches[-1][0], end)
            else:
                stretches.append((start, end))

        def read(stretch: tuple[int, int]) -> tuple[int, bytes]:
            start, end = stretch
            return start, self.store.read_range(key, start, end - start)

        threads = min(_READERS, max(1, len(stretches)))
        texts = dict(in_parallel(read, stretches, threads))
        starts = sorted(texts)
        found: dict[int, Row] = {}
        at = 0
        for position in sorted(set(positions)):
            begin, end = offset[position], offset[position + 1]
            while at + 1 < len(starts) and starts[at + 1] <= begin:
                at += 1
            text = texts[starts[at]][begin - starts[at] : end - starts[at]]
            found[position] = read_line(text)
        return [found[position] for position in positions]

    def row(self, sha256: str) -> Row | None:
        """The image's line; None if the version does not have it. Raises `BadRequest`."""
        position = self.index.find(read_digest(sha256))
        return None if position is None else self.rows([position])[0]

    def select(self, wanted: Wanted, verdicts: Verdicts, other: "Gallery | None" = None) -> Sequence[int]:
        """Positions of the images that are wanted. With `wanted.change`, `other` is the version that they
        have changed since, or, where they were removed, the one that has them no more. Asking for the same
        again costs nothing."""
        asked = (wanted, verdicts.model, other.card.version if other else None)
        if asked not in self._selections:
            self._selections[asked] = self._select(wanted, verdicts, other)
            if len(self._selections) > _KEPT_SELECTIONS:
                self._selections.popitem(last=False)
        self._selections.move_to_end(asked)
        return self._selections[asked]

    def _select(self, wanted: Wanted, verdicts: Verdicts, other: "Gallery | None") -> Sequence[int]:
        index = self.index
        found: Sequence[int] = range(len(index))
        for holds in self._conditions(wanted, verdicts):
            found = [position for position in found if holds(position)]
        if other is not None and wanted.change == "removed":
            found = [position for position in found if other.place_of(index.digest(position)) is None]
        elif other is not None:
            found = [position for position in found if self.change(position, other) == wanted.change]
        if wanted.mistakes:
            sure = ((self.disagreement(position, verdicts), position) for position in found)
            found = [position for _, position in sorted((-firm, at) for firm, at in sure if firm)]
        elif wanted.order == "newest":
            found = sorted(found, key=index.labeled_at.__getitem__, reverse=True)
        elif wanted.order == "confidence":
            found = sorted(found, key=lambda position: _unknown_last(index.confidence[position]))
        return found

    def _conditions(self, wanted: Wanted, verdicts: Verdicts) -> Iterator[Callable[[int], bool]]:
        index = self.index
        if wanted.split is not None:
            split, splits = SPLITS.index(wanted.split), index.split
            yield lambda position: splits[position] == split
        if wanted.label is not None:
            label_sets = self._sets_with(wanted.label)
            yield lambda position: index.label_set[position] in label_sets
        if wanted.job is not None:
            job = index.jobs.index(wanted.job) if wanted.job in index.jobs else -1
            yield lambda position: index.job[position] == job
        if wanted.worker is not None:
            worker_sets = {at for at, names in enumerate(index.worker_sets) if wanted.worker in names}
            yield lambda position: index.worker_set[position] in worker_sets
        if wanted.human is not None:
            human = wanted.human
            yield lambda position: index.human[position] == human
        if wanted.confidence is not None:
            least, most = wanted.confidence
            # To single precision, as the column has it; NaN is in no range.
            yield lambda position: least - 1e-6 <= index.confidence[position] <= most + 1e-6
        if wanted.says is not None:
            saying = {digest for digest, verdict in verdicts.by_image.items() if verdict.says(wanted.says)}
            yield lambda position: index.digest(position) in saying
        if wanted.disagreement:
            yield lambda position: index.agreement[position] < 1

    def _sets_with(self, label: str) -> set[int]:
        """Sets of labels that have this one."""
        labels, sets = self.index.labels, self.index.label_sets
        if label == NO_LABELS:
            return {at for at, numbers in enumerate(sets) if not numbers}
        if label not in labels:
            raise BadRequest(f"label: {label!r} is not a label of version {self.card.version}")
        number = labels.index(label)
        return {at for at, numbers in enumerate(sets) if number in numbers}

    def disagreement(self, position: int, verdicts: Verdicts) -> float:
        """How firmly the champion contradicts the image's label; 0 if it does not, was never asked, or was
        measured against another label than the image has here."""
        verdict = verdicts.by_image.get(self.index.digest(position))
        if verdict is None or verdict.label_hash != self.index.value(position):
            return 0.0
        return verdict.disagreement

    def change(self, position: int, since: "Gallery") -> Change | None:
        """What became of an image of this version since that one: the label first, then the split."""
        earlier = since.place_of(self.index.digest(position))
        if earlier is None:
            return "added"
        if since.index.value(earlier) != self.index.value(position):
            return "relabeled"
        return "moved" if since.index.split[earlier] != self.index.split[position] else None

    def has_correction(self, name: str) -> bool:
        """Whether the version has that correction, and the one before it had not."""
        return name in self._corrections

    def place_of(self, digest: bytes) -> int | None:
        """The position of the image of that SHA-256; made for asking often."""
        return self._places.get(digest)

    @cached_property
    def _corrections(self) -> frozenset[str]:
        return frozenset(self.index.corrections)

    @cached_property
    def _places(self) -> Mapping[bytes, int]:
        return {self.index.digest(position): position for position in range(len(self.index))}


def compare(since: Gallery, gallery: Gallery) -> dict[Change, int]:
    """How many images were added, removed, got another label, or moved to another split with the same."""
    found: dict[Change, int] = {"added": 0, "removed": 0, "relabeled": 0, "moved": 0}
    for position in range(len(gallery.index)):
        change = gallery.change(position, since)
        if change is not None:
            found[change] += 1
    stayed = len(gallery.index) - found["added"]
    found["removed"] = len(since.index) - stayed
    return found


def read_digest(sha256: str) -> bytes:
    """Raises `BadRequest` for what is no SHA-256 in hexadecimal digits, in lower case."""
    with suppress(ValueError):
        digest = bytes.fromhex(sha256)
        # Other spellings would name other objects in S3.
        if len(digest) == DIGEST_BYTES and digest.hex() == sha256:
            return digest
    raise BadRequest(f"{sha256!r} is no SHA-256: 64 hexadecimal digits in lower case")


def _unknown_last(confidence: float) -> float:
    return math.inf if math.isnan(confidence) else confidence


@dataclass
class Galleries:
    """Opens versions, and keeps those that were looked at last."""

    store: StoresObjects
    raw_data_bucket: str
    _cards: dict[tuple[str, str], DatasetCard] = field(default_factory=dict)
    _open: "OrderedDict[tuple[str, str], Gallery]" = field(default_factory=OrderedDict)
    _verdicts: dict[tuple[str, str, TaskType], Verdicts] = field(default_factory=dict)

    def cards(self, project: str) -> list[DatasetCard]:
        """Of all complete versions, newest first."""
        versions = sorted(self.store.list_folders(Workspace(project).datasets), reverse=True)
        found = in_parallel(lambda version: self._card(project, version), versions, _READERS)
        return [card for card in found if card is not None]

    def open(self, project: str, version: str) -> Gallery:
        """Raises `NotFound`. The first look at a version that was built before there were galleries makes
        its gallery, which takes some seconds for 100,000 images."""
        kept = self._open
        if version == LATEST:
            version = next((card.version for card in self.cards(project)), LATEST)
        if (project, version) not in kept:
            card = self._card(project, version)
            if card is None:
                raise NotFound(f"project {project!r} has no dataset version {version!r}")
            kept[project, version] = Gallery(project, card, self._index(project, card), self.store)
            if len(kept) > _KEPT_GALLERIES:
                kept.popitem(last=False)
        kept.move_to_end((project, version))
        return kept[project, version]

    def verdicts(self, project: str, model: str, task: TaskType, least: float = 0.0) -> Verdicts:
        """What that model said of its test images, but for boxes of a confidence below `least`; nothing if it
        does not tell."""
        kept = (project, model, task)
        if kept not in self._verdicts:
            found = Verdicts(model)
            with suppress(ObjectMissing):
                lines = self.store.lines(Workspace(project).predictions(model))
                found = read_verdicts(model, task, lines, least)
            self._verdicts = {kept: found}
        return self._verdicts[kept]

    def _index(self, project: str, card: DatasetCard) -> GalleryIndex:
        with suppress(ObjectMissing):
            content = self.store.read(Workspace(project).gallery_index(card.version))
            index = GalleryIndex.from_bytes(content)
            if index is not None:
                return index
        return write_gallery(project, card, self.store, self.raw_data_bucket)

    def _card(self, project: str, version: str) -> DatasetCard | None:
        """A complete version's card, which never changes; None if there is no such version."""
        if (project, version) not in self._cards:
            try:
                content = self.store.read(Workspace(project).dataset_card(version))
            except ObjectMissing:
                return None
            self._cards[project, version] = DatasetCard.from_json(content)
        return self._cards[project, version]
