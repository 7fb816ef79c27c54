"""Serving processes: started from a model's archive, watched until healthy, called, stopped."""

from __future__ import annotations

import http.client
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.home import HOST, REGION, inherited_environment
from local.sagemaker import script_mode
from local.sagemaker.builtin import serving as builtin_serving
from local.sagemaker.builtin.algorithms import Algorithm, algorithm_of
from local.sagemaker.children import guarded, kill
from local.sagemaker.platform import Platform, Storage, StorageError

_ANSWER_WITHIN = 60.0
_HEALTHY_WITHIN = 240.0
_STOP_GRACE = 5.0
_TICK = 0.05
_LOG_EVERY = 1.0


class ContainerError(Exception):
    """The process did not become healthy, or broke off a request; the text is for people."""


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    content_type: str


class Container:
    """One serving process. `definition` is a ContainerDefinition of CreateModel."""

    def __init__(self, work: Path, platform: Platform, write_log: Callable[[list[str]], None]) -> None:
        self._folder = work / uuid.uuid4().hex
        self._platform = platform
        self._write_log = write_log
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._port: int | None = None
        self._last: deque[str] = deque(maxlen=15)

    def start(self, definition: dict[str, Any], role_arn: str, session_name: str) -> None:
        """Return once it is healthy. Raises ContainerError, and leaves nothing running then."""
        try:
            self._fetch(definition, role_arn, session_name)
        except ContainerError:
            self.stop()
            raise
        self._start(definition.get("Environment", {}), algorithm_of(definition.get("Image", "")))

    def start_unpacked(self, model: Path, environment: dict[str, str]) -> None:
        """The same for a model that lies in a folder of this machine."""
        shutil.copytree(model, self._folder / "model")
        self._start(environment)

    def _start(self, environment: dict[str, str], algorithm: Algorithm | None = None) -> None:
        options = []
        if algorithm is not None:
            environment = {**environment, **builtin_serving.ENVIRONMENT}
            options = ["--algorithm", algorithm.name]
        try:
            self._launch(environment, options)
            self._wait_until_healthy()
        except ContainerError:
            self.stop()
            raise

    def _fetch(self, definition: dict[str, Any], role_arn: str, session_name: str) -> None:
        archive = self._folder / "model.tar.gz"
        try:
            storage = Storage(self._platform, role_arn, session_name)
            storage.download(definition["ModelDataUrl"], archive)
            script_mode.unpack(archive, self._folder / "model")
        except (StorageError, script_mode.ScriptError) as error:
            raise ContainerError(f"Failed to fetch the model data: {error}") from error
        archive.unlink()

    def _launch(self, environment: dict[str, str], options: list[str]) -> None:
        variables = inherited_environment() | {"PYTHONUNBUFFERED": "1", "AWS_REGION": REGION}
        variables |= {"SAGEMAKER_BASE_DIR": str(self._folder)} | environment
        model, port_file = str(self._folder / "model"), str(self._folder / "port")
        self._process = subprocess.Popen(
            guarded(
                [
                    sys.executable,
                    "-m",
                    "local.sagemaker.container",
                    "--model-dir",
                    model,
                    "--port-file",
                    port_file,
                    *options,
                ]
            ),
            cwd=Path(__file__).parents[2],
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._reader = threading.Thread(target=self._read_output, args=(self._process,), daemon=True)
        self._reader.start()

    def _read_output(self, process: subprocess.Popen[bytes]) -> None:
        unwritten: list[str] = []
        written_at = 0.0
        assert process.stdout is not None  # noqa: S101 - opened as a pipe
        for raw in process.stdout:
            line = raw.decode(errors="replace").rstrip()
            self._last.append(line)
            unwritten.append(line or " ")
            if time.monotonic() - written_at > _LOG_EVERY:
                self._write_log(unwritten)
                unwritten, written_at = [], time.monotonic()
        if unwritten:
            self._write_log(unwritten)

    def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + _HEALTHY_WITHIN
        port_file = self._folder / "port"
        while time.monotonic() < deadline:
            if not self.is_running():
                if self._reader is not None:
                    self._reader.join(_STOP_GRACE)
                said = next((line for line in reversed(self._last) if line), "nothing")
                raise ContainerError(
                    "The primary container for production variant did not pass the ping health check. "
                    f"It ended and said: {said}"
                )
            if port_file.exists():
                self._port = int(port_file.read_text(encoding="utf-8"))
                if self._request("GET", "/ping", b"", {}).status == http.client.OK:
                    return
            time.sleep(_TICK)
        raise ContainerError(
            "The primary container for production variant did not pass the ping health check "
            f"within {_HEALTHY_WITHIN:.0f} s"
        )

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def invoke(self, body: bytes, headers: dict[str, str], *, within: float = _ANSWER_WITHIN) -> Answer:
        """Raises ContainerError if no answer comes within that many seconds."""
        return self._request("POST", "/invocations", body, headers, within)

    def _request(
        self, method: str, path: str, body: bytes, headers: dict[str, str], within: float = _ANSWER_WITHIN
    ) -> Answer:
        connection = http.client.HTTPConnection(HOST, self._port, timeout=within)
        try:
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            content_type = response.getheader("Content-Type", "application/octet-stream")
            return Answer(response.status, response.read(), content_type)
        except (OSError, http.client.HTTPException) as error:
            raise ContainerError(f"The container did not answer: {error}") from error
        finally:
            connection.close()

    def stop(self) -> None:
        """End the process and remove its files."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_GRACE)
            except subprocess.TimeoutExpired:
                kill(self._process)
                self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
