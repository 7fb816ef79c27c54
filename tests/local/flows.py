"""What the tests of ingest, labeling and the portal do with a deployed stack, beside `Deployment` itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx

from cli.stack import ProjectStatus
from loupe.domain.workspace import Workspace
from tests.local.deployment import Deployment
from tests.local.waiting import eventually

Json = dict[str, Any]

EVENTS = Path(__file__).parents[2] / "events"
NO_TRAINING = {"min_new_labels": 100_000}
"""For `training` of projects that shall be labeled and nothing more."""
A_LONG_WAIT = {"batch_size": 1000, "max_wait_minutes": 10_000}
"""For `labeling` of projects whose images shall stay pending."""
PASSWORD = "correct horse battery staple"


def new_project(topic: str) -> str:
    """A name that no project has yet, whichever tests ran before in this cloud."""
    return f"{topic}-{uuid4().hex[:6]}"


# Events ---------------------------------------------------------------------------------------------


def object_created(deployment: Deployment, key: str) -> Json:
    """The event that S3 sends about an object of the raw-data bucket."""
    event: Json = json.loads((EVENTS / "ObjectCreated.json").read_text())
    event["detail"]["bucket"]["name"] = deployment.outputs["RawDataBucket"]
    event["detail"]["object"]["key"] = key
    return event


def send_to_ingest(deployment: Deployment, bodies: list[str]) -> None:
    """Put messages into the ingest queue."""
    sqs, queue = deployment.client("sqs"), deployment.outputs["IngestQueueUrl"]
    for at in range(0, len(bodies), 10):
        entries = [
            {"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies[at : at + 10])
        ]
        answer = sqs.send_message_batch(QueueUrl=queue, Entries=entries)
        assert not answer.get("Failed")


def wait_for_empty_queue(deployment: Deployment) -> None:
    """Wait until all messages of the ingest queue have been worked off."""
    sqs, queue = deployment.client("sqs"), deployment.outputs["IngestQueueUrl"]
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]

    def is_empty() -> bool:
        attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
        return all(attributes[name] == "0" for name in names)

    eventually(is_empty, "an empty ingest queue", 60)


def look_at(deployment: Deployment, *keys: str) -> None:
    """Have these objects registered as they are now, whether or not their own events have come."""
    records = [
        {"messageId": str(number), "body": json.dumps(object_created(deployment, key))}
        for number, key in enumerate(keys)
    ]
    assert invoke(deployment, "RegisterImagesFunction", {"Records": records}) == {"batchItemFailures": []}


def invoke(deployment: Deployment, function: str, event: Json) -> Any:
    """What a function of the template, named as there, returns for an event."""
    described = deployment.client("cloudformation").describe_stack_resource(
        StackName="loupe", LogicalResourceId=function
    )
    name = described["StackResourceDetail"]["PhysicalResourceId"]
    answer = deployment.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event).encode())
    content = answer["Payload"].read()
    assert "FunctionError" not in answer, content
    return json.loads(content)


class Listener:
    """A queue of its own that gets a copy of each event that a pattern matches."""

    def __init__(self, deployment: Deployment, queue: str) -> None:
        self._sqs = deployment.client("sqs")
        self._queue = queue
        self._heard: list[str] = []

    def heard(self) -> list[str]:
        """All events so far, as JSON texts, in the order in which they came."""
        while messages := self._sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10).get(
            "Messages", []
        ):
            for message in messages:
                self._heard.append(message["Body"])
                self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
        return self._heard

    def wait_for(self, number: int) -> list[str]:
        """All events, once there are so many."""
        return eventually(lambda: self.heard() if len(self.heard()) >= number else [], f"{number} events")


@contextmanager
def listening(deployment: Deployment, pattern: Json) -> Iterator[Listener]:
    """A listener to the default event bus."""
    events, sqs = deployment.client("events"), deployment.client("sqs")
    name = new_project("listener")
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    arn = attributes["QueueArn"]
    rule = events.put_rule(Name=name, EventPattern=json.dumps(pattern))["RuleArn"]
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps(policy)})
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
    try:
        yield Listener(deployment, queue)
    finally:
        events.remove_targets(Rule=name, Ids=["queue"])
        events.delete_rule(Name=name)
        sqs.delete_queue(QueueUrl=queue)


# Labeling -------------------------------------------------------------------------------------------


class Portal:
    """The portal's API as one worker's HTTP requests, none of which is repeated."""

    def __init__(self, deployment: Deployment, worker: str) -> None:
        deployment.stack.create_worker(worker, PASSWORD)
        answer = deployment.client("cognito-idp").initiate_auth(
            AuthFlow="USER_PASSWORD_AUTH",
            ClientId=deployment.outputs["UserPoolClientId"],
            AuthParameters={"USERNAME": worker, "PASSWORD": PASSWORD},
        )
        token = answer["AuthenticationResult"]["IdToken"]
        self._http = httpx.Client(
            base_url=f"{deployment.outputs['ApiUrl']}/portal/api/",
            headers={"Authorization": token},
            timeout=60,
        )

    def lease(self, project: str, count: int) -> list[Json]:
        """Tasks that this worker has now, at most `count`."""
        answer = self._http.post(f"projects/{project}/leases", json={"count": count})
        assert answer.status_code == 200, answer.text
        tasks: list[Json] = answer.json()["tasks"]
        return tasks

    def answer(self, project: str, task: Json, **said: Any) -> httpx.Response:
        """Answer a task: `label` or `skip`, and `lease`."""
        path = f"projects/{project}/jobs/{quote(task['job'])}/tasks/{quote(task['task'])}/annotation"
        return self._http.put(path, json=said)

    def workers(self, project: str) -> Json:
        """How each worker of the project does."""
        answer = self._http.get(f"projects/{project}/workers")
        assert answer.status_code == 200, answer.text
        told: Json = answer.json()
        return told


def open_job(deployment: Deployment, project: str, tasks: int) -> None:
    """Wait for a job of exactly so many tasks."""
    status = deployment.wait_for(project, lambda status: any(map(is_open, status["jobs"])), 60)
    assert [job["tasks"] for job in status["jobs"]] == [tasks]


def is_open(job: Any) -> bool:
    return bool(job["state"] == "open")


def finished_job(deployment: Deployment, project: str) -> str:
    """The name of the project's only job, once it is finished."""
    status = deployment.wait_for(project, lambda status: status["jobs"][0]["state"] == "finished", 60)
    [job] = status["jobs"]
    return job["job"]


def output_manifest(deployment: Deployment, project: str, job: str) -> list[Json]:
    """Rows of a finished job's output manifest."""
    text = read_workspace(deployment, Workspace(project).output_manifest(job)).decode()
    assert text.endswith("\n")
    return [json.loads(line) for line in text[:-1].split("\n")]


def read_workspace(deployment: Deployment, key: str) -> bytes:
    bucket = deployment.outputs["WorkspaceBucket"]
    content: bytes = deployment.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return content


def key_of(deployment: Deployment, row: Json) -> str:
    """The raw-data bucket's key that a manifest's row names."""
    root = f"s3://{deployment.outputs['RawDataBucket']}/"
    source: str = row["source-ref"]
    assert source.startswith(root)
    return source.removeprefix(root)


def pending(number: int) -> Callable[[ProjectStatus], bool]:
    """A condition for `Deployment.wait_for`: exactly so many images wait for a job."""
    return lambda status: status["images"]["pending"] == number


def problem(answer: httpx.Response) -> tuple[int, str]:
    """Status and name of a problem document."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    document = answer.json()
    assert document["status"] == answer.status_code
    assert document["title"]
    assert document["detail"]
    return answer.status_code, document["type"].removeprefix("urn:loupe:problem:")
