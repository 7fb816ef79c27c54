"""The functions of labeling on AWS in process: events in, what API Gateway sends on out."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from conclude_labeling_job.handler import handler as conclude_labeling_job
from consolidate_annotations.handler import handler as consolidate_annotations
from import_labels.handler import handler as import_labels
from labeling_api.handler import handler as labeling_api
from loupe import bootstrap
from loupe.adapters.images_index import IndexedImages
from loupe.adapters.projects_index import IndexedProjects
from loupe.adapters.table import IndexTable
from loupe.domain.errors import BadRequest, NotFound
from loupe.domain.projects import LABEL_ATTRIBUTES, ProjectConfig
from loupe.ports.images import ImageRecord
from start_labeling.handler import handler as start_labeling
from start_review.handler import handler as start_review
from tests.contract.conftest import create_index_table
from tests.fakes.lambda_context import FakeLambdaContext

PROJECT = "digits"
BASE = "/portal/api/projects"
Call = Callable[..., tuple[int, Any]]


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[IndexTable]:
    """Table, buckets and environment of a deployed stack."""
    environment = {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "INDEX_TABLE": "index",
        "RAW_DATA_BUCKET": "raw-data",
        "WORKSPACE_BUCKET": "workspace",
        "EVENT_BUS_NAME": "default",
        "AWS_REGION": "us-east-1",
        "STACK_NAME": "loupe",
        "GROUND_TRUTH_ROLE_ARN": "arn:aws:iam::111122223333:role/loupe-GroundTruthRole",
        "REFERRED_BUCKETS": "archive,photos",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        _forget_use_cases()
        client = boto3.client("dynamodb")
        create_index_table(client, "index")
        for bucket in ("raw-data", "workspace"):
            boto3.client("s3").create_bucket(Bucket=bucket)
        queue = boto3.client("sqs").create_queue(QueueName="ingest")["QueueUrl"]
        monkeypatch.setenv("INGEST_QUEUE_URL", queue)
        yield IndexTable(client, "index")
    _forget_use_cases()


def _forget_use_cases() -> None:
    for built in vars(bootstrap).values():
        if hasattr(built, "cache_clear"):
            built.cache_clear()


@pytest.fixture
def project(stack: IndexTable) -> IndexTable:
    """A project with two pending images, which are a batch."""
    config = {"task": "image-classification", "labels": ["0", "ü"], "labeling": {"batch_size": 2}}
    IndexedProjects(stack).save_config(PROJECT, ProjectConfig.model_validate(config), None, "etag")
    images = IndexedImages(stack, threads=1)
    for number in range(2):
        image = ImageRecord(
            sha256=f"{number:064x}",
            key=f"{PROJECT}/a b+{number}.png",
            version_id=None,
            etag="e",
            bytes=100,
            width=64,
            height=48,
            format="PNG",
            phash="0" * 16,
            registered_at=bootstrap.utc_now(),
            orientation=1 + 5 * number,
        )
        images.restore(PROJECT, [image])
    return stack


@pytest.fixture
def job(project: IndexTable) -> str:
    """An open job of two tasks."""
    start_labeling({"detail-type": "ImagesRegistered", "detail": {"project": PROJECT}}, FakeLambdaContext())
    shown: str = call("GET", BASE)[1]["projects"][0]["job"]["job"]
    return shown


def call(method: str, path: str, body: Any = None, worker: str = "ada") -> tuple[int, Any]:
    """Status and content of the API's answer."""
    event = {
        "httpMethod": method,
        "path": path,
        "headers": {},
        "multiValueHeaders": {},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "body": json.dumps(body) if body is not None else None,
        "isBase64Encoded": False,
        "requestContext": {"authorizer": {"claims": {"sub": f"id-{worker}", "cognito:username": worker}}},
    }
    answer = labeling_api(event, FakeLambdaContext())
    return answer["statusCode"], json.loads(answer["body"]) if answer["body"] else None


def test_a_job_that_a_person_asked_for_does_not_wait_for_a_batch(project: IndexTable) -> None:
    config = {"task": "image-classification", "labels": ["0", "ü"], "labeling": {"batch_size": 9}}
    IndexedProjects(project).save_config(PROJECT, ProjectConfig.model_validate(config), None, "etag")
    for detail_type, job in (("ImagesRegistered", None), ("LabelingRequested", 2)):
        event = {"detail-type": detail_type, "detail": {"project": PROJECT, "reason": "asked"}}
        start_labeling(event, FakeLambdaContext())
        found = call("GET", BASE)[1]["projects"][0]["job"]
        assert (found and found["tasks"]) == job


def test_a_job_from_first_lease_to_output_manifest(job: str) -> None:
    status, content = call("GET", BASE)
    assert status == 200
    assert content["projects"] == [
        {
            "project": PROJECT,
            "task": "image-classification",
            "labels": ["0", "ü"],
            "instructions": "",
            "job": {"job": job, "tasks": 2, "answered": 0, "skipped": 0},
            "suggest": False,
            "examples": [],
        }
    ]

    status, content = call("POST", f"{BASE}/{PROJECT}/leases", {"count": 1})
    assert status == 200
    [task] = content["tasks"]
    assert (task["task"], task["job"]) == ("000000", job)
    assert task["image"]["name"] == "digits/a b+0.png"
    assert (task["image"]["width"], task["image"]["height"]) == (64, 48)
    assert (task["image"]["sha256"], task["image"]["orientation"]) == (f"{0:064x}", 1)
    assert "/digits/a%20b%2B0.png?" in task["image"]["url"]
    assert task["lease_expires_at"].endswith("Z")

    path, told = f"{BASE}/{PROJECT}/jobs/{job}/tasks", {"model_version": "0003", "accepted": True}
    status, content = call("PUT", f"{path}/000000/annotation", {"label": "ü", "suggestion": told, "lease": 2})
    assert status == 200
    key = f"projects/{PROJECT}/labeling-jobs/{job}/annotations/{0:064x}/id-ada.json"
    kept = json.load(boto3.client("s3").get_object(Bucket="workspace", Key=key)["Body"])
    assert kept["suggestion"] == told
    assert content["job"] == {"job": job, "tasks": 2, "answered": 1, "skipped": 0}
    assert [task["task"] for task in content["tasks"]] == ["000001"]
    assert content["tasks"][0]["image"]["orientation"] == 6
    status, content = call("PUT", f"{path}/000001/annotation", {"skip": " blurred "})
    assert content == {"job": {"job": job, "tasks": 2, "answered": 2, "skipped": 1}, "tasks": []}

    completed = {"detail-type": "AnnotationsCompleted", "detail": {"project": PROJECT, "job": job}}
    for _ in range(2):
        consolidate_annotations(completed, FakeLambdaContext())
    key = f"projects/{PROJECT}/labeling-jobs/{job}/manifests/output/output.manifest"
    body = boto3.client("s3").get_object(Bucket="workspace", Key=key)["Body"].read()
    labeled, skipped = (json.loads(line) for line in body.splitlines())
    assert (labeled["source-ref"], labeled["label"]) == ("s3://raw-data/digits/a b+0.png", 1)
    assert skipped["label-metadata"]["failure-reason"] == "skipped by ada: blurred"
    assert call("GET", BASE)[1]["projects"][0]["job"] is None


def test_leases_are_given_back(job: str) -> None:
    assert len(call("POST", f"{BASE}/{PROJECT}/leases", {"count": 20})[1]["tasks"]) == 2
    assert call("POST", f"{BASE}/{PROJECT}/leases", {"count": 20}, "ben")[1]["tasks"] == []
    assert call("DELETE", f"{BASE}/{PROJECT}/leases") == (204, None)
    assert len(call("POST", f"{BASE}/{PROJECT}/leases", {"count": 20}, "ben")[1]["tasks"]) == 2


@pytest.mark.parametrize(
    ("task", "said", "attribute"),
    [
        ("multi-label-classification", {"labels": ["ü", "0"]}, [1, 0]),
        ("multi-label-classification", {"labels": []}, []),
        (
            "bounding-box",
            {"boxes": [{"label": "ü", "left": 0, "top": 1.5, "width": 64, "height": 46.5}]},
            [{"class_id": 1, "left": 0, "top": 1.5, "width": 64, "height": 46.5}],
        ),
        ("bounding-box", {"boxes": []}, []),
    ],
)
def test_answers_of_other_tasks_get_into_the_manifest(
    project: IndexTable, task: str, said: dict[str, Any], attribute: list[Any]
) -> None:
    config = {"task": task, "labels": ["0", "ü"], "labeling": {"batch_size": 2}}
    IndexedProjects(project).save_config(PROJECT, ProjectConfig.model_validate(config), None, "etag")
    start_labeling({"detail-type": "ImagesRegistered", "detail": {"project": PROJECT}}, FakeLambdaContext())
    [shown] = call("GET", BASE)[1]["projects"]
    assert shown["task"] == task
    job = shown["job"]["job"]
    for number in ("000000", "000001"):
        path = f"{BASE}/{PROJECT}/jobs/{job}/tasks/{number}/annotation"
        assert call("PUT", path, {"label": "0"})[1]["type"] == "urn:loupe:problem:invalid-label"
        assert call("PUT", path, said)[0] == 200
    consolidate_annotations({"detail": {"project": PROJECT, "job": job}}, FakeLambdaContext())
    key = f"projects/{PROJECT}/labeling-jobs/{job}/manifests/output/output.manifest"
    body = boto3.client("s3").get_object(Bucket="workspace", Key=key)["Body"].read()
    rows = [json.loads(line) for line in body.splitlines()]
    name = LABEL_ATTRIBUTES[ProjectConfig.model_validate(config).task]
    found = [row[name]["annotations"] if task == "bounding-box" else row[name] for row in rows]
    assert found == [attribute, attribute]


@pytest.mark.parametrize(
    ("path", "body", "status", "slug"),
    [
        ("jobs/{job}/tasks/000000/annotation", {"label": "7"}, 422, "unknown-label"),
        ("jobs/{job}/tasks/000009/annotation", {"label": "0"}, 404, "not-found"),
        ("jobs/digits-x/tasks/000000/annotation", {"label": "0"}, 404, "not-found"),
        ("jobs/{job}/tasks/000001/annotation", {"label": "0"}, 409, "lease-lost"),
        ("jobs/{job}/tasks/000000/annotation", {}, 400, "bad-request"),
        ("jobs/{job}/tasks/000000/annotation", {"label": "0", "skip": "x"}, 400, "bad-request"),
        ("jobs/{job}/tasks/000000/annotation", {"skip": "  "}, 400, "bad-request"),
        ("jobs/{job}/tasks/000000/annotation", {"skip": "x" * 501}, 400, "bad-request"),
        ("jobs/{job}/tasks/000000/annotation", {"label": "0", "lease": 21}, 400, "bad-request"),
        ("jobs/{job}/tasks/000000/annotation", {"label": 0}, 400, "bad-request"),
        ("jobs/{job}/tasks/000000/annotation", {"label": "0", "suggestion": {}}, 400, "bad-request"),
        ("jobs/{job}/tasks/000000/annotation", {"labels": ["0"]}, 422, "invalid-label"),
        ("jobs/{job}/tasks/000000/annotation", {"labels": ["0", "0"]}, 422, "invalid-label"),
        ("jobs/{job}/tasks/000000/annotation", {"label": "0", "labels": ["0"]}, 400, "bad-request"),
        ("jobs/{job}/tasks/000000/annotation", {"labels": ["0"] * 501}, 400, "bad-request"),
        ("jobs/{job}/tasks/000000/annotation", {"boxes": [{"label": "0"}]}, 422, "invalid-label"),
        ("elsewhere", {"label": "0"}, 404, "not-found"),
    ],
)
def test_what_can_not_be_taken_is_said(job: str, path: str, body: Any, status: int, slug: str) -> None:
    call("POST", f"{BASE}/{PROJECT}/leases", {"count": 1})
    call("POST", f"{BASE}/{PROJECT}/leases", {"count": 1}, "ben")
    answered, problem = call("PUT", f"{BASE}/{PROJECT}/{path.format(job=job)}", body)
    assert (answered, problem["type"]) == (status, f"urn:loupe:problem:{slug}")


def test_a_finished_job_says_so(job: str) -> None:
    path = f"{BASE}/{PROJECT}/jobs/{job}/tasks"
    for number in ("000000", "000001"):
        call("PUT", f"{path}/{number}/annotation", {"label": "0"})
    consolidate_annotations({"detail": {"project": PROJECT, "job": job}}, FakeLambdaContext())
    status, problem = call("PUT", f"{path}/000000/annotation", {"label": "ü"})
    assert (status, problem["type"]) == (409, "urn:loupe:problem:job-finished")


@pytest.mark.parametrize("count", [0, 21, None, "many"])
def test_leases_are_asked_for_in_numbers(job: str, count: Any) -> None:
    assert call("POST", f"{BASE}/{PROJECT}/leases", {"count": count})[0] == 400


def test_a_project_that_is_not_there(stack: IndexTable) -> None:
    status, problem = call("POST", f"{BASE}/nuts/leases", {"count": 1})
    assert (status, problem["type"]) == (404, "urn:loupe:problem:project-not-found")


def test_the_schedule_looks_at_every_project(project: IndexTable) -> None:
    start_labeling(
        {"detail-type": "Scheduled Event", "source": "aws.events", "detail": {}}, FakeLambdaContext()
    )
    assert call("GET", BASE)[1]["projects"][0]["job"]["tasks"] == 2


def test_a_job_that_is_over_takes_no_images(job: str, project: IndexTable) -> None:
    """Not even for a run of start_labeling that began before."""
    path = f"{BASE}/{PROJECT}/jobs/{job}/tasks"
    for number in ("000000", "000001"):
        call("PUT", f"{path}/{number}/annotation", {"label": "0"})
    images = IndexedImages(project, threads=1)
    late = ImageRecord(
        "f" * 64, f"{PROJECT}/late.png", None, "e", 1, 1, 1, "PNG", "0" * 16, bootstrap.utc_now()
    )
    images.restore(PROJECT, [late])
    assert images.take(PROJECT, job, [late.sha256]) == {late.sha256}
    consolidate_annotations({"detail": {"project": PROJECT, "job": job}}, FakeLambdaContext())
    assert [image.sha256 for image in images.pending(PROJECT, 9)] == [late.sha256]
    assert images.take(PROJECT, job, [late.sha256]) == set()
    assert images.take(PROJECT, "digits-next", [late.sha256]) == {late.sha256}


def test_the_end_of_a_job_that_is_not_loupes_is_passed_over(project: IndexTable) -> None:
    index = boto3.client("dynamodb")
    before = index.scan(TableName="index")["Items"]
    event = json.loads((Path(__file__).parents[3] / "events/LabelingJobStateChange.json").read_text())
    conclude_labeling_job(event, FakeLambdaContext())
    event["resources"] = ["arn:aws:sagemaker:eu-central-1:111122223333:labeling-job/boxes-03"]
    conclude_labeling_job(event, FakeLambdaContext())
    assert index.scan(TableName="index")["Items"] == before


def test_a_review_needs_a_dataset_version(project: IndexTable) -> None:
    request = {"project": PROJECT, "version": None, "label": None, "limit": 5, "kind": "adjustment"}
    with pytest.raises(NotFound, match="no dataset version yet"):
        start_review(request, FakeLambdaContext())


def test_an_import_asks_which_images_are_registered(project: IndexTable) -> None:
    sha256s = [f"{0:064x}", "f" * 64]
    asked = {"action": "known", "project": PROJECT, "keys": [], "sha256s": sha256s}
    told = import_labels(asked, FakeLambdaContext())
    assert {sha256: image["key"] for sha256, image in told["images"].items()} == {
        f"{0:064x}": f"{PROJECT}/a b+0.png"
    }


def test_an_import_has_images_of_other_buckets_looked_at(project: IndexTable) -> None:
    asked = {"action": "refer", "project": PROJECT, "uris": ["s3://photos/a b.png"]}
    assert import_labels(asked, FakeLambdaContext()) == {"asked": 1}
    sqs = boto3.client("sqs")
    [message] = sqs.receive_message(QueueUrl=sqs.get_queue_url(QueueName="ingest")["QueueUrl"])["Messages"]
    assert json.loads(message["Body"])["detail"] == {
        "bucket": {"name": "photos"},
        "object": {"key": "s3://photos/a b.png"},
        "project": PROJECT,
    }
    with pytest.raises(BadRequest, match="ReferredBuckets=archive,others,photos"):
        import_labels({**asked, "uris": ["s3://others/a.png"]}, FakeLambdaContext())


def test_an_import_that_is_not_there_or_an_unknown_action_is_refused(project: IndexTable) -> None:
    with pytest.raises(NotFound, match="no whole import"):
        import_labels({"action": "finish", "project": PROJECT, "job": "digits-x"}, FakeLambdaContext())
    with pytest.raises(BadRequest, match="ask for the action"):
        import_labels({"action": "forget", "project": PROJECT}, FakeLambdaContext())


def test_workers_are_told_of(job: str) -> None:
    call("PUT", f"{BASE}/{PROJECT}/jobs/{job}/tasks/000000/annotation", {"label": "ü"}, worker="ada")
    status, content = call("GET", f"{BASE}/{PROJECT}/workers")
    assert status == 200
    assert (content["open_job"], content["open_job_counted"], content["min_accuracy"]) == (job, True, 0.0)
    [ada] = content["workers"]
    assert ada == {
        "worker": "id-ada",
        "name": "ada",
        "answers": 1,
        "skips": 0,
        "agreement": None,
        "median_seconds": None,
        "checks": 0,
        "accuracy": None,
        "below_min_accuracy": False,
    }
    status, problem = call("GET", f"{BASE}/nuts/workers")
    assert (status, problem["type"]) == (404, "urn:loupe:problem:project-not-found")
