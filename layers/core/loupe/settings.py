"""What each function reads from its environment, validated on first use.

One model a function; a test compares the fields with that function's variables in template.yaml.
"""

import os
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

Name = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Arn = Annotated[str, StringConstraints(pattern=r"^arn:[a-z0-9-]+:[a-z0-9-]+:[^ ]*$")]
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s;]+$")]
Urls = Annotated[tuple[Url, ...], BeforeValidator(lambda text: tuple(text.split())), Field(min_length=1)]
"""Separated by spaces."""


class MissingSettings(RuntimeError):
    """The environment lacks a variable, or holds one that can't be used; the message names it."""


class Settings(BaseModel):
    """Reads its fields from environment variables of the same name in upper case."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def from_environment(cls) -> Self:
        """Raises `MissingSettings`."""
        found: dict[str, Any] = {
            name: os.environ[name.upper()] for name in cls.model_fields if name.upper() in os.environ
        }
        try:
            return cls.model_validate(found)
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors()
            )
            raise MissingSettings(f"environment of {cls.__name__}: {problems}") from error


class IndexSettings(Settings):
    """For functions that only read the index."""

    index_table: Name


class RegisterImagesSettings(IndexSettings):
    raw_data_bucket: Name
    event_bus_name: Name
    ingest_dead_letter_queue_url: Url


class LabelingApiSettings(IndexSettings):
    raw_data_bucket: Name
    workspace_bucket: Name
    event_bus_name: Name


class DatasetApiSettings(LabelingApiSettings):
    pass


class ConsolidateAnnotationsSettings(LabelingApiSettings):
    pass


class ConcludeLabelingJobSettings(IndexSettings):
    workspace_bucket: Name
    event_bus_name: Name


class GroundTruthSettings(Settings):
    """For functions that start Ground Truth jobs. Empty where the stack has no workteam or no keys."""

    aws_region: Name
    stack_name: Name
    ground_truth_role_arn: Arn
    workteam_arn: str = ""
    ground_truth_output_key: str = ""
    ground_truth_volume_key: str = ""


class StartLabelingSettings(LabelingApiSettings, GroundTruthSettings):
    pass


BucketNames = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda text: tuple(filter(None, (name.strip() for name in text.split(","))))),
]
"""Names with commas between them; there may be none."""


class ImportLabelsSettings(IndexSettings):
    raw_data_bucket: Name
    workspace_bucket: Name
    event_bus_name: Name
    ingest_queue_url: Url
    referred_buckets: BucketNames = ()


class StartReviewSettings(IndexSettings, GroundTruthSettings):
    workspace_bucket: Name
    event_bus_name: Name


class ServePagesSettings(Settings):
    aws_region: Name
    user_pool_client_id: Name
    cognito_endpoint: Url
    image_origins: Urls
    referred_buckets: BucketNames = ()


class MakePreviewsSettings(IndexSettings):
    raw_data_bucket: Name
    workspace_bucket: Name


class SuggestLabelsSettings(IndexSettings):
    raw_data_bucket: Name


class BuildDatasetSettings(IndexSettings):
    raw_data_bucket: Name
    workspace_bucket: Name


class PlanTrainingSettings(BuildDatasetSettings):
    stack_name: Name
    aws_region: Name
    sagemaker_role_arn: Arn
    training_image: Name
    inference_image: Name
    image_classification_image: str = ""
    object_detection_image: str = ""


class RetryTrainingSettings(IndexSettings):
    workspace_bucket: Name
    seconds_before_retry: Annotated[int, Field(ge=1, le=3600)]


class EvaluateCandidateSettings(IndexSettings):
    workspace_bucket: Name


class MeasureCustomLabelsSettings(BuildDatasetSettings):
    pass


class ControlModelSettings(IndexSettings):
    event_bus_name: Name
    stack_name: Name


class StopIdleModelsSettings(ControlModelSettings):
    workspace_bucket: Name


class ScaleEndpointSettings(IndexSettings):
    stack_name: Name


class SmokeTestEndpointSettings(Settings):
    raw_data_bucket: Name
    workspace_bucket: Name


class ConcludeTrainingSettings(IndexSettings):
    workspace_bucket: Name
    event_bus_name: Name


class NotifyPeopleSettings(Settings):
    notification_topic_arn: Arn
    stack_name: Name
    portal_url: Url


class BeginReleaseSettings(IndexSettings):
    workspace_bucket: Name


class DecideOnModelSettings(IndexSettings):
    workspace_bucket: Name
    event_bus_name: Name


class NoteApprovalSettings(DecideOnModelSettings):
    pass


class ReleaseApiSettings(DecideOnModelSettings):
    pass


class PredictSettings(IndexSettings):
    raw_data_bucket: Name
    champion_cache_seconds: Annotated[float, Field(ge=0, le=60)] = 2.0


class DescribeProjectSettings(IndexSettings):
    inference_unit_price: Annotated[float, Field(ge=0)]


class ModelApiSettings(DescribeProjectSettings):
    raw_data_bucket: Name
    workspace_bucket: Name
    event_bus_name: Name


class ManageWorkforceSettings(Settings):
    """CloudFormation says which stack and user pool it is about."""


class ReconcileSettings(IndexSettings, GroundTruthSettings):
    raw_data_bucket: Name
    workspace_bucket: Name
    event_bus_name: Name
    ingest_queue_url: Url
