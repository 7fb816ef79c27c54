"""An event bus that remembers."""

from dataclasses import dataclass, field

from loupe.domain.errors import StoreUnavailable
from loupe.domain.events import Event


@dataclass
class FakeEvents:
    """Implements `loupe.ports.messages.PublishesEvents`."""

    published: list[Event] = field(default_factory=list)
    is_down: bool = False

    def publish(self, *events: Event) -> None:
        if self.is_down:
            raise StoreUnavailable("the event bus did not answer")
        self.published.extend(events)
