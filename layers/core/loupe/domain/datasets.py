"""Dataset versions: all labels so far as three augmented manifests, and a card that tells of them."""

import json
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from loupe.domain.errors import Conflict
from loupe.domain.labels import label_lines
from loupe.domain.manifests import SHA256, S3Uri, write_rows
from loupe.domain.merging import OTHER_LABEL, MergedLabels
from loupe.domain.near_duplicates import join_near_duplicates
from loupe.domain.projects import ProjectConfig, TaskType
from loupe.domain.splits import SPLITS, Candidate, Split, assign
from loupe.domain.workspace import Workspace
from loupe.ports import ImageRecord, KeepsImages, StoredObject, StoresObjects

SPLIT_RULE = (
    "70/15/15 for each label, by SHA-256; groups of near-duplicates stay together; an image that was once in "
    "test stays in test, and one that was trained or validated on never joins it"
)

NOT_A_LABEL = "label is not in project.yaml any more"
GONE = "object is gone or was replaced"
NEAR_TEST = "near-duplicate of a test image"

_METADATA_TYPES: dict[TaskType, str] = {"image-classification": "groundtruth/image-classification"}


class NotEnoughLabels(Conflict):
    """The labels so far can't train a model; the message says what is missing."""

    slug, title = "not-enough-labels", "There are not enough labels yet"


@dataclass(frozen=True)
class DatasetCard:
    """What dataset.json says. `counts` are images by split and label; `left_out` are images by reason.

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
    counts: dict[Split, dict[str, int]]
    left_out: dict[str, int]

    def to_json(self) -> bytes:
        document = {
            "version": self.version,
            "task": self.task,
            "labels": self.labels,
            "created_at": self.created_at.isoformat(),
            "previous_version": self.previous_version,
            "split_rule": SPLIT_RULE,
            "new_labels": self.new_labels,
            "splits": {
                split: {"images": sum(labels.values()), "labels": labels}
                for split, labels in self.counts.items()
            },
            "left_out": self.left_out,
            "jobs": self.jobs,
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
            counts={split: document["splits"][split]["labels"] for split in SPLITS},
            left_out=document["left_out"],
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
        self._merged = MergedLabels(config.labels)
        if previous:
            self._merged.read_history(workspace.lines(self._names.split_history(previous.version)))
        self._first_new = len(self._merged)
        used = set(previous.jobs) if previous else set()
        for job in jobs:
            self._merged.read_labels(label_lines(project, [job], workspace), fresh=job not in used)

    def compare_with(self, raw_data: StoresObjects, images: KeepsImages) -> None:
        """Find out which images still lie where they were labeled, or elsewhere."""

        def listing() -> Iterable[StoredObject]:
            return raw_data.list(f"{self._project}/")

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
        digests = merged.digests
        self._splits = assign(
            (
                Candidate(slot, digests[slot], merged.label[slot], groups.find(slot), merged.earlier[slot])
                for slot in self._usable()
            ),
            {group: frozenset(splits) for group, splits in earlier.items()},
        )
        self._check()

    def write(self, version: str, raw_bucket: str, now: datetime) -> DatasetCard:
        """Write the version; the card comes last and makes it complete. Raises `AlreadyWritten`."""
        names, store = self._names, self._workspace
        split_of_line = array("b", [-1]) * self._merged.lines
        for slot, split in self._splits.items():
            if split is not None:
                split_of_line[self._merged.line[slot]] = SPLITS.index(split)
        for number, split in enumerate(SPLITS):
            rows = self._rows(split_of_line, number, raw_bucket)
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
            counts=self._counts(),
            left_out=self._left_out(),
        )
        store.write_once(names.dataset_card(version), card.to_json(), "application/json")
        return card

    def _usable(self) -> Iterator[int]:
        """Slots of images that have one of the project's labels and are still there."""
        merged = self._merged
        return (slot for slot, label in enumerate(merged.label) if label >= 0 and merged.present[slot])

    def _check(self) -> None:
        counts = self._counts()
        bare = [label for label, images in counts["train"].items() if not images]
        if bare:
            raise NotEnoughLabels(
                f"no image to train on is labeled {', '.join(map(repr, bare))}: label some, or take "
                "the label out of project.yaml"
            )
        if not all(any(counts[split].values()) for split in SPLITS):
            raise NotEnoughLabels(
                "no label has three different images yet, one each to train, validate and test"
            )

    def _counts(self) -> dict[Split, dict[str, int]]:
        found = Counter((split, self._merged.label[slot]) for slot, split in self._splits.items())
        return {
            split: {label: found[split, index] for index, label in enumerate(self._config.labels)}
            for split in SPLITS
        }

    def _left_out(self) -> dict[str, int]:
        merged = self._merged
        foreign = sum(label == OTHER_LABEL for label in merged.label)
        gone = sum(label >= 0 and not merged.present[slot] for slot, label in enumerate(merged.label))
        near = sum(split is None for split in self._splits.values())
        return {reason: n for reason, n in ((NOT_A_LABEL, foreign), (GONE, gone), (NEAR_TEST, near)) if n}

    def _rows(self, split_of_line: "array[int]", number: int, raw_bucket: str) -> Iterator[dict[str, Any]]:
        """Manifest rows of a split, in the order of their labels."""
        lines = label_lines(self._project, self._jobs, self._workspace)
        for position, (split, line) in enumerate(zip(split_of_line, lines, strict=True)):
            if split == number:
                yield self._row(json.loads(line), self._moved.get(position), raw_bucket)

    def _row(self, line: dict[str, Any], moved: ImageRecord | None, raw_bucket: str) -> dict[str, Any]:
        key, version_id = (moved.key, moved.version_id) if moved else (line["key"], line["version_id"])
        attribute = self._config.label_attribute
        return {
            "source-ref": str(S3Uri(raw_bucket, key)),
            SHA256: line["sha256"],
            **({"image-version-id": version_id} if version_id else {}),
            attribute: self._config.labels.index(line["label"]),
            f"{attribute}-metadata": {
                "class-name": line["label"],
                "confidence": line["confidences"][0],
                "type": _METADATA_TYPES[self._config.task],
                "job-name": f"labeling-job/{line['job']}",
                "human-annotated": "yes" if line["human"] else "no",
                "creation-date": datetime.fromisoformat(line["labeled_at"]).strftime("%Y-%m-%dT%H:%M:%S.%f"),
            },
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
