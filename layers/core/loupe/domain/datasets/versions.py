"""Dataset versions: all labels so far as three augmented manifests, and a card that tells of them."""

import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from typing import Any

from loupe.domain.correlation import id_of_turn
from loupe.domain.datasets.labels import label_lines, label_of_line
from loupe.domain.datasets.measures import Measures
from loupe.domain.datasets.merging import OTHER_LABEL, MergedLabels
from loupe.domain.datasets.splits import SPLITS, Candidate, Split, assign
from loupe.domain.errors import Conflict
from loupe.domain.images.near_duplicates import join_near_duplicates
from loupe.domain.images.places import uri_of
from loupe.domain.json_lines import read_line
from loupe.domain.label_attributes import Label, write_label
from loupe.domain.label_values import Boxes, OneLabel, SeveralLabels
from loupe.domain.manifests import HEIGHT, SHA256, VERSION_ID, WIDTH, Row, write_rows
from loupe.domain.projects import ProjectConfig, TaskType
from loupe.domain.workspace import Workspace
from loupe.ports.images import ImageRecord, KeepsImages
from loupe.ports.objects import StoredObject, StoresObjects

SPLIT_RULE = (
    "70/15/15 for each label, of several labels by the rarest, by SHA-256; groups of near-duplicates stay "
    "together; an image that was once in test stays in test, and one that was trained or validated on never "
    "joins it"
)
DESIGNATED_SPLIT_RULE = (
    "test is what was meant for it, and what was in it before; the rest is split 85/15 for each label, of "
    "several labels by the rarest, by SHA-256; groups of near-duplicates stay together; an image that was "
    "trained or validated on never joins test"
)

NOT_A_LABEL = "label is not in project.yaml any more"
GONE = "object is gone or was replaced"
NEAR_TEST = "near-duplicate of a test image"
LEARNED = "meant for the test set, but an earlier version trained or validated on it"

REPORT_TYPE = "text/html; charset=utf-8"

_WITHOUT = -1
"""Stratum of the images that have no label."""


class NotEnoughLabels(Conflict):
    """The labels so far can't train a model; the message says what is missing."""

    slug, title = "not-enough-labels", "There are not enough labels yet"


@dataclass(frozen=True)
class DatasetCard:
    """What dataset.json says. `images` are images by split; `counts` are images by split and label, where one
    with two labels counts for both; `without` are images by split that have none of the labels, which happens
    where an image may have several; `left_out` are images by reason. `correlation_id` is what log lines about
    the version and what came of it have in common (`loupe.domain.correlation`); versions that were built
    before there was one have None.

    A class's index in the manifests is its label's position in `labels`. `new_labels` counts labels that no
    earlier version had.
    """

    version: str
    task: TaskType
    labels: tuple[str, ...]
    created_at: datetime
    previous_version: str | None
    jobs: tuple[str, ...]
    new_labels: int
    images: dict[Split, int]
    counts: dict[Split, dict[str, int]]
    without: dict[Split, int]
    left_out: dict[str, int]
    split_rule: str
    correlation_id: str | None = None

    def to_json(self) -> bytes:
        document = {
            "version": self.version,
            "task": self.task,
            "labels": self.labels,
            "created_at": self.created_at.isoformat(),
            "previous_version": self.previous_version,
            "split_rule": self.split_rule,
            "new_labels": self.new_labels,
            "splits": {
                split: {
                    "images": self.images[split],
                    "labels": self.counts[split],
                    "without": self.without[split],
                }
                for split in SPLITS
            },
            "left_out": self.left_out,
            "jobs": self.jobs,
            "correlation_id": self.correlation_id,
        }
        return json.dumps(document, ensure_ascii=False, indent=1).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "DatasetCard":
        document = json.loads(text)
        return cls(
            version=document["version"],
            task=document["task"],
            labels=tuple(document["labels"]),
            created_at=datetime.fromisoformat(document["created_at"]),
            previous_version=document["previous_version"],
            jobs=tuple(document["jobs"]),
            new_labels=document["new_labels"],
            images={split: document["splits"][split]["images"] for split in SPLITS},
            counts={split: document["splits"][split]["labels"] for split in SPLITS},
            without={split: document["splits"][split].get("without", 0) for split in SPLITS},
            left_out=document["left_out"],
            split_rule=document["split_rule"],
            correlation_id=document.get("correlation_id"),
        )


def latest_card(project: str, store: StoresObjects) -> DatasetCard | None:
    """The newest complete dataset version; one without a card was never finished."""
    names = Workspace(project)
    for version in sorted(store.list_folders(names.datasets), reverse=True):
        if store.exists(names.dataset_card(version)):
            return DatasetCard.from_json(store.read(names.dataset_card(version)))
    return None


def next_version(project: str, store: StoresObjects) -> str:
    """A number that no version has, not even one that was never finished."""
    versions = store.list_folders(Workspace(project).datasets)
    return f"{max((int(version) for version in versions), default=0) + 1:04d}"


class DatasetDraft:
    """A dataset version before it is written: who is in, and in which split.

    Memory grows by a few hundred bytes an image; rows are read from the label files again as they are
    written.
    """

    def __init__(
        self,
        project: str,
        config: ProjectConfig,
        previous: DatasetCard | None,
        jobs: tuple[str, ...],
        workspace: StoresObjects,
    ) -> None:
        self._project = project
        self._config = config
        self._previous = previous
        self._jobs = jobs
        self._workspace = workspace
        self._names = Workspace(project)
        self._moved: dict[int, ImageRecord] = {}
        self._splits: dict[int, Split | None] = {}
        self._label_sets: dict[Split, Counter[tuple[int, ...]]] = {split: Counter() for split in SPLITS}
        """How many images of each split have the same labels."""
        self._labels = frozenset(config.labels)
        self._merged = MergedLabels(config.task, config.labels)
        if previous:
            self._merged.read_history(workspace.lines(self._names.split_history(previous.version)))
        self._first_new = len(self._merged)
        self._new_jobs = frozenset(jobs).difference(previous.jobs if previous else ())
        for job in jobs:
            self._merged.read_labels(label_lines(project, [job], workspace), fresh=job in self._new_jobs)

    def compare_with(self, raw_data: StoresObjects, images: KeepsImages) -> None:
        """Find out which images still lie where they were labeled, or elsewhere."""

        def listing(elsewhere: Iterable[str]) -> Iterable[StoredObject]:
            return chain.from_iterable(map(raw_data.list, (f"{self._project}/", *elsewhere)))

        def where_now(sha256s: Iterable[str]) -> Iterable[ImageRecord]:
            return images.images(self._project, sha256s).values()

        self._moved = self._merged.look_for(listing, where_now)

    @property
    def new_labels(self) -> int:
        """Usable labels that no version has had yet."""
        fresh = self._merged.fresh
        return sum(fresh[slot] for slot in self._usable())

    def split(self, near_duplicate_distance: int) -> None:
        """Give each image its split. Raises `NotEnoughLabels`."""
        merged, groups = self._merged, self._merged.groups
        usable = set(self._usable())
        hashes = [
            phash if slot < self._first_new or slot in usable else None
            for slot, phash in enumerate(merged.hashes)
        ]
        join_near_duplicates(groups, hashes, self._first_new, near_duplicate_distance)
        earlier: dict[int, set[Split]] = {}
        for slot, split in enumerate(merged.earlier):
            if split is not None:
                earlier.setdefault(groups.find(slot), set()).add(split)
        self._splits = assign(
            self._candidates(),
            {group: frozenset(splits) for group, splits in earlier.items()},
            merged.test_is_designated,
        )
        sets = merged.label_sets
        for slot, found in self._splits.items():
            if found is not None:
                self._label_sets[found][sets[merged.label[slot]]] += 1
        self._check()

    def _candidates(self) -> list[Candidate]:
        merged, digests, strata = self._merged, self._merged.digests, self._strata()
        return [
            Candidate(
                slot,
                digests[slot],
                strata[merged.label[slot]],
                merged.groups.find(slot),
                merged.earlier[slot],
                bool(merged.designated[slot]),
            )
            for slot in self._usable()
        ]

    def _strata(self) -> list[int]:
        """For each set of labels the one that fewest images have."""
        images = Counter(self._merged.label[slot] for slot in self._usable())
        sets = self._merged.label_sets
        by_label: Counter[int] = Counter()
        for number, labels in enumerate(sets):
            by_label.update(dict.fromkeys(labels, images[number]))
        return [min(labels, key=lambda each: (by_label[each], each), default=_WITHOUT) for labels in sets]

    def write(self, version: str, raw_bucket: str, now: datetime, report: "MakesReport") -> DatasetCard:
        """Write the version and its report; the card comes last and makes it complete. Raises
        `AlreadyWritten`."""
        names, store = self._names, self._workspace
        split_of_line = array("b", [-1]) * self._merged.lines
        for slot, split in self._splits.items():
            if split is not None:
                split_of_line[self._merged.line[slot]] = SPLITS.index(split)
        measures = Measures()
        for number, split in enumerate(SPLITS):
            rows = self._rows(split_of_line, number, raw_bucket, measures)
            store.write_lines_once(names.split(version, split), write_rows(rows))
        store.write_lines_once(names.split_history(version), write_rows(self._history()))
        card = DatasetCard(
            version=version,
            task=self._config.task,
            labels=self._config.labels,
            created_at=now,
            previous_version=self._previous.version if self._previous else None,
            jobs=self._jobs,
            new_labels=self.new_labels,
            images={split: found.total() for split, found in self._label_sets.items()},
            counts={split: self._by_label(found) for split, found in self._label_sets.items()},
            without={split: found[()] for split, found in self._label_sets.items()},
            left_out=self._left_out(),
            split_rule=DESIGNATED_SPLIT_RULE if self._merged.test_is_designated else SPLIT_RULE,
            correlation_id=id_of_turn(self._new_jobs or self._jobs),
        )
        page = report(self._project, card, self._previous, measures)
        store.write_once(names.dataset_report(version), page, REPORT_TYPE)
        store.write_once(names.dataset_card(version), card.to_json(), "application/json")
        return card

    def _usable(self) -> Iterator[int]:
        """Slots of images that have one of the project's labels and are still there."""
        merged = self._merged
        return (slot for slot, label in enumerate(merged.label) if label >= 0 and merged.present[slot])

    def _check(self) -> None:
        trained = self._by_label(self._label_sets["train"])
        bare = [label for label, images in trained.items() if not images]
        if bare:
            raise NotEnoughLabels(
                f"no image to train on is labeled {', '.join(map(repr, bare))}: label some, or take "
                "the label out of project.yaml"
            )
        if not all(self._label_sets[split] for split in SPLITS):
            raise NotEnoughLabels(
                "no label has three different images yet, one each to train, validate and test"
            )

    def _by_label(self, label_sets: Counter[tuple[int, ...]]) -> dict[str, int]:
        images = dict.fromkeys(self._config.labels, 0)
        for labels, number in label_sets.items():
            for index in labels:
                images[self._config.labels[index]] += number
        return images

    def _left_out(self) -> dict[str, int]:
        merged = self._merged
        foreign = sum(label == OTHER_LABEL for label in merged.label)
        gone = sum(label >= 0 and not merged.present[slot] for slot, label in enumerate(merged.label))
        out = [slot for slot, split in self._splits.items() if split is None]
        learned = sum(merged.designated[slot] for slot in out)
        found = {NOT_A_LABEL: foreign, GONE: gone, NEAR_TEST: len(out) - learned, LEARNED: learned}
        return {reason: images for reason, images in found.items() if images}

    def _rows(
        self, split_of_line: "array[int]", number: int, raw_bucket: str, measures: Measures
    ) -> Iterator[Row]:
        """Manifest rows of a split, in the order of their labels; each is measured as it comes out."""
        lines = label_lines(self._project, self._jobs, self._workspace)
        for position, (split, line) in enumerate(zip(split_of_line, lines, strict=True)):
            if split != number:
                continue
            content, moved = read_line(line), self._moved.get(position)
            lies = {name: getattr(moved, name) for name in _PLACE} if moved else content
            label = _with_labels(label_of_line(content, self._config.task), self._labels)
            measures.add(SPLITS[number], label, (lies["width"], lies["height"]))
            yield self._row(content, lies, label, raw_bucket)

    def _row(self, line: dict[str, Any], lies: dict[str, Any], label: Label, raw_bucket: str) -> Row:
        attribute, size = self._config.label_attribute, (lies["width"], lies["height"])
        return {
            "source-ref": str(uri_of(lies["key"], raw_bucket)),
            SHA256: line["sha256"],
            **({VERSION_ID: lies["version_id"]} if lies["version_id"] else {}),
            WIDTH: size[0],
            HEIGHT: size[1],
            **write_label(label, attribute, self._config.task, self._config.labels, size),
        }

    def _history(self) -> Iterator[dict[str, Any]]:
        """A line for each image that this or an earlier version had. Earlier lines keep their order, so that
        a group is named by its first member."""
        merged, digests = self._merged, self._merged.digests
        order = [slot for slot in range(len(merged)) if slot < self._first_new or self._splits.get(slot)]
        first_of_group: dict[int, int] = {}
        for slot in order:
            phash = merged.hashes[slot]
            yield {
                SHA256: digests[slot].hex(),
                "split": self._splits.get(slot) or merged.earlier[slot],
                "group": digests[first_of_group.setdefault(merged.groups.find(slot), slot)].hex(),
                "phash": None if phash is None else f"{phash:064x}",
            }


MakesReport = Callable[[str, DatasetCard, DatasetCard | None, Measures], bytes]
"""Makes a version's report of its project, its card, that of the version before, and what was measured."""

_PLACE = ("key", "version_id", "width", "height")


def _with_labels(label: Label, labels: frozenset[str]) -> Label:
    """The label without those parts whose label is not among these."""
    if labels.issuperset(label.value.names):
        return label
    kept = [part for part, name in enumerate(label.value.names) if name in labels]
    confidences = tuple(label.confidences[part] for part in kept)
    match label.value:
        case OneLabel():
            return label
        case SeveralLabels(several):
            return replace(
                label, value=SeveralLabels(tuple(several[p] for p in kept)), confidences=confidences
            )
        case Boxes(boxes):
            return replace(label, value=Boxes(tuple(boxes[p] for p in kept)), confidences=confidences)
