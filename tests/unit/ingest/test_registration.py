"""Registration: from keys to known images, whatever happens to the objects meanwhile."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from itertools import permutations

import pytest

from loupe.domain.errors import StoreUnavailable
from loupe.domain.events import ImagesRegistered, ProjectConfigured
from loupe.domain.images.inspection import MAX_IMAGE_BYTES
from loupe.domain.images.registration import MISSING_CONFIG, BatchOutcome, RegisterImages
from loupe.ports.images import Look, Registered
from loupe.ports.messages import UnusableRecord
from loupe.ports.objects import ObjectHead, OpenedObject
from loupe.ports.projects import ImageCounts
from tests.fakes.clock import FakeClock
from tests.fakes.events import FakeEvents
from tests.fakes.images import FakeImages
from tests.fakes.objects import FakeObjects
from tests.fakes.projects import FakeProjects
from tests.fakes.unusable import FakeDeadLetters
from tests.unit.ingest.pictures import jpeg, png

P = "digits"
CONFIG = b"task: image-classification\nlabels: [a, b]\n"


class Bucket(FakeObjects):
    """Counts what is read, and lets things happen at the worst moment."""

    def __init__(self) -> None:
        super().__init__("raw-data")
        self.reads: list[str] = []
        self.before_opening: Callable[[str], object] = lambda key: None

    @contextmanager
    def opened(self, key: str) -> Iterator[OpenedObject]:
        self.before_opening(key)
        with super().opened(key) as opened:
            yield _Watched(self, opened)


@dataclass
class _Watched:
    bucket: Bucket
    opened: OpenedObject

    @property
    def head(self) -> ObjectHead:
        return self.opened.head

    def read(self) -> bytes:
        content = self.opened.read()
        self.bucket.reads.append(self.head.key)
        return content


class Images(FakeImages):
    """Lets something happen just before a registration is written."""

    before_registering: Callable[[], object] | None = None

    def register(self, project: str, looks: Iterable[Look]) -> Registered:
        looks = list(looks)
        act, self.before_registering = self.before_registering, None
        if act:
            act()
        return super().register(project, looks)


@dataclass
class World:
    bucket: Bucket = field(default_factory=Bucket)
    projects: FakeProjects = field(default_factory=FakeProjects)
    events: FakeEvents = field(default_factory=FakeEvents)
    unusable: FakeDeadLetters = field(default_factory=FakeDeadLetters)
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.images = Images(self.projects)
        self.register_images = RegisterImages(
            self.bucket, self.projects, self.images, self.events, self.unusable, self.tick, threads=1
        )

    def tick(self) -> datetime:
        self.clock.advance(milliseconds=1)
        return self.clock()

    def put(self, key: str, content: bytes) -> None:
        self.bucket.write(key, content)

    def register(self, *keys: str) -> BatchOutcome:
        return self.register_images(keys)

    @property
    def counts(self) -> ImageCounts:
        return self.projects.counts(P)

    def reasons(self) -> dict[str, str]:
        return {record.key: record.reason for record in self.images.rejected(P, 100).rejected}


@pytest.fixture
def world() -> World:
    return World()


# Images


def test_new_images_are_registered_and_announced_once_a_project(world: World) -> None:
    world.put("digits/a.jpg", jpeg(seed=1))
    world.put("digits/b.png", png(seed=2))
    world.put("letters/c.png", png(seed=3))
    outcome = world.register("digits/a.jpg", "letters/c.png", "digits/b.png", "digits/a.jpg")
    assert outcome.registered == {"digits": 2, "letters": 1}
    assert world.events.published == [ImagesRegistered("digits", 2), ImagesRegistered("letters", 1)]
    assert world.counts == ImageCounts(pending=2)


def test_what_was_found_under_each_key_is_told(world: World) -> None:
    content = png(seed=1)
    digest = sha256(content).hexdigest()
    world.put("digits/a.png", content)
    world.put("digits/b.png", b"no image")
    image, rejected = world.register("digits/a.png", "digits/b.png").found
    assert (image.project, image.key, image.state, image.sha256) == (P, "digits/a.png", "registered", digest)
    assert image.correlation_id == f"image-{digest[:16]}"
    assert (rejected.state, rejected.reason, rejected.correlation_id) == ("rejected", "not-an-image", None)
    world.bucket.delete("digits/b.png")
    again, gone = world.register("digits/a.png", "digits/b.png").found
    assert again == replace(image, state="unchanged")
    assert (gone.key, gone.state) == ("digits/b.png", "gone")


def test_what_is_known_of_an_image(world: World) -> None:
    content = png(seed=4)
    world.put("digits/a.png", content)
    world.register("digits/a.png")
    image = world.images.image(P, sha256(content).hexdigest())
    assert image is not None
    assert (image.key, image.version_id, image.bytes) == ("digits/a.png", "1", len(content))
    assert (image.width, image.height, image.format) == (320, 240, "png")
    assert (image.state, image.registered_at) == ("pending", world.clock())


@pytest.mark.parametrize(
    "key",
    [
        "digits/a b.png",
        "digits/a+b%20.png",
        "digits/'\".png",
        "digits/a\nb.png",
        "digits/😀/é.png",
        "digits/" + "x" * 1017,
    ],
)
def test_keys_are_taken_as_they_are(world: World, key: str) -> None:
    world.put(key, png())
    assert world.register(key).registered == {P: 1}
    assert world.images.objects(P, [key])[key].key == key


def test_the_same_image_under_two_keys_is_registered_once(world: World) -> None:
    world.put("digits/a.png", png())
    world.put("digits/b.png", png())
    assert world.register("digits/a.png", "digits/b.png").registered == {P: 1}
    assert world.counts == ImageCounts(pending=1)


def test_a_known_object_is_not_read_again(world: World) -> None:
    world.put("digits/a.png", png())
    world.put("digits/x.jpg", b"text")
    for _ in range(3):
        world.register("digits/a.png", "digits/x.jpg")
    assert sorted(world.bucket.reads) == ["digits/a.png", "digits/x.jpg"]
    assert len(world.events.published) == 1


def test_a_known_object_whose_image_is_lost_is_registered_again(world: World) -> None:
    world.put("digits/a.png", content := png())
    world.register("digits/a.png")
    lost = world.images.image(P, sha256(content).hexdigest())
    world.images._forget(P, lost)
    assert world.register("digits/a.png").registered == {P: 1}
    assert world.counts == ImageCounts(pending=1)


def test_a_deleted_object_is_forgotten(world: World) -> None:
    world.put("digits/a.png", png())
    world.register("digits/a.png")
    world.bucket.delete("digits/a.png")
    assert world.register("digits/a.png").failed == {}
    assert world.counts == ImageCounts()
    assert world.register("digits/a.png").looked_at == 0


def test_events_in_any_order_and_number_come_to_the_same(world: World) -> None:
    """Each event may come at any time after its change, twice, and before those of earlier changes."""
    changes: list[Callable[[], object]] = [
        lambda: world.put("digits/a.png", png(seed=1)),
        lambda: world.put("digits/b.png", png(seed=1)),
        lambda: world.put("digits/a.png", png(seed=2)),
        lambda: world.bucket.delete("digits/b.png"),
    ]
    for order in permutations(range(4)):
        world = World()
        events = [["digits/a.png"], ["digits/b.png"], ["digits/a.png"], ["digits/b.png"]]
        for number, change in enumerate(changes):
            change()
            for at in order[: number + 1]:
                world.register(*events[at])
        world.register(*(key for at in order for key in events[at]))
        assert world.counts == ImageCounts(pending=1), order
        assert [image.key for image in world.images.pending(P, 10)] == ["digits/a.png"]


# Rejected


def test_files_that_cannot_be_labeled_are_rejected_with_their_reason(world: World) -> None:
    world.put("digits/x.jpg", b"this is text")
    world.put("digits/README.txt", b"these are digits")
    world.put("digits/empty.png", b"")
    world.put("digits/cut.jpg", jpeg(1200, 800)[:-500])
    world.put("digits/good", png())
    outcome = world.register(*(stored.key for stored in world.bucket.list("")))
    assert world.reasons() == {
        "digits/x.jpg": "not-an-image",
        "digits/README.txt": "not-an-image",
        "digits/empty.png": "empty-file",
        "digits/cut.jpg": "truncated",
    }
    assert (outcome.rejected, outcome.failed) == (4, {})
    assert world.counts == ImageCounts(pending=1, rejected=4)


def test_an_object_over_40_megabytes_is_rejected_unread(world: World) -> None:
    world.put("digits/large.png", bytes(MAX_IMAGE_BYTES + 1))
    world.register("digits/large.png")
    assert world.reasons() == {"digits/large.png": "too-large"}
    assert world.bucket.reads == []


@pytest.mark.parametrize("key", [f"{P}/a/../b.jpg", f"{P}/./b.jpg", f"{P}/a/.."])
def test_a_key_that_no_browser_can_ask_for_is_rejected(world: World, key: str) -> None:
    world.put(key, jpeg())
    world.register(key)
    assert world.reasons() == {key: "unusable-key"}


def test_a_rejected_object_that_is_put_right_is_registered(world: World) -> None:
    world.put("digits/a.png", png()[:100])
    world.register("digits/a.png")
    world.put("digits/a.png", png())
    world.register("digits/a.png")
    assert world.counts == ImageCounts(pending=1)


@pytest.mark.parametrize(
    "key",
    [
        "digits",
        "a.png",
        "/a.png",
        "Digits/a.png",
        "digits/",
        "digits/folder/",
        "digits/.DS_Store",
        "digits/instructions/good.png",
    ],
)
def test_what_is_no_projects_business_is_ignored(world: World, key: str) -> None:
    world.put(key, png())
    assert world.register(key).ignored == [key]
    assert world.bucket.reads == []


# Others at work at the same time


def test_an_object_replaced_between_look_and_registration_is_looked_at_again(world: World) -> None:
    world.put("digits/a.png", png(seed=1))

    def someone_else() -> None:
        world.put("digits/a.png", png(seed=2))
        world.register("digits/a.png")

    world.images.before_registering = someone_else
    world.register("digits/a.png")
    assert world.counts == ImageCounts(pending=1)
    assert world.images.image(P, sha256(png(seed=2)).hexdigest()) is not None


def test_an_object_that_never_rests_is_tried_again_later(world: World) -> None:
    world.put("digits/calm.png", png(seed=1))
    world.put("digits/a.png", png(seed=2))
    other = RegisterImages(
        world.bucket, world.projects, world.images, world.events, world.unusable, world.tick, threads=1
    )
    seeds = iter(range(3, 100))

    def replace_and_register() -> None:
        world.put("digits/a.png", png(seed=next(seeds)))
        other(["digits/a.png"])
        world.put("digits/a.png", png(seed=next(seeds)))
        world.images.before_registering = replace_and_register

    world.images.before_registering = replace_and_register
    outcome = world.register("digits/calm.png", "digits/a.png")
    assert list(outcome.failed) == ["digits/a.png"]
    assert world.images.objects(P, ["digits/calm.png"])


# Failures


def test_one_object_that_fails_fails_no_other(world: World) -> None:
    for n in range(5):
        world.put(f"digits/{n}.png", png(seed=n))

    def fail(key: str) -> None:
        if key == "digits/3.png":
            raise RuntimeError("the decoder met something new")

    world.bucket.before_opening = fail
    outcome = world.register(*(f"digits/{n}.png" for n in range(5)))
    assert {key: str(error) for key, error in outcome.failed.items()} == {
        "digits/3.png": "the decoder met something new"
    }
    assert world.counts == ImageCounts(pending=4)


def test_a_project_whose_event_cannot_be_published_is_tried_again_and_others_are_not(world: World) -> None:
    world.put("digits/a.png", png())
    world.put("letters/x.jpg", b"text")
    world.events.is_down = True
    outcome = world.register("digits/a.png", "letters/x.jpg")
    assert list(outcome.failed) == ["digits/a.png"]
    assert isinstance(outcome.failed["digits/a.png"], StoreUnavailable)


def test_unusable_records_are_set_aside(world: World) -> None:
    record = UnusableRecord("{", "not JSON")
    world.register_images([], [record])
    assert world.unusable.records == [record]


# project.yaml


def test_a_valid_configuration_is_taken_over_and_announced(world: World) -> None:
    world.put("digits/project.yaml", CONFIG)
    world.register("digits/project.yaml")
    record = world.projects.project(P)
    assert record is not None
    assert record.config is not None
    assert record.config.labels == ("a", "b")
    assert record.config_error is None
    assert world.events.published == [ProjectConfigured(P)]
    assert world.counts == ImageCounts()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"task: image-classification", "labels: is missing"),
        (b"\xff\xfe\x00", "not YAML"),
        (b"x" * 300_000, "300,000 bytes"),
    ],
)
def test_an_invalid_configuration_leaves_images_pending_and_says_why(
    world: World, content: bytes, words: str
) -> None:
    world.put("digits/project.yaml", content)
    world.put("digits/a.png", png())
    world.register("digits/project.yaml", "digits/a.png")
    record = world.projects.project(P)
    assert record is not None
    assert record.config is None
    assert words in (record.config_error or "")
    assert world.counts == ImageCounts(pending=1)
    assert world.events.published == [ImagesRegistered(P, 1)]


def test_images_without_a_configuration_introduce_their_project(world: World) -> None:
    world.put("digits/a.png", png())
    world.register("digits/a.png")
    record = world.projects.project(P)
    assert record is not None
    assert record.config_error == MISSING_CONFIG


def test_a_deleted_configuration_is_missed(world: World) -> None:
    world.put("digits/project.yaml", CONFIG)
    world.register("digits/project.yaml")
    world.bucket.delete("digits/project.yaml")
    world.register("digits/project.yaml")
    record = world.projects.project(P)
    assert record is not None
    assert (record.config, record.config_error) == (None, MISSING_CONFIG)


def test_a_configuration_that_changes_while_it_is_read_is_read_again(world: World) -> None:
    world.put("digits/project.yaml", CONFIG)
    opened = 0

    def change(key: str) -> None:
        nonlocal opened
        opened += 1
        if opened == 2:
            world.put(key, CONFIG.replace(b"[a, b]", b"[c, d]"))

    world.bucket.before_opening = change
    world.register("digits/project.yaml")
    record = world.projects.project(P)
    assert record is not None
    assert record.config is not None
    assert record.config.labels == ("c", "d")
