"""A local cloud for tests of whole flows: its own folder and port, started once a session."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import boto3
import pytest

from local import launcher
from local.home import REGION
from tests.local.deployment import Deployment
from tests.local.digit_project import DigitProject
from tests.local.waiting import eventually

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In several test processes each has a cloud of its own. What takes long to set up is set up in one: the
    project that `in_service` gives, and whatever the tests of a file share. Where a test's time goes into
    waiting, `eventually` ends it and says for what."""
    for item in items:
        if item.path.parent == HERE and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(900))
        has_project = "in_service" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("in_service" if has_project else item.path.name))


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

    def wait_until_saved(self) -> None:
        """Return when all that was answered so far survives a `kill`: what is no object takes seconds."""
        marker = f"saved-{uuid4().hex}"
        sqs = self.session().client("sqs", endpoint_url=self.endpoint_url)
        pictures = self.home / "state" / "current"

        def is_saved() -> bool:
            sqs.create_queue(QueueName=marker)  # each time: the state is saved after requests only
            with contextlib.suppress(FileNotFoundError):  # a picture may be replaced while it is read
                return marker in (pictures / "sqs.json").read_text(encoding="utf-8")
            return False

        eventually(is_saved, "the state to be saved")

    def kill(self) -> None:
        """SIGKILL, as a crash or a power cut would have it."""
        pid = self._status.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not launcher.status(self.home).running, "the cloud to end")

    def restart(self) -> None:
        """Start again in the same folder, after an orderly stop if it still runs."""
        launcher.down(self.home)
        self._status = launcher.up(self.home, self.port, detach=False)

    def stop(self) -> None:
        launcher.down(self.home)


@pytest.fixture(scope="session")
def local_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    with pytest.MonkeyPatch.context() as variables:
        variables.setenv("LOUPE_REKOGNITION_EPOCHS", "8")  # enough for what tests ask of it
        cloud = LocalCloud(tmp_path_factory.mktemp("loupe-home"), launcher.free_port())
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
