"""People hear what came of a turn, with the permissions that the template gives."""

from __future__ import annotations

import json
from typing import Any

from loupe.adapters.events import EventBridgeEvents
from loupe.domain.events import ModelRejected
from tests.local.deployment import Deployment
from tests.local.waiting import until


def test_who_subscribes_to_the_topic_hears_of_a_rejected_model(deployment: Deployment) -> None:
    sqs, sns = deployment.client("sqs"), deployment.client("sns")
    queue = sqs.create_queue(QueueName="people")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = deployment.outputs["NotificationTopicArn"]
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    event = ModelRejected("heard", "0002", "accuracy 0.9 on 60 test images", "arn:execution", 0.9)
    EventBridgeEvents(deployment.client("events"), "default").publish(event)

    def heard() -> dict[str, Any] | None:
        messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        notices = [json.loads(message["Body"]) for message in messages]
        return next((notice for notice in notices if "heard" in notice["Subject"]), None)

    notice = until(heard, lambda found: found is not None, "the notice")
    assert notice is not None
    assert notice["Subject"] == "Loupe: heard: model 0002 was not promoted"
    assert event.reason in notice["Message"]
    assert f"{deployment.outputs['PortalUrl']}#/projects/heard/models" in notice["Message"]
