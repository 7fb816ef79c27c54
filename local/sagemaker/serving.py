"""Serving processes: started from a model's archive, watched until healthy, called, stopped."""

from __future__ import annotations

import http.client
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.home import HOST, REGION
from local.sagemaker import script_mode
from local.sagemaker.builtin import serving as builtin_serving
from local.sagemaker.builtin.algorithms import Algorithm, algorithm_of
from local.sagemaker.children import OutputReader, kill, start_guarded
from local.sagemaker.platform import Platform, Storage, StorageError

_ANSWER_WITHIN = 60.0
_HEALTHY_WITHIN = 240.0
_STOP_GRACE = 5.0
_TICK = 0.05


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
        self._output: OutputReader | None = None
        self._port: int | None = None

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
        command = [sys.executable, "-m", "local.sagemaker.container"]
        command += ["--model-dir", str(self._folder / "model")]
        command += ["--port-file", str(self._folder / "port"), *options]
        variables = {"PYTHONUNBUFFERED": "1", "AWS_REGION": REGION, "SAGEMAKER_BASE_DIR": str(self._folder)}
        self._process = start_guarded(command, Path(__file__).parents[2], variables | environment)
        self._output = OutputReader(self._process, self._write_log)

    def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + _HEALTHY_WITHIN
        port_file = self._folder / "port"
        while time.monotonic() < deadline:
            if not self.is_running():
                raise ContainerError(
                    "The primary container for production variant did not pass the ping health check. "
                    f"It ended and said: {self._last_words()}"
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

    def _last_words(self) -> str:
        if self._output is None:
            return "nothing"
        self._output.join(_STOP_GRACE)
        lines = (line.strip() for line in reversed(self._output.last_lines()))
        return next(filter(None, lines), "nothing")

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
