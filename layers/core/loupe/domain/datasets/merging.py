"""All accepted labels of a project at once, compactly: 100,000 images in a few tens of megabytes.

Of a label only the set of its label indexes is kept, and equal sets only once: that is what splitting
and counting need. Rows are read again from the label files as they are written.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any

from loupe.domain.datasets.labels import names_in_line
from loupe.domain.datasets.splits import SPLITS, Split
from loupe.domain.images.near_duplicates import Groups
from loupe.domain.images.places import ReferredFolders
from loupe.domain.json_lines import read_line
from loupe.domain.projects import TaskType
from loupe.ports.images import ImageRecord
from loupe.ports.objects import StoredObject

NO_LABEL = -1
"""No job gave the image a label (it is only in the history)."""
OTHER_LABEL = -2
"""Its label is not among the project's, or is of another task."""

_NO_LINE = -1


class MergedLabels:
    """One slot an image: first those that an earlier dataset version had, in its order, then the new ones.

    `label` tells the image's newest label: a position in `label_sets`, or `NO_LABEL` or `OTHER_LABEL`. Of
    several labels or boxes an image, those that are not among the project's are passed over. `line` is the
    position of that label among the lines of all label files; `fresh` tells labels that no version has used
    yet, `present` those whose object still is what was labeled, `designated` images that some job meant for
    the test set.
    """

    def __init__(self, task: TaskType, labels: Sequence[str]) -> None:
        self._task = task
        self._indexes = {label: index for index, label in enumerate(labels)}
        self._sets: dict[tuple[int, ...], int] = {}
        self._slots: dict[bytes, int] = {}
        self._places: list[bytes] = []
        self._elsewhere = ReferredFolders()
        self._labeled_at = array("d")
        self.hashes: list[int | None] = []
        self.groups = Groups()
        self.earlier: list[Split | None] = []
        self.label = array("i")
        self.line = array("q")
        self.fresh = bytearray()
        self.present = bytearray()
        self.designated = bytearray()
        self.lines = 0

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def digests(self) -> list[bytes]:
        """SHA-256 of each slot's image."""
        return list(self._slots)

    @property
    def label_sets(self) -> list[tuple[int, ...]]:
        """The distinct sets of labels that images have, each as ascending label indexes."""
        return list(self._sets)

    @property
    def test_is_designated(self) -> bool:
        """Whether some job said which images are the test set."""
        return any(self.designated)

    def read_history(self, lines: Iterable[str]) -> None:
        """The split, perceptual hash and group of each image of earlier versions; before any label."""
        for text in lines:
            line = read_line(text)
            slot = self._slot(bytes.fromhex(line["image-sha256"]), line["phash"])
            self.earlier[slot] = SPLITS[SPLITS.index(line["split"])]
            self.groups.join(self._slots[bytes.fromhex(line["group"])], slot)

    def read_labels(self, lines: Iterable[str], fresh: bool) -> None:
        """The lines of a label file; of several labels of an image the newest wins."""
        for text in lines:
            line = read_line(text)
            position, self.lines = self.lines, self.lines + 1
            if "failure_reason" in line:
                continue
            slot = self._slot(bytes.fromhex(line["sha256"]), line["phash"])
            if line.get("split") == "test":
                self.designated[slot] = True
            labeled_at = datetime.fromisoformat(line["labeled_at"]).timestamp()
            if labeled_at < self._labeled_at[slot]:
                continue
            self._labeled_at[slot] = labeled_at
            self._places[slot] = _place(line["key"], line["etag"])
            self._elsewhere.add(line["key"])
            withdrawn = "withdrawn" in line
            self.label[slot] = NO_LABEL if withdrawn else self._label(line)
            self.line[slot] = _NO_LINE if withdrawn else position
            self.fresh[slot] = fresh

    def _label(self, line: dict[str, Any]) -> int:
        names = names_in_line(line, self._task)
        if names is None:
            return OTHER_LABEL
        found = tuple(sorted({self._indexes[name] for name in names if name in self._indexes}))
        if not found and self._task == "image-classification":
            return OTHER_LABEL
        return self._sets.setdefault(found, len(self._sets))

    def look_for(self, listing: "Listing", where_now: "WhereNow") -> dict[int, ImageRecord]:
        """Set `present`. Returns, by line, where those images lie that moved to another key."""
        wanted = {place: slot for slot, place in enumerate(self._places) if self.line[slot] >= 0}
        self._mark(listing(self._elsewhere), wanted)
        digests = self.digests
        gone = {digests[slot].hex(): slot for slot in self.labeled() if not self.present[slot]}
        moved = {gone[record.sha256]: record for record in where_now(gone)}
        if not moved:
            return {}
        elsewhere = ReferredFolders(record.key for record in moved.values())
        wanted = {_place(record.key, record.etag): slot for slot, record in moved.items()}
        self._mark(listing(elsewhere), wanted)
        return {self.line[slot]: record for slot, record in moved.items() if self.present[slot]}

    def labeled(self) -> Iterator[int]:
        """Slots of images that have a label, whatever it is."""
        return (slot for slot, label in enumerate(self.label) if label != NO_LABEL)

    def _mark(self, listing: Iterable[StoredObject], wanted: dict[bytes, int]) -> None:
        for stored in listing:
            slot = wanted.get(_place(stored.key, stored.etag))
            if slot is not None:
                self.present[slot] = True

    def _slot(self, sha256: bytes, phash: str | None) -> int:
        slot = self._slots.setdefault(sha256, len(self._slots))
        if slot == len(self.hashes):
            self.hashes.append(None if phash is None else int(phash, 16))
            self.groups.add()
            self.earlier.append(None)
            self.label.append(NO_LABEL)
            self.line.append(_NO_LINE)
            self.fresh.append(False)
            self.present.append(False)
            self.designated.append(False)
            self._places.append(b"")
            self._labeled_at.append(float("-inf"))
        return slot


Listing = Callable[[Iterable[str]], Iterable[StoredObject]]
"""Objects of the project's folder, and of those folders of other buckets."""

WhereNow = Callable[[Iterable[str]], Iterable[ImageRecord]]
"""Where images lie now, by SHA-256; those that nobody knows are left out."""


def _place(key: str, etag: str | None) -> bytes:
    return blake2b(f"{etag}/{key}".encode(), digest_size=16).digest()
