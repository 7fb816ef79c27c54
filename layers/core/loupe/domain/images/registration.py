"""Registration: what lies in the raw-data bucket becomes known, whatever order its events come in, and so do
images of other buckets that a project refers to.

An event only says where to look. What is registered is the object as it is now, so an event that comes
twice, late or before an earlier one does no harm. Two looks at a key at the same time can't overwrite each
other: the index refuses the one that began before the other was written, and that key is looked at again.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from threading import Condition
from typing import Literal

from loupe.domain.batches import in_parallel
from loupe.domain.correlation import id_of_image
from loupe.domain.errors import Conflict, DomainError, InvalidProject, ObjectMissing
from loupe.domain.events import ImagesRegistered, ProjectConfigured
from loupe.domain.images.inspection import MAX_IMAGE_BYTES, ImageFacts, ImageRejected, check_size, inspect
from loupe.domain.projects import (
    CONFIG_FILE,
    MAX_CONFIG_BYTES,
    ProjectConfig,
    config_key,
    is_example_key,
    parse_project_yaml,
    project_of_key,
)
from loupe.ports.images import ImageRecord, KeepsImages, Look, ObjectRecord
from loupe.ports.messages import Clock, PublishesEvents, SetsAside, UnusableRecord
from loupe.ports.objects import OpenedObject, OpensObjects
from loupe.ports.projects import KeepsProjects

_ROUNDS = 5
_LEFTOVERS = {".DS_Store", "Thumbs.db", "desktop.ini"}
MISSING_CONFIG = f"there is no {CONFIG_FILE} in the project's folder"


@dataclass(frozen=True)
class Found:
    """What a look at a key found: an image that is `registered`, a `rejected` object with its reason, or that
    the object is `gone`; `unchanged` where that was known."""

    project: str
    key: str
    state: Literal["registered", "rejected", "gone", "unchanged"]
    version_id: str | None = None
    sha256: str | None = None
    reason: str | None = None
    detail: str | None = None

    @classmethod
    def of(cls, project: str, look: Look) -> "Found":
        if look.now is None:
            return cls(project, look.key, "gone", sha256=look.known.sha256 if look.known else None)
        state: Literal["registered", "rejected"] = "rejected" if look.image is None else "registered"
        return cls(project, look.key, state, *_facts(look.now))

    @classmethod
    def again(cls, project: str, known: ObjectRecord) -> "Found":
        """Of an object that was known to be so."""
        return cls(project, known.key, "unchanged", *_facts(known))

    @property
    def correlation_id(self) -> str | None:
        return id_of_image(self.sha256) if self.sha256 else None


def _facts(record: ObjectRecord) -> tuple[str | None, ...]:
    return record.version_id, record.sha256, record.reason, record.detail


@dataclass
class BatchOutcome:
    """What came of a batch: images that became pending, by project; what was found under each key; keys that
    are no project's business; keys that have to be tried again, each with what went wrong."""

    registered: dict[str, int] = field(default_factory=dict)
    looked_at: int = 0
    rejected: int = 0
    ignored: list[str] = field(default_factory=list)
    failed: dict[str, Exception] = field(default_factory=dict)
    found: list[Found] = field(default_factory=list)


class RegisterImages:
    """Looks at objects of the raw-data bucket, and those that projects refer to, and takes note of them.

    `threads` objects are read at a time, of which no more than `memory` bytes are held.
    """

    def __init__(
        self,
        objects: OpensObjects,
        projects: KeepsProjects,
        images: KeepsImages,
        events: PublishesEvents,
        unusable: SetsAside,
        clock: Clock,
        *,
        inspect: Callable[[bytes], ImageFacts] = inspect,
        threads: int = 8,
        memory: int = 3 * MAX_IMAGE_BYTES,
    ) -> None:
        self._objects = objects
        self._projects = projects
        self._images = images
        self._events = events
        self._unusable = unusable
        self._clock = clock
        self._inspect = inspect
        self._threads = threads
        self._memory = _Budget(memory)

    def __call__(
        self,
        keys: Iterable[str],
        unusable: Sequence[UnusableRecord] = (),
        referred: Mapping[str, Iterable[str]] | None = None,
    ) -> BatchOutcome:
        """Look at `keys`, and at the images of other buckets that are `referred` to, by project their URIs;
        set the unusable records aside. Raises `StoreUnavailable` if these can't be."""
        outcome = BatchOutcome()
        by_project: defaultdict[str, list[str]] = defaultdict(list)
        for key in dict.fromkeys(keys):
            project = project_of_key(key)
            if project is None or _is_ignored(key):
                outcome.ignored.append(key)
            else:
                by_project[project].append(key)
        for project, uris in (referred or {}).items():
            by_project[project].extend(uris)
        for project, its_keys in by_project.items():
            try:
                self._register(project, its_keys, outcome)
            except DomainError as error:
                outcome.failed.update(dict.fromkeys(its_keys, error))
        if unusable:
            self._unusable.set_aside(unusable)
        return outcome

    # Images -----------------------------------------------------------------------------------------

    def _register(self, project: str, keys: list[str], outcome: BatchOutcome) -> None:
        if config_key(project) in keys:
            self._configure(project)
        todo, new = [key for key in keys if key != config_key(project)], 0
        for _ in range(_ROUNDS):
            looks = list(self._looks(project, todo, outcome))
            registered = self._images.register(project, looks)
            outcome.looked_at += len(looks)
            outcome.rejected += sum(look.now is not None and look.image is None for look in looks)
            taken = (look for look in looks if look.key not in registered.outdated)
            outcome.found.extend(Found.of(project, look) for look in taken)
            new, todo = new + registered.new, sorted(registered.outdated)
            if not todo:
                break
        changing = Conflict("the object changes faster than it can be looked at")
        outcome.failed.update(dict.fromkeys(todo, changing))
        if new:
            outcome.registered[project] = new
            self._projects.introduce(project, MISSING_CONFIG)
            self._events.publish(ImagesRegistered(project, new))

    def _looks(self, project: str, keys: list[str], outcome: BatchOutcome) -> Iterator[Look]:
        """What lies under those keys, apart from what is known already and from what failed."""
        known = self._images.objects(project, keys)
        kept = self._images.images(project, [record.sha256 for record in known.values() if record.sha256])
        settled = {key for key, record in known.items() if record.sha256 is None or record.sha256 in kept}

        def look(key: str) -> Look | Exception | None:
            try:
                return self._look(key, known.get(key), is_settled=key in settled)
            except Exception as error:  # noqa: BLE001 - one object's fault is reported, and fails no other
                return error

        for key, result in zip(keys, in_parallel(look, keys, self._threads), strict=True):
            if isinstance(result, Exception):
                outcome.failed[key] = result
            elif result:
                yield result
            elif key in known:
                outcome.found.append(Found.again(project, known[key]))

    def _look(self, key: str, known: ObjectRecord | None, *, is_settled: bool) -> Look | None:
        """None if nothing has changed."""
        try:
            with self._objects.opened(key) as opened:
                head = opened.head
                if known and is_settled and (known.etag, known.version_id) == (head.etag, head.version_id):
                    return None
                return self._inspected(opened, known)
        except ObjectMissing:
            return Look(key, known, None) if known else None

    def _inspected(self, opened: OpenedObject, known: ObjectRecord | None) -> Look:
        head, now = opened.head, self._clock()
        try:
            _check_key(head.key)
            check_size(head.size)
            with self._memory.held(head.size):
                data = opened.read()
                facts = self._inspect(data)
                digest = sha256(data).hexdigest()
        except ImageRejected as rejected:
            found = ObjectRecord(
                head.key, head.etag, head.version_id, now, reason=rejected.reason, detail=rejected.detail
            )
            return Look(head.key, known, found)
        image = ImageRecord(
            sha256=digest,
            key=head.key,
            version_id=head.version_id,
            etag=head.etag,
            bytes=head.size,
            width=facts.width,
            height=facts.height,
            format=facts.format,
            phash=facts.phash,
            registered_at=now,
            orientation=facts.orientation,
        )
        found = ObjectRecord(head.key, head.etag, head.version_id, now, sha256=digest)
        return Look(head.key, known, found, image)

    # project.yaml -----------------------------------------------------------------------------------

    def _configure(self, project: str) -> None:
        """Take over project.yaml, and look again afterwards: of two at this at a time, the last to save sees
        whether what it saved is still what lies there."""
        for _ in range(_ROUNDS):
            etag, config, error = self._read_config(project)
            self._projects.save_config(project, config, error, etag)
            if self._etag_of_config(project) == etag:
                break
        else:
            raise Conflict(f"{CONFIG_FILE} changes faster than it can be read")
        if config:
            self._events.publish(ProjectConfigured(project))

    def _read_config(self, project: str) -> tuple[str | None, ProjectConfig | None, str | None]:
        """Its etag, and either the configuration or what is wrong with it."""
        try:
            with self._objects.opened(config_key(project)) as opened:
                if opened.head.size > MAX_CONFIG_BYTES:
                    return opened.head.etag, None, f"{CONFIG_FILE} has {opened.head.size:,} bytes"
                try:
                    return opened.head.etag, parse_project_yaml(opened.read()), None
                except InvalidProject as invalid:
                    return opened.head.etag, None, invalid.detail
        except ObjectMissing:
            return None, None, MISSING_CONFIG

    def _etag_of_config(self, project: str) -> str | None:
        try:
            with self._objects.opened(config_key(project)) as opened:
                return opened.head.etag
        except ObjectMissing:
            return None


def _check_key(key: str) -> None:
    """Raises `ImageRejected` for a key that browsers can not ask for: to them `.` and `..` are steps."""
    if any(part in {".", ".."} for part in key.split("/")):
        raise ImageRejected(
            "unusable-key", "the key has a part `.` or `..`, which browsers leave out of URLs"
        )


def _is_ignored(key: str) -> bool:
    """Examples of instructions, folders as some tools create them, what operating systems leave in them."""
    name = key.rpartition("/")[2]
    return is_example_key(key) or not name or name in _LEFTOVERS or name.startswith("._")


class _Budget:
    """Bytes that threads share; who asks for more than is left waits until others are done."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._changed = Condition()

    @contextmanager
    def held(self, size: int) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: self._left >= size)
            self._left -= size
        try:
            yield
        finally:
            with self._changed:
                self._left += size
                self._changed.notify_all()
