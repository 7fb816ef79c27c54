"""Input channels of a training job in File mode: what SageMaker copies from S3 before the script starts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from local.sagemaker.errors import NotAvailableError
from local.sagemaker.platform import StorageError, split_uri

_PARALLEL = 8


class ReadsObjects(Protocol):
    def read(self, uri: str) -> bytes: ...

    def download(self, uri: str, target: Path) -> None: ...

    def keys_under(self, uri: str) -> list[str]: ...


class ChannelError(Exception):
    """A channel could not be filled; the text is for the job's FailureReason."""


def check(channel: Mapping[str, Any], default_mode: str) -> None:
    """Raises NotAvailableError for a channel of a kind that the local cloud does not fill."""
    mode = channel.get("InputMode", default_mode)
    source = channel["DataSource"].get("S3DataSource")
    if source is None:
        raise NotAvailableError("FileSystemDataSource")
    if mode == "Pipe":
        raise NotAvailableError("TrainingInputMode Pipe")
    if source["S3DataType"] not in ("S3Prefix", "ManifestFile"):
        raise NotAvailableError(f"S3DataType {source['S3DataType']}")
    if channel.get("CompressionType", "None") != "None":
        raise NotAvailableError(f"CompressionType {channel['CompressionType']} of a channel")
    if channel.get("RecordWrapperType", "None") != "None":
        raise NotAvailableError(f"RecordWrapperType {channel['RecordWrapperType']}")


def fill(channel: Mapping[str, Any], folder: Path, storage: ReadsObjects) -> int:
    """Copy the channel's objects into `folder`; the number of files. Raises ChannelError."""
    folder.mkdir(parents=True, exist_ok=True)
    source = channel["DataSource"]["S3DataSource"]
    try:
        if source["S3DataType"] == "ManifestFile":
            files = manifest_files(source["S3Uri"], storage.read(source["S3Uri"]))
        else:
            files = prefix_files(source["S3Uri"], storage.keys_under(source["S3Uri"]))
        if not files:
            raise ChannelError(
                f"No S3 objects found under S3 URL {source['S3Uri']!r} given in input data source"
            )
        targets = {uri: _inside(folder, relative) for uri, relative in files.items()}
        with ThreadPoolExecutor(_PARALLEL) as pool:
            for _ in pool.map(lambda item: storage.download(*item), targets.items()):
                pass
    except StorageError as error:
        raise ChannelError(str(error)) from error
    except OSError as error:
        # A key that is no file name: too long, or both a file and a folder.
        raise ChannelError(f"Data download failed: {error}") from error
    return len(files)


def prefix_files(uri: str, keys: list[str]) -> dict[str, str]:
    """Object URI -> path in the channel. A prefix that ends in no slash is cut at its last one."""
    bucket, prefix = split_uri(uri)
    cut = prefix.rfind("/") + 1
    if keys == [prefix]:
        return {uri: prefix[cut:]}
    folder = prefix if prefix.endswith("/") or not prefix else f"{prefix}/"
    below = [key for key in keys if key.startswith(folder)]
    chosen, cut = (below, len(folder)) if below else (keys, cut)
    return {f"s3://{bucket}/{key}": key[cut:] for key in chosen if not key.endswith("/")}


def manifest_files(uri: str, content: bytes) -> dict[str, str]:
    """Object URI -> path in the channel, from `[{"prefix": "s3://b/p/"}, "relative", ...]`.

    Raises ChannelError if it is not such a list.
    """
    try:
        manifest = json.loads(content)
        prefix, entries = manifest[0]["prefix"], manifest[1:]
    except (ValueError, LookupError, TypeError) as error:
        raise ChannelError(f"Invalid manifest file {uri}: expected [{{'prefix': ...}}, ...]") from error
    if not all(isinstance(entry, str) for entry in entries):
        raise ChannelError(f"Invalid manifest file {uri}: every entry after the prefix must be a string")
    return {f"{prefix}{entry}": entry for entry in entries}


def _inside(folder: Path, relative: str) -> Path:
    target = folder / relative
    if ".." in Path(relative).parts or Path(relative).is_absolute():
        raise ChannelError(f"Data download failed: the key {relative!r} cannot be a file below the channel")
    return target
