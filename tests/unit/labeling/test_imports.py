"""Imports beside labeling: their images are nobody else's, and a whole import is a finished job."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from loupe.domain.datasets.labels import ORIGIN, AcceptLabels
from loupe.domain.errors import BadRequest, NotFound
from loupe.domain.events import LabelingJobFinished
from loupe.domain.interchange.plan import Planned, digest_of
from loupe.domain.interchange.records import Labeled
from loupe.domain.label_values import OneLabel
from loupe.domain.labeling.import_labels import ImportLabels
from loupe.domain.labeling.imports import (
    ImportCard,
    begin_import,
    find_import,
    hold_images,
    images_of_import,
    is_whole,
    write_labels,
)
from loupe.domain.manifests import InvalidManifest
from loupe.domain.workspace import Workspace
from loupe.ports.labeling import JobCard
from tests.fakes.ingest_queue import FakeIngestQueue
from tests.unit.labeling.conftest import PROJECT, Loop

FINGERPRINT = "ab12" * 16
SOURCED_AT = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)


class Importing:
    """An import of the first images that a project has, step by step."""

    def __init__(self, loop: Loop, images: int) -> None:
        self._loop = loop
        loop.workspace.clock = loop.clock
        self.images = [
            (planned(image.sha256), image.key) for image in loop.images.pending(PROJECT, limit=images)
        ]
        self.card = begin_import(
            PROJECT,
            loop.projects.project(PROJECT).config,  # type: ignore[union-attr, arg-type]
            ImportCard(FINGERPRINT, "csv", "labels.csv", images),
            loop.clock(),
            loop.workspace,
            None,
        )

    def hold(self) -> None:
        hold_images(self.card, self._loop.raw_data.bucket, self.images, self._loop.workspace)

    def make_whole(self) -> None:
        images = ((each, key, "v1") for each, key in self.images)
        write_labels(self.card, self._loop.raw_data.bucket, images, self._loop.workspace, "csv")


def planned(sha256: str, label: str = "ok") -> Planned:
    value = OneLabel(label)
    labeled = Labeled("a.png", value, "labels.csv", 7, labeled_at=SOURCED_AT, is_human=False)
    return Planned(labeled, value, sha256, (64, 48), digest_of(value))


def import_labels(
    loop: Loop, queue: FakeIngestQueue | None = None, buckets: tuple[str, ...] = ()
) -> ImportLabels:
    ports = loop.images, loop.jobs, loop.workspace, queue or FakeIngestQueue(), loop.events, loop.clock
    return ImportLabels(*ports, frozenset(buckets))


def test_no_job_gets_images_of_an_import_and_none_is_cut_for_them(loop: Loop) -> None:
    loop.register(4)
    Importing(loop, 3).hold()
    loop.start(PROJECT)
    assert loop.jobs.jobs(PROJECT, limit=9) == []
    loop.register(2)
    loop.start(PROJECT)
    assert loop.open_job().tasks == 3
    assert [row["source-ref"].rpartition(" ")[2] for row in loop.input_rows(loop.open_job().job)] == [
        "3.png",
        "4.png",
        "5.png",
    ]


def test_an_import_that_nobody_works_on_gives_its_images_free(loop: Loop) -> None:
    loop.register(3)
    importing = Importing(loop, 3)
    importing.hold()
    loop.clock.advance(hours=23)
    importing.hold()
    loop.clock.advance(hours=23)
    loop.start(PROJECT)
    assert loop.jobs.open_job(PROJECT) is None
    loop.clock.advance(hours=1)
    loop.start(PROJECT)
    assert loop.open_job().tasks == 3


def test_a_whole_import_keeps_its_images_until_its_labels_are_accepted(loop: Loop) -> None:
    loop.register(3)
    importing = Importing(loop, 3)
    importing.hold()
    importing.make_whole()
    loop.clock.advance(hours=48)
    loop.start(PROJECT)
    assert loop.jobs.open_job(PROJECT) is None


def test_restoration_leaves_an_import_under_way_alone_and_finishes_a_whole_one(loop: Loop) -> None:
    loop.register(3)
    importing = Importing(loop, 3)
    importing.hold()
    assert not loop.restore(PROJECT, importing.card.job)
    assert loop.jobs.jobs(PROJECT, limit=9) == []
    importing.make_whole()
    assert loop.restore(PROJECT, importing.card.job)
    [job] = loop.jobs.jobs(PROJECT, limit=9)
    assert (job.state, job.tasks, job.provider) == ("finished", 3, "import")


def test_a_whole_import_becomes_a_finished_job_and_is_announced_once(loop: Loop) -> None:
    loop.register(3)
    importing = Importing(loop, 3)
    importing.hold()
    importing.make_whole()
    job = importing.card.job
    for _ in range(2):
        assert import_labels(loop).finish(PROJECT, job) == {"job": job, "images": 3}
    assert loop.events.published == [LabelingJobFinished(PROJECT, job)]
    assert loop.jobs.open_job(PROJECT) is None


def test_a_job_that_is_open_meanwhile_stays_open(open_loop: Loop) -> None:
    open_loop.register(2)
    before = open_loop.open_job()
    importing = Importing(open_loop, 2)
    importing.hold()
    importing.make_whole()
    import_labels(open_loop).finish(PROJECT, importing.card.job)
    assert open_loop.open_job() == before


def test_imported_labels_keep_their_provenance(loop: Loop) -> None:
    loop.register(1)
    importing = Importing(loop, 1)
    importing.hold()
    importing.make_whole()
    AcceptLabels(loop.images, loop.workspace, loop.raw_data.bucket, loop.clock)(importing.card)
    [line] = loop.workspace.lines(Workspace(PROJECT).labels(importing.card.job))
    accepted = json.loads(line)
    assert (accepted["label"], accepted["human"]) == ("ok", False)
    assert accepted["labeled_at"] == SOURCED_AT.isoformat()
    assert accepted["origin"] == {"format": "csv", "file": "labels.csv", "line": 7}
    assert loop.projects.counts(PROJECT).labeled == 1


def test_what_is_not_a_whole_import_is_not_taken_over(open_loop: Loop) -> None:
    function = import_labels(open_loop)
    with pytest.raises(NotFound):
        function.finish(PROJECT, "digits-20261121t101500-ffff")
    with pytest.raises(BadRequest, match="not an import"):
        function.finish(PROJECT, open_loop.open_job().job)
    open_loop.register(2)
    importing = Importing(open_loop, 2)
    importing.hold()
    with pytest.raises(NotFound, match="no whole import"):
        function.finish(PROJECT, importing.card.job)


def test_a_row_that_the_import_did_not_take_is_refused(loop: Loop) -> None:
    loop.register(2)
    importing = Importing(loop, 1)
    importing.hold()
    importing.images.append((planned("f" * 64), f"{PROJECT}/other.png"))
    importing.make_whole()
    with pytest.raises(InvalidManifest, match=r"other\.png is none of this import"):
        import_labels(loop).finish(PROJECT, importing.card.job)
    assert ORIGIN in loop.output_rows(importing.card.job)[0]


def test_an_import_is_found_again_by_its_fingerprint(loop: Loop) -> None:
    loop.register(2)
    importing = Importing(loop, 2)
    found = find_import(PROJECT, FINGERPRINT, loop.workspace)
    assert found == importing.card
    assert isinstance(found, JobCard)
    assert images_of_import(found, loop.raw_data.bucket, loop.workspace) == {}
    importing.hold()
    assert len(images_of_import(found, loop.raw_data.bucket, loop.workspace)) == 2
    assert not is_whole(found, loop.workspace)
    importing.make_whole()
    assert is_whole(found, loop.workspace)
    assert find_import(PROJECT, "ab12" + "0" * 60, loop.workspace) is None


def test_the_command_is_told_what_is_registered(loop: Loop) -> None:
    loop.register(1)
    [image] = loop.images.pending(PROJECT, limit=1)
    told = import_labels(loop).known(PROJECT, [], [image.sha256, "0" * 63 + "f"])
    assert told["images"] == {
        image.sha256: {
            "key": image.key,
            "version_id": image.version_id,
            "width": 64,
            "height": 48,
            "state": "pending",
            "job": None,
            "reason": None,
            "registered_at": image.registered_at.isoformat(),
        }
    }
    with pytest.raises(BadRequest, match="at most 1,000"):
        import_labels(loop).known(PROJECT, ["key"] * 1001, [])


def test_the_command_says_what_it_wants(loop: Loop) -> None:
    loop.register(1)
    [image] = loop.images.pending(PROJECT, limit=1)
    asked = {"action": "known", "project": PROJECT, "keys": [], "sha256s": [image.sha256]}
    function = import_labels(loop)
    assert function.do(asked) == function.known(PROJECT, [], [image.sha256])
    with pytest.raises(NotFound, match="no whole import 'digits-1'"):
        function.do({"action": "finish", "project": PROJECT, "job": "digits-1"})


@pytest.mark.parametrize(
    "asked", [{"job": "digits-1"}, {"action": "finish"}, {"action": "known", "keys": "a"}]
)
def test_what_the_function_does_not_understand_is_refused(loop: Loop, asked: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="action known, with project, keys and sha256s, refer, with project"):
        import_labels(loop).do({"project": PROJECT} | asked)


def test_images_of_buckets_that_the_stack_refers_to_are_looked_at(loop: Loop) -> None:
    queue = FakeIngestQueue()
    function = import_labels(loop, queue, ("archive", "photos"))
    uris = ["s3://archive/a b.png", "s3://photos/1//2.png"]
    assert function.do({"action": "refer", "project": PROJECT, "uris": uris}) == {"asked": 2}
    assert queue.asked == [(PROJECT, uri) for uri in uris]


@pytest.mark.parametrize(
    ("uris", "error", "words"),
    [
        (["s3://archive/a.png", "s3://other/a.png"], BadRequest, "ReferredBuckets=archive,other,"),
        (["s3://archive/"], InvalidManifest, "s3://bucket/key"),
        (["digits/a.png"], InvalidManifest, "s3://bucket/key"),
        (["s3://archive/a.png"] * 1_001, BadRequest, "at most 1,000"),
    ],
)
def test_no_other_images_are_referred_to(
    loop: Loop, uris: list[str], error: type[Exception], words: str
) -> None:
    queue = FakeIngestQueue()
    with pytest.raises(error, match=words):
        import_labels(loop, queue, ("archive",)).do({"action": "refer", "project": PROJECT, "uris": uris})
    assert queue.asked == []


def test_a_stack_that_refers_to_more_buckets_than_a_training_takes_refers_to_none(loop: Loop) -> None:
    buckets = tuple(f"archive-{number}" for number in range(11))
    asked = {"action": "refer", "project": PROJECT, "uris": ["s3://archive-1/a.png"]}
    with pytest.raises(BadRequest, match="names 11 buckets, and a training takes at most 10"):
        import_labels(loop, FakeIngestQueue(), buckets).do(asked)
