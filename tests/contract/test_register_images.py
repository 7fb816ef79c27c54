"""register_images from the queue's batch to the index, the bus and the dead-letter queue."""

import json
from typing import Any

import boto3
import pytest

from loupe import bootstrap
from loupe.adapters.images_index import IndexedImages
from loupe.adapters.ingest_queue import IngestQueue
from loupe.adapters.projects_index import IndexedProjects
from loupe.adapters.table import IndexTable
from loupe.ports.projects import ImageCounts
from register_images.handler import handler
from tests.contract.conftest import REGION
from tests.fakes.lambda_context import FakeLambdaContext
from tests.unit.ingest.pictures import png


@pytest.fixture
def dead_letters(index_table: IndexTable, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of the dead-letter queue of a function that is set up as the template does."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    url: str = boto3.client("sqs").create_queue(QueueName="dead-letters")["QueueUrl"]
    boto3.client("s3").create_bucket(Bucket="raw-data")
    monkeypatch.setenv("INDEX_TABLE", index_table.name)
    monkeypatch.setenv("RAW_DATA_BUCKET", "raw-data")
    monkeypatch.setenv("EVENT_BUS_NAME", "default")
    monkeypatch.setenv("INGEST_DEAD_LETTER_QUEUE_URL", url)
    bootstrap.register_images.cache_clear()
    return url


def batch(*bodies: str) -> dict[str, Any]:
    return {"Records": [{"messageId": f"m{at}", "body": body} for at, body in enumerate(bodies)]}


def created(key: str) -> str:
    return json.dumps(
        {"source": "aws.s3", "detail": {"bucket": {"name": "raw-data"}, "object": {"key": key}}}
    )


def test_one_bad_record_of_a_hundred_reaches_the_dead_letters_with_its_reason(
    dead_letters: str, index_table: IndexTable
) -> None:
    s3 = boto3.client("s3")
    for n in range(99):
        s3.put_object(Bucket="raw-data", Key=f"digits/{n}.png", Body=png(16, 16, seed=n))
    event = batch(*(created(f"digits/{n}.png") for n in range(99)), '{"detail": "?"}\x07')
    assert handler(event, FakeLambdaContext()) == {"batchItemFailures": []}
    assert IndexedProjects(index_table).counts("digits") == ImageCounts(pending=99)
    (letter,) = boto3.client("sqs").receive_message(
        QueueUrl=dead_letters, MessageAttributeNames=["reason"], MaxNumberOfMessages=10
    )["Messages"]
    assert "not an S3 event" in letter["MessageAttributes"]["reason"]["StringValue"]


def test_images_of_other_buckets_are_registered_for_the_projects_that_refer_to_them(
    dead_letters: str, index_table: IndexTable
) -> None:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="archive")
    s3.put_object(Bucket="archive", Key="2026/a b.png", Body=png(16, 16, seed=1))
    s3.put_object(Bucket="archive", Key="2026/b.png", Body=b"no image")
    queue = boto3.client("sqs").create_queue(QueueName="ingest")["QueueUrl"]
    ask = IngestQueue(boto3.client("sqs"), queue, "raw-data")
    uris = [f"s3://archive/2026/{name}.png" for name in ("a b", "b", "gone")]
    assert ask.request("digits", uris) == 3
    assert ask.request("parts", uris[:1]) == 1
    received = boto3.client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    assert handler(batch(*(message["Body"] for message in received)), FakeLambdaContext()) == {
        "batchItemFailures": []
    }
    images = IndexedImages(index_table)
    for project in ("digits", "parts"):
        [image] = images.pending(project, 10)
        assert (image.key, image.width, image.format) == (uris[0], 16, "png")
    [rejected] = images.rejected("digits", 10).rejected
    assert (rejected.key, rejected.reason) == (uris[1], "not-an-image")

    s3.delete_object(Bucket="archive", Key="2026/a b.png")
    ask.request("digits", uris[:1])
    [message] = boto3.client("sqs").receive_message(QueueUrl=queue)["Messages"]
    handler(batch(message["Body"]), FakeLambdaContext())
    assert list(images.pending("digits", 10)) == []
    assert len(list(images.pending("parts", 10))) == 1


def test_a_batch_that_comes_twice_changes_nothing(dead_letters: str, index_table: IndexTable) -> None:
    s3 = boto3.client("s3")
    for n in range(3):
        s3.put_object(Bucket="raw-data", Key=f"digits/{n}.png", Body=png(16, 16, seed=n))
    event = batch(*(created(f"digits/{n}.png") for n in range(3)))
    for _ in range(2):
        assert handler(event, FakeLambdaContext()) == {"batchItemFailures": []}
    assert len(list(IndexedImages(index_table).pending("digits", 10))) == 3
    assert IndexedProjects(index_table).counts("digits") == ImageCounts(pending=3)
