"""Child processes that end with the cloud, however it ends, and what they print."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from local.home import inherited_environment

TRAINING_NICENESS = 10
"""Of what may take its time: requests are answered meanwhile."""

_GUARD = Path(__file__).parents[1] / "guard.py"
_KEPT_LINES = 20
_LOG_EVERY = 1.0


def start_guarded(
    command: list[str], folder: Path, environment: Mapping[str, str], *, niceness: int = 0
) -> subprocess.Popen[bytes]:
    """Run a command in a folder, with these variables besides the inherited ones, until it ends or its
    standard input (a pipe to this process) closes. Its output is one pipe, which has to be read."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(_GUARD), "nice", "-n", str(niceness), *command],
        cwd=folder,
        env={**inherited_environment(), **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a guarded command and all that it started; the guard ends after them."""
    with contextlib.suppress(BrokenPipeError):
        if process.stdin is not None:
            process.stdin.close()


class OutputReader(threading.Thread):
    """Reads what a guarded process prints to its end, and passes it on as it comes, some lines at a time."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        write_log: Callable[[list[str]], None],
        each_line: Callable[[str], list[str]] = lambda line: [line],
    ) -> None:
        """Starts at once. `each_line` makes of a line those that are passed on."""
        super().__init__(name=f"output-{process.pid}", daemon=True)
        self._process = process
        self._write_log = write_log
        self._each_line = each_line
        self._last: deque[str] = deque(maxlen=_KEPT_LINES)
        self.start()

    def last_lines(self) -> list[str]:
        """The last that the process printed, as far as it was read."""
        return list(self._last)

    def run(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - opened as a pipe
        unwritten: list[str] = []
        written_at = 0.0
        for raw in self._process.stdout:
            line = raw.decode(errors="replace").rstrip("\r\n")
            self._last.append(line)
            unwritten += [said or " " for said in self._each_line(line)]
            if time.monotonic() - written_at > _LOG_EVERY:
                self._write(unwritten)
                unwritten, written_at = [], time.monotonic()
        self._write(unwritten)

    def _write(self, lines: list[str]) -> None:
        if lines:
            self._write_log(lines)
