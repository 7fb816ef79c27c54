"""Time, events, notices, log lines, and records that are set aside."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from loupe.domain.events import Event


class Clock(Protocol):
    """Tells the time; UTC and aware."""

    def __call__(self) -> datetime: ...


class PublishesEvents(Protocol):
    """The event bus."""

    def publish(self, *events: Event) -> None:
        """Raises `StoreUnavailable` if any of them was not accepted."""
        ...


class WritesLog(Protocol):
    """The log of the function that works. docs/logs.md says which members lines have."""

    def __call__(self, message: str, **members: Any) -> None: ...


class NotesFacts(Protocol):
    """Takes down what becomes known on the way, for the one line at the end, however that comes."""

    def __call__(self, **members: Any) -> None: ...


@dataclass(frozen=True)
class UnusableRecord:
    """A message that no retry will mend. `body` is the message as it came."""

    body: str
    reason: str


class SetsAside(Protocol):
    """Where messages go that can't be used, for a person to look at."""

    def set_aside(self, records: Iterable[UnusableRecord]) -> None:
        """Raises `StoreUnavailable` if any of them was not accepted."""
        ...


@dataclass(frozen=True)
class Notice:
    """What people are told. `subject` has at most 100 printable ASCII characters, `body` is plain text."""

    subject: str
    body: str


class TellsPeople(Protocol):
    """Whoever wants to hear what happens: by mail, or what else is subscribed to the topic."""

    def tell(self, notice: Notice) -> None:
        """Raises `StoreUnavailable`."""
        ...
