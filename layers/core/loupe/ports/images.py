"""Images in the index, and looks at them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

ImageState = Literal["pending", "labeling", "labeled", "rejected"]


@dataclass(frozen=True)
class ImageRecord:
    """An image of a project: what it is, where it lies, and how far it has come.

    `sha256` and `phash` are hexadecimal; width and height are pixels as stored, whatever EXIF says about
    turning them, and `orientation` is what it says, 1 to 8. `key` (see `loupe.domain.images.places`) names
    the object with its `version_id` and `etag`. `job` is the labeling job that has the image or had it last;
    `attempts` counts the jobs that came to their end without an answer for it; `reason` says why it was
    rejected.
    """

    sha256: str
    key: str
    version_id: str | None
    etag: str
    bytes: int
    width: int
    height: int
    format: str
    phash: str
    registered_at: datetime
    state: ImageState = "pending"
    job: str | None = None
    attempts: int = 0
    reason: str | None = None
    orientation: int = 1

    def awaits(self, job: str) -> bool:
        """Whether what the job concludes is news of the image."""
        return self.state == "pending" or (self.state == "labeling" and self.job == job)

    def is_labeled_before(self, job: str) -> bool:
        """Whether its label is of an earlier job; names of jobs ascend with time."""
        return self.state == "labeled" and (self.job is None or self.job < job)

    def is_behind(self, other: "ImageRecord") -> bool:
        """Whether the other record tells of something that happened to the image later: that a job took it,
        or what the job that has it concluded."""
        if self.state == "labeling":
            return other.state in ("labeled", "rejected") and other.job == self.job
        return self.state == "pending" and other.state != "pending"


@dataclass(frozen=True)
class ObjectRecord:
    """What registration found under a key when it last looked: an image, or a reason to reject the object.

    `looked_at` tells one look from another.
    """

    key: str
    etag: str
    version_id: str | None
    looked_at: datetime
    sha256: str | None = None
    reason: str | None = None
    detail: str | None = None


NO_LABEL = "no-label"
"""Reason of an image that a job gave no label."""


@dataclass(frozen=True)
class RejectedRecord:
    """An object or image that no job gets. `reason` is a slug, `detail` says it in words."""

    key: str
    reason: str
    detail: str
    at: datetime


@dataclass(frozen=True)
class RejectedPage:
    """A stretch of the rejected, oldest first; `next` is where to go on, None at the end."""

    rejected: list[RejectedRecord]
    next: str | None


@dataclass(frozen=True)
class Look:
    """The result of looking at a key. `known` is what the index held before the look; `now` is what lies
    there, None if nothing does; `image` is given when that is an image."""

    key: str
    known: ObjectRecord | None
    now: ObjectRecord | None
    image: ImageRecord | None = None


@dataclass(frozen=True)
class Registered:
    """`new` images became pending. `outdated` keys were changed by someone else since `Look.known` was
    read: nothing was done about them, and they have to be looked at again."""

    new: int
    outdated: frozenset[str] = frozenset()


class KeepsImages(Protocol):
    """Images of all projects with their states, and what lies under each key.

    Every change of a state changes the project's counts with it, all or nothing, and repeating a call
    changes nothing more. Streams of any length are worked on piece by piece in constant memory. Listings by
    state may lag behind a change by about a second; changes themselves never rely on them.
    All methods raise `StoreUnavailable`.
    """

    # Registration
    def objects(self, project: str, keys: Iterable[str]) -> dict[str, ObjectRecord]:
        """What is known to lie under those keys; keys that nothing is known of are left out."""
        ...

    def all_objects(self, project: str) -> Iterator[ObjectRecord]:
        """Everything that is known to lie in the project's folder, in no particular order."""
        ...

    def register(self, project: str, looks: Iterable[Look]) -> Registered:
        """Take note of what was found under keys, each at most once in a call.

        An image that is known under another key gets a further key and keeps its state. An image whose
        last key is gone or holds something else now is forgotten if it is pending; in every other state
        it stays.
        """
        ...

    # Reading
    def image(self, project: str, sha256: str) -> ImageRecord | None: ...

    def images(self, project: str, sha256s: Iterable[str]) -> dict[str, ImageRecord]:
        """Those of the images that are known."""
        ...

    def pending(self, project: str, limit: int) -> Iterator[ImageRecord]:
        """Images that wait for a job, oldest first."""
        ...

    def oldest_pending(self, project: str) -> datetime | None:
        """When the image that has waited longest was registered."""
        ...

    def in_job(self, project: str, job: str) -> Iterator[ImageRecord]:
        """Images that are being labeled in that job, oldest first."""
        ...

    def rejected(self, project: str, limit: int, after: str | None = None) -> RejectedPage:
        """Rejected objects and images; `after` is an earlier page's `next`, or `BadRequest` is raised."""
        ...

    # Labeling
    def take(self, project: str, job: str, sha256s: Iterable[str]) -> set[str]:
        """Hand pending images to a job; returns those that the job has then, from this call or before. A job
        that is consolidating, finished or discarded gets none."""
        ...

    def give_back(self, project: str, job: str, sha256s: Iterable[str], *, attempted: bool = False) -> None:
        """Images that the job has without a label wait again, in their old place; one whose object is gone
        is forgotten. Images that the job does not have are passed over. `attempted` counts the job among
        the images' `attempts`."""
        ...

    def accept(
        self, project: str, job: str, labeled: Iterable[str], refused: Iterable[tuple[str, str]]
    ) -> None:
        """The job's outcome: images with a label, and images without one, each with the reason in words.

        Applies to images that the job has and, since a label in S3 outweighs the index, to pending ones. A
        label counts for rejected images, too.
        """
        ...

    def withdraw(self, project: str, job: str, sha256s: Iterable[str]) -> None:
        """The job found the labels of these images wrong: they wait again, in their old place. Images that
        have no label, or one of a later job, are passed over; one whose object is gone is forgotten."""
        ...

    # Upkeep
    def restore(self, project: str, images: Iterable[ImageRecord]) -> None:
        """Put back images that the index has lost, as they are given. One that is there stays as it is,
        unless it `is_behind` the given one."""
        ...


class RequestsLooks(Protocol):
    """Asks for a project's objects to be looked at, as an event about them would."""

    def request(self, project: str, keys: Iterable[str]) -> int:
        """`keys` are those of the raw-data bucket, and URIs of images that the project refers to. Returns how
        many were asked for. Raises `StoreUnavailable`."""
        ...
