"""One local cloud with the stack in it, for all benchmarks of one run that want it."""

import atexit
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from cli import localcloud
from cli.session import Session, WorkerCredentials
from cli.target import connect_locally
from local import launcher
from local.home import REGION
from local.launcher import LocalCloudStatus
from loupe.adapters.table import IndexTable

_CONFIG = Config(max_pool_connections=32, retries={"mode": "standard", "max_attempts": 5})


@dataclass(frozen=True)
class Cloud:
    """A local cloud that runs. `session` is the command's; clients are the administrator's."""

    status: LocalCloudStatus
    session: Session

    @property
    def pid(self) -> int:
        assert self.status.pid is not None
        return self.status.pid

    @property
    def build(self) -> Path:
        """What `sam build` made."""
        return self.status.home / "build"

    @cached_property
    def outputs(self) -> Mapping[str, str]:
        """The stack's outputs by name."""
        [described] = self.client("cloudformation").describe_stacks(StackName="loupe")["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}

    @cached_property
    def table(self) -> IndexTable:
        return IndexTable(self.client("dynamodb"), self.outputs["IndexTable"])

    def client(self, service: str) -> Any:
        return self._boto3.client(  # type: ignore[call-overload]
            service, endpoint_url=self.status.endpoint_url, config=_CONFIG
        )

    @cached_property
    def _boto3(self) -> boto3.Session:
        keys = self.status.environment
        return boto3.Session(keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"], region_name=REGION)

    def function(self, logical_id: str) -> dict[str, Any]:
        """The configuration of a deployed function."""
        resource = self.client("cloudformation").describe_stack_resource(
            StackName="loupe", LogicalResourceId=logical_id
        )["StackResourceDetail"]
        found: dict[str, Any] = self.client("lambda").get_function_configuration(
            FunctionName=resource["PhysicalResourceId"]
        )
        return found

    def configure(self, project: str, labels: list[str], batch_size: int) -> None:
        """Write the project's project.yaml; JSON is YAML."""
        config = {
            "task": "image-classification",
            "labels": labels,
            "labeling": {"batch_size": batch_size},
        }
        self.session.stack.write_configuration(project, json.dumps(config))

    def id_token(self, worker: WorkerCredentials) -> str:
        """What a worker shows to the portal after signing in."""
        answer = self.client("cognito-idp").initiate_auth(
            AuthFlow="USER_PASSWORD_AUTH",
            ClientId=self.outputs["UserPoolClientId"],
            AuthParameters={"USERNAME": worker.name, "PASSWORD": worker.password},
        )
        token: str = answer["AuthenticationResult"]["IdToken"]
        return token


@cache
def deployed() -> Cloud:
    """Starts it and deploys the stack at the first call. It ends with this process, and nothing stays."""
    home = Path(tempfile.mkdtemp(prefix="loupe-benchmarks-"))
    atexit.register(_remove, home)
    session = Session(lambda: connect_locally(launcher.status(home)), home, launcher.free_port())
    status, _ = localcloud.start(session, detach=False)
    return Cloud(status, session)


def _remove(home: Path) -> None:
    launcher.down(home)
    shutil.rmtree(home, ignore_errors=True)
