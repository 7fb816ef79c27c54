"""What a tree of processes takes of the machine, read from Linux's /proc.

Processor time tells what work costs however busy the machine is; PSS shares what processes have in common
among them, so that a sum over a tree counts each page once.
"""

import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_GONE = (FileNotFoundError, ProcessLookupError)
_SECONDS_BETWEEN_LOOKS = 0.25


def descendants(pid: int) -> list[int]:
    """Children of a process, their children, and so on; without itself."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with suppress(*_GONE):
                children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


@dataclass(frozen=True)
class Share:
    """Processor seconds of a local cloud: its server, the copies of it that save its state, and the functions
    with all else that it runs."""

    server: float
    saving: float
    functions: float

    def of(self, count: int) -> str:
        """What each of so many took."""
        each = 1000 / count
        return (
            f"emulator {self.server * each:.1f} ms, saving its state {self.saving * each:.1f} ms, "
            f"functions {self.functions * each:.1f} ms"
        )


class Meter:
    """What a local cloud takes from the meter's making on; `pid` is its server."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._server, self._ended = _seconds(pid)
        self._below = _seconds_below(pid)

    def read(self) -> Share:
        server, ended = _seconds(self._pid)
        below = _seconds_below(self._pid)
        # A function's process that has ended meanwhile counts among the server's ended children; what it took
        # before does not belong here. All other ended children are copies of the server that saved its state.
        gone = sum(seconds for pid, seconds in self._below.items() if pid not in below)
        return Share(
            server - self._server,
            ended - self._ended - gone,
            sum(seconds - self._below.get(pid, 0.0) for pid, seconds in below.items()),
        )


class PeakMemory:
    """The most memory that a process and all below it took together while the block ran, in MB."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="peak memory", daemon=True)
        self.megabytes = 0.0
        self.processes = 0

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.is_set():
            each = [_megabytes(pid) for pid in (self._pid, *descendants(self._pid))]
            if sum(each) > self.megabytes:
                self.megabytes, self.processes = sum(each), len(each)
            self._end.wait(_SECONDS_BETWEEN_LOOKS)


def _megabytes(pid: int) -> float:
    with suppress(*_GONE):
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _seconds(pid: int) -> tuple[float, float]:
    """What a process took by itself, in user and in system mode, and what its ended children took."""
    user, system, user_of_children, system_of_children = (int(ticks) for ticks in _stat(pid)[11:15])
    return (user + system) / _TICKS, (user_of_children + system_of_children) / _TICKS


def _seconds_below(pid: int) -> dict[int, float]:
    """What each process below one took, with its ended children."""
    found = {}
    for each in descendants(pid):
        with suppress(*_GONE):
            found[each] = sum(_seconds(each))
    return found


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat from `state` on: the name before may hold anything."""
    return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
