"""A local SageMaker's labeling jobs in process: S3 is moto's, and the workers answer when a test says so."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3

from local.sagemaker.labeling import Batch, LabelingJobs, Progress, WorkersAwayError, WorkersError
from local.sagemaker.labeling_rules import Row
from local.sagemaker.workteams import Workteams

BUCKET = "work"
POOL = {"UserPool": "us-east-1_pool", "ClientId": "client"}
LAMBDA = "arn:aws:lambda:us-east-1:432418664414:function"


class FakePlatform:
    """Keeps what was published; only `trusted` roles may be assumed."""

    endpoint_url = "https://s3.us-east-1.amazonaws.com"

    def __init__(self) -> None:
        self.trusted = {"arn:aws:iam::000000000000:role/ground-truth"}
        self.published: list[tuple[str, str, Mapping[str, Any]]] = []

    def publish(self, detail_type: str, resource: str, detail: Mapping[str, Any]) -> None:
        self.published.append((detail_type, resource, detail))

    def write_log(self, group: str, stream: str, lines: list[str]) -> None:
        raise AssertionError("labeling jobs log nothing")

    def role_credentials(self, role_arn: str, service: str, session_name: str) -> dict[str, str] | None:
        if role_arn not in self.trusted:
            return None
        names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        return dict.fromkeys(names, "testing")


class FakeWorkers:
    """Implements `Workers`: `answers` has the label of each row that was answered, None if it was skipped."""

    def __init__(self) -> None:
        self.answers: dict[str, str | None] = {}
        self.handed: dict[str, list[Row]] = {}
        self.away = False
        self.refusal: str | None = None

    def hand_over(self, batch: Batch, rows: Iterator[Row]) -> None:
        if self.refusal is not None:
            raise WorkersError(self.refusal)
        self.handed[batch.job] = list(rows)

    def progress(self, batch: Batch) -> Progress | None:
        if self.away:
            raise WorkersAwayError("gone for lunch")
        if batch.job not in self.handed:
            return None
        said = [self.answers[uri] for uri in self._sources(batch) if uri in self.answers]
        return Progress(sum(value is not None for value in said), sum(value is None for value in said))

    def _sources(self, batch: Batch) -> list[str]:
        return [row["source-ref"] for row in self.handed[batch.job]]

    def label(self, batch: Batch, rows: Iterator[Row], *, failure: str | None) -> Iterator[Row]:
        for row in rows:
            source = row["source-ref"]
            if source not in self.answers:
                yield row | ({f"{batch.attribute}-metadata": {"failure-reason": failure}} if failure else {})
            elif self.answers[source] is None:
                yield row | {f"{batch.attribute}-metadata": {"failure-reason": "skipped"}}
            else:
                yield row | {batch.attribute: batch.labels.index(self.answers[source] or "")}


class World:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.platform = FakePlatform()
        self.workers = FakeWorkers()
        self.s3 = boto3.client("s3", region_name="us-east-1")
        self.s3.create_bucket(Bucket=BUCKET)
        self.put("template.liquid", "<crowd-form>{{ task.input.labels | to_json }}</crowd-form>")
        labels = {"document-version": "2018-11-28", "labels": [{"label": "ok"}, {"label": "bad"}]}
        self.put("labels.json", json.dumps(labels))
        self.workteams = Workteams(folder, lambda pool, group: (pool, group) == (POOL["UserPool"], "people"))
        self.workteams.create_workforce({"WorkforceName": "private", "CognitoConfig": POOL})
        member = {"CognitoMemberDefinition": {**POOL, "UserGroup": "people"}}
        made = self.workteams.create_workteam(
            {"WorkteamName": "people", "MemberDefinitions": [member], "Description": "people"}
        )
        self.workteam: str = made["WorkteamArn"]
        self.jobs = self.restarted()

    def restarted(self) -> LabelingJobs:
        """The service as it is after a new start in the same folder."""

        def workers_of(stack: str) -> FakeWorkers:
            if stack != "loupe":
                raise WorkersError(f"There is no stack {stack}")
            return self.workers

        return LabelingJobs(
            self.folder, self.platform, self.workteams, workers_of, poll_every=0.01, going_down=0.0
        )

    def put(self, key: str, text: str) -> str:
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=text.encode())
        return f"s3://{BUCKET}/{key}"

    def request(self, job: str = "parts-0001", images: int = 2, **changes: Any) -> dict[str, Any]:
        rows = [json.dumps({"source-ref": f"s3://raw/{job}/{number}.png"}) for number in range(images)]
        kind = changes.pop("kind", "ImageMultiClass")
        manifest = self.put(f"{job}.manifest", changes.pop("manifest", "\n".join(rows)))
        return {
            "LabelingJobName": job,
            "LabelAttributeName": "label",
            "InputConfig": {"DataSource": {"S3DataSource": {"ManifestS3Uri": manifest}}},
            "OutputConfig": {"S3OutputPath": f"s3://{BUCKET}/jobs/"},
            "RoleArn": "arn:aws:iam::000000000000:role/ground-truth",
            "LabelCategoryConfigS3Uri": f"s3://{BUCKET}/labels.json",
            "HumanTaskConfig": {
                "WorkteamArn": self.workteam,
                "UiConfig": {"UiTemplateS3Uri": f"s3://{BUCKET}/template.liquid"},
                "PreHumanTaskLambdaArn": f"{LAMBDA}:PRE-{kind}",
                "AnnotationConsolidationConfig": {"AnnotationConsolidationLambdaArn": f"{LAMBDA}:ACS-{kind}"},
                "TaskTitle": "Parts",
                "TaskDescription": "Mark the worst defect",
                "NumberOfHumanWorkersPerDataObject": 1,
                "TaskTimeLimitInSeconds": 60,
                **changes.pop("human", {}),
            },
            "Tags": [{"Key": "loupe:stack", "Value": "loupe"}, {"Key": "loupe:project", "Value": "parts"}],
            **changes,
        }

    def start(self, job: str = "parts-0001", **changes: Any) -> None:
        self.jobs.create(self.request(job, **changes))

    def answer(self, job: str, *values: str | None) -> None:
        for number, value in enumerate(values):
            self.workers.answers[f"s3://raw/{job}/{number}.png"] = value

    def until(self, condition: Callable[[dict[str, Any]], bool], job: str = "parts-0001") -> dict[str, Any]:
        """The job's document once the condition holds for it."""
        for _ in range(1_000):
            found = self.jobs.describe({"LabelingJobName": job})
            if condition(found):
                return found
            time.sleep(0.005)
        raise AssertionError(found)

    def ended(self, job: str = "parts-0001") -> dict[str, Any]:
        found = self.until(lambda f: f["LabelingJobStatus"] in ("Completed", "Failed", "Stopped"), job)
        for thread in threading.enumerate():
            if thread.name == f"labeling-{job}":
                thread.join()
        return found

    def output(self, job: str = "parts-0001") -> list[dict[str, Any]]:
        key = f"jobs/{job}/manifests/output/output.manifest"
        body = self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return [json.loads(line) for line in body.splitlines()]
