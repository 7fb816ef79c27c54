"""A project of handwritten digits in a deployed stack, and the steps by which tests turn its loop."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import chain, zip_longest
from secrets import token_hex
from typing import Any

from click.testing import CliRunner

from cli.digits import SIDE, Digit, load_digits
from cli.errors import ApiProblem
from cli.main import cli
from cli.stack import Champion, ProjectStatus, Training
from loupe.adapters.objects import S3Objects
from loupe.domain.events import SOURCE, Event
from loupe.domain.label_values import Box, Boxes, LabelValue, OneLabel, SeveralLabels
from loupe.domain.manifests import SHA256, read_rows
from loupe.domain.projects import TaskType
from loupe.domain.workspace import Workspace
from tests.local.deployment import QUICK_TRAINING, Deployment
from tests.local.waiting import eventually

LABELS = ("0", "1", "2")
EVEN = "even"
"""A further label of digits, where an image may have several."""


@cache
def digits() -> tuple[Digit, ...]:
    """Scans of the labels, which take turns."""
    by_label = [[digit for digit in load_digits() if digit.label == label] for label in LABELS]
    return tuple(digit for digit in chain.from_iterable(zip_longest(*by_label)) if digit)


def value_of(label: str, task: TaskType) -> LabelValue:
    """What there is to say of an image of a digit."""
    match task:
        case "image-classification":
            return OneLabel(label)
        case "multi-label-classification":
            return SeveralLabels((label, EVEN) if int(label) % 2 == 0 else (label,))
        case "bounding-box":
            return Boxes((Box(label, 8, 8, SIDE - 16, SIDE - 16),))


@dataclass(frozen=True)
class Execution:
    """One execution of train_and_deploy. `output` is what it succeeded with."""

    arn: str
    status: str
    error: str | None
    cause: str | None
    output: Mapping[str, Any]

    @property
    def has_ended(self) -> bool:
        return self.status != "RUNNING"


@dataclass
class DigitProject:
    """One project. Each batch that it drops has digits that were in none before. Of several labels a digit
    has its own and, if so, that it is even; its box is in the middle of the image."""

    deployment: Deployment
    name: str = field(default_factory=lambda: f"digits-{token_hex(3)}")
    batch_size: int = 24
    task: TaskType = "image-classification"
    training: Mapping[str, Any] = field(default_factory=lambda: {"hyperparameters": QUICK_TRAINING})
    hosting: Mapping[str, Any] = field(default_factory=dict)
    dropped: int = 0
    labels: dict[str, str] = field(default_factory=dict)
    """What each dropped key shows."""

    @cached_property
    def workspace(self) -> S3Objects:
        return S3Objects(self.deployment.client("s3"), self.deployment.outputs["WorkspaceBucket"])

    @property
    def keys(self) -> Workspace:
        return Workspace(self.name)

    @property
    def label_names(self) -> tuple[str, ...]:
        """What project.yaml names."""
        return (*LABELS, EVEN) if self.task == "multi-label-classification" else LABELS

    @property
    def status(self) -> ProjectStatus:
        return self.deployment.stack.status(self.name)

    @property
    def champion(self) -> Champion:
        """The model in service; there has to be one."""
        champion = self.status["champion"]
        assert champion is not None
        return champion

    # Steps ------------------------------------------------------------------------------------------

    def configure(
        self,
        hyperparameters: Mapping[str, str] | None = None,
        promotion: Mapping[str, Any] | None = None,
        *,
        suggest: bool = False,
    ) -> None:
        """Write project.yaml, and return when the stack has read it. By default any candidate is promoted:
        what these trainings learn differs by chance."""
        self.deployment.configure(
            self.name,
            self.label_names,
            self.task,
            labeling={"batch_size": self.batch_size, "suggest": suggest},
            training={
                **self.training,
                "hyperparameters": {**self.training.get("hyperparameters", {}), **(hyperparameters or {})},
            },
            hosting=self.hosting,
            promotion=promotion or {"min_gain": -1},
        )
        bucket, key = self.deployment.outputs["RawDataBucket"], f"{self.name}/project.yaml"
        etag = self.deployment.client("s3").head_object(Bucket=bucket, Key=key)["ETag"].strip('"')
        eventually(lambda: self._etag_of_known_configuration() == etag, "project.yaml to be read")

    def drop(self, count: int) -> list[str]:
        """Drop that many new digits; returns their keys."""
        batch = digits()[self.dropped : self.dropped + count]
        self.dropped += count
        for digit in batch:
            self.labels[f"{self.name}/{digit.name}"] = digit.label
            self.deployment.drop(f"{self.name}/{digit.name}", digit.png())
        return [f"{self.name}/{digit.name}" for digit in batch]

    def label(self, count: int) -> None:
        """Answer that many tasks, in one job or several, as they become free."""
        answered = 0

        def answer_some() -> bool:
            nonlocal answered
            answered += self.deployment.label_all(self.name, self.value_of)
            return answered >= count

        eventually(answer_some, f"{count} tasks")

    def value_of(self, key: str) -> LabelValue:
        """The right answer for an image that was dropped."""
        return value_of(self.labels[key], self.task)

    def turn(self, count: int = 0) -> Training:
        """One whole turn of the loop with a batch of new digits; returns what came of it."""
        before = self.last_training
        self.drop(count or self.batch_size)
        self.label(count or self.batch_size)
        return self.next_training(before)

    def next_training(self, before: Training | None) -> Training:
        """What came of the training after that one, when its execution has ended, too."""

        def concluded() -> Training | None:
            status = self.status
            training = status["last_training"]
            if training is None or (before and training["execution"] == before["execution"]):
                return None
            return training if training["ended_at"] and not status["training_since"] else None

        training = eventually(concluded, "the end of a training")
        self.await_executions()
        return training

    def await_champion(self, version: str | None) -> None:
        """Return when that model is the champion."""

        def is_champion() -> bool:
            champion = self.status["champion"]
            return champion is not None and champion["version"] == version

        eventually(is_champion, f"model {version} to be the champion")

    @property
    def last_training(self) -> Training | None:
        try:
            return self.status["last_training"]
        except ApiProblem:
            return None

    # Behind the scenes ------------------------------------------------------------------------------

    def publish(self, *events: Event) -> None:
        """Publish events of Loupe's own."""
        self.deployment.client("events").put_events(
            Entries=[
                {"Source": SOURCE, "DetailType": event.detail_type, "Detail": json.dumps(event.detail)}
                for event in events
            ]
        )

    def executions(self) -> list[Execution]:
        """Executions of train_and_deploy for this project, newest first."""
        client, machine = (
            self.deployment.client("stepfunctions"),
            self.deployment.outputs["TrainAndDeployArn"],
        )
        pages = client.get_paginator("list_executions").paginate(stateMachineArn=machine)
        arns = [execution["executionArn"] for page in pages for execution in page["executions"]]
        described = [client.describe_execution(executionArn=arn) for arn in arns]
        return [
            Execution(
                found["executionArn"],
                found["status"],
                found.get("error"),
                found.get("cause"),
                json.loads(found.get("output") or "{}"),
            )
            for found in sorted(described, key=lambda each: each["startDate"], reverse=True)
            if json.loads(found["input"])["project"] == self.name
        ]

    def await_executions(self, count: int = 0) -> list[Execution]:
        """All executions, once there are `count` at least and none works any more."""

        def ended() -> list[Execution]:
            found = self.executions()
            is_quiet = len(found) >= count and all(execution.has_ended for execution in found)
            return found if is_quiet else []

        return eventually(ended, f"{count} executions to end")

    def split(self, version: str, name: str) -> set[str]:
        """SHA-256 of the images in a split of a dataset version."""
        rows = read_rows(self.workspace.lines(self.keys.split(version, name)))
        return {row[SHA256] for row in rows}

    def evaluation(self, version: str) -> dict[str, Any]:
        """How a model was measured."""
        found: dict[str, Any] = json.loads(self.workspace.read(self.keys.evaluation(version)))
        return found

    def dataset_versions(self) -> list[str]:
        return sorted(self.workspace.list_folders(self.keys.datasets))

    def model_versions(self) -> list[str]:
        return sorted(self.workspace.list_folders(self.keys.models))

    def registered_models(self) -> list[dict[str, Any]]:
        """Model packages of the project, oldest first."""
        found: list[dict[str, Any]] = self.deployment.client("sagemaker").list_model_packages(
            ModelPackageGroupName=f"loupe-{self.name}", SortBy="CreationTime", SortOrder="Ascending"
        )["ModelPackageSummaryList"]
        return found

    def predict(self) -> dict[str, Any]:
        """The REST API's answer to a digit, which has to be one."""
        answer = self.deployment.request(
            "POST",
            f"/v1/projects/{self.name}/predictions",
            content=digits()[-1].png(),
            headers={"content-type": "image/png"},
        )
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def _etag_of_known_configuration(self) -> str | None:
        item = self.deployment.client("dynamodb").get_item(
            TableName=self.deployment.outputs["IndexTable"],
            Key={"pk": {"S": "PROJECTS"}, "sk": {"S": self.name}},
        )
        known: str | None = item.get("Item", {}).get("config_etag", {}).get("S")
        return known


@dataclass
class Caller:
    """An app that asks the endpoint again and again."""

    versions: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)


@contextmanager
def asking(project: DigitProject) -> Iterator[Caller]:
    """Have an app ask the project's endpoint meanwhile."""
    caller, enough = Caller(), threading.Event()

    def ask() -> None:
        while not enough.wait(0.1):
            try:
                caller.versions.add(project.predict()["model_version"])
            except (AssertionError, OSError) as error:
                caller.refused.append(str(error))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield caller
    finally:
        enough.set()
        thread.join()


def loupe(project: DigitProject, *arguments: str) -> str:
    """What the command prints, on one line, as wide as it likes."""
    cloud = project.deployment.cloud
    options = ["--home", str(cloud.home), "--port", str(cloud.port), "--local"]
    result = CliRunner().invoke(cli, [*options, *arguments], env={"COLUMNS": "500"})
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())
