"""Lease plus answer at the labeling portal, with 1,000 and with 100,000 open tasks.

`run()` measures Loupe's own time: labeling_api's handler in this process, with storage in memory. A deployed
stack is measured by `answers_a_second`, which `python -m benchmarks.portal --api-url U --table T --token I`
calls after it has put a project with so many open tasks into the stack's index: each token is one worker, a
process with one connection that is kept alive.
"""

import argparse
import http.client
import io
import itertools
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from datetime import UTC, datetime
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

import boto3
from aws_lambda_powertools.utilities.typing import LambdaContext

from loupe import bootstrap
from loupe.adapters.labeling_index import LabelingJobIndex, TaskIndex
from loupe.adapters.projects_index import IndexedProjects
from loupe.adapters.table import IndexTable
from loupe.domain.labeling.annotation import LabelingPortal
from loupe.domain.projects import ProjectConfig
from loupe.ports.labeling import JobCard, KeepsLabelingJobs, KeepsTasks, NewTask
from loupe.ports.projects import KeepsProjects
from tests.fakes.events import FakeEvents
from tests.fakes.labeling import FakeLabelingJobs, FakeTasks
from tests.fakes.objects import FakeObjects
from tests.fakes.projects import FakeProjects

SIZES = (1_000, 100_000)
LABELS = ("ok", "scratch")
_ANSWERS = 400
_PEERS = "Label Studio 1.23.2: 12.9 at 10,000 tasks, 7.3 at 100,000"


def open_tasks(
    projects: KeepsProjects, jobs: KeepsLabelingJobs, tasks: KeepsTasks, project: str, number: int
) -> str:
    """A new project with a job of so many open tasks; returns the job's name."""
    now = datetime.now(UTC)
    config = ProjectConfig(task="image-classification", labels=LABELS)
    job = f"{project}-{now:%Y%m%dt%H%M%S}-0000"
    projects.save_config(project, config, None, None)
    claimed = jobs.claim(JobCard(project, job, "portal", config.task, LABELS, "", number, now))
    if not claimed:
        raise SystemExit(f"project {project} has an open job already: name another one")
    images = (
        NewTask(f"{each:06d}", f"{each:064x}", f"{project}/{each:06d}.jpg", None, 640, 480)
        for each in range(number)
    )
    jobs.open(project, job, tasks.add(job, images), datetime.now(UTC))
    return job


# In this process ------------------------------------------------------------------------------------


def run() -> Iterator[tuple[str, str, str]]:
    """Rows (what, measured, target)."""
    for number in SIZES:
        milliseconds = _own_milliseconds(number)
        yield (
            f"labeling_api in process, answer and next lease, {number:,} open tasks",
            f"{milliseconds:.2f} ms, {1000 / milliseconds:.0f} a second",
            f"through the API: 25 a second with one worker; {_PEERS}",
        )


def _own_milliseconds(number: int) -> float:
    projects, jobs = FakeProjects(), FakeLabelingJobs()
    tasks = FakeTasks(jobs)
    job = open_tasks(projects, jobs, tasks, "bench", number)
    portal = LabelingPortal(
        projects=projects,
        jobs=jobs,
        tasks=tasks,
        raw_data=FakeObjects("raw-data"),
        workspace=FakeObjects("workspace"),
        events=FakeEvents(),
        clock=lambda: datetime.now(UTC),
    )
    # Its log lines belong to the time that it takes, but not into the table.
    with redirect_stdout(io.StringIO()):
        api = import_module("functions.labeling_api.handler")
    vars(bootstrap)["labeling_portal"] = lambda: portal  # where the handler asks for its use case
    base = "/portal/api/projects/bench"
    first = api.handler(_event("POST", f"{base}/leases", {"count": 1}), LambdaContext())
    task = json.loads(first["body"])["tasks"][0]["task"]
    started = time.perf_counter()
    for answer in itertools.islice(itertools.cycle(LABELS), _ANSWERS):
        path = f"{base}/jobs/{job}/tasks/{task}/annotation"
        answered = api.handler(_event("PUT", path, {"label": answer, "lease": 1}), LambdaContext())
        task = json.loads(answered["body"])["tasks"][0]["task"]
    return (time.perf_counter() - started) * 1000 / _ANSWERS


def _event(method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "httpMethod": method,
        "path": path,
        "headers": {},
        "multiValueHeaders": {},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "body": json.dumps(body),
        "isBase64Encoded": False,
        "requestContext": {"authorizer": {"claims": {"sub": "1111", "cognito:username": "ada"}}},
    }


# A deployed stack -----------------------------------------------------------------------------------


def answers_a_second(api_url: str, project: str, tokens: Sequence[str], answers: int = _ANSWERS) -> float:
    """Answers a second of all workers together; each gives `answers` of them and leases the next task with
    each. `api_url` is the stack's output ApiUrl, a token a signed-in worker's IdToken."""
    with ProcessPoolExecutor(len(tokens)) as workers:
        spans = list(
            workers.map(
                _work, itertools.repeat(api_url), itertools.repeat(project), tokens, itertools.repeat(answers)
            )
        )
    return len(tokens) * answers / (max(end for _, end in spans) - min(begin for begin, _ in spans))


def _work(api_url: str, project: str, token: str, answers: int) -> tuple[float, float]:
    """When the worker began and ended, in seconds of the system's clock."""
    url = urlsplit(api_url)
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = kind(url.netloc)
    base = f"{url.path}/portal/api/projects/{project}"

    def call(method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Authorization": token, "Content-Type": "application/json"}
        connection.request(method, path, json.dumps(body), headers)
        response = connection.getresponse()
        content: dict[str, Any] = json.loads(response.read())
        if response.status != 200:
            raise SystemExit(f"{method} {path}: {response.status} {content}")
        return content

    task = call("POST", f"{base}/leases", {"count": 1})["tasks"][0]
    begin = time.time()
    for answer in itertools.islice(itertools.cycle(LABELS), answers):
        path = f"{base}/jobs/{task['job']}/tasks/{task['task']}/annotation"
        task = call("PUT", path, {"label": answer, "lease": 1})["tasks"][0]
    return begin, time.time()


def main() -> None:
    """Measure a deployed stack; AWS credentials that may write its table are taken from the environment."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.portal", description=__doc__)
    parser.add_argument("--api-url", required=True, help="the stack's output ApiUrl")
    parser.add_argument("--table", required=True, help="the stack's output TableName")
    parser.add_argument("--token", required=True, action="append", help="a worker's IdToken; repeat for two")
    parser.add_argument("--answers", type=int, default=_ANSWERS, help="answers of each worker")
    options = parser.parse_args()
    table = IndexTable(boto3.client("dynamodb"), options.table)
    for number in SIZES:
        project = f"bench-{number}-{int(time.time())}"
        started = time.perf_counter()
        open_tasks(IndexedProjects(table), LabelingJobIndex(table), TaskIndex(table), project, number)
        print(f"{number:,} tasks put into the index in {time.perf_counter() - started:.1f} s")
        for workers in range(1, len(options.token) + 1):
            rate = answers_a_second(options.api_url, project, options.token[:workers], options.answers)
            print(f"{number:,} open tasks, {workers} worker(s): {rate:.1f} answers a second")


if __name__ == "__main__":
    main()
