"""Checkpoints of a training job: a folder that is filled from S3 when the job begins, and kept there while it
runs."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Protocol

from local.sagemaker.errors import NotAvailableError
from local.sagemaker.platform import split_uri
from local.sagemaker.script_mode import Folders
from local.sagemaker.store import Document

LOCAL_PATH = "/opt/ml/checkpoints"
_EVERY = 1.0


def check(request: Document) -> None:
    """Raises NotAvailableError for checkpoints that can't be kept here."""
    path = request.get("CheckpointConfig", {}).get("LocalPath", LOCAL_PATH)
    if path.rstrip("/") != LOCAL_PATH:
        raise NotAvailableError(f"CheckpointConfig.LocalPath other than {LOCAL_PATH}")


class KeepsObjects(Protocol):
    """S3, as `local.sagemaker.platform.Storage` has it; its methods raise StorageError."""

    def keys_under(self, uri: str) -> list[str]: ...

    def download(self, uri: str, target: Path) -> None: ...

    def write(self, uri: str, content: bytes) -> None: ...


class Checkpoints:
    """The folder of one job; nothing is kept of a job without CheckpointConfig."""

    def __init__(self, request: Document, folders: Folders, storage: KeepsObjects) -> None:
        self._uri = request.get("CheckpointConfig", {}).get("S3Uri", "").rstrip("/")
        self._folder = folders.checkpoints
        self._storage = storage
        self._kept: dict[Path, tuple[int, int]] = {}
        self._looked_at = 0.0

    def fetch(self) -> None:
        """Fill the folder with what earlier jobs left. Raises StorageError."""
        if not self._uri:
            return
        bucket, prefix = split_uri(f"{self._uri}/")
        for key in self._storage.keys_under(f"{self._uri}/"):
            target = self._folder / key.removeprefix(prefix)
            self._storage.download(f"s3://{bucket}/{key}", target)
            self._kept[target] = _state(target)

    def keep(self, *, at_once: bool = False) -> None:
        """Copy what is new to S3, every second or so. Raises StorageError."""
        if not self._uri or (not at_once and time.monotonic() - self._looked_at < _EVERY):
            return
        for path in sorted(each for each in self._folder.rglob("*") if each.is_file()):
            # The program may replace a file at any time.
            with contextlib.suppress(FileNotFoundError):
                state = _state(path)
                if self._kept.get(path) != state:
                    content = path.read_bytes()
                    self._storage.write(f"{self._uri}/{path.relative_to(self._folder)}", content)
                    self._kept[path] = state
        self._looked_at = time.monotonic()


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size
