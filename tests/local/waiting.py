"""Waiting for what a cloud does in its own time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 240.0
"""Seconds within which anything happens, on a machine that has other things to do."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.3


def eventually(look: Callable[[], T | None], what: str, seconds: float = PATIENCE) -> T:
    """What `look` returns once that is something; fails by naming `what` was waited for."""
    found = until(look, bool, what, seconds)
    assert found is not None
    return found


def until(look: Callable[[], T], is_wanted: Callable[[T], bool], what: str, seconds: float = PATIENCE) -> T:
    """What `look` returns once it is what was wanted; fails with what was seen last."""
    deadline, pause = time.monotonic() + seconds, _FIRST_PAUSE
    while not is_wanted(found := look()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain for {what}; seen last: {found}"
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
    return found
