"""What people hear of the loop."""

import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from loupe.adapters.notification_topic import NotificationTopic
from loupe.domain.errors import StoreUnavailable
from loupe.domain.events import UnknownEvent, event_types
from loupe.domain.notifications import MAX_SUBJECT, NotifyPeople
from loupe.ports.messages import Notice
from tests.fakes.people import FakePeople

ROOT = Path(__file__).parents[3]
PORTAL = "https://example.org/live/portal/index.html"
SILENT = {
    "AnnotationsCompleted",
    "ImagesRegistered",
    "LabelingJobFinished",
    "LabelingJobStarted",
    "LabelingRequested",
    "ModelStarted",
    "ModelStopped",
    "ProjectConfigured",
    "ReconciliationRequested",
    "ReleaseRequested",
    "TrainingRequested",
}
"""Events of the usual course of things."""


def notified(name: str, stack: str = "loupe", **changes: object) -> Notice | None:
    example = json.loads((ROOT / f"events/{name}.json").read_text())
    return NotifyPeople(FakePeople(), stack, PORTAL)(name, {**example["detail"], **changes})


def test_each_event_is_told_or_known_to_be_of_no_interest() -> None:
    told = {event.__name__ for event in event_types() if notified(event.__name__)}
    assert told | SILENT == {event.__name__ for event in event_types()}
    assert not told & SILENT


def test_a_promotion_is_told_with_its_numbers_and_where_to_look() -> None:
    notice = notified("ModelPromoted", project="digits", version="0003", reason="accuracy 0.99 on 60 images")
    assert notice == Notice(
        "Loupe: digits: model 0003 is in service",
        "Model 0003 of project digits answers from now on.\n"
        "\n"
        "accuracy 0.99 on 60 images\n"
        "\n"
        "  Its numbers:    loupe status digits\n"
        f"  In the browser: {PORTAL}#/projects/digits/models\n",
    )


def test_commands_name_a_stack_that_the_command_would_not_find_by_itself() -> None:
    notice = notified("TrainingFailed", stack="vision")
    assert notice is not None
    assert "--stack vision" in notice.body


def test_a_failure_before_there_was_a_model_names_none() -> None:
    notice = notified("TrainingFailed", version="")
    assert notice is not None
    assert "a model could not be trained" in notice.subject


def test_a_subject_is_what_mail_takes() -> None:
    notice = notified("ModelPromoted", project="p" * 32, version="0001é\n" + "9" * 90)
    assert notice is not None
    assert len(notice.subject) == MAX_SUBJECT
    assert notice.subject.isascii()
    assert notice.subject.isprintable()


def test_an_event_of_a_later_version_is_read_and_a_foreign_one_is_refused() -> None:
    assert notified("ModelRejected", further="member") is not None
    with pytest.raises(UnknownEvent, match="no event of Loupe's"):
        NotifyPeople(FakePeople(), "loupe", PORTAL)("Scheduled Event", {})
    with pytest.raises(UnknownEvent, match="lacks"):
        NotifyPeople(FakePeople(), "loupe", PORTAL)("ModelPromoted", {"project": "digits"})


@pytest.fixture
def region() -> Iterator[str]:
    with mock_aws():
        yield "us-east-1"


def test_a_notice_goes_to_all_who_subscribed(region: str) -> None:
    sns, sqs = boto3.client("sns", region_name=region), boto3.client("sqs", region_name=region)
    topic = sns.create_topic(Name="loupe")["TopicArn"]
    queue = sqs.create_queue(QueueName="people")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    NotificationTopic(sns, topic).tell(Notice("subject", "body"))
    [message] = sqs.receive_message(QueueUrl=queue)["Messages"]
    received = json.loads(message["Body"])
    assert (received["Subject"], received["Message"]) == ("subject", "body")


def test_a_topic_that_is_not_there_is_told(region: str) -> None:
    topic = f"arn:aws:sns:{region}:123456789012:gone"
    with pytest.raises(StoreUnavailable, match="notification topic"):
        NotificationTopic(boto3.client("sns", region_name=region), topic).tell(Notice("subject", "body"))


def test_a_release_that_failed_names_what_tries_it_again() -> None:
    rolled_back, approved = notified("ReleaseFailed"), notified("ReleaseFailed", kind="approval")
    assert rolled_back
    assert approved
    assert "loupe model approve" not in rolled_back.body
    assert "loupe model approve digits 0001" in approved.body
    assert "loupe model rollback digits 0001" in approved.body
