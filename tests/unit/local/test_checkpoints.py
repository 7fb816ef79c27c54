"""A training job's checkpoint folder is kept in S3 while it runs, and is there when another one begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.sagemaker.checkpoints import Checkpoints, check
from local.sagemaker.errors import NotAvailableError
from local.sagemaker.script_mode import Folders

REQUEST = {"CheckpointConfig": {"S3Uri": "s3://b/models/0001/checkpoints"}}


class Objects:
    """S3 as a dictionary of URIs."""

    def __init__(self, objects: dict[str, bytes] | None = None) -> None:
        self.objects = objects or {}
        self.written: list[str] = []

    def keys_under(self, uri: str) -> list[str]:
        return [found.removeprefix("s3://b/") for found in self.objects if found.startswith(uri)]

    def download(self, uri: str, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(self.objects[uri])

    def write(self, uri: str, content: bytes) -> None:
        self.written.append(uri)
        self.objects[uri] = content


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    made = Folders(tmp_path)
    made.create()
    return made


def test_what_is_new_is_kept(folders: Folders) -> None:
    objects = Objects()
    kept = Checkpoints(REQUEST, folders, objects)
    file = folders.checkpoints / "deep" / "state"
    file.parent.mkdir()
    file.write_bytes(b"1")
    kept.keep(at_once=True)
    kept.keep(at_once=True)
    file.write_bytes(b"22")
    kept.keep()  # a moment after the last time
    kept.keep(at_once=True)
    assert objects.objects == {"s3://b/models/0001/checkpoints/deep/state": b"22"}
    assert len(objects.written) == 2


def test_another_job_finds_what_was_kept(folders: Folders) -> None:
    objects = Objects(
        {"s3://b/models/0001/checkpoints/state": b"1", "s3://b/models/0001/checkpoints2": b"no"}
    )
    kept = Checkpoints(REQUEST, folders, objects)
    kept.fetch()
    assert [path.name for path in folders.checkpoints.iterdir()] == ["state"]
    kept.keep(at_once=True)
    assert objects.written == []


def test_of_a_job_without_checkpoints_nothing_is_kept(folders: Folders) -> None:
    objects = Objects()
    kept = Checkpoints({}, folders, objects)
    kept.fetch()
    (folders.checkpoints / "state").write_bytes(b"1")
    kept.keep(at_once=True)
    assert objects.objects == {}


def test_another_folder_is_refused_by_name() -> None:
    check({"CheckpointConfig": {"S3Uri": "s3://b/c", "LocalPath": "/opt/ml/checkpoints/"}})
    with pytest.raises(NotAvailableError, match="LocalPath"):
        check({"CheckpointConfig": {"S3Uri": "s3://b/c", "LocalPath": "/tmp/elsewhere"}})
