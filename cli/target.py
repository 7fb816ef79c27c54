"""Which stack the command talks to: the local cloud of LOUPE_HOME, or one on AWS."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError

from cli.aws_stack import CREDENTIALS_HINT, AwsStack
from cli.console import err
from cli.errors import CommandFault
from cli.session import Connection, WorkerCredentials
from local.launcher import LocalCloudStatus, status

LOCAL_STACK = "loupe"
WORKER_FILE = "worker.json"


@dataclass(frozen=True)
class WantedStack:
    """What the user asked for; None where they left it open."""

    stack: str | None
    local: bool | None
    profile: str | None
    region: str | None


def connect(wanted: WantedStack, home: Path, look: Callable[[Path], LocalCloudStatus] = status) -> Connection:
    """The stack that was asked for.

    A running local cloud is taken unless the user pointed elsewhere: `--aws`, a profile, a region, another
    stack's name, or an endpoint in the environment. Raises CommandFault.
    """
    cloud = look(home)
    if wanted.local is None:
        local = cloud.running and not _points_elsewhere(wanted)
        _say_which(local, cloud, wanted)
    else:
        local = wanted.local
    if not local:
        return Connection(_on_aws(wanted))
    if not cloud.running:
        raise CommandFault(f"No local cloud runs in {home}.", "`make up` (or `loupe local up`) starts it.")
    return connect_locally(cloud, wanted.stack or LOCAL_STACK)


def connect_locally(cloud: LocalCloudStatus, stack: str = LOCAL_STACK) -> Connection:
    """The stack in a local cloud that runs."""
    environment = cloud.environment
    session = boto3.Session(
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_REGION"],
    )
    return Connection(AwsStack(session, stack, cloud.endpoint_url), read_worker(cloud.home))


def read_worker(home: Path) -> WorkerCredentials | None:
    """The worker that the local cloud of `home` was seeded with."""
    file = home / WORKER_FILE
    if not file.exists():
        return None
    content = json.loads(file.read_text())
    return WorkerCredentials(content["worker"], content["password"])


def _on_aws(wanted: WantedStack) -> AwsStack:
    try:
        session = boto3.Session(profile_name=wanted.profile, region_name=wanted.region)
    except BotoCoreError as error:
        raise CommandFault(str(error), CREDENTIALS_HINT) from error
    return AwsStack(session, wanted.stack or LOCAL_STACK)


def _points_elsewhere(wanted: WantedStack) -> bool:
    other_stack = wanted.stack is not None and wanted.stack != LOCAL_STACK
    return bool(other_stack or wanted.profile or wanted.region or os.environ.get("AWS_ENDPOINT_URL"))


def _say_which(local: bool, cloud: LocalCloudStatus, wanted: WantedStack) -> None:
    """A remark where both could have been meant."""
    if not cloud.running:
        return
    if not local:
        err().print(
            f"Using the stack {wanted.stack or LOCAL_STACK} on AWS (--local for the local cloud).",
            style="dim",
        )
    elif os.environ.get("AWS_PROFILE") or os.environ.get("AWS_ACCESS_KEY_ID"):
        err().print(f"Using the local cloud in {cloud.home} (--aws for AWS).", style="dim")
