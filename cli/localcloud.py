"""`loupe local`: the local cloud with this repository's stack in it."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import click
from rich.panel import Panel
from rich.table import Table

from cli.console import err, json_option, out, print_json
from cli.errors import CommandFault
from cli.session import Connection, Session, WorkerCredentials, pass_session
from cli.target import LOCAL_STACK, WORKER_FILE, connect_locally, read_worker
from cli.worker import new_password
from local import launcher
from local.home import inherited_environment
from local.launcher import LocalCloudError, LocalCloudStatus

REPOSITORY = Path(__file__).parents[1]
SOURCES = ("template.yaml", "samconfig.toml", "functions", "layers", "statemachine", "web", "trainer")
PARAMETERS = (
    "IngestConcurrency=2",
    "CreateWorkforce=true",
    "SecondsBeforeRetry=5",
    "SecondsToLetCallsEnd=5",
    "ReferredBuckets=archive,photos",
)
"""Of the stack, for one machine: a few cores are soon busy, whoever signs in at the portal is the work team
of Ground Truth jobs, nobody waits minutes for a second attempt, calls are few and short, and there are
two names for buckets to refer to."""
DEPLOYED_FILE = "deployed.json"
SEEDED_WORKER = "worker"
LOG_LINES_SHOWN = 25


class RunsCommands(Protocol):
    """Runs a program in the repository; its output goes to `log`. Returns the exit code."""

    def __call__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> int: ...


def run_command(command: Sequence[str], environment: Mapping[str, str], log: Path) -> int:
    with log.open("ab") as output:
        return subprocess.run(
            command, cwd=REPOSITORY, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False
        ).returncode


def fingerprint(port: int, root: Path = REPOSITORY) -> str:
    """A hash of all that a deployment is made from: the sources, and what the stack is told."""
    digest = hashlib.sha256(repr((port, PARAMETERS)).encode())
    for file in _source_files(root):
        digest.update(b"\0" + file.relative_to(root).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _source_files(root: Path) -> Iterator[Path]:
    for name in SOURCES:
        source = root / name
        if source.is_file():
            yield source
            continue
        for file in sorted(source.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                yield file


@dataclass(frozen=True)
class Deployer:
    """Puts the repository's stack into a local cloud, when its sources have changed since the last time."""

    cloud: LocalCloudStatus
    run: RunsCommands = run_command

    @property
    def _home(self) -> Path:
        return self.cloud.home

    @property
    def _log(self) -> Path:
        return self._home / "logs" / "deploy.log"

    def deploy(self, stack_exists: bool) -> bool:
        """Whether it had to. Raises CommandFault with the end of the log."""
        made_from = fingerprint(self._port)
        note = self._home / DEPLOYED_FILE
        if stack_exists and note.exists() and json.loads(note.read_text())["fingerprint"] == made_from:
            return False
        build = self._home / "build"
        config = ("--config-file", str(REPOSITORY / "samconfig.toml"), "--config-env", "local")
        self._log.write_bytes(b"")
        self._sam(
            "build", *config, "--template-file", str(REPOSITORY / "template.yaml"), "--build-dir", str(build)
        )
        self._sam(
            *(
                "deploy",
                *config,
                "--template-file",
                str(build / "template.yaml"),
                "--stack-name",
                LOCAL_STACK,
            ),
            *("--parameter-overrides", f"ApiGatewayEndpoint={self.cloud.endpoint_url}"),
            f"CognitoEndpoint={self.cloud.endpoint_url}/",
            *PARAMETERS,
        )
        note.write_text(json.dumps({"fingerprint": made_from}))
        return True

    @property
    def _port(self) -> int:
        if self.cloud.port is None:
            raise CommandFault(f"No local cloud runs in {self._home}.")
        return self.cloud.port

    def _sam(self, *arguments: str) -> None:
        environment = {**inherited_environment(), **self.cloud.environment}
        # The layer is built for this interpreter, which runs the functions here.
        environment |= {"PYTHON": sys.executable, "LAYER_PLATFORM": ""}
        environment["PATH"] = (
            f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', os.defpath)}"
        )
        code = self.run([str(Path(sys.executable).with_name("sam")), *arguments], environment, self._log)
        if code != 0:
            end = "\n".join(self._log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:])
            raise CommandFault(f"sam {arguments[0]} failed:\n{end}", f"All of it is in {self._log}.")


def seed_worker(connection: Connection, home: Path) -> WorkerCredentials:
    """Makes the worker of this local cloud, with the password kept in its home."""
    worker = connection.seeded_worker or WorkerCredentials(SEEDED_WORKER, new_password())
    file = home / WORKER_FILE
    if connection.seeded_worker is None:
        file.touch(mode=0o600)
        file.write_text(json.dumps({"worker": worker.name, "password": worker.password}))
    connection.stack.create_worker(worker.name, worker.password)
    connection.stack.set_role(worker.name, "releaser")
    return worker


def start(session: Session, detach: bool) -> tuple[LocalCloudStatus, Connection]:
    """The local cloud of the session's home, running, with the stack of these sources in it and a worker."""
    with err().status("Starting the local cloud") as display:
        try:
            cloud = launcher.up(session.home, session.port, detach=detach)
        except LocalCloudError as error:
            raise CommandFault(str(error)) from error
        display.update("Deploying the stack with sam build and sam deploy")
        connection = connect_locally(cloud)
        if Deployer(cloud).deploy(stack_exists=connection.stack.exists()):
            connection = connect_locally(cloud)
        display.update("Making the worker")
        seed_worker(connection, cloud.home)
        display.update("Looking after what was missed")
        try:
            connection.stack.reconcile(None)
        except CommandFault as fault:
            # The stack is up all the same, and reconcile runs again every hour.
            err().print(fault.message, style="yellow")
    return cloud, connect_locally(cloud)


@click.group("local")
def local_cloud() -> None:
    """The local cloud: the whole stack on this machine, without Docker and without an AWS account.

    LOUPE_HOME (default .loupe) is the folder that keeps its state, LOUPE_PORT (default 4566) its port.
    """


@local_cloud.command("up")
@click.option("--detach", is_flag=True, help="Return when the stack answers, and leave it running.")
@json_option
@pass_session
def up(session: Session, detach: bool, as_json: bool) -> None:
    """Start the local cloud and put the stack into it. Ctrl-C stops it; nothing is lost.

    \b
    Examples:
      loupe local up
      LOUPE_PORT=4600 LOUPE_HOME=/tmp/other loupe local up --detach
    """
    try:
        cloud, connection = start(session, detach)
        _show(cloud, connection, as_json)
        if detach:
            return
        err().print("Ctrl-C stops it.", style="dim")
        launcher.wait(session.home)
    except KeyboardInterrupt:
        launcher.down(session.home)
    except CommandFault:
        if not detach:
            launcher.down(session.home)
        raise
    err().print(f"Stopped. Everything is kept in {session.home}; the next `loupe local up` goes on with it.")


@local_cloud.command("down")
@json_option
@pass_session
def down(session: Session, as_json: bool) -> None:
    """Stop the local cloud. Nothing is lost.

    \b
    Examples:
      loupe local down
    """
    was_running = launcher.status(session.home).running
    try:
        launcher.down(session.home)
    except LocalCloudError as error:
        raise CommandFault(str(error)) from error
    if as_json:
        print_json({"stopped": was_running})
    else:
        out().print("Stopped." if was_running else f"No local cloud ran in {session.home}.")


@local_cloud.command("status")
@json_option
@pass_session
def cloud_status(session: Session, as_json: bool) -> None:
    """Show whether the local cloud runs, and how to reach it.

    \b
    Examples:
      loupe local status
    """
    cloud = launcher.status(session.home)
    connection = connect_locally(cloud) if cloud.running else None
    if connection is not None and connection.stack.exists():
        _show(cloud, connection, as_json)
    elif as_json:
        print_json({"running": cloud.running, "home": str(cloud.home)})
    elif cloud.running:
        out().print(f"The local cloud in {cloud.home} runs, without a stack. `loupe local up` deploys it.")
    else:
        out().print(f"No local cloud runs in {cloud.home}. `loupe local up` starts it.")


def _show(cloud: LocalCloudStatus, connection: Connection, as_json: bool) -> None:
    worker = read_worker(cloud.home)
    facts = {
        "portal_url": connection.stack.portal_url,
        "api_url": connection.stack.api_url,
        "api_key": connection.stack.api_key(),
        "worker": worker.name if worker else None,
        "password": worker.password if worker else None,
        "endpoint_url": cloud.endpoint_url,
        "home": str(cloud.home),
    }
    if as_json:
        print_json({"running": True, **facts})
        return
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for word, key in (
        ("Labeling portal", "portal_url"),
        ("Worker", "worker"),
        ("Password", "password"),
        ("API", "api_url"),
        ("API key", "api_key"),
        ("AWS endpoint", "endpoint_url"),
        ("State", "home"),
    ):
        grid.add_row(word, str(facts[key]))
    grid.add_row("", "")
    grid.add_row("To try", "loupe project create parts --task image-classification --label ok --label bad")
    grid.add_row("", "loupe upload parts DIR")
    grid.add_row("", "loupe open")
    grid.add_row("", "loupe status")
    out().print(Panel(grid, title="Loupe is running", expand=False))
