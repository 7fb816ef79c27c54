"""A function's log in memory."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from logging import StreamHandler
from typing import Any

from aws_lambda_powertools import Logger

Line = dict[str, Any]


@dataclass
class FakeLog:
    """Keeps lines, behind `loupe.ports.messages.WritesLog`."""

    lines: list[Line] = field(default_factory=list)

    def __call__(self, message: str, **members: Any) -> None:
        self.lines.append({"message": message, **members})


@contextmanager
def log_of(service: str) -> Iterator[Callable[[], list[Line]]]:
    """What the function of that name writes meanwhile, as CloudWatch gets it. Its log keeps the standard
    output that was there when it was made, which is why pytest can't capture it."""
    handler, text = Logger(service=service).registered_handler, io.StringIO()
    assert isinstance(handler, StreamHandler)
    before = handler.setStream(text)
    try:
        yield lambda: [json.loads(line) for line in text.getvalue().splitlines()]
    finally:
        handler.setStream(before)
