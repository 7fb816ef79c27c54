"""From a dataset version to a training request: names, channels, the trainer's source."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from loupe.domain.configuration import valid_config
from loupe.domain.errors import AlreadyWritten, ObjectMissing
from loupe.domain.manifests import SHA256, Row, S3Uri, read_rows
from loupe.domain.projects import ProjectConfig
from loupe.domain.splits import SPLITS
from loupe.domain.workspace import Workspace
from loupe.ports import Clock, KeepsLoops, KeepsProjects, LastTraining, StoresObjects

MAX_NAME = 63
"""Longest name of a training job, model, endpoint configuration or endpoint."""

MAX_PATH_COMPONENT = 255
"""Bytes of a file name on Linux."""

METRICS = {
    "train:loss": r"train:loss=([0-9.eE+-]+);",
    "validation:accuracy": r"validation:accuracy=([0-9.eE+-]+);",
    "test:accuracy": r"test:accuracy=([0-9.eE+-]+);",
}
"""What SageMaker reads from the trainer's output."""

_VOLUME_GB = 50
_COPIES_AT_ONCE = 16
_SOURCE_FILE = "sourcedir.tar.gz"


@dataclass(frozen=True)
class TrainingSetup:
    """What the stack gives a training: names, the role of jobs and endpoints, container images."""

    stack: str
    role_arn: str
    training_image: str
    inference_image: str


@dataclass(frozen=True)
class TrainingPlan:
    """Everything that is decided before the training; `models/<version>/plan.json` keeps it.

    `training_job` is the request for CreateTrainingJob. `model_name` is the name of the model and of its
    endpoint configuration; `model_data_url` is where the training puts the model.
    """

    project: str
    version: str
    dataset_version: str
    execution: str
    started_at: str
    training_job: dict[str, Any]
    model_package_group: str
    model_name: str
    model_data_url: str
    evaluation_uri: str
    endpoint: str
    role_arn: str
    inference_image: str
    memory_mb: int
    max_concurrency: int

    @classmethod
    def read(cls, store: StoresObjects, project: str, version: str) -> "TrainingPlan":
        """Raises `ObjectMissing`."""
        return cls(**json.loads(store.read(Workspace(project).plan(version))))

    @property
    def output(self) -> str:
        """Key of what the trainer wrote beside the model."""
        return f"{S3Uri.parse(self.model_data_url).key.rpartition('/')[0]}/output.tar.gz"


def model_versions(project: str, store: StoresObjects) -> list[str]:
    """Versions of all models that were ever planned, oldest first: `0002`, `0002-2`, `0003`..."""
    versions = store.list_folders(Workspace(project).models)
    return sorted(versions, key=lambda version: [int(part) for part in version.split("-")])


@dataclass(frozen=True)
class PlanTraining:
    """Decides on the next model's training and writes the decision down, once for each execution."""

    projects: KeepsProjects
    loops: KeepsLoops
    raw_data: StoresObjects
    workspace: StoresObjects
    setup: TrainingSetup
    trainer_source: Callable[[], bytes]
    clock: Clock

    def __call__(self, project: str, dataset_version: str, execution: str) -> TrainingPlan:
        """Raises `ProjectNotFound`, `InvalidProject`, `StoreUnavailable`."""
        attempts = [
            version
            for version in model_versions(project, self.workspace)
            if version.partition("-")[0] == dataset_version
        ]
        plan = self._planned(project, attempts, execution)
        if plan is None:
            attempt = len(attempts) + 1
            version = dataset_version if attempt == 1 else f"{dataset_version}-{attempt}"
            plan = self._plan(project, version, dataset_version, execution)
            content = json.dumps(asdict(plan), ensure_ascii=False, indent=1).encode()
            self.workspace.write_once(Workspace(project).plan(version), content, "application/json")
        started_at = datetime.fromisoformat(plan.started_at)
        self.loops.save_last_training(
            project,
            LastTraining(plan.version, "running", "a model is being trained", started_at, None, execution),
        )
        return plan

    def _planned(self, project: str, versions: Iterable[str], execution: str) -> TrainingPlan | None:
        """This execution's plan, if an earlier call of it came that far."""
        for version in versions:
            with suppress(ObjectMissing):
                plan = TrainingPlan.read(self.workspace, project, version)
                if plan.execution == execution:
                    return plan
        return None

    def _plan(self, project: str, version: str, dataset_version: str, execution: str) -> TrainingPlan:
        config = valid_config(self.projects, project)
        # Training jobs can't be deleted, and a stack may be made anew: the execution makes names unique.
        token = sha256(execution.encode()).hexdigest()[:4]
        name = legal_name(self.setup.stack, project, version, token)
        output = S3Uri(self.workspace.bucket, Workspace(project).model(version).rstrip("/"))
        request = self._request(name, str(output), project, version, dataset_version, config)

        return TrainingPlan(
            project=project,
            version=version,
            dataset_version=dataset_version,
            execution=execution,
            started_at=self.clock().isoformat(),
            training_job=request,
            model_package_group=legal_name(self.setup.stack, project),
            model_name=name,
            model_data_url=f"{output}/{name}/output/model.tar.gz",
            evaluation_uri=str(S3Uri(self.workspace.bucket, Workspace(project).evaluation(version))),
            endpoint=legal_name(self.setup.stack, project),
            role_arn=self.setup.role_arn,
            inference_image=self.setup.inference_image,
            memory_mb=config.hosting.memory_mb,
            max_concurrency=config.hosting.max_concurrency,
        )

    def _request(
        self, name: str, output: str, project: str, version: str, dataset_version: str, config: ProjectConfig
    ) -> dict[str, Any]:
        training = config.training
        return {
            "TrainingJobName": name,
            "RoleArn": self.setup.role_arn,
            "AlgorithmSpecification": {
                "TrainingImage": self.setup.training_image,
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": metric, "Regex": regex} for metric, regex in METRICS.items()],
            },
            "HyperParameters": {
                **training.hyperparameters,
                "sagemaker_program": "train.py",
                # Without a network the container can't fetch its source: it travels as a channel, too.
                "sagemaker_submit_directory": f"/opt/ml/input/data/code/{_SOURCE_FILE}",
            },
            "InputDataConfig": list(self._channels(project, dataset_version)),
            "OutputDataConfig": {"S3OutputPath": output},
            "ResourceConfig": {
                "InstanceType": training.instance_type,
                "InstanceCount": 1,
                "VolumeSizeInGB": _VOLUME_GB,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": training.max_run_minutes * 60},
            "EnableNetworkIsolation": True,
            "Tags": [
                {"Key": "loupe:project", "Value": project},
                {"Key": "loupe:model-version", "Value": version},
            ],
        }

    def _channels(self, project: str, dataset_version: str) -> Iterator[dict[str, Any]]:
        names = Workspace(project)
        yield self._channel("code", "S3Prefix", self._upload_source())
        yield self._channel("dataset", "S3Prefix", names.dataset(dataset_version))
        copies = self._write_image_lists(project, dataset_version)
        yield self._channel("images", "ManifestFile", names.images_manifest(dataset_version))
        if copies:
            yield self._channel("copies", "ManifestFile", names.copies_manifest(dataset_version))
        champion = self.loops.loop(project).champion
        if champion:
            plan = TrainingPlan.read(self.workspace, project, champion.version)
            yield self._channel("champion", "S3Prefix", S3Uri.parse(plan.model_data_url).key)

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

    def _write_image_lists(self, project: str, dataset_version: str) -> int:
        """Write the lists of objects that the job copies; returns how many have to be copied to flat names
        first, since their keys can't be file paths."""
        names = Workspace(project)
        folders = {folder for row in self._rows(project, dataset_version) for folder in _folders(_key(row))}

        def is_path(row: Row) -> bool:
            return is_file_path(_key(row)) and _key(row) not in folders

        with suppress(AlreadyWritten):
            self.workspace.write_lines_once(
                names.images_manifest(dataset_version),
                _manifest_file(
                    f"s3://{self.raw_data.bucket}/",
                    (_key(row) for row in self._rows(project, dataset_version) if is_path(row)),
                ),
            )
        odd = {row[SHA256]: _key(row) for row in self._rows(project, dataset_version) if not is_path(row)}
        copied = self._copy(names, odd)
        if copied:
            with suppress(AlreadyWritten):
                self.workspace.write_lines_once(
                    names.copies_manifest(dataset_version),
                    _manifest_file(f"s3://{self.workspace.bucket}/{names.image_copies}", copied),
                )
        return len(copied)

    def _copy(self, names: Workspace, keys: dict[str, str]) -> list[str]:
        """Copy images server-side; an image that is gone by now is missing in the training, too."""

        def copy(image: tuple[str, str]) -> str | None:
            digest, key = image
            try:
                self.workspace.copy_from(self.raw_data.bucket, key, names.image_copy(digest))
            except ObjectMissing:
                return None
            return digest

        with ThreadPoolExecutor(_COPIES_AT_ONCE) as pool:
            return [digest for digest in pool.map(copy, keys.items()) if digest]

    def _rows(self, project: str, dataset_version: str) -> Iterator[Row]:
        names = Workspace(project)
        for split in SPLITS:
            yield from read_rows(self.workspace.lines(names.split(dataset_version, split)))


def is_file_path(key: str) -> bool:
    """Whether an object key can be a file's path as SageMaker writes it into a training job."""
    components = key.split("/")
    return key.isprintable() and all(
        component not in ("", ".", "..") and len(component.encode()) <= MAX_PATH_COMPONENT
        for component in components
    )


def legal_name(stack: str, *parts: str) -> str:
    """A name for SageMaker: letters, digits and dashes, at most 63; a hash stands for what does not fit."""
    name = "-".join(re.sub(r"[^a-zA-Z0-9-]", "-", part).strip("-") for part in (stack, *parts))
    if len(name) <= MAX_NAME:
        return name
    tail = "-".join(parts)
    token = sha256(stack.encode()).hexdigest()[:6]
    room = MAX_NAME - len(tail) - len(token) - 2
    return "-".join(filter(None, (stack[:room].strip("-"), token, tail)))


def _key(row: Row) -> str:
    return S3Uri.parse(row["source-ref"]).key


def _folders(key: str) -> Iterator[str]:
    """`a` and `a/b` of `a/b/c`: S3 may have objects of those names, too, a file system can't."""
    position = key.find("/")
    while position >= 0:
        yield key[:position]
        position = key.find("/", position + 1)


def _manifest_file(prefix: str, keys: Iterable[str]) -> Iterator[str]:
    """SageMaker's ManifestFile: a prefix, and the keys below it."""
    yield f"[{json.dumps({'prefix': prefix})}"
    for key in keys:
        yield f",\n{json.dumps(key, ensure_ascii=False)}"
    yield "]\n"
