"""What a training job runs: the program in its image, seen from the job that starts and watches it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from local.sagemaker.platform import Storage
from local.sagemaker.script_mode import Folders


@dataclass(frozen=True)
class Process:
    """A command line, the folder it runs in, and the variables it gets besides the inherited ones."""

    command: list[str]
    folder: Path
    environment: dict[str, str]


class Workload(Protocol):
    """The program of one job."""

    @property
    def status_message(self) -> str:
        """What the job's Training status says."""

    @property
    def metrics(self) -> Sequence[Mapping[str, Any]]:
        """MetricDefinitions: where in its output the metrics are."""

    def prepare(self, folders: Folders, storage: Storage) -> None:
        """Fetch code and data. Raises JobFailedError, ChannelError, ScriptError or StorageError."""

    def process(self, folders: Folders, storage: Storage, endpoint_url: str) -> Process:
        """How to start it, once it is prepared."""

    def output(self, line: str) -> list[str]:
        """The lines that go to the job's log for one that the process printed."""

    def finish(self, folders: Folders) -> None:
        """Put the results where the job takes them from: `folders.model` and `folders.output_data`."""
