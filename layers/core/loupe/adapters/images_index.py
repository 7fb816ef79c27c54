"""Images in the index, behind `loupe.ports.images.KeepsImages`.

    IMAGES#<p>    <sha256>                  an image; gsi1 lists it by state unless it is labeled
    OBJECTS#<p>   <sha256 of the key>       what lies under a key; gsi1 lists it if it is rejected
    gsi1          <p>#<state>               <registered_at>#<sk>

An item of an image counts its changes in `revision`, one of an object tells them apart by `looked_at`. Every
change reads the items, decides, and writes them and the counts in one transaction on the condition that they
still are as they were read; otherwise it reads and decides again. So no order of concurrent calls loses one.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256

from loupe.adapters.projects_index import count
from loupe.adapters.table import MAX_TRANSACTION, Action, Check, Delete, IndexTable, Item, Put
from loupe.domain.batches import batches, in_parallel
from loupe.domain.errors import BadRequest, StoreUnavailable
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

MAX_PLACES = 20
"""Under so many keys an image is remembered to lie."""
# Beside the images stand the counts, and the job that takes them.
_IMAGES_AT_ONCE = MAX_TRANSACTION - 2
# A look changes its object, the image that lies there now and the one that lay there before.
_LOOKS_AT_ONCE = (MAX_TRANSACTION - 1) // 3
_ATTEMPTS = 10
_POSITION = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00#[0-9a-f]{64}")


@dataclass(frozen=True)
class _Place:
    """A version of an object that holds an image."""

    key: str
    version_id: str | None
    etag: str


@dataclass(frozen=True)
class _Image:
    """An image's item: the record names its first place, `others` are further ones. `gone` says that the
    last place is the first's memory only: no object holds the image any more."""

    record: ImageRecord
    others: tuple[_Place, ...] = ()
    gone: bool = False
    revision: int = 0

    def placed(self, place: _Place) -> "_Image":
        """The image, known to lie there too."""
        if self.gone or self.record.key == place.key:
            return replace(self, record=_at(self.record, place), gone=False)
        others = tuple(other for other in self.others if other.key != place.key)
        return replace(self, others=(*others, place)[: MAX_PLACES - 1])

    def removed(self, key: str) -> "_Image | None":
        """The image without that key; None if it is to be forgotten."""
        if self.record.key != key:
            return replace(self, others=tuple(other for other in self.others if other.key != key))
        if self.others:
            return replace(self, record=_at(self.record, self.others[0]), others=self.others[1:])
        return None if self.record.state == "pending" else replace(self, gone=True)


_Images = dict[str, _Image]
_Change = Callable[[_Image | None], _Image | None]


class IndexedImages:
    """Images of all projects. `threads` transactions run at a time when a stream is long."""

    def __init__(self, table: IndexTable, threads: int = 8) -> None:
        self._table = table
        self._threads = threads

    # Registration -----------------------------------------------------------------------------------

    def objects(self, project: str, keys: Iterable[str]) -> dict[str, ObjectRecord]:
        places = ((_objects(project), _id(key)) for key in keys)
        return {item["key"]: _object_record(item) for item in self._table.batch_get(places)}

    def all_objects(self, project: str) -> Iterator[ObjectRecord]:
        return map(_object_record, self._table.query(_objects(project)))

    def register(self, project: str, looks: Iterable[Look]) -> Registered:
        new, outdated = 0, frozenset[str]()
        for batch in batches(looks, _LOOKS_AT_ONCE):
            registered = self._register(project, batch)
            new, outdated = new + registered.new, outdated | registered.outdated
        return Registered(new, outdated)

    def _register(self, project: str, looks: list[Look]) -> Registered:
        outdated: set[str] = set()
        for _ in range(_ATTEMPTS):
            involved = {
                record.sha256
                for look in looks
                for record in (look.known, look.now)
                if record and record.sha256
            }
            before = self._read(project, involved)
            after = _applied(before, looks)
            objects = [action for look in looks if (action := _object_action(project, look))]
            counts = _counts(before, after)
            counts["rejected"] += sum(_is_rejected(look.now) - _is_rejected(look.known) for look in looks)
            failed = self._write(project, objects, before, after, counts)
            if not failed:
                return Registered(len(after.keys() - before.keys()), frozenset(outdated))
            changing = [look for look in looks if look.known or look.now]
            outdated.update(look.key for at, look in enumerate(changing) if at in failed)
            looks = [look for look in looks if look.key not in outdated]
        raise _contended(project)

    # Reading ----------------------------------------------------------------------------------------

    def image(self, project: str, sha256: str) -> ImageRecord | None:
        item = self._table.get(_images(project), sha256)
        return _image(item).record if item else None

    def images(self, project: str, sha256s: Iterable[str]) -> dict[str, ImageRecord]:
        return {sha: image.record for sha, image in self._read(project, sha256s).items()}

    def pending(self, project: str, limit: int) -> Iterator[ImageRecord]:
        return self._listed(project, "pending", limit)

    def oldest_pending(self, project: str) -> datetime | None:
        oldest = next(self._listed(project, "pending", limit=1), None)
        return oldest.registered_at if oldest else None

    def in_job(self, project: str, job: str) -> Iterator[ImageRecord]:
        return (image for image in self._listed(project, "labeling") if image.job == job)

    def rejected(self, project: str, limit: int, after: str | None = None) -> RejectedPage:
        if after is not None and not _POSITION.fullmatch(after):
            raise BadRequest(f"after={after!r} is not the `next` of an earlier answer")
        items = list(self._table.query(f"{project}#rejected", index="gsi1", above=after, limit=limit + 1))
        page = items[:limit]
        return RejectedPage(
            [_rejected_record(item) for item in page],
            page[-1]["gsi1sk"] if page and len(items) > limit else None,
        )

    # Labeling ---------------------------------------------------------------------------------------

    def take(self, project: str, job: str, sha256s: Iterable[str]) -> set[str]:
        def taken(image: _Image | None) -> _Image | None:
            if image and image.record.state == "pending":
                return replace(image, record=replace(image.record, state="labeling", job=job))
            return image

        takes_images = Check(
            f"PROJECT#{project}",
            f"JOB#{job}",
            "attribute_not_exists(#pk) OR #state IN (:preparing, :open)",
            {"preparing": "preparing", "open": "open"},
        )
        return {
            sha
            for images in self._changed(project, ((sha, taken) for sha in sha256s), takes_images)
            for sha, image in images.items()
            if image.record.state == "labeling" and image.record.job == job
        }

    def give_back(self, project: str, job: str, sha256s: Iterable[str], *, attempted: bool = False) -> None:
        def given_back(image: _Image | None) -> _Image | None:
            if not image or image.record.state != "labeling" or image.record.job != job:
                return image
            if image.gone:
                return None
            attempts = image.record.attempts + attempted
            return replace(image, record=replace(image.record, state="pending", attempts=attempts))

        for _ in self._changed(project, ((sha, given_back) for sha in sha256s)):
            pass

    def accept(
        self, project: str, job: str, labeled: Iterable[str], refused: Iterable[tuple[str, str]]
    ) -> None:
        def concluded(reason: str | None, image: _Image | None) -> _Image | None:
            if not image:
                return None
            record = image.record
            if not record.awaits(job) and (reason is not None or record.state != "rejected"):
                return image
            state: ImageState = "rejected" if reason is not None else "labeled"
            return replace(image, record=replace(record, state=state, job=job, reason=reason))

        for outcomes in (((sha, None) for sha in labeled), refused):
            changes = ((sha, partial(concluded, reason)) for sha, reason in outcomes)
            for _ in self._changed(project, changes):
                pass

    def withdraw(self, project: str, job: str, sha256s: Iterable[str]) -> None:
        def withdrawn(image: _Image | None) -> _Image | None:
            if not image or not image.record.is_labeled_before(job):
                return image
            if image.gone:
                return None
            return replace(image, record=replace(image.record, state="pending", job=job))

        for _ in self._changed(project, ((sha, withdrawn) for sha in sha256s)):
            pass

    # Upkeep -----------------------------------------------------------------------------------------

    def restore(self, project: str, images: Iterable[ImageRecord]) -> None:
        def restored(given: ImageRecord, image: _Image | None) -> _Image | None:
            if not image:
                return _Image(given)
            if not image.record.is_behind(given):
                return image
            further = replace(
                image.record, state=given.state, job=given.job, attempts=given.attempts, reason=given.reason
            )
            return replace(image, record=further)

        for _ in self._changed(project, ((given.sha256, partial(restored, given)) for given in images)):
            pass

    # Read, decide, write ----------------------------------------------------------------------------

    def _listed(self, project: str, state: ImageState, limit: int | None = None) -> Iterator[ImageRecord]:
        items = self._table.query(f"{project}#{state}", index="gsi1", limit=limit)
        return (_image(item).record for item in items)

    def _read(self, project: str, sha256s: Iterable[str]) -> _Images:
        items = self._table.batch_get((_images(project), sha) for sha in sha256s)
        return {item["sk"]: _image(item) for item in items}

    def _changed(
        self, project: str, changes: Iterable[tuple[str, _Change]], only_if: Check | None = None
    ) -> Iterator[_Images]:
        """The images as they are after their change, a transaction's worth at a time; those are left out,
        and stay as they were, for which `only_if` does not hold."""
        return in_parallel(
            lambda batch: self._change(project, dict(batch), only_if),
            batches(changes, _IMAGES_AT_ONCE),
            self._threads,
        )

    def _change(self, project: str, changes: dict[str, _Change], only_if: Check | None) -> _Images:
        conditions = [only_if] if only_if else []
        for _ in range(_ATTEMPTS):
            before = self._read(project, changes)
            decided = {sha: change(before.get(sha)) for sha, change in changes.items()}
            after = {sha: image for sha, image in decided.items() if image}
            failed = self._write(project, conditions, before, after, _counts(before, after))
            if not failed:
                return after
            if only_if and 0 in failed:
                return {}
        raise _contended(project)

    def _write(
        self,
        project: str,
        actions: Sequence[Action],
        before: _Images,
        after: _Images,
        counts: Counter[str],
    ) -> frozenset[int]:
        """All or nothing; positions of the conditions that failed, those of `actions` first."""
        actions = [*actions, *_image_actions(project, before, after)]
        if counted := count(project, counts):
            actions.append(counted)
        return self._table.transact(actions) if actions else frozenset()


# Deciding -------------------------------------------------------------------------------------------


def _applied(before: _Images, looks: list[Look]) -> _Images:
    """The images after the looks. An image that moved from one key to another stays the same image, so
    places are added before others are removed."""
    images = dict(before)
    for look in looks:
        if look.now and look.now.sha256 and look.image:
            known = images.get(look.now.sha256)
            place = _Place(look.key, look.now.version_id, look.now.etag)
            images[look.now.sha256] = _with_facts(known, look.image).placed(place)
    for look in looks:
        sha = look.known.sha256 if look.known else None
        if sha and sha in images and (look.now is None or look.now.sha256 != sha):
            if image := images[sha].removed(look.key):
                images[sha] = image
            else:
                del images[sha]
    return images


def _with_facts(known: _Image | None, seen: ImageRecord) -> _Image:
    if known is None:
        return _Image(seen)
    facts = replace(
        known.record,
        bytes=seen.bytes,
        width=seen.width,
        height=seen.height,
        format=seen.format,
        phash=seen.phash,
        orientation=seen.orientation,
    )
    return replace(known, record=facts)


def _at(record: ImageRecord, place: _Place) -> ImageRecord:
    return replace(record, key=place.key, version_id=place.version_id, etag=place.etag)


def _counts(before: _Images, after: _Images) -> Counter[str]:
    counts = Counter[str](image.record.state for image in after.values())
    counts.subtract(image.record.state for image in before.values())
    return counts


def _is_rejected(record: ObjectRecord | None) -> bool:
    return record is not None and record.sha256 is None


def _image_actions(project: str, before: _Images, after: _Images) -> Iterator[Action]:
    for sha in before.keys() | after.keys():
        old, new = before.get(sha), after.get(sha)
        if old == new:
            continue
        if old is None and new is not None:
            yield Put(_image_item(project, new), "attribute_not_exists(#pk)")
        elif old is not None:
            unchanged, values = "#revision = :revision", {"revision": old.revision}
            if new is None:
                yield Delete(_images(project), sha, unchanged, values)
            else:
                item = _image_item(project, replace(new, revision=old.revision + 1))
                yield Put(item, unchanged, values)


def _object_action(project: str, look: Look) -> Action | None:
    unchanged, values = "attribute_not_exists(#pk)", {}
    if look.known:
        unchanged, values = "#looked_at = :looked_at", {"looked_at": _text(look.known.looked_at)}
    if look.now:
        return Put(_object_item(project, look.now), unchanged, values)
    return Delete(_objects(project), _id(look.key), unchanged, values) if look.known else None


def _contended(project: str) -> StoreUnavailable:
    return StoreUnavailable(f"Images of {project} are being changed by too many at once; try again")


# Records <-> items ----------------------------------------------------------------------------------


def _images(project: str) -> str:
    return f"IMAGES#{project}"


def _objects(project: str) -> str:
    return f"OBJECTS#{project}"


def _id(key: str) -> str:
    return sha256(key.encode()).hexdigest()


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _without_none(item: Item) -> Item:
    return {name: value for name, value in item.items() if value is not None}


def _image_item(project: str, image: _Image) -> Item:
    record = image.record
    listed = record.state != "labeled"
    registered_at = _text(record.registered_at)
    return _without_none(
        {
            **vars(record),
            "pk": _images(project),
            "sk": record.sha256,
            "sha256": None,
            "registered_at": registered_at,
            "others": [_without_none(vars(place)) for place in image.others] or None,
            "gone": image.gone or None,
            "revision": image.revision,
            "gsi1pk": f"{project}#{record.state}" if listed else None,
            "gsi1sk": f"{registered_at}#{record.sha256}" if listed else None,
        }
    )


def _image(item: Item) -> _Image:
    record = ImageRecord(
        sha256=item["sk"],
        key=item["key"],
        version_id=item.get("version_id"),
        etag=item["etag"],
        bytes=item["bytes"],
        width=item["width"],
        height=item["height"],
        format=item["format"],
        phash=item["phash"],
        registered_at=datetime.fromisoformat(item["registered_at"]),
        state=item["state"],
        job=item.get("job"),
        attempts=item["attempts"],
        reason=item.get("reason"),
        orientation=item.get("orientation", 1),
    )
    others = tuple(
        _Place(place["key"], place.get("version_id"), place["etag"]) for place in item.get("others", [])
    )
    return _Image(record, others, item.get("gone", False), item["revision"])


def _object_item(project: str, record: ObjectRecord) -> Item:
    place, rejected = _id(record.key), _is_rejected(record)
    looked_at = _text(record.looked_at)
    return _without_none(
        {
            **vars(record),
            "pk": _objects(project),
            "sk": place,
            "looked_at": looked_at,
            "gsi1pk": f"{project}#rejected" if rejected else None,
            "gsi1sk": f"{looked_at}#{place}" if rejected else None,
        }
    )


def _object_record(item: Item) -> ObjectRecord:
    return ObjectRecord(
        key=item["key"],
        etag=item["etag"],
        version_id=item.get("version_id"),
        looked_at=datetime.fromisoformat(item["looked_at"]),
        sha256=item.get("sha256"),
        reason=item.get("reason"),
        detail=item.get("detail"),
    )


def _rejected_record(item: Item) -> RejectedRecord:
    if "looked_at" in item:
        return RejectedRecord(
            item["key"], item["reason"], item["detail"], datetime.fromisoformat(item["looked_at"])
        )
    at = datetime.fromisoformat(item["registered_at"])
    return RejectedRecord(item["key"], NO_LABEL, item.get("reason", ""), at)
