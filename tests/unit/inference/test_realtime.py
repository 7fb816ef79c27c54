"""Endpoints on instances: what they are asked for, whether they run, and how they scale."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
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


@pytest.mark.parametrize(
    ("shift", "percent", "bake_seconds"),
    [("linear", 10, 0), ("linear", 10, 2_450), ("linear", 50, 3_600), ("canary", 1, 3_600)],
)
def test_the_longest_and_the_shortest_shift_are_within_sagemakers_limits(
    shift: str, percent: int, bake_seconds: int
) -> None:
    hosting = on_instances(shift=shift, shift_percent=percent, bake_seconds=bake_seconds)
    request = update_request(ENDPOINT, "loupe-parts-0002", hosting)
    assert_aws_takes("sagemaker", "UpdateEndpoint", request)
    policy = request["DeploymentConfig"]["BlueGreenUpdatePolicy"]
    assert hosting.realtime.wait_seconds < policy["MaximumExecutionTimeoutInSeconds"] <= 28_800


def test_serverless_endpoints_change_at_once() -> None:
    request = update_request("loupe-parts--abcdef", "loupe-parts-0002", Hosting())
    assert request == {"EndpointName": "loupe-parts--abcdef", "EndpointConfigName": "loupe-parts-0002"}


@pytest.mark.parametrize("hosting", [Hosting(), on_instances(instances=2)])
def test_sagemaker_takes_the_variant(hosting: Hosting) -> None:
    variant = production_variant("loupe-parts-0002", hosting)
    request = {"EndpointConfigName": "loupe-parts-0002", "ProductionVariants": [variant]}
    assert_aws_takes("sagemaker", "CreateEndpointConfig", request)


def test_the_alarms_of_a_release_watch_errors_and_latency_of_its_endpoint() -> None:
    errors, latency = release_alarms(
        ENDPOINT, "loupe-parts-0002", on_instances(max_error_percent=2.5, max_latency_ms=800)
    )
    for alarm in (errors, latency):
        assert_aws_takes("cloudwatch", "PutMetricAlarm", alarm)
        dimensions = {each["Name"]: each["Value"] for each in alarm["Dimensions"]}
        assert dimensions["EndpointName"] == ENDPOINT
        assert dimensions["EndpointConfigName"] == "loupe-parts-0002"  # calls of the model before don't count
    assert (errors["MetricName"], errors["Threshold"]) == ("Invocation5XXErrors", 0.025)
    assert (latency["MetricName"], latency["Threshold"]) == ("ModelLatency", 800_000)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{instances: 3, max_instances: 2}", "max_instances: must be at least instances, 3"),
        ("{shift: linear, shift_percent: 5}", "a linear shift has steps of at least 10 %, not 5"),
        ("{shift_percent: 60}", "less than or equal to 50"),
        ("{shift: linear, shift_percent: 10, bake_seconds: 3600}", "would wait for 39,600 seconds"),
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
    world.clock.advance(minutes=3)
    assert world.stop_idle() == []
    world.loops.unlock_training("parts", "arn:execution")
    assert world.stop_idle() == ["0003"]
    assert world.models.stopped == [rehearsal_of(ENDPOINT)]


def test_an_endpoint_that_no_project_yaml_asks_for_any_more_is_stopped(world: World) -> None:
    world.configure("serverless")
    model = ServedModel("serverless", "script", "image-classification", LABELS, "loupe-parts--abcdef")
    world.loops.save_champion("parts", Champion("0003", 0.9, model, "c", None, world.clock()))
    assert world.stop_idle() == []  # functions may remember it as the champion for a while
    world.clock.advance(minutes=2)
    assert world.stop_idle() == ["loupe-parts-0002"]


def test_nothing_is_stopped_while_a_release_changes_what_answers(world: World) -> None:
    world.models.hosts[HOST] += [HostedVersion(rehearsal_of(ENDPOINT), "loupe-parts-0003", "running")]
    world.clock.advance(minutes=3)
    world.loops.lock_release("parts", TrainingLock("arn:execution", world.clock()))
    assert world.stop_idle() == []
    for action in (world.control.stop,):
        with pytest.raises(Conflict, match="a release is changing where 'parts' answers"):
            action("parts")


def test_a_champion_that_only_the_index_has_lost_is_not_stopped(world: World) -> None:
    outcome = {
        "outcome": "promoted",
        "version": "0002",
        "score": 0.9,
        "model": asdict(MODEL),
        "endpoint_config": "loupe-parts-0002",
        "model_package_arn": None,
        "ended_at": world.clock().isoformat(),
    }
    names = Workspace("parts")
    world.workspace.write(names.plan("0002"), b"{}")
    world.workspace.write(names.outcome("0002"), json.dumps(outcome).encode())
    world.loops = FakeLoops()
    world.clock.advance(minutes=500)
    assert world.stop_idle() == []


# Scaling --------------------------------------------------------------------------------------------


@dataclass
class FakeScaling:
    """Implements `loupe.ports.models.ScalesEndpoints`."""

    project: str | None = "parts"
    scaled: dict[str, tuple[int, int, int] | None] = field(default_factory=dict)

    def project_of(self, endpoint: str) -> str | None:
        return self.project

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
    ScaleEndpoint(world.projects, scaling, "loupe")(ENDPOINT)
    assert scaling.scaled == scaled


def test_rehearsals_and_endpoints_of_other_stacks_are_left_alone(world: World) -> None:
    world.configure(max_instances=4)
    scaling = FakeScaling()
    scale = ScaleEndpoint(world.projects, scaling, "loupe")
    scale(rehearsal_of(ENDPOINT))
    scale(endpoint_name("loupe-dev-parts", "realtime", "image-classification", LABELS))
    scaling.project = None
    scale(ENDPOINT)
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


def described(name: str, status: str, config: str = "loupe-parts-0002") -> dict[str, Any]:
    then = FakeClock()()
    return {
        "EndpointName": name,
        "EndpointArn": f"arn:aws:sagemaker:us-east-1:111122223333:endpoint/{name}",
        "EndpointStatus": status,
        "CreationTime": then,
        "LastModifiedTime": then,
        "EndpointConfigName": config,
    }


def test_a_projects_endpoints_are_those_whose_names_begin_with_it(
    stub: Stubber, endpoints: RealtimeEndpoints
) -> None:
    names = [ENDPOINT, rehearsal_of(ENDPOINT), "loupe-parts--000000", "other-loupe-parts--000000"]
    kept = ("EndpointName", "EndpointArn", "CreationTime", "LastModifiedTime", "EndpointStatus")
    summaries = [{member: described(name, "InService")[member] for member in kept} for name in names]
    stub.add_response("list_endpoints", {"Endpoints": summaries}, {"NameContains": "loupe-parts--"})
    stub.add_response("describe_endpoint", described(names[0], "Updating"))
    stub.add_response("describe_endpoint", described(names[1], "Creating", "loupe-parts-0003"))
    stub.add_client_error("describe_endpoint", "ValidationException", 'Could not find endpoint "arn".')
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
    stub.add_response("describe_endpoint", described(ENDPOINT, "Creating"))
    endpoints.start("parts", champion(), on_instances())


def test_an_endpoint_that_is_in_the_way_of_a_start_is_told(
    stub: Stubber, endpoints: RealtimeEndpoints
) -> None:
    there = f'Cannot create already existing endpoint "arn:{ENDPOINT}".'
    stub.add_client_error("create_endpoint", "ValidationException", there)
    stub.add_response("describe_endpoint", described(ENDPOINT, "Deleting"))
    with pytest.raises(Conflict, match="is being stopped: try again"):
        endpoints.start("parts", champion(), on_instances())
    stub.add_client_error("create_endpoint", "ValidationException", there)
    failed = {**described(ENDPOINT, "Failed"), "FailureReason": "no instance was there"}
    stub.add_response("describe_endpoint", failed)
    stub.add_response("delete_endpoint", {}, {"EndpointName": ENDPOINT})
    with pytest.raises(Conflict, match=r"did not start before: no instance was there\. Try again"):
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
    stub.add_response("describe_endpoint", described(ENDPOINT, "InService"))
    stub.add_response("delete_endpoint", {}, {"EndpointName": ENDPOINT})
    endpoints.stop(ENDPOINT)
    stub.add_client_error("describe_endpoint", "ValidationException", 'Could not find endpoint "arn".')
    endpoints.stop(ENDPOINT)


def test_an_endpoint_that_sagemaker_works_on_can_not_be_stopped(
    stub: Stubber, endpoints: RealtimeEndpoints
) -> None:
    stub.add_response("describe_endpoint", described(ENDPOINT, "Creating"))
    with pytest.raises(Conflict, match="can't be stopped while it is Creating"):
        endpoints.stop(ENDPOINT)


def test_the_project_of_an_endpoint_stands_in_its_tag(stub: Stubber, client: "SageMakerClient") -> None:
    scaling = EndpointScaling(SESSION.client("application-autoscaling"), client)
    arn, variant = "arn:aws:sagemaker:us-east-1:111122223333:endpoint-config/c", production_variant
    for hosting, project in ((on_instances(), "parts"), (Hosting(), None)):
        stub.add_response("describe_endpoint", described(ENDPOINT, "InService"))
        config = {
            "EndpointConfigName": "loupe-parts-0002",
            "EndpointConfigArn": arn,
            "CreationTime": FakeClock()(),
            "ProductionVariants": [variant("loupe-parts-0002", hosting)],
        }
        stub.add_response("describe_endpoint_config", config)
        if project:
            stub.add_response("list_tags", {"Tags": [{"Key": "loupe:project", "Value": "parts"}]})
        assert scaling.project_of(ENDPOINT) == project
    stub.add_client_error("describe_endpoint", "ValidationException", 'Could not find endpoint "arn".')
    assert scaling.project_of(ENDPOINT) is None


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
        EndpointScaling(client, SESSION.client("sagemaker")).scale(ENDPOINT, 1, 4, 120)
        stub.add_response("deregister_scalable_target", {}, target)
        EndpointScaling(client, SESSION.client("sagemaker")).keep(ENDPOINT)
        stub.add_client_error("deregister_scalable_target", "ObjectNotFoundException")
        EndpointScaling(client, SESSION.client("sagemaker")).keep(ENDPOINT)


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
