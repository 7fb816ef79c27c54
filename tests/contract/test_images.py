"""What every keeper of images does: the fake and the index alike."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest

from loupe.adapters.images_index import IndexedImages
from loupe.adapters.projects_index import IndexedProjects
from loupe.adapters.table import IndexTable
from loupe.domain.errors import BadRequest
from loupe.ports.images import ImageRecord, KeepsImages, Look, ObjectRecord, Registered, RejectedRecord
from loupe.ports.projects import ImageCounts, KeepsProjects
from tests.fakes.images import FakeImages
from tests.fakes.projects import FakeProjects

P, JOB = "digits", "digits-20261121t101500-1a2b"
START = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


def sha(name: object) -> str:
    return sha256(str(name).encode()).hexdigest()


@dataclass
class Kept:
    """Images, their counts, and ways to say what was found."""

    images: KeepsImages
    projects: KeepsProjects
    now: datetime = START

    @property
    def counts(self) -> ImageCounts:
        return self.projects.counts(P)

    def image(self, name: object, key: str, version_id: str | None = "v1") -> ImageRecord:
        return ImageRecord(
            sha(name),
            key,
            version_id,
            f"etag-{name}",
            512,
            64,
            48,
            "png",
            "f" * 64,
            registered_at=self.now,
            orientation=6,
        )

    def look(
        self, key: str, content: object = None, *, reason: str | None = None, version_id: str | None = "v1"
    ) -> Look:
        """What a look finds: an image (its content's name), a reason to reject the object, or nothing."""
        self.now += timedelta(seconds=1)
        known = self.images.objects(P, [key]).get(key)
        if content is not None:
            image = self.image(content, key, version_id)
            now = ObjectRecord(key, image.etag, version_id, self.now, sha256=image.sha256)
            return Look(key, known, now, image)
        if reason is not None:
            return Look(key, known, ObjectRecord(key, "etag", None, self.now, None, reason, "in words"))
        return Look(key, known, None)

    def see(self, key: str, content: object = None, **how: Any) -> Registered:
        return self.images.register(P, [self.look(key, content, **how)])

    def see_all(self, contents: Iterable[object]) -> list[str]:
        """Register images of those contents, one second apart, and return their hashes."""
        contents = list(contents)
        self.images.register(P, [self.look(f"{P}/{content}.png", content) for content in contents])
        return [sha(content) for content in contents]

    def known(self, content: object) -> ImageRecord:
        image = self.images.image(P, sha(content))
        assert image is not None
        return image

    def pending(self) -> list[str]:
        return [image.sha256 for image in self.images.pending(P, 1000)]


@pytest.fixture(params=["fake", "moto"])
def kept(request: pytest.FixtureRequest) -> Kept:
    if request.param == "fake":
        projects = FakeProjects()
        return Kept(FakeImages(projects), projects)
    table = request.getfixturevalue("index_table")
    return Kept(IndexedImages(table, threads=1), IndexedProjects(table))


# Registration


def test_a_new_image_is_pending_and_comes_back_as_it_was_seen(kept: Kept) -> None:
    look = kept.look(key := 'digits/a b+c%20"\n😀.png', "a")
    assert kept.images.register(P, [look]) == Registered(1)
    assert look.image is not None
    assert kept.images.image(P, sha("a")) == look.image
    assert kept.images.objects(P, [key, "digits/other"]) == {key: look.now}
    assert kept.counts == ImageCounts(pending=1)


def test_a_key_of_1024_bytes_is_kept(kept: Kept) -> None:
    key = "digits/" + "é" * 508 + "x"
    assert len(key.encode()) == 1024
    kept.see(key, "a")
    assert set(kept.images.objects(P, [key])) == {key}


def test_unversioned_objects_are_kept(kept: Kept) -> None:
    kept.see("digits/a.png", "a", version_id=None)
    assert kept.known("a").version_id is None


def test_seeing_the_same_again_changes_no_count(kept: Kept) -> None:
    kept.see("digits/a.png", "a")
    assert kept.see("digits/a.png", "a") == Registered(0)
    assert kept.counts == ImageCounts(pending=1)


def test_the_same_image_under_two_keys_is_one_image(kept: Kept) -> None:
    both = [kept.look("digits/a.png", "a"), kept.look("digits/b.png", "a")]
    assert kept.images.register(P, both) == Registered(1)
    assert kept.see("digits/c.png", "a") == Registered(0)
    assert kept.counts == ImageCounts(pending=1)
    assert kept.known("a").key == "digits/a.png"


def test_projects_do_not_share_images(kept: Kept) -> None:
    kept.see("digits/a.png", "a")
    assert kept.images.image("letters", sha("a")) is None
    assert kept.projects.counts("letters") == ImageCounts()


def test_a_pending_image_whose_object_is_gone_is_forgotten(kept: Kept) -> None:
    kept.see("digits/a.png", "a")
    kept.see("digits/a.png")
    assert kept.images.image(P, sha("a")) is None
    assert kept.images.objects(P, ["digits/a.png"]) == {}
    assert kept.counts == ImageCounts()


def test_an_image_stays_while_another_key_holds_it(kept: Kept) -> None:
    kept.see("digits/a.png", "a", version_id="v1")
    kept.see("digits/b.png", "a", version_id="v2")
    kept.see("digits/a.png")
    assert (kept.known("a").key, kept.known("a").version_id) == ("digits/b.png", "v2")
    kept.see("digits/b.png")
    assert kept.counts == ImageCounts()


def test_an_object_that_is_replaced_gives_up_its_old_image(kept: Kept) -> None:
    kept.see("digits/a.png", "old")
    assert kept.see("digits/a.png", "new", version_id="v2") == Registered(1)
    assert kept.images.image(P, sha("old")) is None
    assert kept.known("new").version_id == "v2"
    assert kept.counts == ImageCounts(pending=1)


def test_an_image_that_moves_stays_the_same_image(kept: Kept) -> None:
    kept.see("digits/a.png", "a")
    registered_at = kept.known("a").registered_at
    moved = [kept.look("digits/a.png"), kept.look("digits/b.png", "a")]
    assert kept.images.register(P, moved) == Registered(0)
    assert (kept.known("a").key, kept.known("a").registered_at) == ("digits/b.png", registered_at)


def test_two_keys_that_swap_their_images_keep_both(kept: Kept) -> None:
    kept.images.register(P, [kept.look("digits/1", "a"), kept.look("digits/2", "b")])
    kept.images.register(P, [kept.look("digits/1", "b"), kept.look("digits/2", "a")])
    assert (kept.known("a").key, kept.known("b").key) == ("digits/2", "digits/1")
    assert kept.counts == ImageCounts(pending=2)


def test_a_new_version_with_the_same_content_is_noted(kept: Kept) -> None:
    kept.see("digits/a.png", "a", version_id="v1")
    kept.see("digits/a.png", "a", version_id="v2")
    assert kept.known("a").version_id == "v2"


def test_a_look_that_another_one_overtook_does_nothing(kept: Kept) -> None:
    early = kept.look("digits/a.png", "old")
    kept.see("digits/a.png", "new")
    other = kept.look("digits/b.png", "b")
    assert kept.images.register(P, [early, other]) == Registered(1, frozenset({"digits/a.png"}))
    assert kept.images.image(P, sha("old")) is None
    assert kept.counts == ImageCounts(pending=2)


def test_a_look_that_missed_a_removal_does_nothing(kept: Kept) -> None:
    kept.see("digits/a.png", "a")
    early = kept.look("digits/a.png", "b")
    kept.see("digits/a.png")
    assert kept.images.register(P, [early]).outdated == {"digits/a.png"}
    assert kept.counts == ImageCounts()


def test_a_batch_may_be_larger_than_a_transaction(kept: Kept) -> None:
    shas = kept.see_all(range(40))
    assert kept.counts == ImageCounts(pending=40)
    assert set(kept.images.images(P, [*shas, sha("other")])) == set(shas)
    replaced = [kept.look(f"{P}/{n}.png", f"new {n}") for n in range(40)]
    assert kept.images.register(P, replaced) == Registered(40)
    assert kept.counts == ImageCounts(pending=40)


def test_one_image_under_a_hundred_keys_is_one_image(kept: Kept) -> None:
    looks = [kept.look(f"{P}/{n}.png", "a") for n in range(100)]
    assert kept.images.register(P, looks) == Registered(1)
    assert kept.counts == ImageCounts(pending=1)


def test_all_objects_lists_images_and_rejected_alike(kept: Kept) -> None:
    kept.see_all(range(3))
    kept.see("digits/x.jpg", reason="not-an-image")
    keys = {record.key for record in kept.images.all_objects(P)}
    assert keys == {"digits/0.png", "digits/1.png", "digits/2.png", "digits/x.jpg"}


# Rejected


def test_a_rejected_object_is_listed_with_its_reason(kept: Kept) -> None:
    look = kept.look("digits/x.jpg", reason="not-an-image")
    assert kept.images.register(P, [look]) == Registered(0)
    assert look.now is not None
    assert kept.images.rejected(P, 10).rejected == [
        RejectedRecord("digits/x.jpg", "not-an-image", "in words", look.now.looked_at)
    ]
    assert kept.counts == ImageCounts(rejected=1)


def test_a_rejected_object_that_is_put_right_or_gone_is_rejected_no_more(kept: Kept) -> None:
    kept.see("digits/x.jpg", reason="truncated")
    kept.see("digits/y.jpg", reason="truncated")
    kept.see("digits/x.jpg", "x")
    kept.see("digits/y.jpg")
    assert kept.images.rejected(P, 10).rejected == []
    assert kept.counts == ImageCounts(pending=1)


def test_an_image_replaced_by_a_broken_file_leaves_one_rejected(kept: Kept) -> None:
    kept.see("digits/x.jpg", "x")
    kept.see("digits/x.jpg", reason="truncated")
    kept.see("digits/x.jpg", reason="truncated")
    assert kept.counts == ImageCounts(rejected=1)


def test_the_rejected_come_in_pages_oldest_first(kept: Kept) -> None:
    for n in range(5):
        kept.see(f"digits/{n}", reason="empty-file")
    keys, after = [], None
    for size in (2, 2, 1):
        page = kept.images.rejected(P, 2, after)
        assert len(page.rejected) == size
        keys += [record.key for record in page.rejected]
        after = page.next
    assert after is None
    assert keys == [f"digits/{n}" for n in range(5)]


def test_a_page_that_never_was_is_a_bad_request(kept: Kept) -> None:
    with pytest.raises(BadRequest, match="not the `next` of"):
        kept.images.rejected(P, 10, "nonsense")


# Labeling


def test_the_oldest_images_come_first(kept: Kept) -> None:
    assert kept.images.oldest_pending(P) is None
    shas = kept.see_all(range(5))
    assert [image.sha256 for image in kept.images.pending(P, 3)] == shas[:3]
    assert kept.images.oldest_pending(P) == kept.known(0).registered_at


def test_taken_images_are_being_labeled(kept: Kept) -> None:
    shas = kept.see_all(range(4))
    assert kept.images.take(P, JOB, [*shas[:3], sha("unknown")]) == set(shas[:3])
    assert kept.pending() == shas[3:]
    assert [image.sha256 for image in kept.images.in_job(P, JOB)] == shas[:3]
    assert {image.job for image in kept.images.in_job(P, JOB)} == {JOB}
    assert kept.counts == ImageCounts(pending=1, labeling=3)


def test_a_job_takes_its_own_images_again_but_not_those_of_another(kept: Kept) -> None:
    shas = kept.see_all(range(3))
    kept.images.take(P, JOB, shas[:2])
    assert kept.images.take(P, JOB, shas[:1]) == set(shas[:1])
    assert kept.images.take(P, "other", shas) == {shas[2]}
    assert kept.counts == ImageCounts(labeling=3)


def test_more_images_than_a_transaction_takes_can_be_taken(kept: Kept) -> None:
    shas = kept.see_all(range(105))
    assert kept.images.take(P, JOB, iter(shas)) == set(shas)
    assert len(list(kept.images.in_job(P, JOB))) == 105
    kept.images.accept(P, JOB, iter(shas[:100]), ((each, "blurred") for each in shas[100:]))
    assert kept.counts == ImageCounts(labeled=100, rejected=5)


def test_images_given_back_wait_in_their_old_place(kept: Kept) -> None:
    shas = kept.see_all(range(3))
    kept.images.take(P, JOB, shas[:2])
    kept.images.give_back(P, JOB, [shas[0]])
    kept.images.give_back(P, JOB, [shas[0]])
    kept.images.give_back(P, "other", [shas[1]])
    assert kept.pending() == [shas[0], shas[2]]
    assert kept.known(0).attempts == 0
    assert kept.counts == ImageCounts(pending=2, labeling=1)


def test_a_job_that_gave_an_image_no_label_is_counted_once(kept: Kept) -> None:
    shas = kept.see_all(range(1))
    for job in (JOB, "digits-later"):
        kept.images.take(P, job, shas)
        for _ in range(2):
            kept.images.give_back(P, job, shas, attempted=True)
    assert kept.known(0).attempts == 2


def test_an_image_whose_label_was_wrong_waits_in_its_old_place(kept: Kept) -> None:
    shas = kept.see_all(range(3))
    kept.images.take(P, JOB, shas[:1])
    kept.images.accept(P, JOB, shas[:1], [])
    for _ in range(2):
        kept.images.withdraw(P, f"{JOB}-review", [*shas, sha("unknown")])
    assert kept.pending() == shas
    assert kept.counts == ImageCounts(pending=3)


def test_a_later_label_is_not_withdrawn(kept: Kept) -> None:
    shas = kept.see_all(range(1))
    kept.images.take(P, f"{JOB}-2", shas)
    kept.images.accept(P, f"{JOB}-2", shas, [])
    kept.images.withdraw(P, f"{JOB}-1", shas)
    assert kept.counts == ImageCounts(labeled=1)


def test_an_image_that_lost_its_label_and_its_object_is_forgotten(kept: Kept) -> None:
    shas = kept.see_all(range(1))
    kept.images.accept(P, JOB, shas, [])
    kept.see("digits/0.png")
    kept.images.withdraw(P, f"{JOB}-review", shas)
    assert kept.images.image(P, shas[0]) is None
    assert kept.counts == ImageCounts()


def test_an_outcome_is_accepted_once(kept: Kept) -> None:
    shas = kept.see_all(range(3))
    kept.images.take(P, JOB, shas)
    for _ in range(2):
        kept.images.accept(P, JOB, shas[:1], [(shas[1], "skipped by ann: blurred")])
    assert kept.counts == ImageCounts(labeling=1, labeled=1, rejected=1)
    assert kept.known(0).state == "labeled"
    assert kept.known(1).reason == "skipped by ann: blurred"
    (rejected,) = kept.images.rejected(P, 10).rejected
    assert (rejected.key, rejected.reason, rejected.detail) == (
        "digits/1.png",
        "no-label",
        "skipped by ann: blurred",
    )


def test_an_outcome_counts_for_images_that_wait_and_not_for_those_of_another_job(kept: Kept) -> None:
    shas = kept.see_all(range(2))
    kept.images.take(P, "other", shas[1:])
    kept.images.accept(P, JOB, [*shas, sha("unknown")], [])
    assert kept.counts == ImageCounts(labeled=1, labeling=1)


def test_an_image_that_was_refused_may_get_a_label_after_all(kept: Kept) -> None:
    shas = kept.see_all(range(2))
    kept.images.take(P, JOB, shas)
    kept.images.accept(P, JOB, [], ((each, "blurred") for each in shas))
    kept.images.accept(P, "digits-import", shas[:1], [(shas[1], "dark")])
    assert (kept.known(0).state, kept.known(0).reason) == ("labeled", None)
    assert (kept.known(1).state, kept.known(1).reason) == ("rejected", "blurred")
    assert kept.counts == ImageCounts(labeled=1, rejected=1)


def test_images_with_a_job_or_label_outlive_their_object(kept: Kept) -> None:
    shas = kept.see_all(range(2))
    kept.images.take(P, JOB, shas)
    kept.images.accept(P, JOB, shas[:1], [])
    kept.see("digits/0.png")
    kept.see("digits/1.png")
    assert kept.counts == ImageCounts(labeling=1, labeled=1)
    kept.see("digits/again.png", 0)
    assert (kept.known(0).state, kept.known(0).key) == ("labeled", "digits/again.png")


def test_an_image_given_back_without_an_object_is_forgotten(kept: Kept) -> None:
    shas = kept.see_all(range(1))
    kept.images.take(P, JOB, shas)
    kept.see("digits/0.png")
    kept.images.give_back(P, JOB, shas)
    assert kept.images.image(P, shas[0]) is None
    assert kept.counts == ImageCounts()


# Upkeep


def test_lost_images_are_restored_as_given(kept: Kept) -> None:
    labeled = replace(kept.image("a", "digits/a.png"), state="labeled", job=JOB, attempts=2)
    for _ in range(2):
        kept.images.restore(P, [labeled])
    assert kept.known("a") == labeled
    assert kept.counts == ImageCounts(labeled=1)
    kept.see("digits/a.png", "a")
    assert kept.known("a").state == "labeled"


def test_restoring_brings_a_pending_image_forward_and_no_other_back(kept: Kept) -> None:
    shas = kept.see_all(range(3))
    kept.images.take(P, JOB, shas[1:2])
    kept.images.restore(
        P,
        [
            replace(kept.image(0, "digits/elsewhere.png"), state="labeled", job=JOB),
            replace(kept.image(1, "digits/1.png"), state="rejected", reason="blurred"),
            replace(kept.image(2, "digits/2.png")),
        ],
    )
    assert [kept.known(n).state for n in range(3)] == ["labeled", "labeling", "pending"]
    assert kept.known(0).key == "digits/0.png"
    assert kept.counts == ImageCounts(pending=1, labeling=1, labeled=1)


def test_restoring_concludes_an_image_that_is_still_in_the_job_of_its_label(kept: Kept) -> None:
    shas = kept.see_all(range(2))
    kept.images.take(P, JOB, shas)
    labeled = [replace(kept.image(n, f"digits/{n}.png"), state="labeled") for n in range(2)]
    kept.images.restore(P, [replace(labeled[0], job=JOB), replace(labeled[1], job="digits-earlier")])
    assert [kept.known(n).state for n in range(2)] == ["labeled", "labeling"]
    assert kept.counts == ImageCounts(labeling=1, labeled=1)


# Of the index only: others who change the same items at the same time


class Meddling(IndexTable):
    """A table that lets someone else go first, once, before a transaction."""

    meddle: Callable[[], object] | None = None

    def transact(self, actions: Any) -> frozenset[int]:
        meddle, self.meddle = self.meddle, None
        if meddle:
            meddle()
        return super().transact(actions)


@pytest.fixture
def contended(index_table: IndexTable) -> tuple[Kept, Meddling]:
    table = Meddling(index_table._client, index_table.name, sleep=lambda _: None)
    return Kept(IndexedImages(table, threads=1), IndexedProjects(table)), table


def test_an_image_that_is_registered_twice_at_once_counts_once(contended: tuple[Kept, Meddling]) -> None:
    kept, table = contended
    first, second = kept.look("digits/a.png", "a"), kept.look("digits/b.png", "a")
    table.meddle = lambda: kept.images.register(P, [second])
    assert kept.images.register(P, [first]) == Registered(0)
    assert kept.counts == ImageCounts(pending=1)
    kept.see("digits/b.png")
    assert kept.known("a").key == "digits/a.png"


def test_an_image_that_goes_while_a_job_takes_it_is_not_taken(contended: tuple[Kept, Meddling]) -> None:
    kept, table = contended
    shas = kept.see_all(range(3))
    gone = kept.look("digits/1.png")
    table.meddle = lambda: kept.images.register(P, [gone])
    assert kept.images.take(P, JOB, shas) == {shas[0], shas[2]}
    assert kept.counts == ImageCounts(labeling=2)


def test_two_jobs_never_take_the_same_image(contended: tuple[Kept, Meddling]) -> None:
    kept, table = contended
    shas = kept.see_all(range(3))
    table.meddle = lambda: kept.images.take(P, "other", shas[:1])
    assert kept.images.take(P, JOB, shas) == set(shas[1:])
    assert kept.counts == ImageCounts(labeling=3)
