"""Training by Loupe's own trainer in SageMaker's script mode: channels, the trainer's source, image lists."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from loupe.domain.correlation import VARIABLE
from loupe.domain.datasets.splits import SPLITS
from loupe.domain.errors import AlreadyWritten
from loupe.domain.images.copies import copy_images, manifest_file
from loupe.domain.manifests import SHA256, Row, S3Uri, read_rows
from loupe.domain.projects import ProjectConfig, TaskType
from loupe.domain.training.plans import TrainingPlan, TrainingSetup, endpoint_release, training_request
from loupe.domain.training.transforms import PlanTransforms
from loupe.domain.workspace import Workspace
from loupe.ports.loops import KeepsLoops
from loupe.ports.objects import StoresObjects

MAX_PATH_COMPONENT = 255
"""Bytes of a file name on Linux."""

METRICS: dict[TaskType, tuple[str, ...]] = {
    "image-classification": ("validation:accuracy", "test:accuracy", "test:macro_f1"),
    "multi-label-classification": (
        "validation:accuracy",
        "validation:macro_f1",
        "test:macro_f1",
        "test:mAP",
    ),
    "bounding-box": ("validation:mAP", "test:mAP", "test:mAP_50_95"),
}
"""What SageMaker reads from the trainer's output, beside losses: `<name>=<number>;`."""
_LOSSES = ("train:loss", "validation:loss")

ENVIRONMENT = {
    "SAGEMAKER_PROGRAM": "inference.py",
    "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
}
"""What the inference container is told: the archive of the model has its code, too."""

CHECKPOINT_FOLDER = "/opt/ml/checkpoints"
"""What SageMaker copies to the job's CheckpointConfig.S3Uri and, when a job begins, from there."""

_SOURCE_FILE = "sourcedir.tar.gz"


@dataclass(frozen=True)
class ScriptTraining:
    """Plans training jobs that run Loupe's own trainer, and the release of what comes of them."""

    loops: KeepsLoops
    raw_data: StoresObjects
    workspace: StoresObjects
    setup: TrainingSetup
    trainer_source: Callable[[], bytes]
    transforms: PlanTransforms

    def complete(self, plan: TrainingPlan, config: ProjectConfig) -> TrainingPlan:
        """Behind `loupe.domain.training.plans.PlansTraining`."""
        bucket, image = self.workspace.bucket, self.setup.inference_image
        return replace(
            plan,
            training_job=self._request(plan, config),
            release=endpoint_release(plan, config, self.setup, bucket, image, ENVIRONMENT),
            transforms=self.transforms.of_builtin_champion(plan, config),
        )

    def _request(self, plan: TrainingPlan, config: ProjectConfig) -> dict[str, Any]:
        return {
            **training_request(plan, config, self.setup.role_arn, self.workspace.bucket),
            "AlgorithmSpecification": {
                "TrainingImage": self.setup.training_image,
                "TrainingInputMode": "File",
                "MetricDefinitions": [
                    {"Name": name, "Regex": f"{name}=([0-9.eE+-]+);"}
                    for name in (*_LOSSES, *METRICS[plan.task])
                ],
            },
            "HyperParameters": {
                **config.training.hyperparameters,
                "sagemaker_program": "train.py",
                # Without a network the container can't fetch its source: it travels as a channel, too.
                "sagemaker_submit_directory": f"/opt/ml/input/data/code/{_SOURCE_FILE}",
            },
            "InputDataConfig": list(self._channels(plan)),
            "Environment": {
                "CHECKPOINT_DIR": CHECKPOINT_FOLDER,
                **({VARIABLE: plan.correlation_id} if plan.correlation_id else {}),
            },
            "EnableNetworkIsolation": True,
        }

    def _channels(self, plan: TrainingPlan) -> Iterator[dict[str, Any]]:
        project, dataset_version = plan.project, plan.dataset_version
        names = Workspace(project)
        yield self._channel("code", "S3Prefix", self._upload_source())
        yield self._channel("dataset", "S3Prefix", names.dataset(dataset_version))
        for channel, manifest in self._write_image_lists(project, dataset_version).items():
            yield self._channel(channel, "ManifestFile", manifest)
        champion = self.loops.loop(project).champion
        if champion and champion.model.trainer == "script":
            release = TrainingPlan.read(self.workspace, project, champion.version).release
            if release:
                yield self._channel("champion", "S3Prefix", S3Uri.parse(release.model_data_url).key)

    def _channel(self, name: str, kind: str, key: str) -> dict[str, Any]:
        return {
            "ChannelName": name,
            "InputMode": "File",
            "DataSource": {
                "S3DataSource": {
                    "S3DataType": kind,
                    "S3Uri": str(S3Uri(self.workspace.bucket, key)),
                    "S3DataDistributionType": "FullyReplicated",
                }
            },
        }

    def _upload_source(self) -> str:
        source = self.trainer_source()
        key = f"trainer/{sha256(source).hexdigest()}/{_SOURCE_FILE}"
        with suppress(AlreadyWritten):
            self.workspace.write_once(key, source, "application/gzip")
        return key

    def _write_image_lists(self, project: str, dataset_version: str) -> dict[str, str]:
        """Write the lists of objects that the job copies: a channel for each bucket, and one for images whose
        keys can't be file paths, which are copied to flat names first. Returns the lists by channel."""
        names = Workspace(project)
        folders = {
            folder for row in self._rows(project, dataset_version) for folder in _folders(row["source-ref"])
        }

        def is_path(row: Row) -> bool:
            return is_file_path(_place(row).key) and row["source-ref"] not in folders

        def paths(bucket: str) -> Iterator[str]:
            places = (_place(row) for row in self._rows(project, dataset_version) if is_path(row))
            return (place.key for place in places if place.bucket == bucket)

        lists = {}
        buckets = {_place(row).bucket for row in self._rows(project, dataset_version) if is_path(row)}
        for bucket in sorted(buckets):
            if bucket == self.raw_data.bucket:
                channel, manifest = "images", names.images_manifest(dataset_version)
            else:
                channel, manifest = referred_channel(bucket), names.referred_manifest(dataset_version, bucket)
            lists[channel] = manifest
            with suppress(AlreadyWritten):
                self.workspace.write_lines_once(manifest, manifest_file(f"s3://{bucket}/", paths(bucket)))
        odd = {row[SHA256]: _place(row) for row in self._rows(project, dataset_version) if not is_path(row)}
        copied = copy_images(names, odd, self.workspace)
        if copied:
            lists["copies"] = names.copies_manifest(dataset_version)
            with suppress(AlreadyWritten):
                self.workspace.write_lines_once(
                    lists["copies"],
                    manifest_file(f"s3://{self.workspace.bucket}/{names.image_copies}", copied),
                )
        return lists

    def _rows(self, project: str, dataset_version: str) -> Iterator[Row]:
        names = Workspace(project)
        for split in SPLITS:
            yield from read_rows(self.workspace.lines(names.split(dataset_version, split)))


def referred_channel(bucket: str) -> str:
    """The channel of the images in another bucket. The trainer makes the same name of a row's bucket; it is
    not the bucket's own, which may be longer than a channel's."""
    return f"referred_{sha256(bucket.encode()).hexdigest()[:16]}"


def is_file_path(key: str) -> bool:
    """Whether an object key can be a file's path as SageMaker writes it into a training job."""
    components = key.split("/")
    return key.isprintable() and all(
        component not in ("", ".", "..") and len(component.encode()) <= MAX_PATH_COMPONENT
        for component in components
    )


def _place(row: Row) -> S3Uri:
    return S3Uri.parse(row["source-ref"])


def _folders(uri: str) -> Iterator[str]:
    """`a` and `a/b` of `a/b/c`: S3 may have objects of those names, too, a file system can't."""
    position = uri.find("/", uri.find("/", len("s3://")) + 1)
    while position >= 0:
        yield uri[:position]
        position = uri.find("/", position + 1)
