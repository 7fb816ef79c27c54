"""A function's log in memory."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class FakeLog:
    """Keeps lines, behind `loupe.ports.messages.WritesLog`."""

    lines: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, message: str, **members: Any) -> None:
        self.lines.append({"message": message, **members})
