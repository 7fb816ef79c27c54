"""A local cloud for tests of whole flows: its own folder and port, started once a session."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from local import launcher
from local.home import REGION
from tests.local.deployment import Deployment
from tests.local.digit_project import DigitProject


class LocalCloud:
    """A running local cloud. `environment` makes subprocesses talk to it as its administrator."""

    def __init__(self, home: Path, port: int) -> None:
        self.home = home
        self.port = port
        self._status = launcher.up(home, port, detach=False)

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        return {"LOUPE_HOME": str(self.home), "LOUPE_PORT": str(self.port), **self._status.environment}

    def session(self) -> boto3.Session:
        """Clients need `endpoint_url`: `session().client("s3", endpoint_url=cloud.endpoint_url)`."""
        keys = self._status.environment
        return boto3.Session(
            aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
            region_name=REGION,
        )

    def kill(self) -> None:
        """SIGKILL, as a crash or a power cut would have it."""
        pid = self._status.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        while launcher.status(self.home).running:
            time.sleep(0.02)

    def restart(self) -> None:
        """Start again in the same folder, after an orderly stop if it still runs."""
        launcher.down(self.home)
        self._status = launcher.up(self.home, self.port, detach=False)

    def stop(self) -> None:
        launcher.down(self.home)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def local_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    cloud = LocalCloud(tmp_path_factory.mktemp("loupe-home"), free_port())
    yield cloud
    cloud.stop()


@pytest.fixture(scope="session")
def deployment(local_cloud: LocalCloud) -> Deployment:
    """The repository's stack in the session's local cloud. Each test uses projects of its own."""
    return Deployment.of(local_cloud)


@pytest.fixture(scope="session")
def in_service(deployment: Deployment) -> DigitProject:
    """A project whose loop has turned: its champion answers. Tests leave its project.yaml as it was."""
    project = DigitProject(deployment, batch_size=12)
    project.configure()
    assert project.turn()["status"] == "promoted"
    return project
