"""The one place where adapters are chosen and put together.

Each function's handler asks for its use case on the first invocation; what was built stays for the next
ones. Nothing is built, and no environment is read, at import.
"""

from datetime import UTC, datetime
from functools import cache
from secrets import token_hex
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from loupe.adapters.custom_labels import CustomLabelsModels
from loupe.adapters.dead_letters import DeadLetters
from loupe.adapters.endpoints import HostedModels, SageMakerEndpoints
from loupe.adapters.events import EventBridgeEvents
from loupe.adapters.executions import StepFunctionsExecutions
from loupe.adapters.ground_truth_provider import GroundTruthJobs, GroundTruthProvider
from loupe.adapters.images_index import IndexedImages
from loupe.adapters.ingest_queue import IngestQueue
from loupe.adapters.labeling_index import LabelingJobIndex, TaskIndex
from loupe.adapters.model_packages import ModelRegistry
from loupe.adapters.notification_topic import NotificationTopic
from loupe.adapters.objects import ImageObjects, S3Objects
from loupe.adapters.portal_provider import PortalProvider
from loupe.adapters.projects_index import IndexedProjects
from loupe.adapters.realtime_endpoints import EndpointScaling, RealtimeEndpoints
from loupe.adapters.table import IndexTable
from loupe.adapters.trainer_source import trainer_source
from loupe.adapters.training_index import LoopIndex
from loupe.adapters.worker_templates import worker_template
from loupe.adapters.workforce import CognitoWorkerGroups, SageMakerWorkforce
from loupe.domain.console.correcting import Correct
from loupe.domain.console.datasets import DatasetConsole
from loupe.domain.console.deciding import DecideInConsole
from loupe.domain.console.jobs import ShowJobs
from loupe.domain.console.models import ShowModels
from loupe.domain.custom_labels.evaluation import MeasureCustomLabels, MeasuredByRekognition
from loupe.domain.custom_labels.plans import CustomLabelsTraining
from loupe.domain.datasets.galleries import Galleries
from loupe.domain.images.inspection import NEAR_DUPLICATE_DISTANCE
from loupe.domain.images.previews import MakePreviews
from loupe.domain.images.registration import RegisterImages
from loupe.domain.labeling.annotation import LabelingPortal
from loupe.domain.labeling.consolidation import ConsolidateAnnotations
from loupe.domain.labeling.ground_truth import PROVIDER as GROUND_TRUTH
from loupe.domain.labeling.ground_truth import GroundTruthSetup, RequestLabelingJob
from loupe.domain.labeling.import_labels import ImportLabels
from loupe.domain.labeling.provided_labels import ConcludeLabelingJob
from loupe.domain.labeling.restoration import RestoreJob
from loupe.domain.labeling.review import StartReview
from loupe.domain.labeling.starting import StartLabeling
from loupe.domain.labeling.suggestion import SuggestLabels
from loupe.domain.labeling.workers import ShowWorkers
from loupe.domain.labeling.workforce import ManageWorkforce
from loupe.domain.notifications import NotifyPeople
from loupe.domain.projects import HostingKind
from loupe.domain.reconciliation import Reconcile
from loupe.domain.serving.hosting import ControlModel, StopIdleModels
from loupe.domain.serving.prediction import AskChampion, Predict
from loupe.domain.serving.releases import BeginRelease, ConcludeRelease, DecideOnModel, NoteApproval
from loupe.domain.serving.scaling import ScaleEndpoint
from loupe.domain.serving.smoke_test import SmokeTestEndpoint
from loupe.domain.status import DescribeProject
from loupe.domain.training.builtin import BuiltinTraining
from loupe.domain.training.loop_restoration import RestoreLoop
from loupe.domain.training.plans import PlanTraining, TrainingSetup
from loupe.domain.training.promotion import EvaluateCandidate, MeasuredByTrainer, MeasuredByTransform
from loupe.domain.training.retries import RetryTraining
from loupe.domain.training.script_training import ScriptTraining
from loupe.domain.training.transforms import PlanTransforms, TransformAnswers
from loupe.domain.training.turns import BuildDataset, ConcludeTraining
from loupe.logs import log_of
from loupe.ports.labeling import StartsLabelingJobs
from loupe.ports.models import RunsModels
from loupe.settings import (
    BeginReleaseSettings,
    BuildDatasetSettings,
    ConcludeLabelingJobSettings,
    ConcludeTrainingSettings,
    ConsolidateAnnotationsSettings,
    ControlModelSettings,
    DatasetApiSettings,
    DecideOnModelSettings,
    DescribeProjectSettings,
    EvaluateCandidateSettings,
    GroundTruthSettings,
    ImportLabelsSettings,
    LabelingApiSettings,
    MakePreviewsSettings,
    MeasureCustomLabelsSettings,
    ModelApiSettings,
    NoteApprovalSettings,
    NotifyPeopleSettings,
    PlanTrainingSettings,
    PredictSettings,
    ReconcileSettings,
    RegisterImagesSettings,
    ReleaseApiSettings,
    RetryTrainingSettings,
    ScaleEndpointSettings,
    ServePagesSettings,
    SmokeTestEndpointSettings,
    StartLabelingSettings,
    StartReviewSettings,
    StopIdleModelsSettings,
    SuggestLabelsSettings,
)

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_sagemaker.client import SageMakerClient

_STANDARD = Config(
    retries={"mode": "standard", "max_attempts": 5}, connect_timeout=3, max_pool_connections=32
)
_PRESIGNING = Config(
    # Presigned URLs need signature version 4 and the region's own host name, or browsers are redirected.
    signature_version="s3v4",
    s3={"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"},
)
_FOR_APPS = Config(
    # API Gateway gives up after 29 s: one attempt, so that an app hears what happened.
    retries={"mode": "standard", "max_attempts": 1},
    connect_timeout=3,
    read_timeout=25,
)
_FOR_STACKS = Config(
    # A call fails well within the function's timeout, so that CloudFormation hears why.
    retries={"mode": "standard", "max_attempts": 3},
    connect_timeout=3,
    read_timeout=20,
)


def utc_now() -> datetime:
    """The clock of every use case."""
    return datetime.now(UTC)


# Adapters -------------------------------------------------------------------------------------------


@cache
def _s3() -> "S3Client":
    return boto3.client("s3", config=_STANDARD.merge(_PRESIGNING))


@cache
def _table(name: str) -> IndexTable:
    return IndexTable(boto3.client("dynamodb", config=_STANDARD), name)


@cache
def _objects(bucket: str) -> S3Objects:
    return S3Objects(_s3(), bucket)


@cache
def _raw_data(bucket: str) -> ImageObjects:
    """The raw-data bucket, with what it refers to in others."""
    return ImageObjects(_s3(), bucket)


def _ingest_queue(url: str, raw_data_bucket: str) -> IngestQueue:
    return IngestQueue(boto3.client("sqs", config=_STANDARD), url, raw_data_bucket)


@cache
def _events(bus: str) -> EventBridgeEvents:
    return EventBridgeEvents(boto3.client("events", config=_STANDARD), bus)


@cache
def _sagemaker() -> "SageMakerClient":
    return boto3.client("sagemaker", config=_STANDARD)


@cache
def _executions() -> StepFunctionsExecutions:
    return StepFunctionsExecutions(boto3.client("stepfunctions", config=_STANDARD))


def _models(config: Config) -> HostedModels:
    endpoints = SageMakerEndpoints(boto3.client("sagemaker-runtime", config=config))
    return HostedModels(
        {
            "serverless": endpoints,
            "realtime": endpoints,
            "rekognition": _custom_labels(config),
        }
    )


def _custom_labels(config: Config) -> CustomLabelsModels:
    return CustomLabelsModels(boto3.client("rekognition", config=config))


# Ingest ---------------------------------------------------------------------------------------------


@cache
def register_images() -> RegisterImages:
    """For register_images."""
    settings = RegisterImagesSettings.from_environment()
    table = _table(settings.index_table)
    return RegisterImages(
        objects=_raw_data(settings.raw_data_bucket),
        projects=IndexedProjects(table),
        images=IndexedImages(table),
        events=_events(settings.event_bus_name),
        unusable=DeadLetters(boto3.client("sqs", config=_STANDARD), settings.ingest_dead_letter_queue_url),
        clock=utc_now,
    )


# Labeling -------------------------------------------------------------------------------------------


@cache
def start_labeling() -> StartLabeling:
    """For start_labeling."""
    settings = StartLabelingSettings.from_environment()
    table, workspace = _table(settings.index_table), _objects(settings.workspace_bucket)
    jobs, tasks = LabelingJobIndex(table), TaskIndex(table)
    ground_truth = _ground_truth(settings, settings.workspace_bucket, table)
    providers: dict[str, StartsLabelingJobs] = {
        "portal": PortalProvider(workspace, tasks, settings.raw_data_bucket),
        GROUND_TRUTH: ground_truth,
    }
    conclude = ConcludeLabelingJob(
        jobs=jobs,
        images=IndexedImages(table),
        workspace=workspace,
        provider=ground_truth,
        events=_events(settings.event_bus_name),
        clock=utc_now,
    )
    return StartLabeling(
        projects=IndexedProjects(table),
        images=IndexedImages(table),
        jobs=jobs,
        workspace=workspace,
        raw_data_bucket=settings.raw_data_bucket,
        providers=providers,
        events=_events(settings.event_bus_name),
        clock=utc_now,
        suffix=lambda: token_hex(2),
        restore_job=RestoreJob(
            jobs=jobs,
            tasks=tasks,
            workspace=workspace,
            raw_data_bucket=settings.raw_data_bucket,
            providers=providers,
            clock=utc_now,
        ),
        conclude={GROUND_TRUTH: conclude},
        log=log_of("start_labeling"),
    )


def _ground_truth(settings: GroundTruthSettings, workspace: str, table: IndexTable) -> GroundTruthProvider:
    setup = GroundTruthSetup(
        stack=settings.stack_name,
        region=settings.aws_region,
        role_arn=settings.ground_truth_role_arn,
        workspace_bucket=workspace,
        workteam=settings.workteam_arn,
        output_key=settings.ground_truth_output_key,
        volume_key=settings.ground_truth_volume_key,
    )
    request = RequestLabelingJob(IndexedProjects(table), _objects(workspace), worker_template, setup)
    return GroundTruthProvider(_sagemaker(), _objects(workspace), request)


@cache
def conclude_labeling_job() -> ConcludeLabelingJob:
    """For conclude_labeling_job."""
    settings = ConcludeLabelingJobSettings.from_environment()
    table = _table(settings.index_table)
    return ConcludeLabelingJob(
        jobs=LabelingJobIndex(table),
        images=IndexedImages(table),
        workspace=_objects(settings.workspace_bucket),
        provider=GroundTruthJobs(_sagemaker()),
        events=_events(settings.event_bus_name),
        clock=utc_now,
    )


@cache
def start_review() -> StartReview:
    """For start_review."""
    settings = StartReviewSettings.from_environment()
    table = _table(settings.index_table)
    return StartReview(
        projects=IndexedProjects(table),
        jobs=LabelingJobIndex(table),
        images=IndexedImages(table),
        workspace=_objects(settings.workspace_bucket),
        provider=_ground_truth(settings, settings.workspace_bucket, table),
        events=_events(settings.event_bus_name),
        clock=utc_now,
        suffix=lambda: token_hex(2),
    )


@cache
def labeling_portal() -> LabelingPortal:
    """For labeling_api."""
    settings = LabelingApiSettings.from_environment()
    table = _table(settings.index_table)
    return LabelingPortal(
        projects=IndexedProjects(table),
        jobs=LabelingJobIndex(table),
        tasks=TaskIndex(table),
        raw_data=_raw_data(settings.raw_data_bucket),
        workspace=_objects(settings.workspace_bucket),
        events=_events(settings.event_bus_name),
        clock=utc_now,
    )


@cache
def show_workers() -> ShowWorkers:
    """For labeling_api."""
    settings = LabelingApiSettings.from_environment()
    table = _table(settings.index_table)
    return ShowWorkers(
        projects=IndexedProjects(table),
        jobs=LabelingJobIndex(table),
        tasks=TaskIndex(table),
        workspace=_objects(settings.workspace_bucket),
    )


@cache
def _galleries(workspace: str, raw_data_bucket: str) -> Galleries:
    return Galleries(_objects(workspace), raw_data_bucket)


@cache
def dataset_console() -> DatasetConsole:
    """For dataset_api."""
    settings = DatasetApiSettings.from_environment()
    table = _table(settings.index_table)
    return DatasetConsole(
        projects=IndexedProjects(table),
        loops=LoopIndex(table),
        galleries=_galleries(settings.workspace_bucket, settings.raw_data_bucket),
        raw_data=_raw_data(settings.raw_data_bucket),
        workspace=_objects(settings.workspace_bucket),
        events=_events(settings.event_bus_name),
    )


@cache
def correct() -> Correct:
    """For dataset_api."""
    settings = DatasetApiSettings.from_environment()
    table = _table(settings.index_table)
    return Correct(
        projects=IndexedProjects(table),
        images=IndexedImages(table),
        galleries=_galleries(settings.workspace_bucket, settings.raw_data_bucket),
        workspace=_objects(settings.workspace_bucket),
        clock=utc_now,
    )


@cache
def import_labels() -> ImportLabels:
    """For import_labels."""
    settings = ImportLabelsSettings.from_environment()
    table = _table(settings.index_table)
    return ImportLabels(
        images=IndexedImages(table),
        jobs=LabelingJobIndex(table),
        workspace=_objects(settings.workspace_bucket),
        queue=_ingest_queue(settings.ingest_queue_url, settings.raw_data_bucket),
        events=_events(settings.event_bus_name),
        clock=utc_now,
        buckets=frozenset(settings.referred_buckets),
    )


@cache
def serve_pages_settings() -> ServePagesSettings:
    """For serve_pages."""
    return ServePagesSettings.from_environment()


@cache
def make_previews() -> MakePreviews:
    """For make_previews."""
    settings = MakePreviewsSettings.from_environment()
    table = _table(settings.index_table)
    return MakePreviews(
        projects=IndexedProjects(table),
        images=IndexedImages(table),
        raw_data=_raw_data(settings.raw_data_bucket),
        workspace=_objects(settings.workspace_bucket),
        clock=utc_now,
    )


@cache
def suggest_labels() -> SuggestLabels:
    """For suggest_labels."""
    settings = SuggestLabelsSettings.from_environment()
    table = _table(settings.index_table)
    loops = LoopIndex(table)
    return SuggestLabels(
        projects=IndexedProjects(table),
        jobs=LabelingJobIndex(table),
        tasks=TaskIndex(table),
        loops=loops,
        raw_data=_raw_data(settings.raw_data_bucket),
        ask=AskChampion(loops, _models(_FOR_APPS), utc_now),
    )


@cache
def consolidate_annotations() -> ConsolidateAnnotations:
    """For consolidate_annotations."""
    settings = ConsolidateAnnotationsSettings.from_environment()
    table = _table(settings.index_table)
    return ConsolidateAnnotations(
        jobs=LabelingJobIndex(table),
        tasks=TaskIndex(table),
        images=IndexedImages(table),
        workspace=_objects(settings.workspace_bucket),
        events=_events(settings.event_bus_name),
        clock=utc_now,
    )


@cache
def manage_workforce() -> ManageWorkforce:
    """For manage_workforce."""
    return ManageWorkforce(
        workforces=SageMakerWorkforce(boto3.client("sagemaker", config=_FOR_STACKS)),
        groups=CognitoWorkerGroups(boto3.client("cognito-idp", config=_FOR_STACKS)),
    )


# Training and release -------------------------------------------------------------------------------


@cache
def build_dataset() -> BuildDataset:
    """For build_dataset."""
    settings = BuildDatasetSettings.from_environment()
    table = _table(settings.index_table)
    return BuildDataset(
        projects=IndexedProjects(table),
        images=IndexedImages(table),
        jobs=LabelingJobIndex(table),
        loops=LoopIndex(table),
        executions=_executions(),
        raw_data=_raw_data(settings.raw_data_bucket),
        workspace=_objects(settings.workspace_bucket),
        clock=utc_now,
        near_duplicate_distance=NEAR_DUPLICATE_DISTANCE,
    )


@cache
def plan_training() -> PlanTraining:
    """For plan_training."""
    settings = PlanTrainingSettings.from_environment()
    table = _table(settings.index_table)
    raw_data, workspace = _raw_data(settings.raw_data_bucket), _objects(settings.workspace_bucket)
    loops = LoopIndex(table)
    setup = TrainingSetup(
        stack=settings.stack_name,
        role_arn=settings.sagemaker_role_arn,
        training_image=settings.training_image,
        inference_image=settings.inference_image,
    )
    transforms = PlanTransforms(loops, workspace, settings.stack_name)
    images = {
        "image-classification": settings.image_classification_image,
        "object-detection": settings.object_detection_image,
    }
    return PlanTraining(
        projects=IndexedProjects(table),
        loops=loops,
        workspace=workspace,
        stack=settings.stack_name,
        trainers={
            "script": ScriptTraining(loops, raw_data, workspace, setup, trainer_source, transforms),
            "builtin": BuiltinTraining(workspace, setup, settings.aws_region, images, transforms),
            "rekognition": CustomLabelsTraining(loops, raw_data, workspace, settings.stack_name),
        },
        clock=utc_now,
    )


@cache
def retry_training() -> RetryTraining:
    """For retry_training."""
    settings = RetryTrainingSettings.from_environment()
    return RetryTraining(
        loops=LoopIndex(_table(settings.index_table)),
        workspace=_objects(settings.workspace_bucket),
        clock=utc_now,
        first_wait=settings.seconds_before_retry,
    )


@cache
def evaluate_candidate() -> EvaluateCandidate:
    """For evaluate_candidate."""
    settings = EvaluateCandidateSettings.from_environment()
    table, workspace = _table(settings.index_table), _objects(settings.workspace_bucket)
    loops = LoopIndex(table)
    transforms = TransformAnswers(loops, workspace)
    return EvaluateCandidate(
        projects=IndexedProjects(table),
        loops=loops,
        workspace=workspace,
        measures={
            "script": MeasuredByTrainer(workspace, transforms),
            "builtin": MeasuredByTransform(workspace, transforms),
            "rekognition": MeasuredByRekognition(workspace),
        },
    )


@cache
def measure_custom_labels() -> MeasureCustomLabels:
    """For measure_custom_labels."""
    settings = MeasureCustomLabelsSettings.from_environment()
    return MeasureCustomLabels(
        loops=LoopIndex(_table(settings.index_table)),
        endpoints=_models(_STANDARD),
        raw_data=_raw_data(settings.raw_data_bucket),
        workspace=_objects(settings.workspace_bucket),
    )


@cache
def begin_release() -> BeginRelease:
    """For begin_release."""
    settings = BeginReleaseSettings.from_environment()
    table = _table(settings.index_table)
    return BeginRelease(
        projects=IndexedProjects(table),
        loops=LoopIndex(table),
        executions=_executions(),
        workspace=_objects(settings.workspace_bucket),
        clock=utc_now,
    )


@cache
def smoke_test_endpoint() -> SmokeTestEndpoint:
    """For smoke_test_endpoint."""
    settings = SmokeTestEndpointSettings.from_environment()
    return SmokeTestEndpoint(
        endpoints=_models(_STANDARD),
        raw_data=_raw_data(settings.raw_data_bucket),
        workspace=_objects(settings.workspace_bucket),
    )


@cache
def conclude_training() -> ConcludeTraining:
    """For conclude_training."""
    settings = ConcludeTrainingSettings.from_environment()
    table = _table(settings.index_table)
    return ConcludeTraining(
        jobs=LabelingJobIndex(table),
        loops=LoopIndex(table),
        workspace=_objects(settings.workspace_bucket),
        events=_events(settings.event_bus_name),
        clock=utc_now,
    )


@cache
def conclude_release() -> ConcludeRelease:
    """For conclude_training, when a person asked for the release."""
    settings = ConcludeTrainingSettings.from_environment()
    return ConcludeRelease(
        loops=LoopIndex(_table(settings.index_table)),
        workspace=_objects(settings.workspace_bucket),
        events=_events(settings.event_bus_name),
        clock=utc_now,
    )


def _decide_on_model(settings: DecideOnModelSettings) -> DecideOnModel:
    return DecideOnModel(
        loops=LoopIndex(_table(settings.index_table)),
        workspace=_objects(settings.workspace_bucket),
        packages=ModelRegistry(_sagemaker()),
        events=_events(settings.event_bus_name),
        clock=utc_now,
        suffix=lambda: token_hex(2),
    )


@cache
def decide_on_model() -> DecideOnModel:
    """For decide_on_model."""
    return _decide_on_model(DecideOnModelSettings.from_environment())


@cache
def decide_in_console() -> DecideInConsole:
    """For release_api."""
    settings = ReleaseApiSettings.from_environment()
    return DecideInConsole(IndexedProjects(_table(settings.index_table)), _decide_on_model(settings))


@cache
def note_approval() -> NoteApproval:
    """For note_approval."""
    return NoteApproval(_decide_on_model(NoteApprovalSettings.from_environment()))


# People ---------------------------------------------------------------------------------------------


@cache
def notify_people() -> NotifyPeople:
    """For notify_people."""
    settings = NotifyPeopleSettings.from_environment()
    topic = NotificationTopic(boto3.client("sns", config=_STANDARD), settings.notification_topic_arn)
    return NotifyPeople(topic, settings.stack_name, settings.portal_url)


# Inference ------------------------------------------------------------------------------------------


@cache
def predict() -> Predict:
    """For predict."""
    settings = PredictSettings.from_environment()
    table = _table(settings.index_table)
    return Predict(
        projects=IndexedProjects(table),
        loops=LoopIndex(table),
        endpoints=_models(_FOR_APPS),
        raw_data=_objects(settings.raw_data_bucket),
        raw_data_bucket=settings.raw_data_bucket,
        clock=utc_now,
        cache_seconds=settings.champion_cache_seconds,
    )


@cache
def show_models() -> ShowModels:
    """For model_api."""
    settings = ModelApiSettings.from_environment()
    table = _table(settings.index_table)
    return ShowModels(
        projects=IndexedProjects(table),
        loops=LoopIndex(table),
        raw_data=_raw_data(settings.raw_data_bucket),
        workspace=_objects(settings.workspace_bucket),
    )


@cache
def show_jobs() -> ShowJobs:
    """For model_api."""
    settings = ModelApiSettings.from_environment()
    table = _table(settings.index_table)
    return ShowJobs(
        describe=_describe_project(settings),
        projects=IndexedProjects(table),
        jobs=LabelingJobIndex(table),
        loops=LoopIndex(table),
        workspace=_objects(settings.workspace_bucket),
        events=_events(settings.event_bus_name),
        clock=utc_now,
    )


@cache
def describe_project() -> DescribeProject:
    """For describe_project."""
    return _describe_project(DescribeProjectSettings.from_environment())


def _describe_project(settings: DescribeProjectSettings) -> DescribeProject:
    table = _table(settings.index_table)
    return DescribeProject(
        projects=IndexedProjects(table),
        images=IndexedImages(table),
        jobs=LabelingJobIndex(table),
        loops=LoopIndex(table),
        clock=utc_now,
        unit_hour_price=settings.inference_unit_price,
    )


# Models that cost by the hour -----------------------------------------------------------------------


def _paid_models() -> dict[HostingKind, RunsModels]:
    return {"realtime": RealtimeEndpoints(_sagemaker()), "rekognition": _custom_labels(_STANDARD)}


@cache
def scale_endpoint() -> ScaleEndpoint:
    """For scale_endpoint."""
    settings = ScaleEndpointSettings.from_environment()
    return ScaleEndpoint(
        projects=IndexedProjects(_table(settings.index_table)),
        scaling=EndpointScaling(boto3.client("application-autoscaling", config=_STANDARD), _sagemaker()),
        stack=settings.stack_name,
    )


@cache
def control_model() -> ControlModel:
    """For control_model."""
    settings = ControlModelSettings.from_environment()
    table = _table(settings.index_table)
    return ControlModel(
        projects=IndexedProjects(table),
        loops=LoopIndex(table),
        models=_paid_models(),
        events=_events(settings.event_bus_name),
        clock=utc_now,
        stack=settings.stack_name,
    )


@cache
def stop_idle_models() -> StopIdleModels:
    """For stop_idle_models."""
    settings = StopIdleModelsSettings.from_environment()
    table = _table(settings.index_table)
    return StopIdleModels(
        projects=IndexedProjects(table),
        loops=LoopIndex(table),
        models=_paid_models(),
        workspace=_objects(settings.workspace_bucket),
        events=_events(settings.event_bus_name),
        clock=utc_now,
        stack=settings.stack_name,
    )


# Upkeep ---------------------------------------------------------------------------------------------


@cache
def reconcile() -> Reconcile:
    """For reconcile."""
    settings = ReconcileSettings.from_environment()
    table = _table(settings.index_table)
    jobs, tasks, loops = LabelingJobIndex(table), TaskIndex(table), LoopIndex(table)
    workspace = _objects(settings.workspace_bucket)
    return Reconcile(
        projects=IndexedProjects(table),
        images=IndexedImages(table),
        jobs=jobs,
        loops=loops,
        raw_data=_raw_data(settings.raw_data_bucket),
        workspace=workspace,
        queue=_ingest_queue(settings.ingest_queue_url, settings.raw_data_bucket),
        executions=_executions(),
        events=_events(settings.event_bus_name),
        clock=utc_now,
        restore_job=RestoreJob(
            jobs=jobs,
            tasks=tasks,
            workspace=workspace,
            raw_data_bucket=settings.raw_data_bucket,
            providers={
                "portal": PortalProvider(workspace, tasks, settings.raw_data_bucket),
                GROUND_TRUTH: _ground_truth(settings, settings.workspace_bucket, table),
            },
            clock=utc_now,
        ),
        restore_loop=RestoreLoop(loops=loops, executions=_executions(), workspace=workspace),
    )
