"""Images in memory, behind `loupe.ports.images.KeepsImages`."""

import bisect
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from loupe.domain.errors import BadRequest
from loupe.ports.images import (
    NO_LABEL,
    ImageRecord,
    ImageState,
    Look,
    ObjectRecord,
    Registered,
    RejectedPage,
    RejectedRecord,
)
from tests.fakes.labeling import FakeLabelingJobs
from tests.fakes.projects import FakeProjects

Position = tuple[datetime, str]


@dataclass
class _Project:
    images: dict[str, ImageRecord] = field(default_factory=dict)
    objects: dict[str, ObjectRecord] = field(default_factory=dict)
    keys: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Keys under which an image lies; those that came first stand first."""
    by_state: defaultdict[str, list[Position]] = field(default_factory=lambda: defaultdict(list))
    """Sorted, so that the oldest are found as fast among a million as among ten."""


class FakeImages:
    """Images of all projects. Their counts are kept in `projects`; `jobs` knows which jobs are over."""

    def __init__(self, projects: FakeProjects, jobs: FakeLabelingJobs | None = None) -> None:
        self._counted = projects
        self._jobs = jobs or FakeLabelingJobs()
        self._projects: defaultdict[str, _Project] = defaultdict(_Project)

    # Registration

    def objects(self, project: str, keys: Iterable[str]) -> dict[str, ObjectRecord]:
        known = self._projects[project].objects
        return {key: known[key] for key in keys if key in known}

    def all_objects(self, project: str) -> Iterator[ObjectRecord]:
        yield from list(self._projects[project].objects.values())

    def register(self, project: str, looks: Iterable[Look]) -> Registered:
        kept = self._projects[project]
        looks = list(looks)
        outdated = {look.key for look in looks if kept.objects.get(look.key) != look.known}
        looks = [look for look in looks if look.key not in outdated]
        new = sum(self._add(project, look) for look in looks)
        for look in looks:
            self._note(project, look)
        for look in looks:
            if look.known and look.known.sha256 and (not look.now or look.now.sha256 != look.known.sha256):
                self._remove(project, look.key, look.known.sha256)
        return Registered(new, frozenset(outdated))

    def _note(self, project: str, look: Look) -> None:
        objects = self._projects[project].objects
        self._counted.count(project, {"rejected": _is_rejected(look.now) - _is_rejected(look.known)})
        if look.now:
            objects[look.key] = look.now
        else:
            objects.pop(look.key, None)

    def _add(self, project: str, look: Look) -> bool:
        if not look.now or not look.now.sha256 or not look.image:
            return False
        kept = self._projects[project]
        known = kept.images.get(look.now.sha256)
        keys = kept.keys[look.now.sha256]
        if look.key not in keys:
            keys.append(look.key)
        if known is None:
            self._set(project, look.image)
        elif keys[0] == look.key:
            place = replace(look.image, key=look.key, version_id=look.now.version_id, etag=look.now.etag)
            self._set(project, _with_progress_of(known, place))
        return known is None

    def _remove(self, project: str, key: str, sha256: str) -> None:
        kept = self._projects[project]
        image, keys = kept.images.get(sha256), kept.keys[sha256]
        if key in keys:
            keys.remove(key)
        if image is None or image.key != key:
            return
        if keys:
            other = kept.objects[keys[0]]
            self._set(project, replace(image, key=other.key, version_id=other.version_id, etag=other.etag))
        elif image.state == "pending":
            self._forget(project, image)

    # Reading

    def image(self, project: str, sha256: str) -> ImageRecord | None:
        return self._projects[project].images.get(sha256)

    def images(self, project: str, sha256s: Iterable[str]) -> dict[str, ImageRecord]:
        known = self._projects[project].images
        return {sha: known[sha] for sha in sha256s if sha in known}

    def pending(self, project: str, limit: int) -> Iterator[ImageRecord]:
        kept = self._projects[project]
        return iter([kept.images[sha] for _, sha in kept.by_state["pending"][:limit]])

    def oldest_pending(self, project: str) -> datetime | None:
        waiting = self._projects[project].by_state["pending"]
        return waiting[0][0] if waiting else None

    def in_job(self, project: str, job: str) -> Iterator[ImageRecord]:
        kept = self._projects[project]
        labeling = [kept.images[sha] for _, sha in kept.by_state["labeling"]]
        return iter([image for image in labeling if image.job == job])

    def rejected(self, project: str, limit: int, after: str | None = None) -> RejectedPage:
        kept = self._projects[project]
        every = [
            RejectedRecord(record.key, record.reason or "", record.detail or "", record.looked_at)
            for record in kept.objects.values()
            if _is_rejected(record)
        ]
        every += [
            RejectedRecord(kept.images[sha].key, NO_LABEL, kept.images[sha].reason or "", at)
            for at, sha in kept.by_state["rejected"]
        ]
        every.sort(key=lambda record: (record.at, record.key))
        if after is not None and not after.isdecimal():
            raise BadRequest(f"after={after!r} is not the `next` of an earlier answer")
        begin = int(after or 0)
        more = begin + limit < len(every)
        return RejectedPage(every[begin : begin + limit], str(begin + limit) if more else None)

    # Labeling

    def take(self, project: str, job: str, sha256s: Iterable[str]) -> set[str]:
        taken: set[str] = set()
        if self._jobs.is_over(project, job):
            return taken
        for image in self._known(project, sha256s):
            if image.state == "pending":
                self._set(project, replace(image, state="labeling", job=job))
            if image.state == "pending" or (image.state == "labeling" and image.job == job):
                taken.add(image.sha256)
        return taken

    def give_back(self, project: str, job: str, sha256s: Iterable[str], *, attempted: bool = False) -> None:
        kept = self._projects[project]
        for image in self._known(project, sha256s):
            if image.state != "labeling" or image.job != job:
                continue
            if kept.keys[image.sha256]:
                self._set(project, replace(image, state="pending", attempts=image.attempts + attempted))
            else:
                self._forget(project, image)

    def accept(
        self, project: str, job: str, labeled: Iterable[str], refused: Iterable[tuple[str, str]]
    ) -> None:
        for sha in labeled:
            self._conclude(project, job, sha, "labeled", None)
        for sha, reason in refused:
            self._conclude(project, job, sha, "rejected", reason)

    def withdraw(self, project: str, job: str, sha256s: Iterable[str]) -> None:
        kept = self._projects[project]
        for image in self._known(project, sha256s):
            if not image.is_labeled_before(job):
                continue
            if kept.keys[image.sha256]:
                self._set(project, replace(image, state="pending", job=job))
            else:
                self._forget(project, image)

    def _conclude(self, project: str, job: str, sha256: str, state: ImageState, reason: str | None) -> None:
        for image in self._known(project, [sha256]):
            if image.awaits(job) or (state == "labeled" and image.state == "rejected"):
                self._set(project, replace(image, state=state, job=job, reason=reason))

    # Upkeep

    def restore(self, project: str, images: Iterable[ImageRecord]) -> None:
        kept = self._projects[project]
        for given in images:
            known = kept.images.get(given.sha256)
            if known is None:
                kept.keys[given.sha256].append(given.key)
                self._set(project, given)
            elif known.is_behind(given):
                self._set(project, _with_progress_of(given, known))

    # One image

    def _known(self, project: str, sha256s: Iterable[str]) -> Iterator[ImageRecord]:
        known = self._projects[project].images
        for sha in sha256s:
            if sha in known:
                yield known[sha]

    def _set(self, project: str, image: ImageRecord) -> None:
        self._forget(project, self.image(project, image.sha256))
        kept = self._projects[project]
        kept.images[image.sha256] = image
        bisect.insort(kept.by_state[image.state], (image.registered_at, image.sha256))
        self._counted.count(project, {image.state: 1})

    def _forget(self, project: str, image: ImageRecord | None) -> None:
        if image is None:
            return
        kept = self._projects[project]
        del kept.images[image.sha256]
        positions = kept.by_state[image.state]
        del positions[bisect.bisect_left(positions, (image.registered_at, image.sha256))]
        self._counted.count(project, {image.state: -1})


def _is_rejected(record: ObjectRecord | None) -> bool:
    return record is not None and record.sha256 is None


def _with_progress_of(progress: ImageRecord, facts: ImageRecord) -> ImageRecord:
    """What `facts` says about the image's object and content, as far as `progress` has come."""
    return replace(
        facts,
        registered_at=progress.registered_at,
        state=progress.state,
        job=progress.job,
        attempts=progress.attempts,
        reason=progress.reason,
    )
