"""A dead-letter queue that remembers."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from loupe.ports.messages import UnusableRecord


@dataclass
class FakeDeadLetters:
    """Implements `loupe.ports.messages.SetsAside`."""

    records: list[UnusableRecord] = field(default_factory=list)

    def set_aside(self, records: Iterable[UnusableRecord]) -> None:
        self.records.extend(records)
