"""A project with images, finished jobs and buckets in memory."""

import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Literal

from loupe.domain.datasets.versions import DatasetCard
from loupe.domain.images.places import uri_of
from loupe.domain.label_attributes import Label, write_failure, write_label
from loupe.domain.label_values import Box, Boxes, LabelValue, OneLabel
from loupe.domain.manifests import Row
from loupe.domain.projects import LABEL_ATTRIBUTES, ProjectConfig, TaskType, Trainer
from loupe.domain.serving.releases import BeginRelease, ConcludeRelease, Decided, DecideOnModel
from loupe.domain.training.builtin import BuiltinTraining
from loupe.domain.training.plans import PlansTraining, PlanTraining, TrainingPlan, TrainingSetup
from loupe.domain.training.promotion import (
    Decision,
    EvaluateCandidate,
    MeasuredByTrainer,
    MeasuredByTransform,
    MeasuresCandidate,
)
from loupe.domain.training.script_training import ScriptTraining
from loupe.domain.training.transforms import PlanTransforms, TransformAnswers
from loupe.domain.training.turns import BuildDataset, ConcludeTraining, Result, TurnBegun
from loupe.domain.workspace import Workspace
from loupe.ports.images import ImageRecord, Look, ObjectRecord
from loupe.ports.labeling import JobCard, JobProvider
from tests.fakes.clock import FakeClock
from tests.fakes.events import FakeEvents
from tests.fakes.images import FakeImages
from tests.fakes.labeling import FakeLabelingJobs
from tests.fakes.loops import FakeExecutions, FakeLoops
from tests.fakes.objects import FakeObjects
from tests.fakes.packages import FakePackages
from tests.fakes.projects import FakeProjects
from tests.unit.ingest.pictures import jpeg

PROJECT = "digits"
NAMES = Workspace(PROJECT)
DISTANCE = 4
SETUP = TrainingSetup(
    stack="loupe",
    role_arn="arn:aws:iam::123456789012:role/loupe-sagemaker",
    training_image="763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.8.0-gpu-py312",
    inference_image="763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:2.6.0-cpu-py312",
)


def execution(name: str) -> str:
    return f"arn:aws:states:us-east-1:123456789012:execution:loupe-train-and-deploy:{name}"


FIRST = execution("first")


@dataclass
class World:
    """Everything that a turn of the loop touches. An image is known by its key; its perceptual hash is that
    of nothing else unless it is given. `archive` is a bucket that images may stay in."""

    clock: FakeClock = field(default_factory=FakeClock)
    projects: FakeProjects = field(default_factory=FakeProjects)
    jobs: FakeLabelingJobs = field(default_factory=FakeLabelingJobs)
    loops: FakeLoops = field(default_factory=FakeLoops)
    executions: FakeExecutions = field(default_factory=FakeExecutions)
    events: FakeEvents = field(default_factory=FakeEvents)
    archive: FakeObjects = field(default_factory=lambda: FakeObjects("archive"))
    region: str = "us-east-1"
    algorithm_images: dict[str, str] = field(default_factory=dict)
    packages: FakePackages = field(default_factory=FakePackages)
    suffixes: int = 0
    setup: TrainingSetup = SETUP

    def __post_init__(self) -> None:
        self.images = FakeImages(self.projects)
        self.raw = FakeObjects("raw", others={"archive": self.archive})
        self.workspace = FakeObjects("workspace", others={"raw": self.raw, "archive": self.archive})
        self.configure(labels=("a", "b"))

    # What users and workers do

    def configure(self, **fields: Any) -> None:
        config = ProjectConfig.model_validate(
            {"task": "image-classification", "labels": ("a", "b"), **fields}
        )
        self.projects.save_config(PROJECT, config, None, "etag")

    def upload(
        self,
        name: str,
        phash: int | None = None,
        content: bytes | None = None,
        size: tuple[int, int] = (64, 64),
        *,
        elsewhere: bool = False,
    ) -> str:
        """Put an image under `digits/<name>`, or `elsewhere` in the archive under its name alone, registered;
        returns its SHA-256."""
        content = content or b"\x89PNG\r\n\x1a\n" + name.encode()
        digest = sha256(content)
        key = f"s3://archive/{name}" if elsewhere else f"{PROJECT}/{name}"
        if elsewhere:
            self.archive.write(name, content)
        else:
            self.raw.write(key, content)
        etag = next(stored.etag for stored in self.raw.list(key) if stored.key == key)
        looks = int.from_bytes(digest.digest(), "big") if phash is None else phash
        record = ImageRecord(
            sha256=digest.hexdigest(),
            key=key,
            version_id=None,
            etag=etag,
            bytes=len(content),
            width=size[0],
            height=size[1],
            format="png",
            phash=f"{looks:064x}",
            registered_at=self.clock(),
            orientation=6,
        )
        self._look(key, None, record)
        return record.sha256

    def move(self, digest: str, name: str) -> None:
        """Give an image another name, as a copy and a deletion do; ingest takes note of it."""
        record = self.images.image(PROJECT, digest)
        assert record is not None
        key = f"{PROJECT}/{name}"
        self.raw.write(key, self.raw.read(record.key))
        self.raw.delete(record.key)
        self._look(key, None, replace(record, key=key))
        known = self.images.objects(PROJECT, [record.key])[record.key]
        self.images.register(PROJECT, [Look(record.key, known, None)])

    def _look(self, key: str, known: ObjectRecord | None, record: ImageRecord) -> None:
        now = ObjectRecord(key, record.etag, None, self.clock(), record.sha256)
        self.images.register(PROJECT, [Look(key, known, now, record)])

    def finish(
        self,
        job: str,
        answers: Mapping[str, str | LabelValue | None],
        *,
        provider: JobProvider = "portal",
        failure: str | None = "skipped by ann: blurred",
        split: Literal["test"] | None = None,
    ) -> None:
        """A labeling job comes to its end: by the image's SHA-256 its label, or None for a skipped one, which
        has `failure` as its reason, or neither label nor reason."""
        self.clock.advance(minutes=1)
        values = {sha: OneLabel(said) if isinstance(said, str) else said for sha, said in answers.items()}
        labels = tuple(sorted({name for value in values.values() if value for name in value.names}))
        task: TaskType = next((value.task for value in values.values() if value), "image-classification")
        card = JobCard(PROJECT, job, provider, task, labels, "", 100, self.clock(), split=split)
        if provider != "import":
            self.images.take(PROJECT, job, answers)
        self.jobs.restore_finished(card, len(answers), 0, self.clock())
        rows = [self._row(card, digest, value, failure) for digest, value in values.items()]
        self.workspace.write_lines(NAMES.output_manifest(job), (json.dumps(row) + "\n" for row in rows))

    def _row(self, card: JobCard, digest: str, value: LabelValue | None, failure: str | None) -> Row:
        record = self.images.image(PROJECT, digest)
        size = (record.width, record.height) if record else (64, 64)
        row: Row = {
            "source-ref": str(uri_of(record.key if record else f"{PROJECT}/lost", "raw")),
            "image-sha256": digest,
            "image-width": size[0],
            "image-height": size[1],
        }
        attribute = LABEL_ATTRIBUTES[card.task]
        if value is not None:
            confidences = (0.0,) * len(value.names)
            label = Label(value, confidences, self.clock(), is_human=True, job=card.job)
            return row | write_label(label, attribute, card.task, card.labels, size)
        if failure is None:
            return row
        return row | write_failure(failure, attribute, card.task, card.job, self.clock())

    def label(self, job: str, label: str, names: list[str]) -> list[str]:
        """Upload images and have them all labeled alike; returns their SHA-256s."""
        digests = [self.upload(name) for name in names]
        self.finish(job, dict.fromkeys(digests, label))
        return digests

    def build_with_large_image(self, boxes: Boxes) -> str:
        """A dataset version of forty images with boxes, and a tested one of 3072 by 1536 pixels and over 4 MB
        with these: of those that are tested the only one that is still there."""
        digests = [self.upload(f"{number}") for number in range(40)]
        examples = (Boxes((Box("ab"[at % 2], 4, 4, 16, 16),)) for at in range(40))
        self.finish("digits-1", dict(zip(digests, examples, strict=True)))
        content = jpeg(3072, 1536) + bytes(4_000_000)
        digest = self.upload("large", content=content, size=(3072, 1536))
        self.finish("digits-2", {digest: boxes}, provider="import", split="test")
        version = self.build().version or ""
        for row in self.rows(version, "test"):
            if row["image-sha256"] != digest:
                self.raw.delete(row["source-ref"].removeprefix("s3://raw/"))
        return version

    # Use cases

    def build(self, by: str = FIRST, distance: int = DISTANCE) -> TurnBegun:
        build = BuildDataset(
            self.projects,
            self.images,
            self.jobs,
            self.loops,
            self.executions,
            self.raw,
            self.workspace,
            self.clock,
            distance,
        )
        return build(PROJECT, by)

    def plan(self, dataset_version: str, by: str = FIRST) -> TrainingPlan:
        transforms = PlanTransforms(self.loops, self.workspace, self.setup.stack)
        trainers: dict[Trainer, PlansTraining] = {
            "script": ScriptTraining(
                self.loops, self.raw, self.workspace, self.setup, lambda: b"source", transforms
            ),
            "builtin": BuiltinTraining(
                self.workspace, self.setup, self.region, self.algorithm_images, transforms
            ),
        }
        plan = PlanTraining(self.projects, self.loops, self.workspace, self.setup.stack, trainers, self.clock)
        return plan(PROJECT, dataset_version, by)

    def evaluate(self, version: str, failures: Mapping[str, Mapping[str, str]] | None = None) -> Decision:
        transforms = TransformAnswers(self.loops, self.workspace)
        measures: dict[Trainer, MeasuresCandidate] = {
            "script": MeasuredByTrainer(self.workspace, transforms),
            "builtin": MeasuredByTransform(self.workspace, transforms),
        }
        evaluate = EvaluateCandidate(self.projects, self.loops, self.workspace, measures)
        return evaluate(PROJECT, version, failures or {})

    def decide(self, action: str, version: str | None = None, by: str = "ann") -> Decided:
        return self.decides.do(PROJECT, action, version, by)

    @property
    def decides(self) -> DecideOnModel:
        self.suffixes += 1
        return DecideOnModel(
            self.loops, self.workspace, self.packages, self.events, self.clock, lambda: f"{self.suffixes:04x}"
        )

    @property
    def begin(self) -> BeginRelease:
        return BeginRelease(self.projects, self.loops, self.executions, self.workspace, self.clock)

    def conclude_release(self, request: str, result: Result) -> str:
        conclude = ConcludeRelease(self.loops, self.workspace, self.events, self.clock)
        return conclude(request, result)

    def conclude(self, result: Result) -> str:
        conclude = ConcludeTraining(self.jobs, self.loops, self.workspace, self.events, self.clock)
        return conclude(result)

    def turn(self, by: str = FIRST, score: float = 0.9) -> str | None:
        """A whole turn that ends in a promotion; returns the model's version, None if there was nothing."""
        begun = self.build(by)
        if begun.version is None:
            return None
        plan = self.plan(begun.version, by)
        self.conclude(Result(PROJECT, by, "promoted", plan.version, "good", score, None, "arn:package"))
        return plan.version

    # What is there then

    def rows(self, version: str, split: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.workspace.lines(NAMES.split(version, split))]

    def split(self, version: str) -> dict[str, str]:
        """Split of each image of a dataset version, by SHA-256."""
        return {
            row["image-sha256"]: split
            for split in ("train", "validation", "test")
            for row in self.rows(version, split)
        }

    def card(self, version: str) -> DatasetCard:
        return DatasetCard.from_json(self.workspace.read(NAMES.dataset_card(version)))

    def versions(self) -> Iterator[str]:
        return self.workspace.list_folders(NAMES.datasets)

    def write_output(self, plan: TrainingPlan, files: Mapping[str, bytes]) -> None:
        """What the trainer left beside the model."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w:gz") as tar:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        assert plan.release
        self.workspace.write(plan.release.output, archive.getvalue())
