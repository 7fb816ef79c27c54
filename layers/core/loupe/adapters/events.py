"""Loupe's events on EventBridge, behind `loupe.ports.messages.PublishesEvents`."""

import json
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from loupe.domain.errors import StoreUnavailable
from loupe.domain.events import SOURCE, Event

if TYPE_CHECKING:
    from mypy_boto3_events.client import EventBridgeClient

ENTRIES_PER_CALL = 10


class EventBridgeEvents:
    """Publishes to one event bus."""

    def __init__(self, client: "EventBridgeClient", bus: str) -> None:
        self._client = client
        self._bus = bus

    def publish(self, *events: Event) -> None:
        for start in range(0, len(events), ENTRIES_PER_CALL):
            batch = events[start : start + ENTRIES_PER_CALL]
            try:
                answer = self._client.put_events(
                    Entries=[
                        {
                            "Source": SOURCE,
                            "DetailType": event.detail_type,
                            "Detail": json.dumps(event.detail),
                            "EventBusName": self._bus,
                        }
                        for event in batch
                    ]
                )
            except (BotoCoreError, ClientError) as error:
                raise StoreUnavailable(f"the event bus did not answer: {error}") from error
            refused = [entry for entry in answer["Entries"] if "ErrorCode" in entry]
            if refused:
                raise StoreUnavailable(f"the event bus refused {len(refused)} events: {refused[0]}")
