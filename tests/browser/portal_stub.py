"""The portal's API, the workers' sign-in and the image store, in this process and with their state in memory.

Two origins, as on AWS: the portal serves the page and its API; the other origin stands for Cognito and for
presigned image addresses. Faults are switched on and off by attributes (`outage`, `hold`, `delay`, ...).
"""

import base64
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, Self
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from PIL import Image

from loupe.domain.label_values import InvalidLabel, UnknownLabel, check_value, read_any

WEB = Path(__file__).parents[2] / "web"
STAGE = "/dev"
LEASE = timedelta(minutes=10)
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}

Json = dict[str, Any]
Page = Callable[[dict[str, str], Json], Json | None]


class Refusal(Exception):
    """An answer other than success: status, problem slug, detail."""

    def __init__(self, status: int, slug: str, detail: str = "") -> None:
        super().__init__(slug)
        self.status, self.slug, self.detail = status, slug, detail


@dataclass
class StubImage:
    name: str
    content: bytes
    width: int
    height: int
    orientation: int = 1

    @property
    def sha256(self) -> str:
        return sha256(self.content).hexdigest()


@dataclass
class StubProject:
    name: str
    labels: list[str]
    images: list[StubImage]
    instructions: str = "Choose the label that fits best."
    task: str = "image-classification"
    job: str = "job-1"
    open: bool = True
    leases: dict[int, tuple[str, datetime]] = field(default_factory=dict)
    answers: dict[int, tuple[str, Json]] = field(default_factory=dict)
    suggest: bool = False
    examples: list[Json] = field(default_factory=list)

    def job_summary(self) -> Json | None:
        if not self.open:
            return None
        skipped = sum("skip" in body for _, body in self.answers.values())
        return {"job": self.job, "tasks": len(self.images), "answered": len(self.answers), "skipped": skipped}

    def answered_labels(self) -> list[str | None]:
        """One label a task in the job's order; None where it is skipped or not answered."""
        return self.answered("label")

    def answered(self, member: str) -> list[Any]:
        """That member of each task's answer, in the job's order; None where there is none."""
        return [self.answers.get(task, ("", {}))[1].get(member) for task in range(len(self.images))]


def plain_image(shade: int, name: str, size: tuple[int, int] = (64, 64)) -> StubImage:
    """A PNG of one shade of grey."""
    return StubImage(name, as_png(Image.new("L", size, shade)), *size)


def as_png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def plain_project(name: str = "shapes", tasks: int = 12, **options: Any) -> StubProject:
    """A project with three labels and plain images named 000.png, 001.png, ..."""
    images = [plain_image(20 + task * 7 % 200, f"{name}/{task:03}.png") for task in range(tasks)]
    return StubProject(name, options.pop("labels", ["circle", "square", "triangle"]), images, **options)


def _check_answer(answer: Json, project: StubProject, image: StubImage) -> None:
    """What the API checks with the layer's code."""
    value = read_any(answer)
    if value is None:
        return
    try:
        if value.task != project.task:
            raise InvalidLabel(f"the job is for {project.task}")
        check_value(value, tuple(project.labels), (image.width, image.height))
    except (InvalidLabel, UnknownLabel) as error:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, error.slug, error.detail) from error


class PortalStub:
    """Servers on two ephemeral ports of 127.0.0.1; use as a context manager."""

    def __init__(self, *projects: StubProject) -> None:
        self.projects = {project.name: project for project in projects}
        self.passwords = {"maria": "correct horse", "ben": "battery staple"}
        self.temporary_passwords = {"nia": "temporary"}
        self.outage = False
        """Connections are cut without an answer, images and sign-in included."""
        self.annotation_status: int | None = None
        """Annotations are answered with this status and no problem document."""
        self.hold = threading.Event()
        self.hold.set()
        """While cleared, annotations are taken but not answered."""
        self.delay = 0.0
        """Seconds before each answer of the API."""
        self.broken_images: set[str] = set()
        self.pages: dict[tuple[str, str], Page] = {}
        """What further calls answer, by method and path: each gets the query's parameters and the body."""
        self.files: dict[str, bytes] = {}
        """Further images of the image store, by their names."""
        self.requests: list[tuple[str, str, Json]] = []
        """Method, path without the base, body: of every API call, refused ones included."""
        self._lock = threading.RLock()
        self._valid_tokens: dict[str, str] = {}
        self._refresh_tokens: dict[str, str] = {}
        self._issued = 0
        self._portal = _serve(_PortalHandler, self)
        self._cloud = _serve(_CloudHandler, self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.hold.set()
        for server in (self._portal, self._cloud):
            server.shutdown()
            server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._portal.server_port}{STAGE}/portal/"

    @property
    def cloud_url(self) -> str:
        return f"http://127.0.0.1:{self._cloud.server_port}/"

    @property
    def content_security_policy(self) -> str:
        return (
            "default-src 'none'; script-src 'self'; style-src 'self'; "
            f"img-src 'self' {self.cloud_url.rstrip('/')}; connect-src 'self' {self.cloud_url.rstrip('/')}; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
            "require-trusted-types-for 'script'; trusted-types 'none'"
        )

    def annotations(self) -> list[Json]:
        """The bodies of the annotations sent, without the wish for further tasks, in order of arrival."""
        bodies = [body for method, path, body in self.requests if method == "PUT"]
        return [{key: value for key, value in body.items() if key != "lease"} for body in bodies]

    def expire_id_tokens(self) -> None:
        with self._lock:
            self._valid_tokens.clear()

    def end_sessions(self) -> None:
        """Refresh tokens stop working too."""
        with self._lock:
            self._valid_tokens.clear()
            self._refresh_tokens.clear()

    @contextmanager
    def holding_annotations(self) -> Iterator[None]:
        """Annotations arrive and are counted, but their answers wait until the end of the block."""
        self.hold.clear()
        try:
            yield
        finally:
            self.hold.set()

    # The API

    def call(self, method: str, path: str, query: dict[str, str], token: str, body: Json) -> Json | None:
        """Carries out one API call; None is an answer without a body."""
        with self._lock:
            self.requests.append((method, path, body))
            worker = self._valid_tokens.get(token)
            if worker is None:
                raise Refusal(HTTPStatus.UNAUTHORIZED, "")
            match [unquote(part) for part in path.split("/")], method:
                case ["projects"], "GET":
                    return {"projects": [self._describe(project) for project in self.projects.values()]}
                case ["projects", name, "leases"], "POST":
                    project = self._project(name)
                    return {
                        "job": project.job_summary(),
                        "tasks": self._lease(project, worker, body["count"]),
                    }
                case ["projects", name, "leases"], "DELETE":
                    leases = self._project(name).leases
                    for task in [task for task, (holder, _) in leases.items() if holder == worker]:
                        del leases[task]
                    return None
                case ["projects", name, "jobs", job, "tasks", task, "annotation"], "PUT":
                    return self._annotate(self._project(name), job, int(task), worker, body)
            if (method, path) in self.pages:
                return self.pages[method, path](query, body)
            raise Refusal(HTTPStatus.NOT_FOUND, "not-found", path)

    def _project(self, name: str) -> StubProject:
        if name not in self.projects:
            raise Refusal(HTTPStatus.NOT_FOUND, "not-found", f"There is no project {name}.")
        return self.projects[name]

    def _describe(self, project: StubProject) -> Json:
        return {
            "project": project.name,
            "task": project.task,
            "labels": project.labels,
            "instructions": project.instructions,
            "suggest": project.suggest,
            "examples": [
                {**example, "url": f"{self.cloud_url}images/{quote(example['file'])}"}
                for example in project.examples
            ],
            "job": project.job_summary(),
        }

    def _lease(self, project: StubProject, worker: str, count: int) -> list[Json]:
        if not project.open:
            return []
        now = datetime.now(UTC)
        unanswered = [task for task in range(len(project.images)) if task not in project.answers]
        held = [task for task in unanswered if project.leases.get(task, ("", now))[0] == worker]
        free = [
            task
            for task in unanswered
            if task not in held and project.leases.get(task, ("", now - LEASE))[1] <= now
        ]
        chosen = [*held, *free][:count]
        for task in chosen:
            project.leases[task] = (worker, now + LEASE)
        return [self._task(project, task) for task in chosen]

    def _task(self, project: StubProject, task: int) -> Json:
        image = project.images[task]
        return {
            "task": f"{task:06}",
            "job": project.job,
            "image": {
                "url": f"{self.cloud_url}images/{quote(image.name)}?signature={time.time_ns()}",
                "name": image.name,
                "width": image.width,
                "height": image.height,
                "orientation": image.orientation,
                "sha256": image.sha256,
            },
            "lease_expires_at": project.leases[task][1].isoformat(),
        }

    def _annotate(self, project: StubProject, job: str, task: int, worker: str, body: Json) -> Json:
        answer = {key: value for key, value in body.items() if key != "lease"}
        if job != project.job or not project.open:
            raise Refusal(HTTPStatus.CONFLICT, "job-finished", f"{job} is finished.")
        holder = project.answers.get(task) or project.leases.get(task)
        if holder is None or holder[0] != worker:
            raise Refusal(HTTPStatus.CONFLICT, "lease-lost", "Another worker holds this task.")
        _check_answer(answer, project, project.images[task])
        project.answers[task] = (worker, answer)
        project.leases.pop(task, None)
        held = {task for task, (holder, _) in project.leases.items() if holder == worker}
        further = body.get("lease", 0)
        leased = self._lease(project, worker, len(held) + further)[len(held) :] if further else []
        return {"job": project.job_summary(), "tasks": leased}

    # Sign-in

    def cognito(self, action: str, body: Json) -> Json:
        """Carries out one Cognito call; a Refusal's slug is the error type."""
        with self._lock:
            match action, body:
                case "InitiateAuth", {"AuthFlow": "REFRESH_TOKEN_AUTH", "AuthParameters": parameters}:
                    return self._refresh(parameters["REFRESH_TOKEN"])
                case "InitiateAuth", {"AuthParameters": {"USERNAME": name, "PASSWORD": password}}:
                    return self._sign_in(name, password)
                case "RespondToAuthChallenge", {"ChallengeResponses": answers}:
                    return self._new_password(answers["USERNAME"], answers["NEW_PASSWORD"])
                case "RevokeToken", {"Token": token}:
                    self._refresh_tokens.pop(token, None)
                    return {}
        raise Refusal(HTTPStatus.BAD_REQUEST, "InvalidParameterException", action)

    def _sign_in(self, name: str, password: str) -> Json:
        if self.temporary_passwords.get(name) == password:
            return {"ChallengeName": "NEW_PASSWORD_REQUIRED", "Session": "s", "ChallengeParameters": {}}
        if self.passwords.get(name) != password:
            raise Refusal(HTTPStatus.BAD_REQUEST, "NotAuthorizedException", "Incorrect username or password.")
        refresh_token = f"refresh-{name}-{len(self._refresh_tokens)}"
        self._refresh_tokens[refresh_token] = name
        return {"AuthenticationResult": {**self._issue(name), "RefreshToken": refresh_token}}

    def _new_password(self, name: str, password: str) -> Json:
        if len(password) < 8:
            raise Refusal(HTTPStatus.BAD_REQUEST, "InvalidPasswordException", "Password not long enough")
        del self.temporary_passwords[name]
        self.passwords[name] = password
        return self._sign_in(name, password)

    def _refresh(self, token: str) -> Json:
        if token not in self._refresh_tokens:
            raise Refusal(HTTPStatus.BAD_REQUEST, "NotAuthorizedException", "Refresh Token has been revoked")
        return {"AuthenticationResult": self._issue(self._refresh_tokens[token])}

    def _issue(self, name: str) -> Json:
        self._issued += 1
        claims = {"sub": f"id-of-{name}", "cognito:username": name, "jti": self._issued}
        payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        token = f"e30.{payload}.c2ln"
        self._valid_tokens[token] = name
        return {"IdToken": token, "AccessToken": "a", "ExpiresIn": 3600}

    def image(self, name: str) -> bytes | None:
        """The bytes under a name, or None where there are none."""
        if name in self.broken_images:
            return None
        if name in self.files:
            return self.files[name]
        images = (image for project in self.projects.values() for image in project.images)
        return next((image.content for image in images if image.name == name), None)


class _StubServer(ThreadingHTTPServer):
    daemon_threads = True
    stub: PortalStub

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that closes its connection is nothing to report."""


def _serve(handler: "type[_Handler]", stub: PortalStub) -> _StubServer:
    server = _StubServer(("127.0.0.1", 0), handler)
    server.stub = stub
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _StubServer
    common_headers: ClassVar[dict[str, str]] = {}

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Tests read `PortalStub.requests`."""

    def read_body(self) -> Json:
        """What was sent; of an image, its `type` and its `image`, the bytes."""
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if (media_type := self.headers.get("Content-Type") or "").startswith("image/"):
            return {"type": media_type, "image": content}
        return dict(json.loads(content)) if content else {}

    def cut(self) -> bool:
        """Whether the network is gone; then the connection closes without an answer."""
        self.close_connection = self.server.stub.outage
        return self.server.stub.outage

    def reply(
        self, status: int, content: bytes = b"", media_type: str = "application/json", **headers: str
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(content)))
        for name, value in {**self.common_headers, **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)


class _PortalHandler(_Handler):
    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.read_body()
        if self.cut():
            return
        address = urlsplit(self.path)
        path = address.path.removeprefix(f"{STAGE}/portal/")
        if path.startswith("api/"):
            self._call(path.removeprefix("api/"), dict(parse_qsl(address.query)), body)
        elif path == "config.json":
            cloud = self.server.stub.cloud_url
            config = {"region": "us-east-1", "user_pool_client_id": "client", "cognito_endpoint": cloud}
            self.reply(HTTPStatus.OK, json.dumps(config).encode())
        else:
            self._asset(WEB / (path or "index.html"))

    def _asset(self, file: Path) -> None:
        if not file.resolve().is_relative_to(WEB) or not file.is_file():
            self.reply(HTTPStatus.NOT_FOUND)
            return
        policy = self.server.stub.content_security_policy
        self.reply(
            HTTPStatus.OK,
            file.read_bytes(),
            MEDIA_TYPES[file.suffix],
            Content_Security_Policy=policy,
            Cache_Control="no-store",
        )

    def _call(self, path: str, query: dict[str, str], body: Json) -> None:
        stub = self.server.stub
        annotation = path.endswith("/annotation")
        if annotation and stub.annotation_status is not None:
            self.reply(stub.annotation_status, b"not now", "text/plain")
            return
        try:
            answer = stub.call(self.command, path, query, self.headers.get("Authorization", ""), body)
        except Refusal as refusal:
            self._refuse(refusal)
            return
        if annotation:
            stub.hold.wait()
        time.sleep(stub.delay)
        if answer is None:
            self.reply(HTTPStatus.NO_CONTENT)
        else:
            self.reply(HTTPStatus.OK, json.dumps(answer).encode())

    def _refuse(self, refusal: Refusal) -> None:
        if refusal.status == HTTPStatus.UNAUTHORIZED:
            self.reply(refusal.status, b'{"message":"Unauthorized"}')
            return
        problem = {
            "type": f"urn:loupe:problem:{refusal.slug}",
            "status": refusal.status,
            "detail": refusal.detail,
        }
        self.reply(refusal.status, json.dumps(problem).encode(), "application/problem+json")


class _CloudHandler(_Handler):
    common_headers: ClassVar = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "*"}

    def do_OPTIONS(self) -> None:
        self.reply(HTTPStatus.NO_CONTENT)

    def do_GET(self) -> None:
        if self.cut():
            return
        name = unquote(urlsplit(self.path).path.removeprefix("/images/"))
        content = self.server.stub.image(name)
        if content is None:
            self.reply(HTTPStatus.FORBIDDEN)
        else:
            self.reply(HTTPStatus.OK, content, "image/png", Cache_Control="no-store")

    def do_POST(self) -> None:
        body = self.read_body()
        if self.cut():
            return
        action = self.headers["X-Amz-Target"].removeprefix("AWSCognitoIdentityProviderService.")
        try:
            answer = self.server.stub.cognito(action, body)
        except Refusal as refusal:
            error = {"__type": refusal.slug, "message": refusal.detail}
            self.reply(refusal.status, json.dumps(error).encode(), "application/x-amz-json-1.1")
            return
        self.reply(HTTPStatus.OK, json.dumps(answer).encode(), "application/x-amz-json-1.1")
