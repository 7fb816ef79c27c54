"""From a dataset version to the plan of a training: names, limits, and what each trainer adds."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from typing import Any, Protocol

from pydantic import TypeAdapter

from loupe.domain.configuration import valid_config
from loupe.domain.correlation import TAG
from loupe.domain.datasets.versions import DatasetCard
from loupe.domain.errors import ObjectMissing
from loupe.domain.manifests import S3Uri
from loupe.domain.projects import HostingKind, ProjectConfig, TaskType, Trainer
from loupe.domain.serving.endpoints import (
    endpoint_name,
    production_variant,
    rehearsal_of,
    release_alarms,
    update_request,
)
from loupe.domain.training.job_failures import FOR_LACK_OF_INSTANCES, FailureKind
from loupe.domain.workspace import Workspace
from loupe.ports.loops import HostingRecord, KeepsLoops, LastTraining, ServedModel
from loupe.ports.messages import Clock
from loupe.ports.objects import StoresObjects
from loupe.ports.projects import KeepsProjects

MAX_NAME = 63
"""Longest name of a training job, model, endpoint configuration or endpoint."""

_VOLUME_GB = 50
_ATTEMPT_LENGTH = len("-3")
"""What the name of a training job has more than that of its model, if it is not the first."""

_SOURCE = re.compile(r"\btrainer/([0-9a-f]{64})/")
"""Where a request names the trainer's source, which lies under the SHA-256 of its content."""
_NOT_IN_REGISTRY = re.compile(r"[^\w .:/=+@-]")
_MAX_HYPERPARAMETERS = 40


@dataclass(frozen=True)
class EndpointRelease:
    """How a model that SageMaker hosts is registered and put behind its endpoint.

    `model_data_url` is where the training puts the model; `image` and `environment` are its container's.
    `variant` is how it is hosted, `update` the request by which the endpoint changes to it, and `alarms`
    those for the alarms that undo this; before that it answers test images at the endpoint `rehearsal`.
    `max_instances` is to how many a realtime endpoint scales, None if it does not.
    """

    model_package_group: str
    model_data_url: str
    image: str
    environment: dict[str, str]
    endpoint: str
    role_arn: str
    rehearsal: str
    variant: dict[str, Any]
    update: dict[str, Any]
    alarms: list[dict[str, Any]] = field(default_factory=list)
    max_instances: int | None = None

    @property
    def output(self) -> str:
        """Key of what the training wrote beside the model."""
        return f"{S3Uri.parse(self.model_data_url).key.rpartition('/')[0]}/output.tar.gz"


@dataclass(frozen=True)
class Transforms:
    """Requests for CreateTransformJob, by which models are asked about the test images; None for a model that
    is not asked in that way."""

    candidate: dict[str, Any] | None
    champion: dict[str, Any] | None


@dataclass(frozen=True)
class FailedAttempt:
    """A training job that failed for a reason that may pass, so that another one was to follow it; `number`
    counts from 1, `kind` is one of `job_failures.MAY_PASS`, `reason` what SageMaker said."""

    number: int
    job: str
    kind: FailureKind
    reason: str
    failed_at: str

    @property
    def in_words(self) -> str:
        return f"attempt {self.number}: {self.reason}"


@dataclass(frozen=True)
class TrainingPlan:
    """Everything that is decided before the training; `models/<version>/plan.json` keeps it.

    `model_name` is the name of the model, its endpoint configuration and its first training job.
    `training_job` is the request for CreateTrainingJob; it and `release` are None for a model that
    Rekognition trains and hosts, which has `custom_labels` instead. `tags` are for everything that is made
    for the model; `registry` is what its package in the model registry says of it; `correlation_id` is the
    dataset version's. `failed_attempts` are objects of their own, with which `read` brings the plan up to
    date.
    """

    project: str
    version: str
    dataset_version: str
    execution: str
    started_at: str
    task: TaskType
    labels: tuple[str, ...]
    trainer: Trainer
    hosting: HostingKind
    model_name: str
    evaluation_uri: str
    tags: list[dict[str, str]]
    training_job: dict[str, Any] | None = None
    release: EndpointRelease | None = None
    transforms: Transforms | None = None
    custom_labels: dict[str, Any] | None = None
    registry: dict[str, str] = field(default_factory=dict)
    failed_attempts: tuple[FailedAttempt, ...] = ()
    correlation_id: str | None = None

    @property
    def units(self) -> tuple[int, int | None] | None:
        """How many inference units or instances the model runs on at least, and up to how many it scales;
        None for one that costs nothing while nobody calls it."""
        if self.custom_labels is not None:
            start = self.custom_labels["start"]
            return start["MinInferenceUnits"], start.get("MaxInferenceUnits")
        if self.release is not None and self.hosting == "realtime":
            return self.release.variant["InitialInstanceCount"], self.release.max_instances
        return None

    @classmethod
    def read(cls, store: StoresObjects, project: str, version: str) -> "TrainingPlan":
        """The plan as it is after the attempts that failed. Raises `ObjectMissing`."""
        names = Workspace(project)
        plan = _PLAN.validate_json(store.read(names.plan(version)))
        with suppress(ObjectMissing):
            while plan.training_job is not None:
                key = names.failed_attempt(version, len(plan.failed_attempts) + 1)
                plan = plan.after(_ATTEMPT.validate_json(store.read(key)))
        return plan

    def after(self, attempt: FailedAttempt) -> "TrainingPlan":
        """The plan of the attempt that follows a failed one: a job of another name, since a name is taken for
        ever, which goes on from the same checkpoints; without spot instances if there were none to be had."""
        if self.training_job is None or self.release is None:
            raise ValueError(f"model {self.version} of {self.project} is not trained by a training job")
        number = attempt.number + 1
        name = f"{self.model_name}-{number}"
        job = {**self.training_job, "TrainingJobName": name}
        if attempt.kind in FOR_LACK_OF_INSTANCES:
            limits = {**job["StoppingCondition"]}
            limits.pop("MaxWaitTimeInSeconds", None)
            job |= {"EnableManagedSpotTraining": False, "StoppingCondition": limits}
        model = model_data_url(job["OutputDataConfig"]["S3OutputPath"], name)
        return replace(
            self,
            training_job=job,
            release=replace(self.release, model_data_url=model),
            registry={**self.registry, "training_attempts": str(number)},
            failed_attempts=(*self.failed_attempts, attempt),
        )

    def served_at(self, endpoint: str | None = None) -> ServedModel:
        """The model in service; `endpoint` is where, if that is not the endpoint of its `release`."""
        if endpoint is None:
            if self.release is None:
                raise ValueError(f"model {self.version} of {self.project} has no endpoint of SageMaker")
            endpoint = self.release.endpoint
        return ServedModel(self.hosting, self.trainer, self.task, self.labels, endpoint)


_PLAN = TypeAdapter(TrainingPlan)
_ATTEMPT = TypeAdapter(FailedAttempt)


@dataclass(frozen=True)
class TrainingSetup:
    """What the stack gives a training: names, the role of jobs and endpoints, container images."""

    stack: str
    role_arn: str
    training_image: str
    inference_image: str


class PlansTraining(Protocol):
    """What one trainer adds to a plan."""

    def complete(self, plan: TrainingPlan, config: ProjectConfig) -> TrainingPlan:
        """The plan with its requests; writes what they name. Repeating it changes nothing.

        Raises `InvalidProject`, `StoreUnavailable`.
        """
        ...


def model_versions(project: str, store: StoresObjects) -> list[str]:
    """Versions of all models that were ever planned, oldest first: `0002`, `0002-2`, `0003`..."""
    versions = store.list_folders(Workspace(project).models)
    return sorted(versions, key=lambda version: [int(part) for part in version.split("-")])


@dataclass(frozen=True)
class PlanTraining:
    """Decides on the next model's training and writes the decision down, once for each execution."""

    projects: KeepsProjects
    loops: KeepsLoops
    workspace: StoresObjects
    stack: str
    trainers: Mapping[Trainer, PlansTraining]
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
        self._note_hosting(plan)
        self.loops.save_last_training(project, training_goes_on(plan))
        return plan

    def _note_hosting(self, plan: TrainingPlan) -> None:
        """Told before there is anything to run, so that what is left running is always looked for."""
        if plan.units is not None and self.loops.loop(plan.project).hosting is None:
            planned_at = datetime.fromisoformat(plan.started_at)
            self.loops.save_hosting(plan.project, HostingRecord("stopped", planned_at, *plan.units))

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
        names = Workspace(project)
        card = DatasetCard.from_json(self.workspace.read(names.dataset_card(dataset_version)))
        # Training jobs can't be deleted, and a stack may be made anew: the execution makes names unique.
        token = sha256(execution.encode()).hexdigest()[:4]
        plan = TrainingPlan(
            project=project,
            version=version,
            dataset_version=dataset_version,
            execution=execution,
            started_at=self.clock().isoformat(),
            task=card.task,
            labels=card.labels,
            trainer=config.training.trainer,
            hosting=config.hosting.kind,
            model_name=legal_name(self.stack, project, version, token, longest=MAX_NAME - _ATTEMPT_LENGTH),
            evaluation_uri=str(S3Uri(self.workspace.bucket, names.evaluation(version))),
            tags=[
                {"Key": "loupe:project", "Value": project},
                {"Key": "loupe:model-version", "Value": version},
                {"Key": "loupe:dataset-version", "Value": dataset_version},
                *([{"Key": TAG, "Value": card.correlation_id}] if card.correlation_id else []),
            ],
            correlation_id=card.correlation_id,
        )
        plan = self.trainers[plan.trainer].complete(plan, config)
        return replace(plan, registry=registry_metadata(plan))


def registry_metadata(plan: TrainingPlan) -> dict[str, str]:
    """What explains a model in the registry, which takes 50 entries of letters, digits and few signs."""
    hyperparameters = (plan.training_job or {}).get("HyperParameters", {})
    own = {name: value for name, value in hyperparameters.items() if not name.startswith("sagemaker_")}
    code = next(filter(None, (_SOURCE.search(str(value)) for value in _strings(plan.training_job))), None)
    metadata = {
        "project": plan.project,
        "model_version": plan.version,
        "dataset_version": plan.dataset_version,
        "task": plan.task,
        "trainer": plan.trainer,
        "execution": plan.execution,
        **({"correlation_id": plan.correlation_id} if plan.correlation_id else {}),
        **({"trainer_code": code[1]} if code else {}),
        **{f"hyperparameter:{name}": value for name, value in sorted(own.items())[:_MAX_HYPERPARAMETERS]},
    }
    return {
        _NOT_IN_REGISTRY.sub("_", name)[:128]: _NOT_IN_REGISTRY.sub("_", value)[:256]
        for name, value in metadata.items()
    }


def _strings(document: Any) -> Iterator[str]:
    match document:
        case str():
            yield document
        case dict():
            for value in document.values():
                yield from _strings(value)
        case list():
            for value in document:
                yield from _strings(value)


def training_request(plan: TrainingPlan, config: ProjectConfig, role_arn: str, bucket: str) -> dict[str, Any]:
    """What requests for training jobs of all trainers have in common; `bucket` gets the model."""
    training = config.training
    limits = {"MaxRuntimeInSeconds": training.max_run_minutes * 60}
    if training.spot:
        limits["MaxWaitTimeInSeconds"] = (training.max_wait_minutes or training.max_run_minutes) * 60
    return {
        "TrainingJobName": plan.model_name,
        "RoleArn": role_arn,
        "OutputDataConfig": {"S3OutputPath": _output(plan, bucket)},
        # On instances that are not spot, too: another attempt goes on from there.
        "CheckpointConfig": {"S3Uri": str(S3Uri(bucket, Workspace(plan.project).checkpoints(plan.version)))},
        "ResourceConfig": {
            "InstanceType": training.instance_type,
            "InstanceCount": 1,
            "VolumeSizeInGB": _VOLUME_GB,
        },
        "StoppingCondition": limits,
        "EnableManagedSpotTraining": training.spot,
        "Tags": plan.tags,
    }


def endpoint_release(
    plan: TrainingPlan,
    config: ProjectConfig,
    setup: TrainingSetup,
    bucket: str,
    image: str,
    environment: dict[str, str],
) -> EndpointRelease:
    """The release of a model that its training job puts into `bucket`."""
    host, hosting = legal_name(setup.stack, plan.project), config.hosting
    endpoint = endpoint_name(host, hosting.kind, plan.task, plan.labels)
    return EndpointRelease(
        model_package_group=host,
        model_data_url=model_data_url(_output(plan, bucket), plan.model_name),
        image=image,
        environment=environment,
        endpoint=endpoint,
        role_arn=setup.role_arn,
        rehearsal=rehearsal_of(endpoint),
        variant=production_variant(plan.model_name, hosting),
        update=update_request(endpoint, plan.model_name, hosting),
        alarms=release_alarms(endpoint, plan.model_name, hosting),
        max_instances=hosting.realtime.max_instances,
    )


def training_goes_on(plan: TrainingPlan) -> LastTraining:
    """The turn of the loop in which that model is trained."""
    failed = tuple(attempt.in_words for attempt in plan.failed_attempts)
    return LastTraining(
        version=plan.version,
        status="running",
        reason=f"a model is being trained, after {failed[-1]}" if failed else "a model is being trained",
        started_at=datetime.fromisoformat(plan.started_at),
        ended_at=None,
        execution=plan.execution,
        failed_attempts=failed,
    )


def model_data_url(output: str, job: str) -> str:
    """Where SageMaker puts the model of a training job whose S3OutputPath is `output`."""
    return f"{output}/{job}/output/model.tar.gz"


def _output(plan: TrainingPlan, bucket: str) -> str:
    return str(S3Uri(bucket, Workspace(plan.project).model(plan.version).rstrip("/")))


def legal_name(stack: str, *parts: str, longest: int = MAX_NAME) -> str:
    """A name for SageMaker: letters, digits and dashes, at most `longest`; a hash stands for what does not
    fit."""
    name = "-".join(re.sub(r"[^a-zA-Z0-9-]", "-", part).strip("-") for part in (stack, *parts))
    if len(name) <= longest:
        return name
    tail = "-".join(parts)
    token = sha256(stack.encode()).hexdigest()[:6]
    room = max(0, longest - len(tail) - len(token) - 2)
    return "-".join(filter(None, (stack[:room].strip("-"), token, tail)))
