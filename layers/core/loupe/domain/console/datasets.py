"""What the console tells of dataset versions: which there are, their images, and each image's history."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loupe.domain.batches import in_parallel
from loupe.domain.configuration import valid_config
from loupe.domain.console.correcting import pending, pending_of
from loupe.domain.datasets.corrections import Correction, read_correction
from loupe.domain.datasets.galleries import Galleries, Gallery, Row, Wanted, compare, read_digest
from loupe.domain.datasets.mistakes import FIRM, Verdicts
from loupe.domain.datasets.splits import SPLITS
from loupe.domain.datasets.versions import DatasetCard
from loupe.domain.errors import BadRequest, Conflict, NotFound, ProjectNotFound
from loupe.domain.events import TrainingRequested
from loupe.domain.labeling.annotation import Worker
from loupe.domain.projects import LABEL_ATTRIBUTES
from loupe.domain.serving.answers import least_confidence
from loupe.domain.workspace import PreviewSize, Workspace
from loupe.ports.loops import KeepsLoops
from loupe.ports.messages import PublishesEvents
from loupe.ports.objects import StoresObjects
from loupe.ports.projects import KeepsProjects

MAX_SHOWN = 60
"""Most images that are told of at a time."""
IMAGE_URL_SECONDS = 3600
MAX_ANSWERS = 50
"""Most workers' answers that an image's history has."""

_READERS = 16

Json = dict[str, Any]


class NothingToUse(Conflict):
    """A new version would be what the latest one is."""

    slug, title = "nothing-new", "There is nothing that the latest version does not have"


@dataclass(frozen=True)
class DatasetConsole:
    """Reads dataset versions for the pages of the console."""

    projects: KeepsProjects
    loops: KeepsLoops
    galleries: Galleries
    raw_data: StoresObjects
    workspace: StoresObjects
    events: PublishesEvents

    def versions(self, project: str) -> Json:
        """All versions, newest first, and what is corrected since. Raises `ProjectNotFound`."""
        record = self.projects.project(project)
        if record is None:
            raise ProjectNotFound(f"there is no project {project!r}")
        cards, loop = self.galleries.cards(project), self.loops.loop(project)
        return {
            "project": project,
            "labels": record.config.labels if record.config else [],
            "min_new_labels": record.config.training.min_new_labels if record.config else None,
            "champion": loop.champion.version if loop.champion else None,
            "training": loop.training is not None,
            "waiting_for": loop.waiting_for,
            "corrected_images": len(pending(self._latest(project, cards))) if cards else 0,
            "versions": [_version(card) for card in cards],
        }

    def version(self, project: str, version: str) -> Json:
        """One version's counts, and what its images can be filtered by. Raises `NotFound`."""
        gallery = self.galleries.open(project, version)
        index, card, verdicts = gallery.index, gallery.card, self._verdicts(gallery)
        return {
            **_version(card),
            "splits": {
                split: {
                    "images": card.images[split],
                    "labels": card.counts[split],
                    "without": card.without[split],
                }
                for split in SPLITS
            },
            "left_out": card.left_out,
            "statistics": index.statistics,
            "jobs": sorted(index.jobs, reverse=True),
            "workers": sorted({name for names in index.worker_sets for name in names}),
            "human": index.human.count(1),
            "confidences": any(confidence > 0 for confidence in index.confidence),
            "disagreements": sum(agreement < 1 for agreement in index.agreement),
            "mistakes": len(gallery.select(Wanted(mistakes=True), verdicts)),
            "judged": sum(gallery.index.find(digest) is not None for digest in verdicts.by_image),
            "champion": verdicts.model,
            "firm": FIRM,
        }

    def images(self, project: str, version: str, wanted: Wanted, offset: int, limit: int) -> Json:
        """A stretch of the images that are wanted, and how many they are. Raises `NotFound`, `BadRequest`."""
        if (wanted.since is None) != (wanted.change is None):
            raise BadRequest("since and change go together")
        gallery = self.galleries.open(project, version)
        other = self.galleries.open(project, wanted.since) if wanted.since else None
        verdicts = self._verdicts(gallery)
        if wanted.change == "removed" and other is not None:
            gallery, other = other, gallery
        found = gallery.select(wanted, verdicts, other)
        positions = found[offset : offset + min(limit, MAX_SHOWN)]
        rows = gallery.rows(positions)
        corrected = self._corrected(project, [row["sha256"] for row in rows])
        shown = [
            self._shown(gallery, position, row, verdicts, corrected.get(row["sha256"]))
            for position, row in zip(positions, rows, strict=True)
        ]
        if other is not None and wanted.change in ("relabeled", "moved"):
            for image, before in zip(shown, _before(other, rows), strict=True):
                image["before"] = before
        return {"version": gallery.card.version, "total": len(found), "offset": offset, "images": shown}

    def changes(self, project: str, version: str, since: str) -> Json:
        """How the version differs from another. Raises `NotFound`."""
        found = compare(self.galleries.open(project, since), self.galleries.open(project, version))
        return {"version": version, "since": since, "changes": found}

    def image(self, project: str, version: str, sha256: str) -> Json:
        """One image of a version with all that was ever said of it. Raises `NotFound`, `BadRequest`.

        `label` is what the version has; `current` what counts now: the newest of the latest version's label,
        which is None if that version does not have the image, and the corrections since.
        """
        gallery = self.galleries.open(project, version)
        position = gallery.index.find(read_digest(sha256))
        if position is None:
            raise NotFound(f"dataset version {version} of {project!r} has no image {sha256}")
        (row,) = gallery.rows([position])
        latest = self._latest(project)
        newest = row if latest is gallery else latest.row(sha256)
        corrections = pending_of(latest, sha256)
        history = _history(newest or row, corrections)
        verdicts = self._verdicts(gallery)
        last = corrections[-1] if corrections else None
        return {
            **self._shown(gallery, position, row, verdicts, last),
            "preview": self._preview(project, "preview", sha256),
            "url": self.raw_data.presigned_url(row["key"], row["version_id"], IMAGE_URL_SECONDS),
            "version": version,
            "latest_version": latest.card.version,
            "current": last.to_json() if last else _said(newest) if newest else None,
            "seen": last.id if last else None,
            "history": history,
            "answers": self._answers(project, row["sha256"], history),
        }

    def request_version(self, project: str, worker: Worker) -> Json:
        """Have a version built, and a model trained, of what is corrected; without, they wait for the next
        finished job. Raises `ProjectNotFound`, `InvalidProject`, `NothingToUse`, and `Conflict` during a
        training, which would pass the request over."""
        valid_config(self.projects, project)
        cards = self.galleries.cards(project)
        corrected = len(pending(self._latest(project, cards))) if cards else 0
        if not corrected:
            raise NothingToUse("no label was corrected since the latest version was built")
        if self.loops.loop(project).training is not None:
            raise Conflict("a model is being trained: ask for a version of the corrections when that is over")
        reason = f"{worker.name} asks for a version with {corrected} corrected images"
        self.events.publish(TrainingRequested(project, reason))
        return {"corrected_images": corrected}

    # Parts ------------------------------------------------------------------------------------------

    def _latest(self, project: str, cards: Sequence[DatasetCard] | None = None) -> Gallery:
        return self.galleries.open(project, (cards or self.galleries.cards(project))[0].version)

    def _verdicts(self, gallery: Gallery) -> Verdicts:
        champion = self.loops.loop(gallery.project).champion
        if champion is None:
            return Verdicts()
        # After the project's task changed, versions of before and after it have the same champion.
        if champion.model.task != gallery.card.task:
            return Verdicts(champion.version)
        task, least = gallery.card.task, least_confidence(champion.model.trainer, gallery.card.task)
        return self.galleries.verdicts(gallery.project, champion.version, task, least)

    def _corrected(self, project: str, sha256s: Iterable[str]) -> dict[str, Correction]:
        """The newest correction of each of the images that was corrected since the latest version."""
        found = pending(self._latest(project))
        keys = [found[sha256][-1] for sha256 in sha256s if sha256 in found]
        read = in_parallel(lambda key: read_correction(key, self.workspace), keys, _READERS)
        return {correction.sha256: correction for correction in read}

    def _shown(
        self, gallery: Gallery, position: int, row: Row, verdicts: Verdicts, corrected: Correction | None
    ) -> Json:
        image = {
            "sha256": row["sha256"],
            "name": row["key"],
            "width": row["width"],
            "height": row["height"],
            "split": row["split"],
            **_said(row),
            "thumbnail": self._preview(gallery.project, "thumbnail", row["sha256"]),
        }
        verdict = verdicts.by_image.get(gallery.index.digest(position))
        if verdict is not None:
            image["champion"] = {
                "version": verdicts.model,
                **verdict.answer,
                "disagreement": gallery.disagreement(position, verdicts),
                "about": verdict.about,
            }
        if corrected is not None:
            image["corrected"] = corrected.to_json()
        return image

    def _preview(self, project: str, size: PreviewSize, sha256: str) -> str:
        """Where a smaller copy of the image lies, if somebody had it made."""
        return self.workspace.presigned_url(Workspace(project).preview(size, sha256), None, IMAGE_URL_SECONDS)

    def _answers(self, project: str, sha256: str, history: Iterable[Mapping[str, Any]]) -> list[Json]:
        """What single workers answered at the portal in the jobs that the image was in, oldest first."""
        names = Workspace(project)
        jobs = dict.fromkeys(said["job"] for said in history if "job" in said)
        keys = [
            stored.key for job in jobs for stored in self.workspace.list(f"{names.annotations(job)}{sha256}/")
        ]
        read = in_parallel(self.workspace.read, keys[-MAX_ANSWERS:], _READERS)
        answers = [said for said in map(json.loads, read) if not said.get("refused")]
        kept = ("job", "worker_name", "label", "labels", "boxes", "skip", "answered_at", "suggestion")
        told = [{name: said[name] for name in kept if name in said} for said in answers]
        return sorted(told, key=lambda said: str(said["answered_at"]))


_SAID = ("job", "human", "labeled_at", "confidences", "workers", "agreement", "correction")
_VALUES = tuple(LABEL_ATTRIBUTES.values())


def _version(card: DatasetCard) -> Json:
    return {
        "version": card.version,
        "task": card.task,
        "labels": card.labels,
        "created_at": card.created_at.isoformat(),
        "previous_version": card.previous_version,
        "new_labels": card.new_labels,
        "images": sum(card.images.values()),
    }


def _said(row: Mapping[str, Any]) -> Json:
    """What a row or a line says of its image, without what the image is."""
    members = (*_VALUES, *_SAID, "withdrawn", "failure_reason")
    return {name: row[name] for name in members if row.get(name) is not None}


def _before(other: Gallery, rows: Sequence[Row]) -> list[Json]:
    """Label and split that the images had in the other version."""
    places = [other.place_of(bytes.fromhex(row["sha256"])) for row in rows]
    found = other.rows([place for place in places if place is not None])
    return [{"split": row["split"], **_said(row)} for row in found]


def _history(row: Row, corrections: Iterable[Correction]) -> list[Json]:
    """Everything that was concluded about the image, newest first."""
    told = [_said(line) for line in (*row.get("earlier", ()), row)]
    return [*(each.to_json() for each in reversed([*corrections])), *reversed(told)]
