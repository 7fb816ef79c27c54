"""Which messages of a batch name an object, and what is said of the others."""

import json
from pathlib import Path
from typing import Any

import pytest

from register_images.handler import parse

EVENTS = Path(__file__).parents[3] / "events"


def message(body: str, number: int = 1) -> dict[str, Any]:
    return {"messageId": f"m{number}", "body": body}


def test_keys_of_real_events_are_read_as_they_are() -> None:
    batch = json.loads((EVENTS / "IngestQueueBatch.json").read_text())
    messages, unusable = parse(batch["Records"])
    assert messages == {
        "digits/first batch/a+b 100%.png": [record["messageId"] for record in batch["Records"]]
    }
    assert unusable == []


@pytest.mark.parametrize("event", ["ObjectCreated", "ObjectDeleted"])
def test_each_s3_event_names_its_object(event: str) -> None:
    content = (EVENTS / f"{event}.json").read_text()
    messages, _ = parse([message(content)])
    assert list(messages) == [json.loads(content)["detail"]["object"]["key"]]


def test_size_version_and_etag_may_be_missing() -> None:
    messages, _ = parse([message('{"detail": {"object": {"key": "digits/a.png"}}}')])
    assert messages == {"digits/a.png": ["m1"]}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("{", "Invalid JSON"),
        ("", "Invalid JSON"),
        ("[]", "object"),
        ('{"detail": {}}', "detail.object"),
        ('{"detail": {"object": {"key": ""}}}', "at least 1 character"),
        ('{"detail": {"object": {"key": 7}}}', "detail.object.key"),
        ('{"detail": {"object": {"key": "digits/\\ud800"}}}', "not an S3 event"),
        ('{"Service": "Amazon S3", "Event": "s3:TestEvent"}', "detail"),
    ],
)
def test_one_bad_record_is_told_apart_with_its_reason(body: str, words: str) -> None:
    good = [message(json.dumps({"detail": {"object": {"key": f"digits/{n}"}}}), n) for n in range(99)]
    messages, unusable = parse([*good[:50], message(body, 100), *good[50:]])
    assert len(messages) == 99
    assert [record.body for record in unusable] == [body]
    assert words in unusable[0].reason
