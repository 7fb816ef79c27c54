import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from cli.errors import CommandFault
from cli.localcloud import SOURCES, Deployer, fingerprint, seed_worker
from cli.session import Connection
from cli.target import read_worker
from local.launcher import LocalCloudStatus
from tests.unit.cli.conftest import Loupe
from tests.unit.cli.fake_stack import FakeStack


class Recorder:
    """Notes what it is asked to run; all of it succeeds until `code` says otherwise."""

    def __init__(self) -> None:
        self.commands: list[Sequence[str]] = []
        self.environment: Mapping[str, str] = {}
        self.code = 0

    def __call__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> int:
        self.commands.append(command)
        self.environment = environment
        log.write_text("line\n" * 100 + "the cause\n")
        return self.code


@pytest.fixture
def cloud(tmp_path: Path) -> LocalCloudStatus:
    (tmp_path / "logs").mkdir()
    return LocalCloudStatus(
        tmp_path,
        running=True,
        port=4704,
        pid=1,
        endpoint_url="http://127.0.0.1:4704",
        log=tmp_path / "logs" / "cloud.log",
        environment={"AWS_ENDPOINT_URL": "http://127.0.0.1:4704"},
    )


def test_builds_and_deploys_with_the_addresses_of_this_cloud(cloud: LocalCloudStatus) -> None:
    run = Recorder()
    assert Deployer(cloud, run).deploy(stack_exists=False)
    build, deploy = run.commands
    assert build[1] == "build"
    assert "ApiGatewayEndpoint=http://127.0.0.1:4704" in deploy
    assert run.environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4704"


def test_does_not_deploy_the_same_twice_unless_the_stack_is_gone(cloud: LocalCloudStatus) -> None:
    run = Recorder()
    Deployer(cloud, run).deploy(stack_exists=False)
    assert not Deployer(cloud, run).deploy(stack_exists=True)
    assert len(run.commands) == 2
    assert Deployer(cloud, run).deploy(stack_exists=False)


def test_a_failed_deployment_shows_the_end_of_its_log_and_is_tried_again(cloud: LocalCloudStatus) -> None:
    run = Recorder()
    run.code = 1
    with pytest.raises(CommandFault, match="the cause"):
        Deployer(cloud, run).deploy(stack_exists=False)
    run.code = 0
    assert Deployer(cloud, run).deploy(stack_exists=True)


def test_the_fingerprint_changes_with_content_names_and_port(tmp_path: Path) -> None:
    for name in SOURCES:
        source = tmp_path / name
        if "." in name:
            source.write_text(name)
        else:
            source.mkdir()
            (source / "a.py").write_text(name)
    seen = {fingerprint(4704, tmp_path), fingerprint(4705, tmp_path)}
    (tmp_path / "web" / "a.py").write_text("other")
    seen.add(fingerprint(4704, tmp_path))
    shutil.move(tmp_path / "web" / "a.py", tmp_path / "web" / "b.py")
    seen.add(fingerprint(4704, tmp_path))
    assert len(seen) == 4
    (tmp_path / "web" / "__pycache__").mkdir()
    (tmp_path / "web" / "__pycache__" / "b.pyc").write_text("compiled")
    assert fingerprint(4704, tmp_path) in seen


def test_the_seeded_worker_keeps_their_password(stack: FakeStack, tmp_path: Path) -> None:
    first = seed_worker(Connection(stack), tmp_path)
    again = seed_worker(Connection(stack, read_worker(tmp_path)), tmp_path)
    assert first == again
    assert stack.passwords[first.name] == first.password
    assert stack.roles[first.name] == "releaser"
    assert (tmp_path / "worker.json").stat().st_mode & 0o077 == 0


def test_status_and_down_without_a_local_cloud(loupe: Loupe) -> None:
    assert "No local cloud runs" in loupe("local", "status").stdout
    assert json.loads(loupe("local", "down", "--json").stdout) == {"stopped": False}
