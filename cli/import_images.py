"""The images of an import: which the label files mean, what they are, and how they get into the bucket."""

import hashlib
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

from cli.console import err, progress_bar
from cli.errors import CommandFault
from cli.label_files import ImagePlace, LabelFiles, LocalImage
from cli.session import Session
from cli.stack import KnownImages, Stack, StoredObject
from cli.upload import MAX_KEY_BYTES, Image, Uploader, UploadReport
from loupe.domain.batches import batches, in_parallel
from loupe.domain.errors import DomainError
from loupe.domain.images.inspection import ImageRejected, check_size, dimensions
from loupe.domain.images.places import is_referred
from loupe.domain.interchange.names import AmbiguousName, Names
from loupe.domain.interchange.records import Findings, Labeled, Size, is_image
from loupe.domain.labeling.import_labels import MAX_ASKED, check_referred
from loupe.domain.manifests import S3Uri
from loupe.domain.projects import project_of_key

SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_UNTIL_RECONCILE = 60.0
"""Registration that makes no progress for so long is helped along once."""
PATIENCE = 600.0
"""Seconds without progress after which the command gives up waiting; it can be run again."""
SECONDS_HELD = 3600.0
"""So often the command says that it still works on the import."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What an image is."""

    sha256: str
    size: Size


class Bucket:
    """The raw-data bucket as the import sees it: the project's objects, and what is registered."""

    def __init__(self, stack: Stack, project: str) -> None:
        self._stack = stack
        self.project = project
        self.name = stack.raw_data_bucket

    @cached_property
    def present(self) -> dict[str, StoredObject]:
        """Objects of the project's folder by key."""
        return {stored.key: stored for stored in self._stack.list_objects(f"{self.project}/")}

    @cached_property
    def names(self) -> Names:
        """Images by their path within the project."""
        prefix = f"{self.project}/"
        return Names(key.removeprefix(prefix) for key in self.present)

    def known(
        self, project: str, keys: Iterable[str] = (), sha256s: Iterable[str] = ()
    ) -> Iterator[KnownImages]:
        """What is registered, a thousand at a time."""
        for batch in batches(keys, MAX_ASKED):
            yield self._stack.known_images(project, batch, [])
        for batch in batches(sha256s, MAX_ASKED):
            yield self._stack.known_images(project, [], batch)


class ImageFinder:
    """Finds the image that a label means: beside the label files, where the user said that images are, and
    in the project's folder of the raw-data bucket."""

    def __init__(self, bucket: Bucket, folders: Sequence[LabelFiles]) -> None:
        self._bucket = bucket
        self._folders = [(files, frozenset(files.paths), Names(files.images)) for files in folders]

    def find(self, labeled: Labeled) -> ImagePlace | None:
        """Raises `AmbiguousName`."""
        if labeled.image.startswith("s3://"):
            return self._by_uri(labeled.image)
        for files, paths, names in self._folders:
            path = labeled.image if labeled.image in paths else names.find(labeled.image)
            if path is not None:
                return files.image(path)
        if labeled.source is not None:
            return self._by_uri(labeled.source)
        within = self._bucket.names.find(labeled.image)
        return None if within is None else S3Uri(self._bucket.name, f"{self._bucket.project}/{within}")

    def _by_uri(self, uri: str) -> ImagePlace | None:
        """An object as it is named; else, if the user said where images are, the one there of that name."""
        named = S3Uri.parse_place(uri)
        for files, _, names in self._folders[1:]:
            path = names.find(named.key)
            if path is not None:
                return files.image(path)
        if not named.key:
            return None
        is_own = named.bucket == self._bucket.name and project_of_key(named.key) == self._bucket.project
        return named if not is_own or named.key in self._bucket.present else None


def match_images(
    labels: Iterable[Labeled], finder: ImageFinder, findings: Findings
) -> Iterator[tuple[Labeled, ImagePlace]]:
    """Labels with their images; an image that is not there is a fault."""
    for labeled in labels:
        try:
            place = finder.find(labeled)
        except AmbiguousName as error:
            findings.fault(labeled.file, labeled.line, error.detail)
            continue
        if place is None:
            findings.fault(
                labeled.file,
                labeled.line,
                f"there is no image {labeled.image!r}; say with --images where images are, or upload them",
            )
        else:
            yield labeled, place


class ImageReader:
    """Says what images are: the index knows those that are registered, others are read."""

    def __init__(self, session: Session, bucket: Bucket, parallel: int) -> None:
        self._stack = session.stack
        self._bucket = bucket
        self._parallel = parallel

    def facts(self, places: Sequence[ImagePlace]) -> dict[ImagePlace, Facts | str]:
        """The facts of each image, or what is wrong with it."""
        found: dict[ImagePlace, Facts | str] = dict(self._registered(places))
        unread = [place for place in places if place not in found]
        with progress_bar(err()) as bar:
            task = bar.add_task("Reading images", total=len(unread), remark="")
            for place, facts in zip(unread, in_parallel(self._read, unread, self._parallel), strict=True):
                found[place] = facts
                bar.advance(task)
        return found

    def _registered(self, places: Iterable[ImagePlace]) -> Iterator[tuple[ImagePlace, Facts]]:
        by_project: dict[str, list[str]] = {}
        for place in places:
            if isinstance(place, S3Uri) and place.bucket == self._bucket.name:
                project = project_of_key(place.key)
                if project is not None:
                    by_project.setdefault(project, []).append(place.key)
        for project, keys in by_project.items():
            for known in self._bucket.known(project, keys):
                for key, record in known["objects"].items():
                    if "sha256" in record:
                        image = known["images"][record["sha256"]]
                        size = (image["width"], image["height"])
                        yield S3Uri(self._bucket.name, key), Facts(record["sha256"], size)

    def _read(self, place: ImagePlace) -> Facts | str:
        try:
            if isinstance(place, LocalImage):
                check_size(place.path.stat().st_size)
                content = place.path.read_bytes()
            else:
                content = self._stack.bucket(place.bucket).read(place.key)
            check_size(len(content))
            return Facts(hashlib.sha256(content).hexdigest(), dimensions(content))
        except ImageRejected as rejected:
            return rejected.detail
        except OSError as error:
            return f"it can't be read: {error.strerror or error}"
        except DomainError as error:
            return error.detail


# Getting them into the bucket -----------------------------------------------------------------------


@dataclass(frozen=True)
class Transfers:
    """Where each image lies or will lie, by SHA-256, and what has to be done for it. `referred` are the URIs
    of those that stay in another bucket."""

    keys: dict[str, str]
    uploads: list[Image] = field(default_factory=list)
    copies: list[tuple[S3Uri, str]] = field(default_factory=list)
    referred: list[str] = field(default_factory=list)
    labeling: int = 0

    @property
    def in_place(self) -> int:
        return len(self.keys) - len(self.uploads) - len(self.copies) - len(self.referred)


def plan_transfers(
    images: Mapping[str, ImagePlace],
    bucket: Bucket,
    folders: Sequence[LabelFiles],
    prefix: str,
    *,
    refer: bool,
) -> Transfers:
    """What lies in the project's folder already stays where it is, and with `refer` so does what lies in
    another bucket; the rest goes below `prefix`, under its path beside the label files or its key. No object
    is overwritten: where another one has the key, the name gets the image's SHA-256.
    """
    registered: dict[str, str] = {}
    labeling = 0
    for known in bucket.known(bucket.project, sha256s=images):
        for sha256, image in known["images"].items():
            if image["key"] in bucket.present:
                registered[sha256] = image["key"]
            labeling += image["state"] == "labeling"
    transfers = Transfers({}, labeling=labeling)
    taken = set(bucket.present)
    for sha256, place in images.items():
        if sha256 in registered:
            transfers.keys[sha256] = registered[sha256]
        elif isinstance(place, S3Uri) and place.bucket == bucket.name and place.key in bucket.present:
            transfers.keys[sha256] = place.key
        elif refer and isinstance(place, S3Uri) and place.bucket != bucket.name:
            transfers.keys[sha256] = str(place)
            transfers.referred.append(str(place))
        else:
            key = _free_key(prefix + _path_of(place, bucket, folders), sha256, taken, prefix)
            taken.add(key)
            transfers.keys[sha256] = key
            _add_transfer(transfers, place, key)
    return transfers


def transfers_to(keys: Mapping[str, str], images: Mapping[str, ImagePlace], bucket: Bucket) -> Transfers:
    """What is left to do for an import that chose its keys before."""
    transfers = Transfers(dict(keys))
    for sha256, key in keys.items():
        if is_referred(key):
            transfers.referred.append(key)
        elif images[sha256] != S3Uri(bucket.name, key) and key not in bucket.present:
            _add_transfer(transfers, images[sha256], key)
    return transfers


def check_buckets(stack: Stack, buckets: Iterable[str]) -> None:
    """Raises `BadRequest` and CommandFault for buckets that the stack can't refer to."""
    names = sorted(set(buckets))
    check_referred(names, stack.referred_buckets)
    for name in names:
        region = stack.region_of(name)
        if region != stack.region:
            raise CommandFault(
                f"{name} is in {region}, and the stack in {stack.region}: training and labeling read images "
                "of their own region only.",
                "Import without --refer, so that the images are copied.",
            )


def _add_transfer(transfers: Transfers, place: ImagePlace, key: str) -> None:
    """Note that the image has to get there."""
    if isinstance(place, LocalImage):
        transfers.uploads.append(Image(place.path, key, place.path.stat().st_size))
    else:
        transfers.copies.append((place, key))


def _path_of(place: ImagePlace, bucket: Bucket, folders: Sequence[LabelFiles]) -> str:
    for folder in folders:
        path = folder.path_of(place)
        if path is not None:
            return path
    if isinstance(place, LocalImage):
        return place.path.name
    own = place.bucket == bucket.name and project_of_key(place.key) is not None
    return place.key.partition("/")[2] if own else place.key


def _free_key(key: str, sha256: str, taken: set[str], prefix: str) -> str:
    stem, suffix = posixpath.splitext(key)
    if len(key.encode()) > MAX_KEY_BYTES or {"", ".", ".."} & set(key.split("/")):
        key = f"{prefix}{sha256}{suffix if is_image(key) else ''}"
    return f"{stem}-{sha256[:12]}{suffix}" if key in taken else key


def transfer(
    session: Session, bucket: Bucket, transfers: Transfers, parallel: int, renew: Callable[[], None]
) -> None:
    """Upload and copy what is not there yet. Raises CommandFault; the same command goes on."""
    stack = session.stack
    with progress_bar(err()) as bar:
        task = bar.add_task("Storing images", total=len(transfers.uploads) + len(transfers.copies), remark="")

        def show(report: UploadReport) -> None:
            bar.update(task, completed=report.done, remark=report.rate)
            renew()

        report = Uploader(stack, bucket.present.values(), parallel).run(transfers.uploads, show)
        if report.stopped:
            raise CommandFault(
                "Stopped; nothing is imported yet.", "The same command goes on where it stopped."
            )
        if report.failed:
            first = report.failed[0]
            raise CommandFault(
                f"{len(report.failed)} images could not be stored: {first.path}: {first.reason}",
                "Nothing is imported yet; the same command goes on where this one stopped.",
            )
        copy = partial(_copy, stack, bucket)
        for _ in in_parallel(copy, transfers.copies, parallel):
            bar.advance(task)
            renew()


def refer(session: Session, bucket: Bucket, transfers: Transfers, renew: Callable[[], None]) -> None:
    """Have images that stay in other buckets looked at; `await_registration` sees what comes of it."""
    for uris in batches(transfers.referred, MAX_ASKED):
        session.stack.refer_to(bucket.project, uris)
        renew()


def _copy(stack: Stack, bucket: Bucket, copied: tuple[S3Uri, str]) -> None:
    place, key = copied
    if key not in bucket.present:
        stack.bucket(bucket.name).copy_from(place.bucket, place.key, key)


# Waiting for registration ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Registered:
    """Key and version of each image that is registered, by SHA-256, and what was rejected, by key."""

    images: dict[str, tuple[str, str | None]]
    rejected: dict[str, str]


def await_registration(
    session: Session, bucket: Bucket, keys: Mapping[str, str], renew: Callable[[], None]
) -> Registered:
    """Once each image is registered or rejected. Raises CommandFault if nothing happens for long, or if
    another object lies under a key."""
    settled = Registered({}, {})
    with progress_bar(err()) as bar:
        task = bar.add_task("Registering images", total=len(keys), remark="")
        for batch in batches(keys.items(), MAX_ASKED):
            waiting = dict(batch)
            patience = _Patience(session, bucket.project)
            while waiting:
                before = len(waiting)
                for known in bucket.known(bucket.project, list(waiting.values())):
                    _settle(known, waiting, settled)
                bar.update(task, completed=len(settled.images) + len(settled.rejected))
                renew()
                if waiting:
                    patience.wait(progress=len(waiting) < before, waiting=waiting.values())
    return settled


def _settle(known: KnownImages, waiting: dict[str, str], settled: Registered) -> None:
    for sha256, key in list(waiting.items()):
        found = known["objects"].get(key)
        if found is None:
            continue
        if "sha256" not in found:
            settled.rejected[key] = found.get("detail", found.get("reason", ""))
        elif found["sha256"] != sha256 and is_referred(key):
            continue  # it was replaced since it was registered, and is being looked at again
        elif found["sha256"] != sha256:
            raise CommandFault(
                f"{key} holds another image than the one to import.",
                "Nothing is imported yet. Move that object elsewhere; then the same command goes on.",
            )
        else:
            image = known["images"][sha256]
            settled.images[sha256] = image["key"], image["version_id"]
        del waiting[sha256]


class _Patience:
    """Waits between looks, has the stack look after lost events once, and gives up in the end."""

    def __init__(self, session: Session, project: str) -> None:
        self._session = session
        self._project = project
        self._since = session.clock()
        self._reconciled = False

    def wait(self, *, progress: bool, waiting: Iterable[str]) -> None:
        now = self._session.clock()
        if progress:
            self._since = now
        if now - self._since > PATIENCE:
            first = min(waiting)
            elsewhere = " An image of another bucket may be gone, or the stack's roles may not read it."
            raise CommandFault(
                f"Images of {self._project} are there, but the stack has not registered them for "
                f"{PATIENCE / 60:.0f} minutes, {first} for one.",
                "Nothing is imported yet. Look at the ingest dead-letter queue; the same command goes on."
                + (elsewhere if is_referred(first) else ""),
            )
        if now - self._since > SECONDS_UNTIL_RECONCILE and not self._reconciled:
            self._reconciled = True
            self._session.stack.reconcile(self._project)
        self._session.sleep(SECONDS_BETWEEN_LOOKS)
