"""JSON Lines: one JSON document a line. A project has hundreds of thousands of them, so they are read and
written by orjson, which takes a third of `json`'s time.

It holds to the standard: NaN and half of a surrogate pair are not JSON.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

NotJson = orjson.JSONDecodeError
"""The line is not JSON; a `ValueError`."""

read_line = orjson.loads
"""The document in a line, be it text or bytes. Raises `NotJson`."""


write_line = orjson.dumps
"""The bytes of a compact line, without its end."""


def write_lines(documents: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Compact lines, each ending in a newline."""
    for document in documents:
        yield orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE).decode()
