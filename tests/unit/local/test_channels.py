"""Which objects a training channel holds, and where."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from local.sagemaker import channels
from local.sagemaker.channels import ChannelError
from local.sagemaker.errors import NotAvailableError
from local.sagemaker.platform import StorageError


class Objects:
    """S3 as a dictionary of URIs."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self._objects = objects

    def read(self, uri: str) -> bytes:
        if uri not in self._objects:
            raise StorageError(f"Cannot read {uri}: NoSuchKey")
        return self._objects[uri]

    def download(self, uri: str, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(self.read(uri))

    def keys_under(self, uri: str) -> list[str]:
        return [found.partition("://b/")[2] for found in self._objects if found.startswith(uri)]


def channel(kind: str, uri: str) -> dict[str, object]:
    source = {"S3DataType": kind, "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": "images", "DataSource": {"S3DataSource": source}}


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_prefix_brings_all_objects_below_it(tmp_path: Path) -> None:
    objects = Objects({"s3://b/data/a.png": b"1", "s3://b/data/sub/b c.png": b"2", "s3://b/database": b"3"})
    assert channels.fill(channel("S3Prefix", "s3://b/data"), tmp_path, objects) == 2
    assert content(tmp_path) == {"a.png": b"1", "sub/b c.png": b"2"}


def test_a_prefix_that_is_one_object_brings_it(tmp_path: Path) -> None:
    channels.fill(channel("S3Prefix", "s3://b/data/a.png"), tmp_path, Objects({"s3://b/data/a.png": b"1"}))
    assert content(tmp_path) == {"a.png": b"1"}


def test_a_manifest_brings_what_it_lists_under_the_relative_names(tmp_path: Path) -> None:
    listed = [{"prefix": "s3://b/"}, "digits/a b.png", "digits/ä+%.png"]
    objects = Objects(
        {
            "s3://b/m.json": json.dumps(listed).encode(),
            "s3://b/digits/a b.png": b"1",
            "s3://b/digits/ä+%.png": b"2",
            "s3://b/digits/other.png": b"3",
        }
    )
    assert channels.fill(channel("ManifestFile", "s3://b/m.json"), tmp_path, objects) == 2
    assert content(tmp_path) == {"digits/a b.png": b"1", "digits/ä+%.png": b"2"}


def test_a_listed_object_that_is_missing_is_an_error_that_names_it(tmp_path: Path) -> None:
    objects = Objects({"s3://b/m.json": b'[{"prefix": "s3://b/"}, "gone.png"]'})
    with pytest.raises(ChannelError, match=r"s3://b/gone\.png"):
        channels.fill(channel("ManifestFile", "s3://b/m.json"), tmp_path, objects)


@pytest.mark.parametrize("text", [b"{}", b"[]", b'["a"]', b'[{"prefix": "s3://b/"}, 7]', b"\xff"])
def test_a_manifest_of_another_form_is_an_error(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(ChannelError, match="Invalid manifest file"):
        channels.fill(channel("ManifestFile", "s3://b/m.json"), tmp_path, Objects({"s3://b/m.json": text}))


def test_a_key_cannot_leave_the_channel(tmp_path: Path) -> None:
    objects = Objects({"s3://b/m.json": b'[{"prefix": "s3://b/"}, "../out"]', "s3://b/../out": b"1"})
    with pytest.raises(ChannelError, match="cannot be a file"):
        channels.fill(channel("ManifestFile", "s3://b/m.json"), tmp_path / "in", objects)
    assert not (tmp_path / "out").exists()


def test_an_empty_channel_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ChannelError, match="No S3 objects found"):
        channels.fill(channel("S3Prefix", "s3://b/none/"), tmp_path, Objects({}))


@pytest.mark.parametrize(("kind", "mode"), [("AugmentedManifestFile", "File"), ("S3Prefix", "Pipe")])
def test_other_kinds_of_channels_are_refused_by_name(kind: str, mode: str) -> None:
    with pytest.raises(NotAvailableError, match=f"{kind if mode == 'File' else mode}.*not available"):
        channels.check(channel(kind, "s3://b/m"), mode)
