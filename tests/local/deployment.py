"""The repository's stack in a local cloud, and what the tests of whole flows do with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3
import httpx

from cli.errors import ApiProblem
from cli.localcloud import Deployer, seed_worker
from cli.stack import PortalSession, ProjectStatus, Stack
from cli.target import connect_locally
from local import launcher
from loupe.domain.label_values import LabelValue
from loupe.domain.projects import TaskType
from tests.local.waiting import PATIENCE, until

if TYPE_CHECKING:
    from tests.local.conftest import LocalCloud

QUICK_TRAINING = {"epochs": "2", "image-size": "32"}
"""Hyperparameters for tests that need a model, not a good one."""


@dataclass(frozen=True)
class Deployment:
    """One deployed stack. `stack` is what the command talks through; clients are an administrator's."""

    cloud: LocalCloud

    @classmethod
    def of(cls, cloud: LocalCloud) -> Deployment:
        """Deploy into the cloud, as `loupe local up` does, unless these sources are in it already."""
        status = launcher.status(cloud.home)
        Deployer(status).deploy(stack_exists=connect_locally(status).stack.exists())
        seed_worker(connect_locally(status), cloud.home)
        return cls(cloud)

    @cached_property
    def stack(self) -> Stack:
        return connect_locally(launcher.status(self.cloud.home)).stack

    @cached_property
    def outputs(self) -> dict[str, str]:
        """The stack's outputs by name."""
        [described] = self.client("cloudformation").describe_stacks(StackName="loupe")["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}

    def client(self, service: str) -> Any:
        session: boto3.Session = self.cloud.session()
        return session.client(service, endpoint_url=self.cloud.endpoint_url)  # type: ignore[call-overload]

    def configure(
        self,
        project: str,
        labels: Sequence[str],
        task: TaskType = "image-classification",
        **sections: Mapping[str, Any],
    ) -> None:
        """Write project.yaml; JSON is YAML."""
        config = {"task": task, "labels": labels, **sections}
        self.stack.write_configuration(project, json.dumps(config))

    def drop(self, key: str, content: bytes) -> None:
        """Put an object into the raw-data bucket."""
        bucket = self.outputs["RawDataBucket"]
        self.client("s3").put_object(Bucket=bucket, Key=key, Body=content)

    def worker(self) -> PortalSession:
        """The seeded worker, signed in."""
        seeded = connect_locally(launcher.status(self.cloud.home)).seeded_worker
        assert seeded is not None
        return self.stack.sign_in(seeded.name, seeded.password)

    def label_all(self, project: str, value_of: Callable[[str], LabelValue]) -> int:
        """Answer every open task; `value_of` gets the object's key. Returns how many were answered."""
        worker, answered = self.worker(), 0
        while tasks := worker.lease(project, 20)["tasks"]:
            for task in tasks:
                value = value_of(task["image"]["name"])
                worker.annotate(project, task["job"], task["task"], value, 0)
                answered += 1
        return answered

    def request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """A request to the inference API with its key, unless `headers` say otherwise."""
        headers = {"x-api-key": self.stack.api_key(), **arguments.pop("headers", {})}
        return httpx.request(method, self.outputs["ApiUrl"] + path, headers=headers, timeout=60, **arguments)

    @cached_property
    def id_token(self) -> str:
        """The seeded worker's."""
        seeded = connect_locally(launcher.status(self.cloud.home)).seeded_worker
        assert seeded is not None
        return self.id_token_of(seeded.name, seeded.password)

    def id_token_of(self, worker: str, password: str) -> str:
        """A worker's ID token, of a new sign-in."""
        answer = self.client("cognito-idp").initiate_auth(
            AuthFlow="USER_PASSWORD_AUTH",
            ClientId=self.outputs["UserPoolClientId"],
            AuthParameters={"USERNAME": worker, "PASSWORD": password},
        )
        return str(answer["AuthenticationResult"]["IdToken"])

    def portal_request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """A request to the portal's API as the seeded worker, unless `headers` say otherwise."""
        headers = {"authorization": self.id_token, **arguments.pop("headers", {})}
        url = f"{self.outputs['ApiUrl']}/portal/api{path}"
        return httpx.request(method, url, headers=headers, timeout=60, **arguments)

    def wait_for(
        self, project: str, condition: Callable[[ProjectStatus], bool], seconds: float = PATIENCE
    ) -> ProjectStatus:
        """The project's status once `condition` holds for it; fails with what was seen last."""
        status = until(
            lambda: self._status(project),
            lambda status: status is not None and condition(status),
            f"the project {project}",
            seconds,
        )
        assert status is not None
        return status

    def _status(self, project: str) -> ProjectStatus | None:
        """None while no event has told of the project."""
        try:
            return self.stack.status(project)
        except ApiProblem as problem:
            if problem.status != 404:
                raise
            return None
