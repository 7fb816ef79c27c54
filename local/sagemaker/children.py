"""Child processes that end with the cloud, however it ends."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

_GUARD = Path(__file__).parents[1] / "guard.py"


def guarded(command: list[str]) -> list[str]:
    """The command line that runs `command` until its standard input (a pipe to this process) closes."""
    return [sys.executable, "-I", "-S", str(_GUARD), *command]


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a guarded command and all that it started; the guard ends after them."""
    with contextlib.suppress(BrokenPipeError):
        if process.stdin is not None:
            process.stdin.close()
