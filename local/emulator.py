"""All that touches MiniStack's internals: how it is configured, extended, saved and asked for.

MiniStack reads its settings from the environment when its modules are imported, so `Emulator` sets them
first and imports after. Written for the version pinned in requirements.txt; an upgrade is checked here.
"""

from __future__ import annotations

import contextvars
import copy
import functools
import hashlib
import importlib
import json
import logging
import os
import re
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import boto3
import yaml

from local.emulator_alarms import Alarms
from local.emulator_queries import speed_up
from local.home import ACCOUNT_ID, HOST, REGION, Credentials, Home, endpoint_url
from local.snapshots import Snapshots

logger = logging.getLogger("loupe.local")

Permission = tuple[str, str, dict[str, str]]

_OPTIMIZED_DENIALS = {
    "dynamodb": "DynamoDB.AccessDeniedException",
    "events": "EventBridge.AmazonEventBridgeException",
    "lambda": "Lambda.AWSLambdaException",
    "sagemaker": "SageMaker.AmazonSageMakerException",
    "sns": "SNS.AuthorizationErrorException",
    "sqs": "SQS.AmazonSQSException",
}
_S3_ACTIONS = {"HeadObject": "GetObject", "ListObjectsV2": "ListBucket", "CopyObject": "PutObject"}

# ASGI, https://asgi.readthedocs.io/en/latest/specs/main.html
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_BLOB_FROM = 64 * 1024
# MiniStack's own unsigned helpers would let any web page wipe or read a local cloud; these two are harmless,
# and the two last are CloudFormation's own.
_OPEN_HELPERS = (
    "/_ministack/health",
    "/_ministack/ready",
    "/_ministack/cfn-response/",
    "/_ministack/cfn-signal/",
)
_HELPERS = ("/_ministack/", "/_localstack/", "/_aws/sqs", "/_aws/ses", "/_aws/sns")


@dataclass(frozen=True)
class Request:
    """One request to an added service, its signature already checked and its action authorized."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def operation(self) -> str:
        """The operation of a JSON protocol request (`X-Amz-Target`)."""
        return self.headers.get("x-amz-target", "").rpartition(".")[2]


@dataclass(frozen=True)
class Response:
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class AddedService:
    """A service that MiniStack lacks.

    `name` is also its signing name; `data_plane` names a second endpoint with the same signing name, told
    apart by its path. `resource` gives the ARN that a request is authorized against, `passed_roles` the
    roles that it hands over (`iam:PassRole`), `also_needs` what the caller must be allowed in other services.
    `task_name` is what Step Functions calls it in `aws-sdk:` tasks, where that is not `name`.
    """

    name: str
    target_prefix: str
    handle: Callable[[Request], Awaitable[Response]]
    resource: Callable[[Request], str]
    passed_roles: Callable[[Request], list[str]]
    sdk_name: str
    error_names: Mapping[str, str]
    data_plane: str | None = None
    data_plane_path: str = ""
    also_needs: Callable[[Request], list[Permission]] = lambda _: []
    task_name: str = ""

    def permissions(self, request: Request) -> list[Permission]:
        """What a caller must be allowed besides the operation itself."""
        passed_to = {"iam:PassedToService": f"{self.name}.amazonaws.com"}
        roles: list[Permission] = [("iam:PassRole", role, passed_to) for role in self.passed_roles(request)]
        return roles + self.also_needs(request)


@dataclass(frozen=True)
class Denial:
    """Why IAM refuses a call, in AWS's words."""

    message: str


class RunsTask(Protocol):
    """What stands behind a Task state's resource."""

    def __call__(
        self, arguments: dict[str, Any], *, wait: bool, is_wanted: Callable[[], bool]
    ) -> Mapping[str, Any]:
        """`wait` for `.sync`; `is_wanted` turns false once the execution was stopped."""


class Emulator:
    """MiniStack in this process, with its state in a home folder."""

    def __init__(self, home: Home, port: int, credentials: Credentials) -> None:
        self._home = home
        self._credentials = credentials
        self._configure(port, credentials)
        self._app = _module("app")
        self._actions = _module("core.iam_actions")
        self._evaluator = _module("core.iam_evaluator")
        self._persistence = _module("core.persistence")
        self._responses = _module("core.responses")
        self._states = _module("services.stepfunctions")
        self._lambda = _module("services.lambda_svc")
        self._sts = _module("services.sts")
        self._iam = _module("services.iam")
        self.endpoint_url = endpoint_url(port)
        self._added_tasks: dict[str, AddedService] = {}
        self._execution: contextvars.ContextVar[Mapping[str, Any]] = contextvars.ContextVar(
            "execution", default=MappingProxyType({})
        )
        self._requests_seen = 0
        self._requests_saved = 0
        self._snapshots = Snapshots(home.state, self._write_state)
        speed_up(_module("services.dynamodb"))
        self._alarms = Alarms(_module("services.cloudwatch"))
        self._remove_unused_files()
        self._keep_big_values_in_files()
        self._keep_sessions()
        self._leave_versions_on_disk()
        self._enforce_state_machine_roles()
        self._batch_queues()
        self._authorize_batches()
        self._authorize_alarms()
        self._match_newlines()
        self._retry_events()
        self._configure_functions()
        self._cast_event_source_numbers()
        self._read_yaml_definitions()
        self._import_gateway_responses()
        # The pictures replace the emulator's own saving at shutdown.
        self._app._build_persistence_save_dict, self._saved_services = (
            dict,
            self._app._build_persistence_save_dict,
        )
        self._persistence.STATE_DIR = str(self._snapshots.current or home.state)

    def _configure(self, port: int, credentials: Credentials) -> None:
        tempfile.tempdir = str(self._home.temporary)
        os.environ.update(
            AUTH="true",
            AWS_ACCESS_KEY_ID=credentials.access_key_id,
            AWS_SECRET_ACCESS_KEY=credentials.secret_access_key,
            BIND_HOST=HOST,
            DOCKER_HOST="unix:///nonexistent",
            GATEWAY_PORT=str(port),
            IOT_MTLS_ENABLED="0",
            LAMBDA_EXECUTOR="local",
            LOG_LEVEL="INFO",
            MINISTACK_ACCOUNT_ID=ACCOUNT_ID,
            MINISTACK_HOST=HOST,
            MINISTACK_REGION=REGION,
            PERSIST_STATE="1",
            S3_DATA_DIR=str(self._home.objects),
            S3_PERSIST="1",
            SFTP_ENABLED="0",
            STATE_DIR=str(self._home.state),
            TMPDIR=str(self._home.temporary),
        )

    # -- requests ----------------------------------------------------------------------------------

    async def application(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application to serve."""
        if scope["type"] == "http":
            path = scope["path"]
            if path.startswith(_HELPERS) and not path.startswith(_OPEN_HELPERS):
                await send({"type": "http.response.start", "status": 404, "headers": []})
                await send({"type": "http.response.body", "body": b""})
                return
            self._requests_seen += 1
            # Buckets refuse plain HTTP (aws:SecureTransport). What stays on the loopback counts as encrypted.
            scope = {**scope, "scheme": "https"}
        await self._app.app(scope, receive, send)

    def add(self, service: AddedService) -> None:
        """Make `service` answer signed requests, authorized by IAM, and Step Functions tasks."""
        names = [service.name] + ([service.data_plane] if service.data_plane else [])
        router = _module("core.router")
        for name in names:
            self._app.SERVICE_REGISTRY[name] = {"module": name}
            self._app.SERVICE_HANDLERS[name] = self._handler(service)
            self._actions.SERVICE_TO_IAM_NAMESPACE[name] = service.name
            router.SERVICE_PATTERNS[name] = {}
        router.SERVICE_PATTERNS[service.name] = {"target_prefixes": [service.target_prefix]}
        if service.data_plane:
            self._actions._BOTOCORE_SERVICE_MAP[service.data_plane] = [service.data_plane]
            self._route_data_plane(service, service.data_plane)
        self._authorize_resources(service, names)
        task = service.task_name or service.name
        self._added_tasks[task] = service
        self._states._AWS_SDK_SERVICE_MAP[task] = {
            "target_prefix": service.target_prefix,
            "protocol": "json",
            "service_key": service.name,
        }
        self._states._AWS_SDK_ERROR_PREFIX[task] = service.sdk_name
        self._states._AWS_SDK_ERROR_CODE_OVERRIDES[task] = service.error_names

    def _handler(self, service: AddedService) -> Callable[..., Awaitable[tuple[int, dict[str, str], bytes]]]:
        async def handle(
            _method: str,
            path: str,
            headers: dict[str, str],
            body: bytes | str,
            query: dict[str, Any],
        ) -> tuple[int, dict[str, str], bytes]:
            request = Request(path, headers, body.encode() if isinstance(body, str) else body)
            for permission in service.permissions(request):
                denial = self._denied_caller(permission, headers, query)
                if denial is not None:
                    error = {"__type": "AccessDeniedException", "message": denial.message}
                    return 400, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(error).encode()
            response = await service.handle(request)
            return response.status, dict(response.headers), response.body

        return handle

    def _route_data_plane(self, service: AddedService, data_plane: str) -> None:
        detect = self._app.detect_service

        def detect_service(method: str, path: str, headers: dict[str, str], query: dict[str, Any]) -> Any:
            found = detect(method, path, headers, query)
            if found == service.name and path.startswith(service.data_plane_path):
                return data_plane
            return found

        self._app.detect_service = detect_service

    def _authorize_batches(self) -> None:
        """SQS asks a batch for the permission of the single action: SendMessageBatch for sqs:SendMessage."""
        extract = self._actions.extract_iam_action

        def extract_iam_action(service: str, *request: Any) -> str | None:
            action: str | None = extract(service, *request)
            return action.removesuffix("Batch") if action and service == "sqs" else action

        self._actions.extract_iam_action = extract_iam_action

    def _authorize_alarms(self) -> None:
        """CloudWatch is asked for the alarms that a request names (for the first of several); MiniStack looks
        for AlarmName only."""
        extract = self._actions.extract_resource_arn

        def extract_resource_arn(
            name: str,
            method: str,
            path: str,
            headers: dict[str, str],
            body: bytes,
            query: Mapping[str, Any],
            *rest: Any,
        ) -> Any:
            if name == "monitoring":
                action = self._actions.extract_iam_action(name, method, path, headers, body, query) or ""
                given = _cloudwatch_parameters(headers, body, query)
                named = _alarm_arns(action.partition(":")[2], given)
                if named:
                    return named[0]
            return extract(name, method, path, headers, body, query, *rest)

        self._actions.extract_resource_arn = extract_resource_arn
        # As JSON, so that what tasks are answered has CloudWatch's shapes: lists of one, numbers, times.
        self._states._AWS_SDK_SERVICE_MAP["cloudwatch"] = {
            "target_prefix": "GraniteServiceVersion20100801",
            "protocol": "json",
            "service_key": "monitoring",
        }

    def _match_newlines(self) -> None:
        """A policy's `*` and `?` stand for any character; in MiniStack for any but a newline."""
        compile_pattern = self._evaluator._fnmatch_compile

        def match_any(pattern: str, ignore_case: bool) -> re.Pattern[str]:
            compiled: re.Pattern[str] = compile_pattern(pattern, ignore_case)
            return re.compile(compiled.pattern, compiled.flags | re.DOTALL)

        self._evaluator._fnmatch_compile = functools.lru_cache(maxsize=4096)(match_any)

    def _authorize_resources(self, service: AddedService, names: list[str]) -> None:
        extract = self._actions.extract_resource_arn

        def extract_resource_arn(
            name: str, method: str, path: str, headers: dict[str, str], body: bytes, *rest: Any
        ) -> Any:
            if name in names:
                return service.resource(Request(path, headers, body))
            return extract(name, method, path, headers, body, *rest)

        self._actions.extract_resource_arn = extract_resource_arn

    def _denied_caller(
        self, permission: Permission, headers: Mapping[str, str], query: Mapping[str, Any]
    ) -> Denial | None:
        key = _module("core.router").extract_access_key_id(headers, query)
        if self._evaluator.is_root_access_key(key):
            # The administrator, or a Step Functions task, whose own role was checked before.
            return None
        action, resource, context = permission
        denied = self._evaluator.enforce(
            key, action, action.partition(":")[0], REGION, resource_arn=resource, service_context=context
        )
        return Denial(_not_authorized(denied.principal_arn, action, resource)) if denied else None

    # -- what services ask of each other -----------------------------------------------------------

    def publish(self, detail_type: str, resource: str, detail: Mapping[str, Any]) -> None:
        """Send an event of source `aws.sagemaker` to the default bus."""
        entry = {
            "Source": "aws.sagemaker",
            "DetailType": detail_type,
            "Detail": json.dumps(detail),
            "Resources": [resource],
        }
        with self._scope():
            _module("services.eventbridge")._put_events({"Entries": [entry]}, allow_aws_source=True)

    def write_log(self, group: str, stream: str, lines: list[str]) -> None:
        """Append lines to a CloudWatch log stream, which comes into being with its first line."""
        now = int(time.time() * 1000)
        logs = _module("services.cloudwatch_logs")
        events = [{"timestamp": now, "message": line} for line in lines]
        with self._scope():
            logs._create_log_group({"logGroupName": group})
            logs._create_log_stream({"logGroupName": group, "logStreamName": stream})
            logs._put_log_events({"logGroupName": group, "logStreamName": stream, "logEvents": events})

    def measure(
        self, namespace: str, dimensions: Mapping[str, str], metrics: Mapping[str, tuple[float, str]]
    ) -> None:
        """Add a value (and its unit) to each of some metrics of CloudWatch; from any thread."""
        self._alarms.measure(namespace, dimensions, metrics)

    def evaluate_alarms(self) -> None:
        """Let alarms see what was measured meanwhile and the time that passed; on the event loop's thread."""
        with self._scope():
            self._alarms.evaluate_all()

    def role_credentials(self, role_arn: str, service: str, session_name: str) -> dict[str, str] | None:
        """Temporary keys of a role, as arguments of a boto3 client; None if `service` may not assume it."""
        name = role_arn.rpartition("/")[2]
        if not self._trusts(name, service):
            return None
        digest = hashlib.sha256(f"{role_arn}:{session_name}".encode() + os.urandom(16)).hexdigest()
        key, secret, token = f"ASIA{digest[:16].upper()}", digest[16:56], digest
        session = {
            "Arn": f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/{name}/{session_name[:64]}",
            "UserId": f"{name}:{session_name[:64]}",
            "SecretAccessKey": secret,
            "SessionToken": token,
            "Expiration": time.time() + 12 * 3600,
        }
        self._sts.register_session(key, session)
        return {"aws_access_key_id": key, "aws_secret_access_key": secret, "aws_session_token": token}

    def caller_credentials(self, request: Request) -> dict[str, str]:
        """Keys with the rights of whoever sent a request, as arguments of a boto3 client; for a task of a
        state machine, those of its role."""
        key = _module("core.router").extract_access_key_id(request.headers, {})
        machine = self._states._state_machines.get(self._execution.get().get("stateMachineArn", ""))
        if machine and self._evaluator.is_root_access_key(key):
            keys = self.role_credentials(machine["roleArn"], "states.amazonaws.com", "task")
            if keys is not None:
                return keys
        with self._scope():
            caller = self._evaluator.resolve_credential(key)
        return {
            "aws_access_key_id": caller.access_key_id,
            "aws_secret_access_key": caller.secret_access_key,
            "aws_session_token": caller.session_token,
        }

    def administrator(self, service: str) -> Any:
        """A boto3 client of the one who may do everything in this cloud."""
        return boto3.client(  # type: ignore[call-overload]
            service,
            region_name=REGION,
            endpoint_url=self.endpoint_url,
            aws_access_key_id=self._credentials.access_key_id,
            aws_secret_access_key=self._credentials.secret_access_key,
        )

    def _trusts(self, role_name: str, service: str) -> bool:
        role = self._iam._roles.get_scoped(ACCOUNT_ID, None, role_name)
        document = role and role.get("AssumeRolePolicyDocument")
        if not document:
            return False
        statements = json.loads(document)["Statement"] if isinstance(document, str) else document["Statement"]
        return any(
            statement.get("Effect") == "Allow"
            and self._evaluator._service_principal_matches(statement.get("Principal"), service)
            for statement in ([statements] if isinstance(statements, dict) else statements)
        )

    def denied(
        self, role_arn: str, action: str, resource: str, context: Mapping[str, Any] | None = None
    ) -> Denial | None:
        """Whether IAM keeps the holder of a role from an action."""
        name = role_arn.rpartition("/")[2]
        principal = f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/{name}/local-cloud"
        evaluator = self._evaluator
        asked = evaluator.EvalContext(
            principal_arn=principal,
            principal_type="AssumedRole",
            principal_account=ACCOUNT_ID,
            action=action,
            resource_arn=resource,
            region=REGION,
            service_context={key.lower(): value for key, value in (context or {}).items()},
        )
        with self._scope():
            policies = evaluator._gather_role_policies(name, ACCOUNT_ID)
            limits = evaluator._permissions_boundary(self._iam._roles, name, ACCOUNT_ID)
            result = evaluator.evaluate(asked, policies, *limits)
        return None if result.decision == "Allow" else Denial(_not_authorized(principal, action, resource))

    @contextmanager
    def _scope(self) -> Iterator[None]:
        with self._responses.request_scope(ACCOUNT_ID, REGION):
            yield

    # -- Lambda ------------------------------------------------------------------------------------

    def _batch_queues(self) -> None:
        """Hand functions as many messages of a queue as their event source asks for, after its window.

        MiniStack hands over at most ten, and at once.
        """
        sqs = _module("services.sqs")

        def receive(queue_url: str, wanted: int) -> Any:
            with sqs._queues_lock:
                queue = sqs._get_q(queue_url)
                sqs._expire_retained(queue)
                sqs._dlq_sweep(queue)
                if not self._window_is_over(queue, wanted):
                    return []
                hidden_for = int(queue["attributes"].get("VisibilityTimeout", "30"))
                return sqs._collect_msgs(queue, wanted, hidden_for)

        sqs._receive_messages_for_esm = receive

    def _window_is_over(self, queue: Mapping[str, Any], wanted: int) -> bool:
        """Whether the queue has a full batch, or its oldest message has waited for the batching window."""
        now = time.time()
        waiting = [
            max(message.get("sent_at", 0.0), message.get("visible_at", 0.0))
            for message in queue["messages"]
            if message.get("visible_at", 0.0) <= now
        ]
        return len(waiting) >= wanted or (bool(waiting) and now - min(waiting) >= self._window(queue))

    def _window(self, queue: Mapping[str, Any]) -> float:
        """Seconds; 0 for a queue that is no event source."""
        arn = queue["attributes"].get("QueueArn")
        windows = [
            float(source.get("MaximumBatchingWindowInSeconds") or 0)
            for _, _, source in self._lambda._iter_all_esms()
            if source.get("EventSourceArn") == arn
        ]
        return max(windows, default=0.0)

    def _retry_events(self) -> None:
        """Events are asynchronous invocations: tried again, and at last sent to the dead-letter queue.

        MiniStack does so for every caller but EventBridge.
        """
        functions = self._lambda

        def dispatch(arn: str, payload: str) -> None:
            function, config, name = functions._get_func_record_for_ref(arn)
            if not function or not config:
                logger.warning("EventBridge: the function %s does not exist", name)
                return
            record = functions._execution_record_for_config(function, config)
            functions.invoke_async_with_retry(record, json.loads(payload))

        _module("services.eventbridge")._dispatch_to_lambda = dispatch

    def _read_yaml_definitions(self) -> None:
        """A state machine's definition in S3 may be YAML, as CloudFormation has it; MiniStack reads JSON."""
        provisioners = _module("services.cloudformation.provisioners")
        read = provisioners._sfn_definition

        def definition(properties: Mapping[str, Any]) -> str:
            return json.dumps(yaml.safe_load(read(properties)))

        provisioners._sfn_definition = definition

    def _import_gateway_responses(self) -> None:
        """An API's OpenAPI body may bring the answers that API Gateway itself gives; MiniStack knows them
        from its own calls only."""
        api_gateway = _module("services.apigateway_v1")
        import_api = api_gateway._import_rest_api

        def import_with_responses(spec: Mapping[str, Any], base_data: Any = None) -> str:
            api: str = import_api(spec, base_data)
            for kind, response in (spec.get("x-amazon-apigateway-gateway-responses") or {}).items():
                status, _, body = api_gateway._put_gateway_response(api, kind, dict(response))
                if status >= 300:
                    raise ValueError(f"gateway response {kind}: {body!r}")
            return api

        api_gateway._import_rest_api = import_with_responses

    def _configure_functions(self) -> None:
        """CloudFormation forgets the dead-letter queue and the reserved concurrency of a function."""
        handlers = _module("services.cloudformation.provisioners")._RESOURCE_HANDLERS["AWS::Lambda::Function"]
        create, update = handlers["create"], handlers["update"]

        def configure(name: str, properties: Mapping[str, Any]) -> None:
            function = self._lambda._functions[name]
            reserved = properties.get("ReservedConcurrentExecutions")
            function["concurrency"] = None if reserved is None else int(reserved)
            function["config"]["DeadLetterConfig"] = properties.get("DeadLetterConfig", {})

        def create_function(logical_id: str, properties: Mapping[str, Any], stack: str) -> Any:
            created = create(logical_id, properties, stack)
            configure(created[0], properties)
            return created

        def update_function(name: str, old: Any, new: Mapping[str, Any], *rest: Any, **named: Any) -> Any:
            updated = update(name, old, new, *rest, **named)
            configure(updated[0], new)
            return updated

        handlers.update(create=create_function, update=update_function)

    def _cast_event_source_numbers(self) -> None:
        """Parameters of a template are text; CloudFormation makes the numbers of it that a resource wants."""
        provisioners = _module("services.cloudformation.provisioners")
        handlers = provisioners._RESOURCE_HANDLERS["AWS::Lambda::EventSourceMapping"]
        create, update = handlers["create"], handlers["update"]

        def cast(properties: Mapping[str, Any]) -> dict[str, Any]:
            scaling = properties.get("ScalingConfig") or {}
            if "MaximumConcurrency" not in scaling:
                return dict(properties)
            return {**properties, "ScalingConfig": {"MaximumConcurrency": int(scaling["MaximumConcurrency"])}}

        def create_mapping(logical_id: str, properties: Mapping[str, Any], stack: str) -> Any:
            return create(logical_id, cast(properties), stack)

        def update_mapping(name: str, old: Any, new: Mapping[str, Any], *rest: Any, **named: Any) -> Any:
            return update(name, old, cast(new), *rest, **named)

        handlers.update(create=create_mapping, update=update_mapping)

    # -- Step Functions ----------------------------------------------------------------------------

    def add_task(self, resource: str, run: RunsTask) -> None:
        """Make a Task state's `Resource` (named without `.sync`) call `run` with its arguments.

        `run` blocks until the task is done; it raises `TaskError` when it fails.
        """

        def dispatch(asked: str, arguments: dict[str, Any]) -> Any:
            execution = self._execution.get()
            try:
                return run(
                    arguments,
                    wait=asked.endswith(".sync"),
                    is_wanted=lambda: execution.get("status", "RUNNING") == "RUNNING",
                )
            except TaskError as error:
                raise self._states._ExecutionError(error.name, error.cause) from error

        self._states._SERVICE_DISPATCH[resource] = dispatch

    def _enforce_state_machine_roles(self) -> None:
        """MiniStack lets state machines do anything; on AWS they may do what their role allows."""
        states = self._states
        execute, invoke = states._execute_task, states._invoke_resource

        def execute_task(state: Any, data: Any, execution: Any, context: Any) -> Any:
            token = self._execution.set(execution or {})
            try:
                return execute(state, data, execution, context)
            finally:
                self._execution.reset(token)

        def invoke_resource(resource: str, arguments: Any) -> Any:
            machine = states._state_machines.get(self._execution.get().get("stateMachineArn", "")) or {}
            for action, target, context in self._task_permissions(resource, arguments):
                denial = self.denied(machine.get("roleArn", ""), action, target, context)
                if denial is not None:
                    raise states._ExecutionError(self._access_denied_name(resource), denial.message)
            return invoke(resource, arguments)

        states._execute_task, states._invoke_resource = execute_task, invoke_resource

    def _task_permissions(self, resource: str, arguments: Any) -> list[Permission]:
        """The actions, resources and condition keys that a Task state's role must be allowed."""
        given: Mapping[str, Any] = arguments if isinstance(arguments, Mapping) else {}
        function = self._states._extract_lambda_ref(resource)
        if function:
            return [("lambda:InvokeFunction", resource, {})]
        parts = resource.split(":")
        if len(parts) < 7 or parts[5] == "aws-sdk":
            return self._sdk_permissions(parts[6].lower(), parts[7].partition(".")[0], given)
        service, action, wait = parts[5], parts[6].partition(".")[0], parts[6].endswith(".sync")
        if service in self._added_tasks:
            return self._added_permissions(self._added_tasks[service], _operation(action), given, wait=wait)
        match service:
            case "lambda":
                return [("lambda:InvokeFunction", _function_arn(str(given.get("FunctionName", ""))), {})]
            case "events":
                buses = [str(entry.get("EventBusName", "default")) for entry in given.get("Entries", [])]
                return [("events:PutEvents", _arn("events", f"event-bus/{bus}", bus), {}) for bus in buses]
            case "sns":
                return [("sns:Publish", str(given.get("TopicArn", "*")), {})]
            case "sqs":
                queue = str(given.get("QueueUrl", "")).rpartition("/")[2]
                return [("sqs:SendMessage", _arn("sqs", queue), {})]
            case "states":
                return [("states:StartExecution", str(given.get("StateMachineArn", "*")), {})]
            case _:
                return self._sdk_permissions(service, action, given)

    def _sdk_permissions(self, service: str, action: str, given: Mapping[str, Any]) -> list[Permission]:
        operation = _operation(action)
        if service in self._added_tasks:
            return self._added_permissions(self._added_tasks[service], operation, given, wait=False)
        if service == "s3":
            return [_s3_permission(operation, given)]
        if service == "lambda":
            return [(f"lambda:{operation}", _function_arn(str(given.get("FunctionName", ""))), {})]
        key = self._states._AWS_SDK_SERVICE_MAP.get(service, {}).get("service_key", service)
        namespace = self._actions.SERVICE_TO_IAM_NAMESPACE.get(key, key)
        if service == "cloudwatch":
            targets = _alarm_arns(operation, given) or ["*"]
            return [(f"{namespace}:{operation}", target, {}) for target in targets]
        headers = {"x-amz-target": f"x.{operation}"}
        target = self._actions.extract_resource_arn(
            key, "POST", "/", headers, json.dumps(given).encode(), dict(given), REGION, ACCOUNT_ID
        )
        return [(f"{namespace}:{operation}", target, {})]

    def _added_permissions(
        self, service: AddedService, operation: str, given: Mapping[str, Any], *, wait: bool
    ) -> list[Permission]:
        target = f"{service.target_prefix}.{operation}"
        request = Request("/", {"x-amz-target": target}, json.dumps(given).encode())
        resource = service.resource(request)
        permissions: list[Permission] = [(f"{service.name}:{operation}", resource, {})]
        permissions += service.permissions(request)
        if wait:
            # `.sync` describes and stops the job, tags it, and hears of its end by a managed rule.
            job = operation.removeprefix("Create")
            rule = _arn("events", f"rule/StepFunctionsGetEventsForSageMaker{job}sRule")
            permissions += [
                (f"{service.name}:{verb}", resource, {}) for verb in (f"Describe{job}", f"Stop{job}")
            ]
            permissions += [(f"{service.name}:AddTags", resource, {})]
            permissions += [
                (f"events:{verb}", rule, {}) for verb in ("PutTargets", "PutRule", "DescribeRule")
            ]
        return permissions

    def _access_denied_name(self, resource: str) -> str:
        """The error that a task fails with when its role may not make the call."""
        if ":aws-sdk:" in resource:
            service = resource.split(":")[6].lower()
            prefix = self._states._AWS_SDK_ERROR_PREFIX.get(service, service.capitalize())
            return f"{prefix}.{prefix}Exception"
        service = "lambda" if ":lambda:" in resource else resource.split(":")[5]
        return _OPTIMIZED_DENIALS.get(service, "States.TaskFailed")

    # -- state -------------------------------------------------------------------------------------

    def save_in_background(self) -> None:
        """Save the state if there were requests since the last time; returns at once."""
        if self._snapshots.is_due() and self._requests_seen != self._requests_saved:
            self._requests_saved = self._requests_seen
            self._snapshots.take_in_background()

    def save(self) -> None:
        """Save the state; returns when it is on disk."""
        self._snapshots.take()

    def _write_state(self, directory: Path) -> None:
        """Runs in a forked copy of the process, whose memory nobody else changes or needs afterwards."""
        # Services copy their state deeply before they hand it out, which takes longer than all the rest.
        copy.deepcopy = _the_same  # type: ignore[assignment]
        # Code that only the picture before refers to stays until that picture is gone.
        self._lambda._prune_orphan_code_blobs = _keep_all
        for name, get_state in self._saved_services().items():
            state = get_state()
            if state is not None:
                saved = {
                    "__ministack_format__": self._persistence._state_format_version(name),
                    "payload": state,
                }
                draft = directory / f"{name}.new"
                draft.write_text(json.dumps(saved, default=self._persistence._json_default), encoding="utf-8")
                draft.replace(directory / f"{name}.json")

    def _keep_big_values_in_files(self) -> None:
        """A layer of 60 MB is written once, and not as base64 into every picture."""
        folder = self._home.state / "blobs"
        folder.mkdir(exist_ok=True)
        default, hook = self._persistence._json_default, self._persistence._json_object_hook

        def json_default(value: Any) -> Any:
            if not isinstance(value, bytes | bytearray) or len(value) < _BLOB_FROM:
                return default(value)
            name = hashlib.sha256(value).hexdigest()
            if not (folder / name).exists():
                draft = folder / f"{name}.new"
                draft.write_bytes(value)
                draft.replace(folder / name)
            return {"__blob__": name}

        def json_object_hook(value: dict[str, Any]) -> Any:
            return (folder / value["__blob__"]).read_bytes() if "__blob__" in value else hook(value)

        self._persistence._json_default = json_default
        self._persistence._json_object_hook = json_object_hook

    def _remove_unused_files(self) -> None:
        """Code and layers of earlier deployments, which the newest picture does not name any more."""
        picture = self._snapshots.current
        if picture is None:
            return
        named = "".join(path.read_text(encoding="utf-8") for path in picture.glob("*.json"))
        for folder in ("blobs", "lambda-blobs"):
            for path in (self._home.state / folder).glob("*"):
                if path.stem not in named:
                    path.unlink()

    def _leave_versions_on_disk(self) -> None:
        """Objects are read from their files; of versioned buckets MiniStack holds them in memory as well."""
        s3 = _module("services.s3")
        entry_of = s3._version_entry_from_record

        def entry_without_bytes(record: Any, version_id: str, _data: bytes) -> Any:
            return entry_of(record, version_id, None)

        s3._version_entry_from_record = entry_without_bytes

    def _keep_sessions(self) -> None:
        """Temporary keys stay good over a restart, as on AWS: a page's presigned image URLs go on working."""

        def get_state() -> dict[str, Any]:
            now = time.time()
            return {k: s for k, s in list(self._sts._sessions.items()) if s.get("Expiration", now + 1) > now}

        self._sts.get_state = get_state
        self._sts.load_persisted_state = self._sts._sessions.update


class TaskError(Exception):
    """A Step Functions task failed with this error name and cause."""

    def __init__(self, name: str, cause: str) -> None:
        super().__init__(f"{name}: {cause}")
        self.name = name
        self.cause = cause


def _module(name: str) -> Any:
    """One of MiniStack's modules; they carry no types."""
    return importlib.import_module(f"ministack.{name}")


def _not_authorized(principal: str, action: str, resource: str) -> str:
    return (
        f"User: {principal} is not authorized to perform: {action} on resource: {resource} "
        f"because no identity-based policy allows the {action} action"
    )


def _the_same(value: Any, _memo: Any = None) -> Any:
    return value


def _keep_all(_in_use: set[str]) -> None:
    """Remove no code of functions now; `_remove_unused_files` does so at the next start."""


def _operation(action: str) -> str:
    return action[:1].upper() + action[1:]


def _arn(service: str, resource: str, given: str = "") -> str:
    return given if given.startswith("arn:") else f"arn:aws:{service}:{REGION}:{ACCOUNT_ID}:{resource}"


def _function_arn(name: str) -> str:
    return _arn("lambda", f"function:{name}", name)


def _alarm_arns(operation: str, given: Mapping[str, Any]) -> list[str]:
    """The alarms that a CloudWatch operation is about, which a policy must allow; none for metrics."""
    if operation in ("DescribeAlarms", "DescribeAlarmHistory"):
        return [_arn("cloudwatch", "alarm:*")]
    names = [given["AlarmName"]] if given.get("AlarmName") else given.get("AlarmNames", [])
    return [_arn("cloudwatch", f"alarm:{name}") for name in names]


def _cloudwatch_parameters(
    headers: Mapping[str, str], body: bytes | str, query: Mapping[str, Any]
) -> dict[str, Any]:
    """What a request gives, as JSON or as a form; nothing for one that can't be read."""
    if "json" not in headers.get("content-type", ""):
        form = {name: value[0] if isinstance(value, list) else value for name, value in query.items()}
        names = [value for name, value in form.items() if name.startswith("AlarmNames.member.")]
        return {**form, "AlarmNames": names}
    try:
        given = json.loads(body)
    except ValueError:
        return {}
    return given if isinstance(given, dict) else {}


def _s3_permission(operation: str, given: Mapping[str, Any]) -> Permission:
    key = f"/{given['Key']}" if "Key" in given else ""
    return f"s3:{_S3_ACTIONS.get(operation, operation)}", f"arn:aws:s3:::{given.get('Bucket', '')}{key}", {}
