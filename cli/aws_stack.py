"""The real stack: AWS clients and HTTP behind the protocols of `cli.stack`.

All errors of boto3, botocore and httpx are translated here, once.
"""

import itertools
import json
import mimetypes
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import quote

import httpx
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    TokenRetrievalError,
)

from cli.errors import ApiProblem, CommandFault, StackMissing
from cli.stack import (
    LINES_OF_A_FUNCTION,
    PART_BYTES,
    Json,
    KnownImages,
    Lease,
    PortalProject,
    ProjectStatus,
    RejectedImage,
    Role,
    StoredObject,
    Worker,
)
from loupe.adapters.objects import S3Objects
from loupe.domain.batches import in_parallel
from loupe.domain.console.deciding import RELEASERS
from loupe.domain.label_values import LabelValue
from loupe.domain.projects import config_key

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient
    from mypy_boto3_s3 import S3Client

CONNECTIONS = 32
ATTEMPTS = 6
LOGS_AT_ONCE = 4
"""CloudWatch takes five or ten such requests a second, by region; the client waits and tries again."""
RETRIED_STATUS = frozenset({429, 500, 502, 503, 504})
TIMEOUT = httpx.Timeout(60, connect=5)
SIGN_IN_HINT = "Make one with `loupe worker create NAME`; in the local cloud `loupe local status` shows one."
CREDENTIALS_HINT = "Sign in to AWS (`aws configure`, `aws sso login`), or run `make up` for the local cloud."

CLIENT_CONFIG = Config(
    retries={"mode": "standard", "max_attempts": ATTEMPTS},
    max_pool_connections=CONNECTIONS,
    connect_timeout=5,
    # Checksums beyond what signing needs cost the client time and tell S3 nothing new over TLS.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
    s3={"payload_signing_enabled": False},
)

REQUIRED_OUTPUTS = (
    "RawDataBucket",
    "ApiUrl",
    "PortalUrl",
    "UserPoolId",
    "UserPoolClientId",
    "ApiKeyId",
    "ReconcileFunction",
    "StartReviewFunction",
    "ControlModelFunction",
    "ImportLabelsFunction",
    "WorkspaceBucket",
)


@contextmanager
def _aws_errors_in_words(doing: str) -> Iterator[None]:
    try:
        yield
    except (NoCredentialsError, PartialCredentialsError, TokenRetrievalError, ProfileNotFound) as error:
        raise CommandFault(f"Can't {doing}: {error}", CREDENTIALS_HINT) from error
    except NoRegionError as error:
        raise CommandFault(
            f"Can't {doing}: no AWS region is set.", "Add `--region`, or set AWS_REGION."
        ) from error
    except EndpointConnectionError as error:
        raise CommandFault(
            f"Can't {doing}: {error}", "Is the local cloud running? `make up` starts it."
        ) from error
    except ClientError as error:
        told = error.response.get("Error", {})
        raise CommandFault(f"Can't {doing}: {told.get('Message') or told.get('Code', error)}") from error
    except BotoCoreError as error:
        raise CommandFault(f"Can't {doing}: {error}") from error


def _code(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Code", "")


class Http:
    """Keep-alive HTTP with retries; an answer that is not a success becomes an ApiProblem.

    Only for calls that are safe to repeat, as all of Loupe's are.
    """

    def __init__(
        self,
        base_url: str,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._sleep = sleep
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        self._client = httpx.Client(timeout=TIMEOUT, limits=limits, transport=transport)

    def call(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        *,
        body: Json | None = None,
        content: bytes | None = None,
        params: Mapping[str, str] | None = None,
        retried: frozenset[int] = RETRIED_STATUS,
    ) -> Any:
        """The decoded JSON of a successful answer; None where it has no body.

        `retried` are the statuses after which the call is made again; so it is after a lost connection.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = self._client.request(
                    method, self._base_url + path, headers=headers, json=body, content=content, params=params
                )
            except httpx.TransportError as error:
                if attempt == ATTEMPTS:
                    raise CommandFault(
                        f"{self._base_url} does not answer: {error or type(error).__name__}",
                        "Is the local cloud running? `make up` starts it.",
                    ) from error
            else:
                if answer.is_success:
                    return answer.json() if answer.content else None
                if answer.status_code not in retried or attempt == ATTEMPTS:
                    raise _problem(answer)
            self._sleep(random.uniform(0.5, 1.0) * 0.2 * 2**attempt)  # noqa: S311 - jitter
        raise AssertionError("the last attempt returns or raises")


def _problem(answer: httpx.Response) -> ApiProblem:
    try:
        told = answer.json()
    except ValueError:
        told = {}
    if not isinstance(told, dict):
        told = {}
    slug = str(told.get("type", "")).rpartition(":")[2]
    detail = told.get("detail") or told.get("title") or told.get("message") or answer.text[:200]
    return ApiProblem(answer.status_code, slug, str(detail) or f"The API answered {answer.status_code}.")


class MakesClients(Protocol):
    """What is needed of a boto3.Session; clients are typed where they are kept."""

    def client(self, service_name: Any, /, *, endpoint_url: str | None, config: Config) -> Any: ...


class AwsStack:
    """A stack on AWS or in the local cloud: the same calls, another endpoint."""

    def __init__(self, session: MakesClients, name: str, endpoint_url: str | None = None) -> None:
        self._session = session
        self._name = name
        self.endpoint_url = endpoint_url

    def _client(self, service: str, config: Config | None = None) -> Any:
        chosen = CLIENT_CONFIG if config is None else CLIENT_CONFIG.merge(config)
        return self._session.client(service, endpoint_url=self.endpoint_url, config=chosen)

    @cached_property
    def _outputs(self) -> Mapping[str, str]:
        try:
            with _aws_errors_in_words(f"look up the stack {self._name}"):
                client = self._client("cloudformation")
                found = client.describe_stacks(StackName=self._name)["Stacks"][0]
        except CommandFault as fault:
            cause = fault.__cause__
            if isinstance(cause, ClientError) and _code(cause) == "ValidationError":
                raise StackMissing(
                    f"There is no stack {self._name!r} here.",
                    "Run `make up` (local cloud) or `make deploy` (AWS), or name another with `--stack`.",
                ) from fault
            raise
        outputs = {item["OutputKey"]: item["OutputValue"] for item in found.get("Outputs", [])}
        missing = [name for name in REQUIRED_OUTPUTS if name not in outputs]
        if missing:
            raise StackMissing(
                f"The stack {self._name!r} ({found['StackStatus']}) lacks the outputs {', '.join(missing)}.",
                "Is it a Loupe stack, and of this version? Deploy it again.",
            )
        return outputs

    @cached_property
    def _s3(self) -> "S3Client":
        with _aws_errors_in_words("reach S3"):
            client: S3Client = self._client("s3")
            return client

    @cached_property
    def _cognito(self) -> "CognitoIdentityProviderClient":
        with _aws_errors_in_words("reach Cognito"):
            client: CognitoIdentityProviderClient = self._client("cognito-idp")
            return client

    @cached_property
    def _api(self) -> Http:
        return Http(self.api_url)

    @cached_property
    def _key(self) -> str:
        with _aws_errors_in_words("read the API key"):
            client = self._client("apigateway")
            value: str = client.get_api_key(apiKey=self._outputs["ApiKeyId"], includeValue=True)["value"]
            return value

    def exists(self) -> bool:
        try:
            return bool(self._outputs)
        except StackMissing:
            return False

    @property
    def portal_url(self) -> str:
        return self._outputs["PortalUrl"]

    @property
    def api_url(self) -> str:
        return self._outputs["ApiUrl"]

    @property
    def raw_data_bucket(self) -> str:
        return self._outputs["RawDataBucket"]

    def api_key(self) -> str:
        return self._key

    def projects(self) -> list[str]:
        with _aws_errors_in_words("list the projects"):
            pages = self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self.raw_data_bucket, Delimiter="/"
            )
            names = [
                prefix["Prefix"].rstrip("/") for page in pages for prefix in page.get("CommonPrefixes", [])
            ]
        return sorted(name for name in names if self._has_configuration(name))

    def _has_configuration(self, project: str) -> bool:
        with _aws_errors_in_words("list the projects"):
            try:
                self._s3.head_object(Bucket=self.raw_data_bucket, Key=config_key(project))
            except ClientError as error:
                if _code(error) in {"404", "NoSuchKey", "NotFound"}:
                    return False
                raise
        return True

    def read_configuration(self, project: str) -> str | None:
        with _aws_errors_in_words(f"read {config_key(project)}"):
            try:
                stored = self._s3.get_object(Bucket=self.raw_data_bucket, Key=config_key(project))
            except ClientError as error:
                if _code(error) == "NoSuchKey":
                    return None
                raise
            return stored["Body"].read().decode(errors="replace")

    def write_configuration(self, project: str, text: str) -> None:
        with _aws_errors_in_words(f"write {config_key(project)}"):
            self._s3.put_object(
                Bucket=self.raw_data_bucket,
                Key=config_key(project),
                Body=text.encode(),
                ContentType="application/yaml",
            )

    def list_objects(self, prefix: str) -> Iterator[StoredObject]:
        with _aws_errors_in_words(f"list {prefix}"):
            pages = self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self.raw_data_bucket, Prefix=prefix
            )
            for page in pages:
                for item in page.get("Contents", []):
                    yield StoredObject(item["Key"], item["Size"], item["ETag"].strip('"'))

    def put_image(self, key: str, path: Path, content: bytes | None) -> None:
        content_type = mimetypes.guess_type(key)[0] or "application/octet-stream"
        with _aws_errors_in_words(f"store {path}"):
            if content is not None:
                self._s3.put_object(
                    Bucket=self.raw_data_bucket, Key=key, Body=content, ContentType=content_type
                )
                return
            self._s3.upload_file(
                Filename=str(path),
                Bucket=self.raw_data_bucket,
                Key=key,
                ExtraArgs={"ContentType": content_type},
                Config=TransferConfig(
                    multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, use_threads=False
                ),
            )

    def etags_are_digests(self, key: str) -> bool:
        with _aws_errors_in_words(f"look at {key}"):
            head = self._s3.head_object(Bucket=self.raw_data_bucket, Key=key)
        return head.get("ServerSideEncryption", "AES256") == "AES256" and "SSECustomerAlgorithm" not in head

    def _inference(self, method: str, path: str, **request: Any) -> Any:
        headers = {"x-api-key": self.api_key(), **request.pop("headers", {})}
        return self._api.call(method, path, headers, **request)

    def status(self, project: str) -> ProjectStatus:
        return cast(ProjectStatus, self._inference("GET", f"/v1/projects/{quote(project, safe='')}"))

    def rejected(self, project: str) -> Iterator[RejectedImage]:
        params = {"limit": "100"}
        while True:
            path = f"/v1/projects/{quote(project, safe='')}/rejected"
            answer = self._inference("GET", path, params=params)
            yield from answer["rejected"]
            if answer["next"] is None:
                return
            params["after"] = answer["next"]

    def predict(self, project: str, body: bytes, content_type: str) -> Json:
        answer: Json = self._inference(
            "POST",
            f"/v1/projects/{quote(project, safe='')}/predictions",
            headers={"content-type": content_type, "accept": "application/json"},
            content=body,
            # Only throttling is waited out: a caller wants to know of an endpoint that fails.
            retried=frozenset({429}),
        )
        return answer

    def sign_in(self, worker: str, password: str) -> "HttpPortalSession":
        def new_token() -> str:
            return self._id_token(worker, password)

        return HttpPortalSession(Http(self.portal_url.rpartition("/")[0]), new_token)

    def _id_token(self, worker: str, password: str) -> str:
        with _aws_errors_in_words(f"sign in as {worker}"):
            try:
                answer = self._cognito.initiate_auth(
                    AuthFlow="USER_PASSWORD_AUTH",
                    ClientId=self._outputs["UserPoolClientId"],
                    AuthParameters={"USERNAME": worker, "PASSWORD": password},
                )
            except ClientError as error:
                if _code(error) in {"NotAuthorizedException", "UserNotFoundException"}:
                    raise CommandFault(
                        f"The portal has no worker {worker!r} with that password.", SIGN_IN_HINT
                    ) from error
                raise
        if "AuthenticationResult" not in answer:
            raise CommandFault(
                f"The worker {worker!r} has to choose a new password first.",
                f"Sign in once at {self.portal_url}, or run `loupe worker create {worker} --password ...`.",
            )
        return answer["AuthenticationResult"]["IdToken"]

    def create_worker(self, name: str, password: str) -> None:
        pool = self._outputs["UserPoolId"]
        with _aws_errors_in_words(f"make the worker {name}"):
            try:
                self._cognito.admin_create_user(UserPoolId=pool, Username=name, MessageAction="SUPPRESS")
            except ClientError as error:
                if _code(error) != "UsernameExistsException":
                    raise
            self._cognito.admin_set_user_password(
                UserPoolId=pool, Username=name, Password=password, Permanent=True
            )

    def set_role(self, worker: str, role: Role) -> None:
        pool = self._outputs["UserPoolId"]
        with _aws_errors_in_words(f"make {worker} a {role}"):
            try:
                change = (
                    self._cognito.admin_add_user_to_group
                    if role == "releaser"
                    else self._cognito.admin_remove_user_from_group
                )
                change(UserPoolId=pool, Username=worker, GroupName=RELEASERS)
            except ClientError as error:
                if _code(error) != "UserNotFoundException":
                    raise
                raise CommandFault(f"There is no worker {worker!r}.", SIGN_IN_HINT) from error

    def workers(self) -> Iterator[Worker]:
        pool = self._outputs["UserPoolId"]
        with _aws_errors_in_words("list the workers"):
            members = self._cognito.get_paginator("list_users_in_group")
            releasers = {
                user["Username"]
                for page in members.paginate(UserPoolId=pool, GroupName=RELEASERS)
                for user in page["Users"]
            }
            for page in self._cognito.get_paginator("list_users").paginate(UserPoolId=pool):
                for user in page["Users"]:
                    yield Worker(
                        user["Username"],
                        user["UserStatus"].lower().replace("_", " "),
                        user["UserCreateDate"].isoformat(),
                        "releaser" if user["Username"] in releasers else "worker",
                    )

    def reconcile(self, project: str | None) -> Json:
        return self._invoke("ReconcileFunction", {} if project is None else {"project": project}, "reconcile")

    def control_model(self, project: str, action: str) -> Json:
        asked = {"project": project, "action": action}
        return self._invoke("ControlModelFunction", asked, f"{action} the model of {project}")

    def decide_on_model(self, project: str, action: str, version: str | None) -> Json:
        asked = {"project": project, "action": action, "version": version, "by": getuser()}
        return self._invoke("DecideOnModelFunction", asked, f"{action} a model of {project}")

    def start_review(self, request: Json) -> Json:
        return self._invoke("StartReviewFunction", request, "start the review")

    @property
    def workspace(self) -> S3Objects:
        return self.bucket(self._outputs["WorkspaceBucket"])

    def bucket(self, name: str) -> S3Objects:
        return S3Objects(self._s3, name)

    def known_images(self, project: str, keys: Sequence[str], sha256s: Sequence[str]) -> KnownImages:
        asked = {"action": "known", "project": project, "keys": list(keys), "sha256s": list(sha256s)}
        return cast(KnownImages, self._invoke("ImportLabelsFunction", asked, "look images up"))

    @property
    def referred_buckets(self) -> frozenset[str]:
        return frozenset(filter(None, self._outputs.get("BucketsReferredTo", "").split(",")))

    @property
    def region(self) -> str:
        return str(self._s3.meta.region_name)

    def region_of(self, bucket: str) -> str:
        with _aws_errors_in_words(f"find out where {bucket} is"):
            told = self._s3.get_bucket_location(Bucket=bucket).get("LocationConstraint")
        # The oldest regions are told in S3's own way.
        return {None: "us-east-1", "": "us-east-1", "EU": "eu-west-1"}.get(told, str(told))

    def refer_to(self, project: str, uris: Sequence[str]) -> None:
        asked = {"action": "refer", "project": project, "uris": list(uris)}
        self._invoke("ImportLabelsFunction", asked, "refer to images")

    def finish_import(self, project: str, job: str) -> Json:
        asked = {"action": "finish", "project": project, "job": job}
        return self._invoke("ImportLabelsFunction", asked, "finish the import")

    def log_lines(self, ids: Sequence[str], since: datetime) -> Iterator[Json]:
        with _aws_errors_in_words("read the logs"):
            pages = self._client("cloudformation").get_paginator("list_stack_resources")
            resources = (
                resource
                for page in pages.paginate(StackName=self._name)
                for resource in page["StackResourceSummaries"]
            )
            groups = [
                resource["PhysicalResourceId"]
                for resource in resources
                if resource["ResourceType"] == "AWS::Logs::LogGroup"
            ]
            asked = itertools.product(groups, ids)
            found = in_parallel(lambda each: self._lines_of(*each, since), asked, LOGS_AT_ONCE)
            lines = {text: line for texts in found for text, line in texts.items()}
        yield from sorted(lines.values(), key=lambda line: str(line["timestamp"]))

    def _lines_of(self, group: str, sought: str, since: datetime) -> dict[str, Json]:
        """By their text, lines of one log group."""
        pages = self._logs.get_paginator("filter_log_events").paginate(
            logGroupName=group,
            filterPattern=f'"{sought}"',
            startTime=int(since.timestamp() * 1000),
        )
        texts = (event["message"] for page in pages for event in page["events"])
        of_functions = (text for text in texts if text.startswith("{") and '"service":' in text)
        lines = ((text, json.loads(text)) for text in of_functions)
        wanted = (
            (text, line)
            for text, line in lines
            if sought in (line.get("correlation_id"), line.get("prediction_id"))
        )
        return dict(itertools.islice(wanted, LINES_OF_A_FUNCTION))

    @cached_property
    def _logs(self) -> Any:
        return self._client("logs")

    @cached_property
    def _lambda(self) -> Any:
        # A function may work for minutes, and must not be started twice by an impatient client.
        return self._client("lambda", Config(read_timeout=900, retries={"max_attempts": 0}))

    def _invoke(self, function: str, event: Json, doing: str) -> Json:
        """What the function of that output answers."""
        with _aws_errors_in_words(doing):
            answer = self._lambda.invoke(
                FunctionName=self._outputs[function], Payload=json.dumps(event).encode()
            )
            found = json.loads(answer["Payload"].read() or b"{}")
        if answer.get("FunctionError"):
            raise CommandFault(f"Can't {doing}: {found.get('errorMessage', found)}")
        return cast(Json, found)


class HttpPortalSession:
    """One signed-in worker; signs in again when the token has run out. `http` is at `.../portal`."""

    def __init__(self, http: Http, new_token: Callable[[], str]) -> None:
        self._http = http
        self._new_token = new_token
        self._token = new_token()

    def _call(self, method: str, path: str, body: Json | None = None) -> Any:
        token = self._token
        try:
            return self._http.call(method, path, {"authorization": token}, body=body)
        except ApiProblem as problem:
            if problem.status != 401:
                raise
        if self._token == token:
            self._token = self._new_token()
        return self._http.call(method, path, {"authorization": self._token}, body=body)

    def projects(self) -> Sequence[PortalProject]:
        return cast(Sequence[PortalProject], self._call("GET", "/api/projects")["projects"])

    def lease(self, project: str, count: int) -> Lease:
        return cast(Lease, self._call("POST", f"/api/projects/{project}/leases", {"count": count}))

    def annotate(self, project: str, job: str, task: str, value: LabelValue, lease: int) -> Lease:
        path = f"/api/projects/{project}/jobs/{quote(job, safe='')}/tasks/{quote(task, safe='')}/annotation"
        return cast(Lease, self._call("PUT", path, value.to_json() | {"lease": lease}))

    def give_back(self, project: str) -> None:
        self._call("DELETE", f"/api/projects/{project}/leases")

    def workers(self, project: str) -> Json:
        return cast(Json, self._call("GET", f"/api/projects/{project}/workers"))
