"""Endpoints of SageMaker: their names, and the requests by which a model comes behind one.

An endpoint's answers always mean the same: a model that knows other labels, has another task, or is hosted in
another way gets another endpoint. So whatever a release has come to, an answer can be read by what the
champion's record says.
"""

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from loupe.domain.projects import (
    MOST_SHIFT_SECONDS,
    MOST_WAIT_SECONDS,
    Hosting,
    HostingKind,
    Realtime,
    TaskType,
)

VARIANT = "AllTraffic"
"""The one production variant of each endpoint. It keeps its name, so that what scales it goes on."""

_MAX_NAME = 63
_REHEARSAL = "r"
_TOKEN_LENGTH = 6
_MICROSECONDS = 1_000
_ALARM_SECONDS = 60
"""SageMaker sends an endpoint's metrics once a minute."""
_MARGIN_SECONDS = MOST_SHIFT_SECONDS - MOST_WAIT_SECONDS
"""How long a deployment may take besides its waits, before SageMaker gives it up."""

Json = dict[str, Any]


def endpoint_name(host: str, kind: HostingKind, task: TaskType, labels: Sequence[str]) -> str:
    """Name of the endpoint for models of that kind; `host` names stack and project."""
    meaning = json.dumps([kind, task, list(labels)])
    return f"{endpoint_prefix(host)}{sha256(meaning.encode()).hexdigest()[:_TOKEN_LENGTH]}"


def endpoint_prefix(host: str) -> str:
    """What names of all endpoints of a project begin with, and of no other: no project's name has two dashes
    in a row."""
    room = _MAX_NAME - len("--") - _TOKEN_LENGTH - len(_REHEARSAL)
    if len(host) > room:
        token = sha256(host.encode()).hexdigest()[:_TOKEN_LENGTH]
        host = f"{host[: room - len(token) - 1].strip('-')}-{token}"
    return f"{host}--"


def rehearsal_of(endpoint: str) -> str:
    """Name of the endpoint at which a model answers test images before the one of that name is changed."""
    return f"{endpoint}{_REHEARSAL}"


def is_endpoint_of(host: str, endpoint: str) -> bool:
    """Whether an endpoint of that name answers apps: it is no rehearsal's, nor another project's."""
    prefix = endpoint_prefix(host)
    return endpoint.startswith(prefix) and len(endpoint) == len(prefix) + _TOKEN_LENGTH


def production_variant(model_name: str, hosting: Hosting) -> Json:
    """The entry of CreateEndpointConfig's `ProductionVariants`."""
    if hosting.kind == "realtime":
        return {
            "VariantName": VARIANT,
            "ModelName": model_name,
            "InstanceType": hosting.realtime.instance_type,
            "InitialInstanceCount": hosting.realtime.instances,
            "InitialVariantWeight": 1,
        }
    return {
        "VariantName": VARIANT,
        "ModelName": model_name,
        "ServerlessConfig": {
            "MemorySizeInMB": hosting.memory_mb,
            "MaxConcurrency": hosting.max_concurrency,
        },
    }


def update_request(endpoint: str, model_name: str, hosting: Hosting) -> Json:
    """The request for UpdateEndpoint. Serverless endpoints change all at once; SageMaker shifts no traffic of
    theirs."""
    request: Json = {"EndpointName": endpoint, "EndpointConfigName": model_name}
    if hosting.kind != "realtime":
        return request
    realtime = hosting.realtime
    return request | {
        # What scales has its number of instances; what does not has the configuration's.
        "RetainAllVariantProperties": realtime.max_instances is not None,
        "DeploymentConfig": _deployment(model_name, realtime),
    }


def at_once(update: Json) -> Json:
    """The same request without a shift: for a model that is known to be good, in place of one that is not."""
    return {name: value for name, value in update.items() if name != "DeploymentConfig"}


def _deployment(model_name: str, realtime: Realtime) -> Json:
    wait = realtime.bake_seconds
    size = {"Type": "CAPACITY_PERCENT", "Value": realtime.shift_percent}
    routing: Json
    match realtime.shift:
        case "canary":
            routing = {"Type": "CANARY", "CanarySize": size}
        case "linear":
            routing = {"Type": "LINEAR", "LinearStepSize": size}
        case "all-at-once":
            routing = {"Type": "ALL_AT_ONCE"}
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": routing | {"WaitIntervalInSeconds": wait},
            "TerminationWaitInSeconds": wait,
            "MaximumExecutionTimeoutInSeconds": realtime.wait_seconds + _MARGIN_SECONDS,
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in alarm_names(model_name)]},
    }


def alarm_names(model_name: str) -> tuple[str, str]:
    """Of the alarms on the errors and on the latency of a model on instances."""
    return f"{model_name}-errors", f"{model_name}-latency"


def release_alarms(endpoint: str, model_name: str, hosting: Hosting) -> list[Json]:
    """Requests for PutMetricAlarm: the alarms that undo a release, and tell of a bad endpoint later, too.

    They count the calls that this model answered, by its configuration, and have names of their own: an alarm
    that rings about the model before must not keep a better one out.

    An average of `Invocation5XXErrors` is the share of calls that failed: SageMaker counts 1 for each of
    those and 0 for the others. `ModelLatency` is in microseconds. A serverless endpoint has none.
    """
    if hosting.kind != "realtime":
        return []
    realtime, (errors, latency) = hosting.realtime, alarm_names(model_name)
    common: Json = {
        "Namespace": "AWS/SageMaker",
        "Dimensions": [
            {"Name": "EndpointName", "Value": endpoint},
            {"Name": "VariantName", "Value": VARIANT},
            {"Name": "EndpointConfigName", "Value": model_name},
        ],
        "Period": _ALARM_SECONDS,
        "EvaluationPeriods": 1,
        "DatapointsToAlarm": 1,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
    }
    return [
        {
            "AlarmName": errors,
            "AlarmDescription": f"More than {realtime.max_error_percent:g} % of an endpoint's calls fail",
            "MetricName": "Invocation5XXErrors",
            "Statistic": "Average",
            "Threshold": realtime.max_error_percent / 100,
            **common,
        },
        {
            "AlarmName": latency,
            "AlarmDescription": f"An endpoint's calls take longer than {realtime.max_latency_ms} ms",
            "MetricName": "ModelLatency",
            "ExtendedStatistic": "p95",
            "Threshold": realtime.max_latency_ms * _MICROSECONDS,
            **common,
        },
    ]
