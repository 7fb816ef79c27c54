"""Copies of images under flat names of the workspace bucket, and lists of objects for SageMaker."""

import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from loupe.domain.errors import ObjectMissing
from loupe.domain.manifests import S3Uri
from loupe.domain.workspace import Workspace
from loupe.ports.objects import StoresObjects

_AT_ONCE = 16


def copy_images(names: Workspace, places: Mapping[str, S3Uri], workspace: StoresObjects) -> list[str]:
    """Copy images, by SHA-256 where they lie, server-side to `Workspace.image_copy`; those that are there
    already stay. Returns the SHA-256s of those that are there then: an image that is gone by now is
    missing."""
    there = {
        stored.key.removeprefix(names.image_copies) for stored in workspace.list(names.image_copies)
    } & set(places)

    def copy(digest: str) -> str | None:
        try:
            workspace.copy_from(places[digest].bucket, places[digest].key, names.image_copy(digest))
        except ObjectMissing:
            return None
        return digest

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        there.update(filter(None, pool.map(copy, places.keys() - there)))
    return [digest for digest in places if digest in there]


def manifest_file(prefix: str, keys: Iterable[str]) -> Iterator[str]:
    """SageMaker's ManifestFile: a prefix, and the keys below it."""
    yield f"[{json.dumps({'prefix': prefix})}"
    for key in keys:
        yield f",\n{json.dumps(key, ensure_ascii=False)}"
    yield "]\n"
