"""Reconciliation brings the index back to what S3 says."""

from collections.abc import Iterator
from dataclasses import asdict, replace

import pytest

from loupe.domain.errors import StoreUnavailable
from loupe.domain.events import AnnotationsCompleted, ReleaseFailed, ReleaseRequested, TrainingRequested
from loupe.domain.manifests import write_rows
from loupe.domain.projects import ProjectConfig
from loupe.domain.reconciliation import MAX_ATTEMPTS, Mended, Reconcile
from loupe.domain.workspace import Workspace
from loupe.ports.images import ImageRecord, Look, ObjectRecord
from loupe.ports.labeling import JobCard
from loupe.ports.loops import LastTraining, Reconciliation, TrainingLock, TrainingStatus, WantedRelease
from loupe.ports.objects import StoredObject
from tests.fakes.clock import FakeClock
from tests.fakes.events import FakeEvents
from tests.fakes.images import FakeImages
from tests.fakes.ingest_queue import FakeIngestQueue
from tests.fakes.labeling import FakeLabelingJobs
from tests.fakes.loops import FakeExecutions, FakeLoops
from tests.fakes.objects import FakeObjects
from tests.fakes.projects import FakeProjects

CONFIG = ProjectConfig.model_validate({"task": "image-classification", "labels": ["a", "b"]})


class World:
    """Two buckets, and an index that may have lost anything."""

    def __init__(self) -> None:
        self.clock, self.events, self.queue = FakeClock(), FakeEvents(), FakeIngestQueue()
        self.projects, self.jobs, self.loops = FakeProjects(), FakeLabelingJobs(), FakeLoops()
        self.images, self.executions = FakeImages(self.projects, self.jobs), FakeExecutions()
        self.archive = FakeObjects("archive")
        self.raw_data = FakeObjects("raw", others={"archive": self.archive})
        self.workspace = FakeObjects("workspace")
        self.restored: list[str] = []
        self.reconcile = Reconcile(
            projects=self.projects,
            images=self.images,
            jobs=self.jobs,
            loops=self.loops,
            raw_data=self.raw_data,
            workspace=self.workspace,
            queue=self.queue,
            executions=self.executions,
            events=self.events,
            clock=self.clock,
            restore_job=self._restore_job,
            restore_loop=lambda _: False,
        )

    def _restore_job(self, project: str, job: str) -> bool:
        self.restored.append(job)
        return True

    def know(self, key: str) -> None:
        """Let the index know the object under the key as it is now."""
        [stored] = self.raw_data.list(key)
        found = ObjectRecord(key, stored.etag, None, self.clock(), reason="not-an-image", detail="")
        self.images.register("parts", [Look(key, None, found)])

    def conclude(self, *keys: str) -> None:
        """A finished job of images with these keys."""
        lines = [{"sha256": f"{at:064x}", "key": key, "etag": None} for at, key in enumerate(keys)]
        self.workspace.write_lines(Workspace("parts").labels("parts-1"), write_rows(lines))

    def lose_a_training(self, attempts: int) -> None:
        """An execution that is gone, after so many models of one dataset version."""
        self.loops.save_dataset_version("parts", "0001")
        for attempt in range(1, attempts + 1):
            version = "0001" if attempt == 1 else f"0001-{attempt}"
            self.workspace.write(f"{Workspace('parts').model(version)}plan.txt", b"")
        self.loops.lock_training("parts", TrainingLock("arn:lost", self.clock()))
        self.loops.save_last_training(
            "parts", LastTraining("0001", "running", "", self.clock(), None, "arn:lost")
        )


@pytest.fixture
def world() -> World:
    return World()


def test_what_was_mended_is_remembered_of_projects_that_there_are(world: World) -> None:
    world.workspace.write(Workspace("parts").input_manifest("parts-1"), b"")
    world.reconcile("parts")
    assert world.loops.loop("parts").reconciliation is None
    world.projects.introduce("parts", "project.yaml is missing")
    mended = world.reconcile("parts")
    assert mended.jobs_restored == 1
    assert world.loops.loop("parts").reconciliation == Reconciliation(world.clock(), asdict(mended))


def test_nothing_amiss_is_said_to_be_nothing(world: World) -> None:
    assert world.reconcile("parts") == Mended()
    assert world.reconcile.for_all() == {}


def test_objects_that_the_index_does_not_know_are_looked_at(world: World) -> None:
    world.raw_data.write("parts/project.yaml", b"task: image-classification")
    world.raw_data.write("parts/new 1.jpg", b"new")
    world.raw_data.write("parts/instructions/example.jpg", b"shown to people")
    world.raw_data.write("parts/known.jpg", b"known")
    world.know("parts/known.jpg")
    found = world.reconcile.for_all()
    assert found["parts"].objects_to_look_at == 2
    assert sorted(world.queue.keys) == ["parts/new 1.jpg", "parts/project.yaml"]


def test_a_replaced_object_is_looked_at_again_and_a_known_configuration_is_not(world: World) -> None:
    world.raw_data.write("parts/project.yaml", b"task")
    [stored] = world.raw_data.list("parts/project.yaml")
    world.projects.save_config("parts", CONFIG, None, stored.etag)
    world.raw_data.write("parts/a.jpg", b"before")
    world.know("parts/a.jpg")
    world.raw_data.write("parts/a.jpg", b"after")
    world.reconcile("parts")
    assert world.queue.keys == ["parts/a.jpg"]


def test_an_object_that_went_unheard_is_looked_at(world: World) -> None:
    world.raw_data.write("parts/a.jpg", b"a")
    world.know("parts/a.jpg")
    del world.raw_data.content["parts/a.jpg"]
    assert world.reconcile("parts").objects_gone == 1
    assert world.queue.keys == ["parts/a.jpg"]


def test_images_of_other_buckets_are_looked_at_when_they_changed_or_went(world: World) -> None:
    for name in ("same", "replaced", "gone"):
        world.archive.write(f"2026/{name}.png", b"before")
        world.know(f"s3://archive/2026/{name}.png")
    world.archive.write("2026/nobodys.png", b"not referred to")
    world.archive.write("2026/replaced.png", b"after")
    world.archive.delete("2026/gone.png")
    found = world.reconcile("parts")
    assert (found.objects_to_look_at, found.objects_gone) == (1, 1)
    assert world.queue.asked == [
        ("parts", "s3://archive/2026/replaced.png"),
        ("parts", "s3://archive/2026/gone.png"),
    ]


def test_images_of_other_buckets_that_only_labels_tell_of_are_looked_at(world: World) -> None:
    world.archive.write("2026/a.png", b"a")
    world.raw_data.write("parts/b.png", b"b")
    world.know("parts/b.png")
    world.conclude("s3://archive/2026/a.png", "parts/b.png", "s3://archive/2026/gone.png")
    assert world.reconcile("parts").objects_to_look_at == 1
    assert world.queue.keys == ["s3://archive/2026/a.png"]


def test_images_of_a_bucket_that_can_not_be_read_are_not_forgotten(world: World) -> None:
    class Locked(FakeObjects):
        def list(self, prefix: str) -> Iterator[StoredObject]:
            raise StoreUnavailable("access denied")

    world.archive.write("2026/a.png", b"a")
    world.know("s3://archive/2026/a.png")
    world.raw_data.others["archive"] = Locked("archive")
    world.conclude("s3://archive/2026/a.png", "s3://archive/2026/b.png")
    assert world.reconcile("parts") == Mended(folders_unreadable=1)
    assert world.queue.keys == []


def test_jobs_that_only_s3_knows_are_restored(world: World) -> None:
    world.workspace.write(f"{Workspace('parts').job('parts-1')}/job.json", b"{}")
    assert world.reconcile.for_all()["parts"].jobs_restored == 1
    assert world.restored == ["parts-1"]


def test_a_job_whose_last_answer_nobody_heard_of_is_concluded(world: World) -> None:
    card = JobCard("parts", "parts-1", "portal", "image-classification", ("a", "b"), "", 1, world.clock())
    world.jobs.claim(card)
    assert world.reconcile("parts").jobs_to_conclude == 0
    world.jobs.open("parts", "parts-1", 1, world.clock())
    assert world.reconcile("parts").jobs_to_conclude == 0
    world.jobs.records["parts", "parts-1"] = replace(world.jobs.records["parts", "parts-1"], answered=1)
    assert world.reconcile("parts").jobs_to_conclude == 1
    assert world.events.published == [AnnotationsCompleted("parts", "parts-1")]


def test_jobs_of_ground_truth_are_concluded_by_what_ground_truth_says(world: World) -> None:
    card = JobCard(
        "parts", "parts-1", "ground-truth", "image-classification", ("a", "b"), "", 1, world.clock()
    )
    world.jobs.claim(card)
    world.jobs.open("parts", "parts-1", 1, world.clock())
    world.jobs.progress("parts", "parts-1", 1, 0, world.clock())
    assert world.reconcile("parts").jobs_to_conclude == 0
    assert world.events.published == []


def test_a_review_takes_no_images(world: World) -> None:
    card = JobCard("parts", "parts-1", "ground-truth", "bounding-box", ("a",), "", 1, world.clock())
    world.jobs.claim(replace(card, review="adjustment", review_of="0001"))
    image = ImageRecord("a" * 64, "parts/a.jpg", None, "e", 1, 8, 8, "jpeg", "0" * 64, world.clock())
    world.images.restore("parts", [image])
    row = {"source-ref": "s3://raw/parts/a.jpg", "image-sha256": image.sha256}
    world.workspace.write_lines(Workspace("parts").input_manifest("parts-1"), write_rows([row]))
    world.reconcile("parts")
    assert world.projects.counts("parts").pending == 1


def test_a_lost_training_is_asked_for_again(world: World) -> None:
    world.lose_a_training(attempts=1)
    assert world.reconcile("parts").trainings_requested == 1
    [event] = world.events.published
    assert isinstance(event, TrainingRequested)


def test_a_running_training_is_left_alone(world: World) -> None:
    world.lose_a_training(attempts=1)
    world.executions.running.add("arn:lost")
    assert world.reconcile("parts") == Mended()


def test_a_training_that_is_lost_again_and_again_is_given_up(world: World) -> None:
    world.lose_a_training(attempts=MAX_ATTEMPTS)
    assert world.reconcile("parts").trainings_requested == 0
    loop = world.loops.loop("parts")
    assert loop.training is None
    assert loop.last_training is not None
    assert loop.last_training.status == "failed"
    assert world.events.published == []


@pytest.mark.parametrize(
    ("status", "trainings"), [("failed", 0), ("release_failed", 0), ("rejected", 1), ("promoted", 1)]
)
def test_what_failed_waits_for_the_next_job_or_for_a_person(
    world: World, status: TrainingStatus, trainings: int
) -> None:
    card = JobCard("parts", "parts-1", "portal", "image-classification", ("a", "b"), "", 100, world.clock())
    world.jobs.restore_finished(card, 1, 0, world.clock())
    at = world.clock()
    world.loops.save_last_training("parts", LastTraining("0001", status, "why", at, at, "arn:ended"))
    assert world.reconcile("parts").trainings_requested == trainings


def test_a_release_that_a_person_wants_and_nobody_works_on_is_asked_for_again(world: World) -> None:
    wanted = WantedRelease("r-1", "0001", "rollback", "ann", world.clock())
    world.loops.save_wanted("parts", wanted)
    world.loops.lock_release("parts", TrainingLock("arn:release", world.clock()))
    world.executions.running.add("arn:release")
    assert world.reconcile("parts").releases_requested == 0
    world.executions.running.clear()
    assert world.reconcile("parts").releases_requested == 1
    assert world.events.published == [ReleaseRequested("parts", "0001", "r-1", "rollback", "ann")]


def test_a_release_that_comes_to_no_end_is_given_up(world: World) -> None:
    world.loops.save_wanted("parts", WantedRelease("r-1", "0001", "rollback", "ann", world.clock()))
    asked = [world.reconcile("parts").releases_requested for _ in range(MAX_ATTEMPTS + 2)]
    assert asked == [1] * MAX_ATTEMPTS + [0, 0]
    failed = world.events.published[-1]
    assert isinstance(failed, ReleaseFailed)
    assert failed.reason == "its release was asked for again 3 times, and nothing came of it"
    assert world.loops.loop("parts").wanted is None


def test_labels_that_wait_for_another_day_are_asked_for_each_time(world: World) -> None:
    card = JobCard("parts", "parts-1", "portal", "image-classification", ("a", "b"), "", 100, world.clock())
    world.jobs.restore_finished(card, 1, 0, world.clock())
    world.loops.save_waiting_for("parts", "2 of 9 new labels")
    assert world.reconcile("parts").trainings_requested == 0
    world.loops.save_waiting_for("parts", "2 trainings began in 24 hours, and training.max_per_day is 2")
    assert world.reconcile("parts").trainings_requested == 1
