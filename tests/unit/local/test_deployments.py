"""Deployments of endpoints without processes: what is described and published, and which fleet ends when."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from local.sagemaker import events
from local.sagemaker.endpoints import Endpoints
from local.sagemaker.errors import ModelError, ValidationError
from local.sagemaker.models import EndpointConfigs, Models
from local.sagemaker.packages import ModelPackages
from local.sagemaker.rollback_alarms import AlarmsError
from local.sagemaker.serving import Answer, ContainerError

ROLE = "arn:aws:iam::000000000000:role/serving"


class World:
    """A cloud to publish to, containers that answer with the name of their model, and alarms."""

    endpoint_url = "http://nowhere"

    def __init__(self) -> None:
        self.events: list[tuple[str, Mapping[str, Any]]] = []
        self.measured: list[tuple[Mapping[str, str], Mapping[str, tuple[float, str]]]] = []
        self.running: set[str] = set()
        self.alarm_states: dict[str, str] = {}
        self.denied: str | None = None
        self.looking_takes = 0.0
        self.broken: set[str] = set()
        self.held = threading.Event()
        self.held.set()

    def publish(self, detail_type: str, resource: str, detail: Mapping[str, Any]) -> None:
        del resource
        self.events.append((detail_type, detail))

    def write_log(self, group: str, stream: str, lines: list[str]) -> None:
        """Nobody reads it."""

    def role_credentials(self, role_arn: str, service: str, session_name: str) -> dict[str, str] | None:
        raise AssertionError("nothing is fetched here")

    def measure(
        self, namespace: str, dimensions: Mapping[str, str], metrics: Mapping[str, tuple[float, str]]
    ) -> None:
        assert namespace == "AWS/SageMaker"
        self.measured.append((dimensions, metrics))

    def start(self, endpoint: str, settings: Mapping[str, Any]) -> FakeContainer:
        del endpoint
        model: str = settings["ModelName"]
        if model in self.broken:
            raise ContainerError(f"{model} does not start")
        self.running.add(model)
        return FakeContainer(self, model)

    def find_alarms(self, role_arn: str, names: Sequence[str]) -> FakeAlarms:
        assert role_arn == ROLE
        return FakeAlarms(self, names)

    def variants_of(self, endpoint: str) -> set[str]:
        del endpoint
        return set()

    def forget(self, endpoint: str) -> None:
        """No variant is scaled."""


class FakeContainer:
    def __init__(self, world: World, model: str) -> None:
        self._world = world
        self._model = model

    def invoke(self, body: bytes, headers: dict[str, str]) -> Answer:
        del headers
        self._world.held.wait(10)
        if self._model not in self._world.running:
            raise ContainerError("it was stopped")
        return Answer(int(body), self._model.encode(), "text/plain")

    def stop(self) -> None:
        self._world.running.discard(self._model)


class FakeAlarms:
    def __init__(self, world: World, names: Sequence[str]) -> None:
        self._world = world
        self._names = names

    def states(self) -> dict[str, str]:
        time.sleep(self._world.looking_takes)
        if self._world.denied:
            raise AlarmsError(self._world.denied)
        return {name: state for name, state in self._world.alarm_states.items() if name in self._names}


@pytest.fixture
def world() -> World:
    return World()


def configs(folder: Path) -> EndpointConfigs:
    class NoPlatform(World):
        pass

    models = Models(folder, ModelPackages(folder, NoPlatform()))
    made = EndpointConfigs(folder, models)
    for name in ("old", "new"):
        container = {"Image": "image", "ModelDataUrl": f"s3://bucket/{name}"}
        models.create({"ModelName": name, "PrimaryContainer": container, "ExecutionRoleArn": ROLE})
        variant = {"VariantName": "AllTraffic", "ModelName": name, "InstanceType": "ml.m5.large"}
        made.create(
            {"EndpointConfigName": name, "ProductionVariants": [{**variant, "InitialInstanceCount": 4}]}
        )
    return made


def open_endpoints(folder: Path, world: World, known: EndpointConfigs) -> Endpoints:
    evenly = itertools.cycle([(n * 37 % 100) / 100 for n in range(100)])
    return Endpoints(
        folder,
        world,
        known,
        world,
        start_variant=world.start,
        find_alarms=world.find_alarms,
        draw=lambda: next(evenly),
    )


@pytest.fixture
def known(tmp_path: Path) -> EndpointConfigs:
    return configs(tmp_path)


@pytest.fixture
def endpoints(tmp_path: Path, world: World, known: EndpointConfigs) -> Endpoints:
    made = open_endpoints(tmp_path, world, known)
    made.create({"EndpointName": "e", "EndpointConfigName": "old"})
    eventually(lambda: describe(made)["EndpointStatus"] == "InService")
    return made


def eventually(holds: Callable[[], bool], within: float = 10.0) -> None:
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)


def describe(endpoints: Endpoints) -> dict[str, Any]:
    found: dict[str, Any] = endpoints.describe({"EndpointName": "e"})
    return found


def update(endpoints: Endpoints, *, wait: int = 0, alarms: Sequence[str] = (), **policy: Any) -> None:
    size = {"Type": "CAPACITY_PERCENT", "Value": 25}
    routing = {"Type": "CANARY", "CanarySize": size, "WaitIntervalInSeconds": wait}
    deployment: dict[str, Any] = {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, **policy}}
    if alarms:
        named = [{"AlarmName": name} for name in alarms]
        deployment["AutoRollbackConfiguration"] = {"Alarms": named}
    endpoints.update({"EndpointName": "e", "EndpointConfigName": "new", "DeploymentConfig": deployment})


def pending(endpoints: Endpoints) -> tuple[str, float]:
    """Status and current weight of the new variant; nothing when no deployment runs."""
    summary = describe(endpoints).get("PendingDeploymentSummary")
    if summary is None:
        return ("", 0.0)
    (variant,) = summary["ProductionVariants"]
    return variant["VariantStatus"][0]["Status"], variant["CurrentWeight"]


def ask(endpoints: Endpoints, status: int = 200) -> str:
    return endpoints.invoke("e", str(status).encode(), {}, None).body.decode()


def test_a_canary_gets_its_share_and_then_all(endpoints: Endpoints, world: World) -> None:
    update(endpoints, wait=2)
    eventually(lambda: pending(endpoints) == ("Baking", 0.25))
    found = describe(endpoints)
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("Updating", "old")
    assert found["PendingDeploymentSummary"]["EndpointConfigName"] == "new"
    answers = [ask(endpoints) for _ in range(200)]
    assert 35 <= answers.count("new") <= 65
    assert world.running == {"old", "new"}
    eventually(lambda: describe(endpoints)["EndpointStatus"] == "InService")
    found = describe(endpoints)
    assert found["EndpointConfigName"] == "new"
    assert "PendingDeploymentSummary" not in found
    assert found["LastDeploymentConfig"]["BlueGreenUpdatePolicy"]
    assert found["ProductionVariants"][0]["CurrentInstanceCount"] == 4
    assert {ask(endpoints) for _ in range(50)} == {"new"}
    eventually(lambda: world.running == {"new"})


def test_each_stage_is_an_event(endpoints: Endpoints, world: World) -> None:
    update(endpoints, TerminationWaitInSeconds=1)
    eventually(lambda: describe(endpoints)["EndpointConfigName"] == "new")
    stages = [
        detail["PendingDeploymentSummary"]["ProductionVariants"][0]["VariantStatus"][0]["Status"]
        for kind, detail in world.events
        if kind == events.DEPLOYMENT
    ]
    assert stages == ["ActivatingTraffic", "ActivatingTraffic", "Baking"]


def test_an_alarm_while_the_canary_bakes_brings_the_old_fleet_back(
    endpoints: Endpoints, world: World
) -> None:
    world.alarm_states = {"errors": "OK"}
    update(endpoints, wait=60, alarms=["errors"])
    eventually(lambda: pending(endpoints) == ("Baking", 0.25))
    world.alarm_states = {"errors": "ALARM"}
    eventually(lambda: describe(endpoints)["EndpointStatus"] == "InService")
    found = describe(endpoints)
    assert (found["EndpointConfigName"], found["FailureReason"]) == (
        "old",
        "The deployment was rolled back: in ALARM are errors.",
    )
    assert world.running == {"old"}
    assert {ask(endpoints) for _ in range(50)} == {"old"}

    def statuses() -> list[str]:
        return [detail["EndpointStatus"] for kind, detail in world.events if kind == events.ENDPOINT]

    # Events follow what is described.
    eventually(lambda: statuses()[-3:] == ["UPDATING", "ROLLING_BACK", "IN_SERVICE"])


def test_an_alarm_in_the_last_wait_still_brings_the_old_fleet_back(
    endpoints: Endpoints, world: World
) -> None:
    world.alarm_states = {"errors": "INSUFFICIENT_DATA"}
    update(endpoints, alarms=["errors"], TerminationWaitInSeconds=60)
    eventually(lambda: pending(endpoints) == ("Baking", 1.0))
    assert {ask(endpoints) for _ in range(50)} == {"new"}
    assert world.running == {"old", "new"}
    world.alarm_states = {"errors": "ALARM"}
    eventually(lambda: describe(endpoints)["EndpointStatus"] == "InService")
    assert describe(endpoints)["EndpointConfigName"] == "old"
    assert ask(endpoints) == "old"


def test_a_deployment_that_takes_too_long_is_rolled_back(endpoints: Endpoints, world: World) -> None:
    world.alarm_states = {"errors": "OK"}
    world.looking_takes = 0.7
    update(endpoints, alarms=["errors"], MaximumExecutionTimeoutInSeconds=1)
    eventually(lambda: describe(endpoints)["EndpointStatus"] == "InService")
    found = describe(endpoints)
    assert found["EndpointConfigName"] == "old"
    assert "MaximumExecutionTimeoutInSeconds" in found["FailureReason"]


def test_alarms_have_to_exist_and_be_seen(endpoints: Endpoints, world: World) -> None:
    with pytest.raises(ValidationError, match=r"nothing.*do not exist"):
        update(endpoints, alarms=["nothing"])
    world.denied = "not authorized to perform: cloudwatch:DescribeAlarms"
    with pytest.raises(ValidationError, match="not authorized"):
        update(endpoints, alarms=["errors"])
    assert describe(endpoints)["EndpointStatus"] == "InService"


def test_a_model_that_does_not_start_leaves_the_old_one(endpoints: Endpoints, world: World) -> None:
    world.broken = {"new"}
    update(endpoints)
    eventually(lambda: describe(endpoints)["EndpointStatus"] == "InService")
    found = describe(endpoints)
    assert (found["EndpointConfigName"], found["FailureReason"]) == ("old", "new does not start")
    assert "PendingDeploymentSummary" not in found


def test_a_request_is_answered_before_its_fleet_ends(endpoints: Endpoints, world: World) -> None:
    world.held.clear()
    answers: list[str] = []
    asking = threading.Thread(target=lambda: answers.append(ask(endpoints)))
    asking.start()
    eventually(lambda: any(v.requests for v in endpoints._traffic["e"].blue))
    update(endpoints)
    eventually(lambda: describe(endpoints)["EndpointConfigName"] == "new")
    assert "old" in world.running
    world.held.set()
    asking.join()
    assert answers == ["old"]
    eventually(lambda: world.running == {"new"})


def test_the_last_deployment_configuration_can_be_used_again(endpoints: Endpoints, world: World) -> None:
    update(endpoints)
    eventually(lambda: describe(endpoints)["EndpointConfigName"] == "new")
    world.events.clear()
    request = {"EndpointName": "e", "EndpointConfigName": "old", "RetainDeploymentConfig": True}
    endpoints.update(request)
    eventually(lambda: describe(endpoints)["EndpointConfigName"] == "old")
    assert sum(kind == events.DEPLOYMENT for kind, _ in world.events) == 2


def test_after_a_restart_a_shift_starts_anew(
    endpoints: Endpoints, world: World, tmp_path: Path, known: EndpointConfigs
) -> None:
    update(endpoints, wait=2)
    eventually(lambda: pending(endpoints) == ("Baking", 0.25))
    endpoints.shut_down()
    eventually(lambda: world.running == set())
    again = open_endpoints(tmp_path, world, known)
    again.resume()
    eventually(lambda: pending(again) == ("Baking", 0.25))
    assert world.running == {"old", "new"}
    eventually(lambda: describe(again)["EndpointConfigName"] == "new")


def test_after_a_restart_a_rollback_ends(
    endpoints: Endpoints, world: World, tmp_path: Path, known: EndpointConfigs
) -> None:
    world.alarm_states = {"errors": "OK"}
    update(endpoints, alarms=["errors"], TerminationWaitInSeconds=60)
    eventually(lambda: pending(endpoints) == ("Baking", 1.0))
    world.held.clear()

    def ask_in_vain() -> None:
        with pytest.raises(ModelError):
            ask(endpoints)

    asking = threading.Thread(target=ask_in_vain)
    asking.start()
    eventually(lambda: any(v.requests for v in endpoints._traffic["e"].green))
    world.alarm_states = {"errors": "ALARM"}
    eventually(lambda: describe(endpoints)["EndpointStatus"] == "RollingBack")
    endpoints.shut_down()
    world.running.clear()
    world.held.set()
    asking.join()
    again = open_endpoints(tmp_path, world, known)
    again.resume()
    eventually(lambda: describe(again)["EndpointStatus"] == "InService")
    found = describe(again)
    assert (found["EndpointConfigName"], "errors" in found["FailureReason"]) == ("old", True)
    assert ask(again) == "old"


def test_a_deleted_endpoint_ends_its_deployment(endpoints: Endpoints, world: World) -> None:
    update(endpoints, wait=60)
    eventually(lambda: pending(endpoints) == ("Baking", 0.25))
    endpoints.delete({"EndpointName": "e"})
    eventually(lambda: world.running == set())


@pytest.mark.parametrize(
    ("status", "client", "server", "model"), [(200, 0, 0, 0), (415, 1, 0, 1), (503, 0, 1, 1)]
)
def test_each_request_is_measured(
    endpoints: Endpoints, world: World, status: int, client: int, server: int, model: int
) -> None:
    if status == 200:
        ask(endpoints)
    else:
        with pytest.raises(ModelError):
            ask(endpoints, status)
    dimensions = {"EndpointName": "e", "VariantName": "AllTraffic"}
    assert [found for found, _ in world.measured] == [dimensions, {**dimensions, "EndpointConfigName": "old"}]
    metrics = world.measured[0][1]
    assert metrics["Invocations"] == (1, "Count")
    assert metrics["Invocation4XXErrors"] == (client, "Count")
    assert metrics["Invocation5XXErrors"] == (server, "Count")
    assert metrics["InvocationModelErrors"] == (model, "Count")
    assert metrics["ModelLatency"][1] == "Microseconds"


def test_instances_and_weights_can_be_retained(tmp_path: Path, world: World) -> None:
    known = configs(tmp_path)
    variant = {"VariantName": "AllTraffic", "ModelName": "new", "InstanceType": "ml.m5.large"}
    for name, count in (("three", 3), ("one", 1)):
        known.create(
            {"EndpointConfigName": name, "ProductionVariants": [{**variant, "InitialInstanceCount": count}]}
        )
    endpoints = open_endpoints(tmp_path, world, known)
    endpoints.create({"EndpointName": "e", "EndpointConfigName": "three"})
    eventually(lambda: describe(endpoints)["EndpointStatus"] == "InService")
    endpoints.update({"EndpointName": "e", "EndpointConfigName": "one", "RetainAllVariantProperties": True})
    eventually(lambda: describe(endpoints)["EndpointConfigName"] == "one")
    assert describe(endpoints)["ProductionVariants"][0]["DesiredInstanceCount"] == 3
