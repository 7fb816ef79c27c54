"""Folders of label files and images, on disk and in S3, as the formats read them."""

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from io import FileIO
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol, cast

from cli.errors import CommandFault
from cli.stack import Stack
from cli.upload import files_below
from loupe.domain.errors import ObjectMissing
from loupe.domain.interchange.records import Files, UnreadableFile, is_image
from loupe.domain.manifests import S3Uri
from loupe.ports.objects import StoresObjects

_IN_MEMORY = 8 * 1024 * 1024


@dataclass(frozen=True)
class LocalImage:
    """An image file."""

    path: Path

    def __str__(self) -> str:
        return os.fsencode(self.path).decode(errors="replace")


ImagePlace = LocalImage | S3Uri


class LabelFiles(Files, Protocol):
    """A folder of label files and images."""

    @property
    def images(self) -> Sequence[str]:
        """Paths of the images."""
        ...

    def image(self, path: str) -> ImagePlace:
        """Where the file at that path lies."""
        ...

    def path_of(self, place: ImagePlace) -> str | None:
        """The path of an image that lies here; None for others."""
        ...


class LocalFiles:
    """A folder on disk. With `only`, one label file in it, and the images beside and below."""

    def __init__(self, folder: Path, only: str | None = None, *, look_below: bool = True) -> None:
        self._folder = folder
        self._only = only
        self._look_below = look_below

    @cached_property
    def paths(self) -> Sequence[str]:
        if not self._look_below and self._only is not None:
            return [self._only]
        begin = len(os.fspath(self._folder).rstrip(os.sep)) + 1
        found = (entry.path[begin:].replace(os.sep, "/") for entry in files_below(self._folder))
        # A name that is not UTF-8 can't be written in any label file.
        return sorted(path for path in found if _is_text(path) and self._is_meant(path))

    def _is_meant(self, path: str) -> bool:
        return self._only is None or path == self._only or is_image(path)

    @property
    def images(self) -> Sequence[str]:
        return [path for path in self.paths if is_image(path)]

    def open(self, path: str) -> BinaryIO:
        try:
            return (self._folder / path).open("rb")
        except OSError as error:
            raise UnreadableFile(f"{self._folder / path} can't be read: {error.strerror}") from error

    def read(self, path: str) -> bytes:
        # Plain file names and no buffer: there may be one for each image.
        try:
            with FileIO(f"{self._folder}/{path}") as file:
                return file.readall()
        except OSError as error:
            raise UnreadableFile(f"{self._folder / path} can't be read: {error.strerror}") from error

    def image(self, path: str) -> ImagePlace:
        return LocalImage(self._folder / path)

    def path_of(self, place: ImagePlace) -> str | None:
        if isinstance(place, LocalImage) and place.path.is_relative_to(self._folder):
            return PurePosixPath(place.path.relative_to(self._folder)).as_posix()
        return None


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


class StoredFiles:
    """What lies below a prefix of a bucket, which ends in a slash or is empty. `only` as in `LocalFiles`."""

    def __init__(
        self, store: StoresObjects, prefix: str, only: str | None = None, *, look_below: bool = True
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._only = only
        self._look_below = look_below

    @cached_property
    def paths(self) -> Sequence[str]:
        if not self._look_below and self._only is not None:
            return [self._only]
        found = (stored.key[len(self._prefix) :] for stored in self._store.list(self._prefix))
        return sorted(path for path in found if path and not path.endswith("/") and self._is_meant(path))

    def _is_meant(self, path: str) -> bool:
        return self._only is None or path == self._only or is_image(path)

    @property
    def images(self) -> Sequence[str]:
        return [path for path in self.paths if is_image(path)]

    def open(self, path: str) -> BinaryIO:
        file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - whoever reads it closes it
        try:
            with self._store.open(self._prefix + path) as stream:
                shutil.copyfileobj(stream, file)
        except ObjectMissing as error:
            raise UnreadableFile(error.detail) from error
        file.seek(0)
        return cast("BinaryIO", file)

    def read(self, path: str) -> bytes:
        try:
            return self._store.read(self._prefix + path)
        except ObjectMissing as error:
            raise UnreadableFile(error.detail) from error

    def image(self, path: str) -> ImagePlace:
        return S3Uri(self._store.bucket, self._prefix + path)

    def path_of(self, place: ImagePlace) -> str | None:
        if isinstance(place, S3Uri) and place.bucket == self._store.bucket:
            return place.key.removeprefix(self._prefix) if place.key.startswith(self._prefix) else None
        return None


def label_files(stack: Stack, place: str, *, whole_folder: bool, look_below: bool) -> LabelFiles:
    """The files of a path or an S3 URI. A file that is named is read alone, unless `whole_folder` says that
    its folder is meant; without `look_below` nobody looks for images beside it.

    Raises CommandFault if nothing is there, and `InvalidManifest` for what is no S3 URI.
    """
    if place.startswith("s3://"):
        return _stored(stack, place, whole_folder=whole_folder, look_below=look_below)
    path = Path(place)
    if path.is_dir():
        return LocalFiles(path)
    if not path.exists():
        raise CommandFault(f"There is no {place}.")
    only = None if whole_folder else path.name
    return LocalFiles(path.parent, only, look_below=look_below)


def _stored(stack: Stack, place: str, *, whole_folder: bool, look_below: bool) -> LabelFiles:
    uri = S3Uri.parse_place(place)
    store, key = stack.bucket(uri.bucket), uri.key
    if key and not key.endswith("/") and store.exists(key):
        folder, _, name = key.rpartition("/")
        prefix = f"{folder}/" if folder else ""
        return StoredFiles(store, prefix, None if whole_folder else name, look_below=look_below)
    prefix = f"{key.rstrip('/')}/" if key else ""
    if next(iter(store.list(prefix)), None) is None:
        raise CommandFault(f"There is nothing at {place}.")
    return StoredFiles(store, prefix)
