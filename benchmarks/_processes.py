"""What a tree of processes takes of the machine, read from Linux's /proc.

Processor time tells what work costs however busy the machine is; PSS shares what processes have in common
among them, so that a sum over a tree counts each page once.
"""

import os
import threading
from contextlib import suppress
from dataclasses import dataclass, field
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


def processor_seconds(pid: int) -> float:
    """What a process took by itself, in user and in system mode."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS


@dataclass
class Meter:
    """Processor time of a process, and of all below it, from its making on. What children took that came
    and went meanwhile is counted once their parent has waited for them."""

    pid: int
    _own: float = field(init=False)
    _below: float = field(init=False)

    def __post_init__(self) -> None:
        self._own, self._below = processor_seconds(self.pid), self._seconds_below()

    @property
    def own(self) -> float:
        return processor_seconds(self.pid) - self._own

    @property
    def below(self) -> float:
        return self._seconds_below() - self._below

    def _seconds_below(self) -> float:
        seconds = _seconds_of_ended_children(self.pid)
        for pid in descendants(self.pid):
            with suppress(*_GONE):
                seconds += processor_seconds(pid) + _seconds_of_ended_children(pid)
        return seconds


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


def _seconds_of_ended_children(pid: int) -> float:
    with suppress(*_GONE):
        fields = _stat(pid)
        return (int(fields[13]) + int(fields[14])) / _TICKS
    return 0.0


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat from `state` on: the name before may hold anything."""
    return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
