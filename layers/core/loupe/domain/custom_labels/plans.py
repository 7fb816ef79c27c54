"""Training by Rekognition Custom Labels: manifests, checked before anything is paid for, and requests."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from types import MappingProxyType
from typing import Any

from loupe.domain.custom_labels.report import Dataset, Report
from loupe.domain.custom_labels.rows import read_row
from loupe.domain.custom_labels.validation import Validation, unfit_images
from loupe.domain.datasets.labels import label_lines
from loupe.domain.datasets.splits import SPLITS, Split
from loupe.domain.datasets.versions import DatasetCard
from loupe.domain.errors import ObjectMissing
from loupe.domain.images.copies import copy_images
from loupe.domain.manifests import InvalidManifest, S3Uri
from loupe.domain.projects import ProjectConfig
from loupe.domain.training.plans import TrainingPlan, legal_name
from loupe.domain.workspace import Workspace
from loupe.ports.loops import KeepsLoops
from loupe.ports.objects import StoresObjects

TRAINED: tuple[Split, ...] = ("train", "validation")
"""Splits of the TRAIN dataset: Rekognition takes no validation set of ours, and makes its own."""

TESTED: tuple[Split, ...] = ("test",)


@dataclass(frozen=True)
class CustomLabelsManifests:
    """The manifests of a dataset version as Rekognition gets them. `distributed`: it has no TEST manifest,
    and all images are in TRAIN, from which Rekognition takes the test images itself.

    Rekognition wants all images in one bucket. Of a version that refers to images in other buckets, it gets
    copies of all its images, in the workspace bucket.
    """

    card: DatasetCard
    project: str
    distributed: bool
    raw_bucket: str
    workspace: StoresObjects

    def check(self) -> Report:
        """What Rekognition would say of them; nothing is written."""
        validation = self._validation()
        for dataset in self._datasets():
            for _ in self._lines(validation, dataset):
                pass
        return validation.report(self.distributed)

    def write(self) -> tuple[Report, str]:
        """Write the manifests, without their bad rows, and the report. Returns it, and a digest of what the
        test set holds: two models with the same digest answered the same images with the same labels."""
        names, version = Workspace(self.project), self.card.version
        lost = self._copy_images() if self._takes_copies else {}
        validation, digest = self._validation(lost), sha256()
        for dataset in self._datasets():
            lines = self._lines(validation, dataset)
            self.workspace.write_lines(
                names.custom_labels_manifest(version, dataset),
                _digested(lines, digest) if dataset == "test" else lines,
            )
        report = validation.report(self.distributed)
        self.workspace.write(
            names.custom_labels_validation(version),
            json.dumps(report.to_json(), ensure_ascii=False, indent=1).encode(),
            "application/json",
        )
        return report, digest.hexdigest()

    def _validation(self, lost: Mapping[str, str] = MappingProxyType({})) -> Validation:
        """`lost` says by SHA-256 why there is no copy of an image."""
        labels = label_lines(self.project, self.card.jobs, self.workspace)
        bucket = self.workspace.bucket if self._takes_copies else self.raw_bucket
        return Validation(self.card.task, bucket, {**unfit_images(labels), **lost})

    @cached_property
    def _takes_copies(self) -> bool:
        """Whether some image of the version lies in another bucket than the raw-data bucket."""
        return any(place.bucket != self.raw_bucket for _, place in self._places())

    def _places(self) -> Iterator[tuple[str, S3Uri]]:
        """SHA-256 and place of each image, as far as rows can be read."""
        for split in SPLITS:
            with suppress(ObjectMissing):
                for line in self._split(split):
                    with suppress(InvalidManifest):
                        match read_row(line):
                            case {"image-sha256": str(digest), "source-ref": str(uri)}:
                                yield digest, S3Uri.parse(uri)

    def _copy_images(self) -> dict[str, str]:
        """Returns what is wrong with those that can't be copied, by SHA-256."""
        places = dict(self._places())
        copied = set(copy_images(Workspace(self.project), places, self.workspace))
        return {digest: f"{place} is gone" for digest, place in places.items() if digest not in copied}

    def _split(self, split: Split) -> Iterator[str]:
        return self.workspace.lines(Workspace(self.project).split(self.card.version, split))

    def _datasets(self) -> Iterator[Dataset]:
        yield "train"
        if not self.distributed:
            yield "test"

    def _lines(self, validation: Validation, dataset: Dataset) -> Iterator[str]:
        splits = (*TRAINED, *TESTED) if self.distributed else TRAINED if dataset == "train" else TESTED
        for split in splits:
            manifest = f"{split}.manifest"
            try:
                lines = self._split(split)
                if self._takes_copies:
                    lines = self._of_copies(lines)
                yield from validation.usable(dataset, manifest, lines)
            except ObjectMissing:
                validation.missing(manifest)

    def _of_copies(self, lines: Iterable[str]) -> Iterator[str]:
        """The same rows, naming the copies of their images."""
        names = Workspace(self.project)
        for line in lines:
            match read_row(line):
                case {"image-sha256": str(digest), "source-ref": str(), **others}:
                    place = S3Uri(self.workspace.bucket, names.image_copy(digest))
                    row = {"source-ref": str(place), "image-sha256": digest, **others}
                    yield json.dumps(row, ensure_ascii=False)
                case _:
                    yield line


def _digested(lines: Iterable[str], digest: Any) -> Iterator[str]:
    for line in lines:
        digest.update(line.encode())
        yield line


@dataclass(frozen=True)
class CustomLabelsTraining:
    """Plans the training of a version of the project's Rekognition project, and its start."""

    loops: KeepsLoops
    raw_data: StoresObjects
    workspace: StoresObjects
    stack: str

    def complete(self, plan: TrainingPlan, config: ProjectConfig) -> TrainingPlan:
        """Behind `loupe.domain.training.plans.PlansTraining`. Raises `ManifestsRefused`."""
        names = Workspace(plan.project)
        card = DatasetCard.from_json(self.workspace.read(names.dataset_card(plan.dataset_version)))
        distributed = config.training.rekognition.test_dataset == "distribute"
        manifests = CustomLabelsManifests(
            card, plan.project, distributed, self.raw_data.bucket, self.workspace
        )
        report, test_set = manifests.write()
        report.require()
        hosting = config.hosting
        start = {"MinInferenceUnits": hosting.inference_units}
        if hosting.max_inference_units is not None:
            start["MaxInferenceUnits"] = hosting.max_inference_units
        champion = self.loops.loop(plan.project).champion
        tags = {tag["Key"]: tag["Value"] for tag in plan.tags}
        return replace(
            plan,
            custom_labels={
                "project": {
                    "ProjectName": legal_name(self.stack, plan.project),
                    "Tags": {"loupe:project": plan.project},
                },
                "train": {"DatasetType": "TRAIN", **self._source(plan, "train")},
                # Without a source it is empty, until entries of the other one are distributed.
                "test": {"DatasetType": "TEST", **({} if distributed else self._source(plan, "test"))},
                "distribute": distributed,
                "version": {
                    "VersionName": plan.model_name,
                    "OutputConfig": {
                        "S3Bucket": self.workspace.bucket,
                        "S3KeyPrefix": names.model(plan.version).rstrip("/"),
                    },
                    "Tags": tags,
                },
                "start": start,
                "test_set": None if distributed else test_set,
                "old_version": champion.model.endpoint
                if champion and champion.model.hosting == "rekognition"
                else None,
            },
        )

    def _source(self, plan: TrainingPlan, dataset: Dataset) -> dict[str, Any]:
        key = Workspace(plan.project).custom_labels_manifest(plan.dataset_version, dataset)
        place = S3Uri(self.workspace.bucket, key)
        return {
            "DatasetSource": {
                "GroundTruthManifest": {"S3Object": {"Bucket": place.bucket, "Name": place.key}}
            }
        }
