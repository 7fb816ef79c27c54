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
    parsed = parse(batch["Records"])
    assert parsed.messages == {
        "digits/first batch/a+b 100%.png": [record["messageId"] for record in batch["Records"]]
    }
    assert (parsed.referred, parsed.unusable) == ({}, [])


@pytest.mark.parametrize("event", ["ObjectCreated", "ObjectDeleted"])
def test_each_s3_event_names_its_object(event: str) -> None:
    content = (EVENTS / f"{event}.json").read_text()
    assert list(parse([message(content)]).messages) == [json.loads(content)["detail"]["object"]["key"]]


def test_size_version_and_etag_may_be_missing() -> None:
    parsed = parse([message('{"detail": {"object": {"key": "digits/a.png"}}}')])
    assert parsed.messages == {"digits/a.png": ["m1"]}


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
    parsed = parse([*good[:50], message(body, 100), *good[50:]])
    assert len(parsed.messages) == 99
    assert [record.body for record in parsed.unusable] == [body]
    assert words in parsed.unusable[0].reason


def test_messages_about_images_of_other_buckets_say_whose_they_are() -> None:
    uri = "s3://archive/a.png"
    bodies = [{"detail": {"object": {"key": uri}, "project": project}} for project in ("parts", "digits")]
    parsed = parse([message(json.dumps(body), number) for number, body in enumerate(bodies)])
    assert parsed.referred == {"parts": {uri}, "digits": {uri}}
    assert parsed.messages == {uri: ["m0", "m1"]}
