"""What a signed-in person changes in the console: labels of a dataset version's images."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from loupe.domain.batches import in_parallel
from loupe.domain.configuration import valid_config
from loupe.domain.datasets.corrections import (
    Correction,
    read_correction,
    write_correction,
    written_corrections,
)
from loupe.domain.datasets.galleries import Galleries, Gallery, Row, read_digest
from loupe.domain.datasets.gallery_index import value_hash
from loupe.domain.errors import Conflict, NotFound
from loupe.domain.label_values import InvalidLabel, LabelValue, check_value, read_value
from loupe.domain.labeling.annotation import Worker
from loupe.domain.projects import LABEL_ATTRIBUTES, ProjectConfig
from loupe.domain.workspace import Workspace
from loupe.ports.images import ImageRecord, KeepsImages
from loupe.ports.messages import Clock
from loupe.ports.objects import StoresObjects
from loupe.ports.projects import KeepsProjects

MAX_CORRECTED = 60
"""So many images are corrected at a time."""
_THREADS = 16


class ImageUnknown(Conflict):
    """The index does not know an image that a dataset version has."""

    slug, title = "image-unknown", "The index does not know the image"


@dataclass(frozen=True)
class Wish:
    """What one image's label is to be: `value`, or None for none, so that the image is asked about again.
    `seen` names the newest correction that the person knew of, None if there was none."""

    sha256: str
    value: LabelValue | None
    seen: str | None


@dataclass(frozen=True)
class Corrected:
    """What became of a wish. `correction` is what counts of this person's; None where the image had that
    label already. `other` is somebody else's correction that he did not know of: of the two, the newer
    counts."""

    sha256: str
    correction: Correction | None
    other: Correction | None

    def to_json(self) -> dict[str, Any]:
        """As the API tells it; `counts` says whose correction is the newer one."""
        mine, other = self.correction, self.other
        return {
            "sha256": self.sha256,
            "corrected": mine.to_json() if mine else None,
            "other": other.to_json() if other else None,
            "counts": "other" if mine and other and other.id > mine.id else "yours",
        }


@dataclass(frozen=True)
class Correct:
    """Writes corrections down; the next dataset version has them."""

    projects: KeepsProjects
    images: KeepsImages
    galleries: Galleries
    workspace: StoresObjects
    clock: Clock

    def __call__(self, project: str, version: str, worker: Worker, wishes: Sequence[Wish]) -> list[Corrected]:
        """All of them, or none if one is at fault. Repeating it changes nothing.

        `version` is the one that the person looked at. Raises `ProjectNotFound`, `NotFound`, `InvalidLabel`,
        `UnknownLabel`, `ImageUnknown`.
        """
        config = valid_config(self.projects, project)
        looked_at = self.galleries.open(project, version)
        records = self.images.images(project, {wish.sha256 for wish in wishes})
        for wish in wishes:
            _check(wish, config, looked_at, records.get(wish.sha256))
        # The latest version's label is what is corrected, whichever version the person looked at.
        latest = self.galleries.open(project, self.galleries.cards(project)[0].version)

        def correct(wish: Wish) -> Corrected:
            return self._correct(latest, worker, wish, records[wish.sha256])

        return list(in_parallel(correct, wishes, min(_THREADS, len(wishes))))

    def _correct(self, latest: Gallery, worker: Worker, wish: Wish, record: ImageRecord) -> Corrected:
        pending = pending_of(latest, wish.sha256)
        newest = pending[-1] if pending else None
        row = latest.row(wish.sha256)
        if newest is not None and newest.value == wish.value and newest.worker == worker.id:
            return Corrected(wish.sha256, newest, _unseen(pending, worker, wish))
        if newest is None and row is not None and _says(row, wish.value, latest):
            return Corrected(wish.sha256, None, None)
        at = _after(self.clock(), newest, row)
        correction = Correction(wish.sha256, wish.value, worker.id, worker.name, at)
        write_correction(latest.project, latest.card.version, correction, record, self.workspace)
        # Looked up once more, so that of two at the same moment at least one hears of the other.
        return Corrected(wish.sha256, correction, _unseen(pending_of(latest, wish.sha256), worker, wish))


def _check(wish: Wish, config: ProjectConfig, gallery: Gallery, record: ImageRecord | None) -> None:
    if gallery.index.find(read_digest(wish.sha256)) is None:
        raise NotFound(f"dataset version {gallery.card.version} has no image {wish.sha256!r}")
    if record is None:
        raise ImageUnknown(f"the index does not know image {wish.sha256}: run loupe reconcile")
    if wish.value is None:
        return
    if wish.value.task != config.task:
        raise InvalidLabel(
            f"the project is for {config.task} and takes {LABEL_ATTRIBUTES[config.task]!r}, "
            f"not {LABEL_ATTRIBUTES[wish.value.task]!r}"
        )
    check_value(wish.value, config.labels, (record.width, record.height))


def _says(row: Row, value: LabelValue | None, gallery: Gallery) -> bool:
    return value is not None and value_hash(read_value(gallery.card.task, row)) == value_hash(value)


def _after(now: datetime, newest: Correction | None, row: Row | None) -> datetime:
    """A correction is newer than what it corrects, whatever clocks say: the newest label counts."""
    before = [newest.at] if newest else []
    if row is not None:
        before.append(datetime.fromisoformat(row["labeled_at"]))
    return max([now, *(at + timedelta(microseconds=1) for at in before)])


def _unseen(pending: Sequence[Correction], worker: Worker, wish: Wish) -> Correction | None:
    """The newest correction of somebody else that came after the one that the person knew of."""
    others = [each for each in pending if each.worker != worker.id and each.id > (wish.seen or "")]
    return others[-1] if others else None


# What is corrected since the latest version ---------------------------------------------------------


def pending(latest: Gallery) -> dict[str, list[str]]:
    """Keys of the corrections that the latest version does not have, oldest first, by image.

    They lie below that version, or, if they were written while it was built, below the one before.
    """
    found: dict[str, list[str]] = {}
    for prefix in _folders(latest):
        for sha256, name, key in written_corrections(prefix, latest.store):
            if not latest.has_correction(name):
                found.setdefault(sha256, []).append(key)
    return found


def pending_of(latest: Gallery, sha256: str) -> list[Correction]:
    """Those of one image, oldest first."""
    keys = [
        key
        for folder in _folders(latest)
        for _, name, key in written_corrections(f"{folder}{sha256}/", latest.store)
        if not latest.has_correction(name)
    ]
    return [read_correction(key, latest.store) for key in keys]


def _folders(latest: Gallery) -> list[str]:
    card, names = latest.card, Workspace(latest.project)
    versions = [card.previous_version, card.version]
    return [names.corrections(version) for version in versions if version is not None]
