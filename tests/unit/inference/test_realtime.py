"""Endpoints on instances: what they are asked for, whether they run, and how they scale."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.stub import Stubber

from loupe.adapters.endpoints import SageMakerEndpoints
from loupe.adapters.realtime_endpoints import EndpointScaling, RealtimeEndpoints
from loupe.domain.errors import Conflict, InvalidProject, ModelNotRunning, StoreUnavailable
from loupe.domain.events import ModelStarted, ModelStopped
from loupe.domain.projects import Hosting, HostingKind, ProjectConfig, Realtime, parse_project_yaml
from loupe.domain.serving.endpoints import (
    endpoint_name,
    is_endpoint_of,
    production_variant,
    rehearsal_of,
    release_alarms,
    update_request,
)
from loupe.domain.serving.hosting import ControlModel, StopIdleModels
from loupe.domain.serving.scaling import ScaleEndpoint
from loupe.domain.workspace import Workspace
from loupe.ports.loops import Champion, HostingRecord, LastTraining, ServedModel, TrainingLock
from loupe.ports.models import HostedVersion, RunsModels
from tests.fakes.clock import FakeClock
from tests.fakes.events import FakeEvents
from tests.fakes.hosting import FakeModels
from tests.fakes.loops import FakeLoops
from tests.fakes.objects import FakeObjects
from tests.fakes.projects import FakeProjects
from tests.unit.training.requests import assert_aws_takes

if TYPE_CHECKING:
    from mypy_boto3_sagemaker.client import SageMakerClient

HOST, LABELS = "loupe-parts", ("a", "b")
ENDPOINT = endpoint_name(HOST, "realtime", "image-classification", LABELS)
MODEL = ServedModel("realtime", "script", "image-classification", LABELS, ENDPOINT)
SESSION = boto3.Session("a", "s", region_name="us-east-1")


def on_instances(**realtime: Any) -> Hosting:
    return Hosting(kind="realtime", realtime=Realtime(**realtime))


# What SageMaker is asked for ------------------------------------------------------------------------


def test_models_whose_answers_mean_different_things_have_different_endpoints() -> None:
    names = {
        endpoint_name(HOST, "realtime", "image-classification", LABELS),
        endpoint_name(HOST, "serverless", "image-classification", LABELS),
        endpoint_name(HOST, "realtime", "multi-label-classification", LABELS),
        endpoint_name(HOST, "realtime", "image-classification", ("b", "a")),
        endpoint_name("loupe-parts-a", "realtime", "image-classification", LABELS),
    }
    assert len(names) == 5
    assert endpoint_name(HOST, "realtime", "image-classification", list(LABELS)) == ENDPOINT


@pytest.mark.parametrize("host", ["a", "loupe-parts", "l" * 63, f"{'stack' * 6}-{'project' * 4}"])
def test_names_are_legal_however_long_the_stacks_name_is(host: str) -> None:
    endpoint = endpoint_name(host, "realtime", "bounding-box", LABELS)
    for name in (endpoint, rehearsal_of(endpoint)):
        assert_aws_takes("sagemaker", "DescribeEndpoint", {"EndpointName": name})
    assert is_endpoint_of(host, endpoint)
    assert not is_endpoint_of(host, rehearsal_of(endpoint))
    assert not is_endpoint_of(f"{host}-2", endpoint)


@pytest.mark.parametrize(
    ("shift", "routing"),
    [
        ("canary", {"Type": "CANARY", "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 25}}),
        ("linear", {"Type": "LINEAR", "LinearStepSize": {"Type": "CAPACITY_PERCENT", "Value": 25}}),
        ("all-at-once", {"Type": "ALL_AT_ONCE"}),
    ],
)
def test_traffic_shifts_as_project_yaml_says(shift: str, routing: dict[str, Any]) -> None:
    hosting = on_instances(shift=shift, shift_percent=25, bake_seconds=120)
    request = update_request(ENDPOINT, "loupe-parts-0002", hosting)
    assert_aws_takes("sagemaker", "UpdateEndpoint", request)
    policy = request["DeploymentConfig"]["BlueGreenUpdatePolicy"]
    assert policy["TrafficRoutingConfiguration"] == {**routing, "WaitIntervalInSeconds": 120}
    assert policy["TerminationWaitInSeconds"] == 120
    assert policy["MaximumExecutionTimeoutInSeconds"] > (5 if shift == "linear" else 2) * 120


@pytest.mark.parametrize("bake_seconds", [0, 3_600])
def test_the_longest_and_the_shortest_shift_are_within_sagemakers_limits(bake_seconds: int) -> None:
    hosting = on_instances(shift="linear", shift_percent=10, bake_seconds=bake_seconds)
    assert_aws_takes("sagemaker", "UpdateEndpoint", update_request(ENDPOINT, "loupe-parts-0002", hosting))


def test_serverless_endpoints_change_at_once() -> None:
    request = update_request("loupe-parts--abcdef", "loupe-parts-0002", Hosting())
    assert request == {"EndpointName": "loupe-parts--abcdef", "EndpointConfigName": "loupe-parts-0002"}


@pytest.mark.parametrize("hosting", [Hosting(), on_instances(instances=2)])
def test_sagemaker_takes_the_variant(hosting: Hosting) -> None:
    variant = production_variant("loupe-parts-0002", hosting)
    request = {"EndpointConfigName": "loupe-parts-0002", "ProductionVariants": [variant]}
    assert_aws_takes("sagemaker", "CreateEndpointConfig", request)


def test_the_alarms_of_a_release_watch_errors_and_latency_of_its_endpoint() -> None:
    errors, latency = release_alarms(ENDPOINT, Realtime(max_error_percent=2.5, max_latency_ms=800))
    for alarm in (errors, latency):
        assert_aws_takes("cloudwatch", "PutMetricAlarm", alarm)
        assert {"Name": "EndpointName", "Value": ENDPOINT} in alarm["Dimensions"]
    assert (errors["MetricName"], errors["Threshold"]) == ("Invocation5XXErrors", 0.025)
    assert (latency["MetricName"], latency["Threshold"]) == ("ModelLatency", 800_000)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{instances: 3, max_instances: 2}", "max_instances: must be at least instances, 3"),
        ("{shift: linear, shift_percent: 5}", "a linear shift has steps of at least 10 %, not 5"),
        ("{shift_percent: 60}", "less than or equal to 50"),
        ("{instances: 0}", "greater than or equal to 1"),
        ("{shift: sudden}", "'canary', 'linear' or 'all-at-once', not 'sudden'"),
    ],
)
def test_what_no_endpoint_could_do_is_refused(text: str, told: str) -> None:
    with pytest.raises(InvalidProject, match=told):
        parse_project_yaml(
            f"task: image-classification\nlabels: [a, b]\nhosting: {{kind: realtime, realtime: {text}}}"
        )


# Stopped and started --------------------------------------------------------------------------------


@dataclass
class World:
    """The project `parts` with a champion that answers on an instance, promoted just now."""

    clock: FakeClock = field(default_factory=FakeClock)
    projects: FakeProjects = field(default_factory=FakeProjects)
    loops: FakeLoops = field(default_factory=FakeLoops)
    models: FakeModels = field(default_factory=FakeModels)
    events: FakeEvents = field(default_factory=FakeEvents)
    workspace: FakeObjects = field(default_factory=FakeObjects)

    def __post_init__(self) -> None:
        self.configure()
        champion = Champion("0002", 0.9, MODEL, "loupe-parts-0002", None, self.clock())
        self.loops.save_champion("parts", champion)
        self.loops.save_hosting("parts", HostingRecord("running", self.clock(), 1))
        self.models.hosts[HOST] = [HostedVersion(ENDPOINT, "loupe-parts-0002", "running")]

    def configure(self, kind: HostingKind = "realtime", **realtime: Any) -> None:
        hosting = {"kind": kind, "realtime": realtime, "stop_after_idle_minutes": 60}
        config = ProjectConfig.model_validate(
            {"task": "image-classification", "labels": LABELS, "hosting": hosting}
        )
        self.projects.save_config("parts", config, None, "etag")

    @property
    def hosts(self) -> dict[HostingKind, RunsModels]:
        return {"realtime": self.models, "rekognition": FakeModels()}

    @property
    def control(self) -> ControlModel:
        return ControlModel(self.projects, self.loops, self.hosts, self.events, self.clock, "loupe")

    def stop_idle(self) -> list[str]:
        """Versions that were stopped."""
        stop = StopIdleModels(
            self.projects, self.loops, self.hosts, self.workspace, self.events, self.clock, "loupe"
        )
        return [each.version for each in stop()]


@pytest.fixture
def world() -> World:
    return World()


def test_an_endpoint_that_nobody_calls_is_stopped_and_started_again(world: World) -> None:
    world.clock.advance(minutes=59)
    assert world.stop_idle() == []
    world.clock.advance(minutes=1)
    assert world.stop_idle() == ["0002"]
    assert world.models.stopped == [ENDPOINT]
    assert [type(event) for event in world.events.published] == [ModelStopped]
    world.models.hosts[HOST] = []  # an endpoint that is deleted is gone
    assert world.control.describe("parts").state == "stopped"
    assert world.control.start("parts").state == "starting"
    assert world.models.started == [(ENDPOINT, (1, None))]
    assert world.events.published[-1] == ModelStarted("parts", "0002", 1)


def test_an_endpoint_that_was_deleted_by_hand_is_known_to_be_stopped(world: World) -> None:
    world.models.hosts[HOST] = []
    assert world.stop_idle() == []
    hosting = world.loops.loop("parts").hosting
    assert hosting is not None
    assert hosting.state == "stopped"


def test_an_endpoint_is_not_stopped_while_a_release_changes_it(world: World) -> None:
    world.loops.lock_release("parts", TrainingLock("arn:execution", world.clock()))
    world.clock.advance(minutes=90)
    assert world.stop_idle() == []


def test_what_a_crash_left_running_is_stopped_and_a_rehearsal_under_way_is_not(world: World) -> None:
    world.models.hosts[HOST] += [HostedVersion(rehearsal_of(ENDPOINT), "loupe-parts-0003", "running")]
    plan = {
        "project": "parts",
        "version": "0003",
        "dataset_version": "0003",
        "execution": "arn:execution",
        "started_at": world.clock().isoformat(),
        "task": "image-classification",
        "labels": LABELS,
        "trainer": "script",
        "hosting": "realtime",
        "model_name": "loupe-parts-0003",
        "evaluation_uri": "s3://workspace/evaluation.json",
        "tags": [],
    }
    world.workspace.write(Workspace("parts").plan("0003"), json.dumps(plan).encode())
    world.loops.lock_training("parts", TrainingLock("arn:execution", world.clock()))
    last = LastTraining("0003", "running", "", world.clock(), None, "arn:execution")
    world.loops.save_last_training("parts", last)
    assert world.stop_idle() == []
    world.loops.unlock_training("parts", "arn:execution")
    assert world.stop_idle() == ["loupe-parts-0003"]
    assert world.models.stopped == [rehearsal_of(ENDPOINT)]


def test_an_endpoint_that_no_project_yaml_asks_for_any_more_is_stopped(world: World) -> None:
    world.configure("serverless")
    model = ServedModel("serverless", "script", "image-classification", LABELS, "loupe-parts--abcdef")
    world.loops.save_champion("parts", Champion("0003", 0.9, model, "c", None, world.clock()))
    assert world.stop_idle() == ["loupe-parts-0002"]


# Scaling --------------------------------------------------------------------------------------------


@dataclass
class FakeScaling:
    """Implements `loupe.ports.models.ScalesEndpoints`."""

    scaled: dict[str, tuple[int, int, int] | None] = field(default_factory=dict)

    def scale(self, endpoint: str, least: int, most: int, calls_per_instance: int) -> None:
        self.scaled[endpoint] = (least, most, calls_per_instance)

    def keep(self, endpoint: str) -> None:
        self.scaled[endpoint] = None


@pytest.mark.parametrize(
    ("kind", "realtime", "scaled"),
    [
        ("realtime", {"max_instances": 4, "calls_per_instance": 120}, {ENDPOINT: (1, 4, 120)}),
        ("realtime", {}, {ENDPOINT: None}),
        ("serverless", {"max_instances": 4}, {}),
    ],
)
def test_an_endpoint_scales_as_project_yaml_says(
    world: World, kind: HostingKind, realtime: dict[str, Any], scaled: dict[str, Any]
) -> None:
    world.configure(kind, **realtime)
    scaling = FakeScaling()
    ScaleEndpoint(world.projects, scaling, "loupe")("parts", ENDPOINT)
    assert scaling.scaled == scaled


def test_rehearsals_and_endpoints_of_other_stacks_are_left_alone(world: World) -> None:
    world.configure(max_instances=4)
    scaling = FakeScaling()
    scale = ScaleEndpoint(world.projects, scaling, "loupe")
    scale("parts", rehearsal_of(ENDPOINT))
    scale("parts", endpoint_name("loupe-dev-parts", "realtime", "image-classification", LABELS))
    assert scaling.scaled == {}


# Adapters -------------------------------------------------------------------------------------------


@pytest.fixture
def client() -> "SageMakerClient":
    return SESSION.client("sagemaker")


@pytest.fixture
def stub(client: "SageMakerClient") -> Iterator[Stubber]:
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


@pytest.fixture
def endpoints(client: "SageMakerClient") -> RealtimeEndpoints:
    return RealtimeEndpoints(client)


def add_endpoint(stub: Stubber, name: str, status: str, config: str, variant: dict[str, Any]) -> None:
    arn, then = f"arn:aws:sagemaker:us-east-1:111122223333:endpoint/{name}", FakeClock()()
    described = {"EndpointName": name, "EndpointArn": arn, "EndpointStatus": status}
    times = {"CreationTime": then, "LastModifiedTime": then}
    stub.add_response("describe_endpoint", {**described, **times, "EndpointConfigName": config})
    stub.add_response(
        "describe_endpoint_config",
        {
            "EndpointConfigName": config,
            "EndpointConfigArn": "arn:aws:sagemaker:us-east-1:111122223333:endpoint-config/c",
            "CreationTime": then,
            "ProductionVariants": [{"VariantName": "AllTraffic", "ModelName": config, **variant}],
        },
    )


def test_of_a_projects_endpoints_those_on_instances_are_paid_for(
    stub: Stubber, endpoints: RealtimeEndpoints
) -> None:
    then = FakeClock()()
    names = [ENDPOINT, rehearsal_of(ENDPOINT), "loupe-parts--000000", "other-loupe-parts--000000"]
    summaries = [
        {
            "EndpointName": name,
            "EndpointArn": f"arn:aws:sagemaker:us-east-1:111122223333:endpoint/{name}",
            "CreationTime": then,
            "LastModifiedTime": then,
            "EndpointStatus": "InService",
        }
        for name in names
    ]
    stub.add_response("list_endpoints", {"Endpoints": summaries}, {"NameContains": "loupe-parts--"})
    instance = {"InstanceType": "ml.c6i.large", "InitialInstanceCount": 1}
    add_endpoint(stub, names[0], "Updating", "loupe-parts-0002", instance)
    add_endpoint(stub, names[1], "Creating", "loupe-parts-0003", instance)
    serverless = {"ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1}}
    add_endpoint(stub, names[2], "InService", "loupe-parts-0001", serverless)
    assert endpoints.versions(HOST) == [
        HostedVersion(names[0], "loupe-parts-0002", "running"),
        HostedVersion(names[1], "loupe-parts-0003", "starting"),
    ]


def champion(config: str | None = "loupe-parts-0002") -> Champion:
    return Champion("0002", 0.9, MODEL, config, None, FakeClock()())


def test_an_endpoint_is_made_of_the_champions_configuration(
    stub: Stubber, endpoints: RealtimeEndpoints
) -> None:
    arn = f"arn:aws:sagemaker:us-east-1:111122223333:endpoint/{ENDPOINT}"
    asked = {
        "EndpointName": ENDPOINT,
        "EndpointConfigName": "loupe-parts-0002",
        "Tags": [{"Key": "loupe:project", "Value": "parts"}],
    }
    stub.add_response("create_endpoint", {"EndpointArn": arn}, asked)
    endpoints.start("parts", champion(), on_instances())
    there = f'Cannot create already existing endpoint "{arn}".'
    stub.add_client_error("create_endpoint", "ValidationException", there)
    endpoints.start("parts", champion(), on_instances())


def test_why_an_endpoint_does_not_start_is_said(stub: Stubber, endpoints: RealtimeEndpoints) -> None:
    stub.add_client_error("create_endpoint", "ResourceLimitExceeded", "0 instances of ml.c6i.large")
    with pytest.raises(Conflict, match=r"0 instances of ml\.c6i\.large\. The account's quota"):
        endpoints.start("parts", champion(), on_instances())
    stub.add_client_error("create_endpoint", "InternalFailure", "oh")
    with pytest.raises(StoreUnavailable):
        endpoints.start("parts", champion(), on_instances())
    with pytest.raises(Conflict, match="no endpoint configuration"):
        endpoints.start("parts", champion(None), on_instances())


def test_an_endpoint_that_is_gone_needs_no_stopping(stub: Stubber, endpoints: RealtimeEndpoints) -> None:
    stub.add_response("delete_endpoint", {}, {"EndpointName": ENDPOINT})
    endpoints.stop(ENDPOINT)
    stub.add_client_error("delete_endpoint", "ValidationException", 'Could not find endpoint "arn".')
    endpoints.stop(ENDPOINT)


def test_application_auto_scaling_is_asked_for_what_project_yaml_says() -> None:
    client = SESSION.client("application-autoscaling")
    target = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{ENDPOINT}/variant/AllTraffic",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    with Stubber(client) as stub:
        stub.add_response("register_scalable_target", {}, {**target, "MinCapacity": 1, "MaxCapacity": 4})
        policy = {
            "TargetValue": 120.0,
            "PredefinedMetricSpecification": {
                "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"
            },
            "ScaleInCooldown": 300,
            "ScaleOutCooldown": 60,
        }
        named = {"PolicyName": "calls-per-instance", "PolicyType": "TargetTrackingScaling"}
        stub.add_response(
            "put_scaling_policy",
            {"PolicyARN": "arn:policy"},
            {**target, **named, "TargetTrackingScalingPolicyConfiguration": policy},
        )
        EndpointScaling(client).scale(ENDPOINT, 1, 4, 120)
        stub.add_response("deregister_scalable_target", {}, target)
        EndpointScaling(client).keep(ENDPOINT)
        stub.add_client_error("deregister_scalable_target", "ObjectNotFoundException")
        EndpointScaling(client).keep(ENDPOINT)


def test_an_endpoint_on_instances_that_is_not_there_is_stopped() -> None:
    client = SESSION.client("sagemaker-runtime")
    missing = f"Endpoint {ENDPOINT} of account 111122223333 not found."
    with Stubber(client) as stub:
        stub.add_client_error("invoke_endpoint", "ValidationError", missing)
        with pytest.raises(ModelNotRunning):
            SageMakerEndpoints(client).invoke(MODEL, b"image", "image/png")
        stub.add_client_error("invoke_endpoint", "ValidationError", "the body is too long")
        with pytest.raises(StoreUnavailable):
            SageMakerEndpoints(client).invoke(MODEL, b"image", "image/png")
