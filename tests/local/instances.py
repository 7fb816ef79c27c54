"""The machines that the local SageMaker's training jobs run on: one can be taken away, as on AWS."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.local.waiting import eventually


def lose_instance(job: str) -> None:
    """Kill what stands for the instance of a training job, and return when its processes are gone."""
    for process in _processes(job):
        if any(part.endswith(b"guard.py") for part in (process / "cmdline").read_bytes().split(b"\0")):
            os.kill(int(process.name), signal.SIGKILL)
            break
    else:
        raise AssertionError(f"no instance works for {job}")
    eventually(lambda: not process.exists(), f"the instance of {job} to be gone")


def _processes(job: str) -> list[Path]:
    """Processes whose environment says that they are of that job."""
    told = f"TRAINING_JOB_NAME={job}".encode()
    return [each for each in Path("/proc").iterdir() if each.name.isdigit() and told in _environment(each)]


def _environment(process: Path) -> list[bytes]:
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except OSError:  # it ended, or is somebody else's
        return []
