"""Augmented manifests: JSON Lines in Ground Truth's own format.

The source of the format is Ground Truth's documentation of input and output manifests: one JSON object
a line with `source-ref`, the label attribute and `<attribute>-metadata`; other keys pass through.
Loupe adds `image-sha256`, so that a row keeps naming its image when the object under its key is replaced, and
the image's width and height.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from loupe.domain.errors import DomainError
from loupe.domain.json_lines import NotJson, read_line, write_lines

Row = dict[str, Any]

MAX_LINE_CHARACTERS = 100_000
SHA256, VERSION_ID = "image-sha256", "image-version-id"
WIDTH, HEIGHT = "image-width", "image-height"
"""Keys of Loupe's own beside the label; width and height are pixels as stored."""
ORIENTATION = "image-orientation"
"""How EXIF asks viewers to turn the image, 2 to 8; in rows of input manifests, where it does."""


class InvalidManifest(DomainError):
    """A manifest line that can't be used; the message names the line."""

    status, slug, title = 422, "invalid-manifest", "The manifest is not valid"


@dataclass(frozen=True)
class S3Uri:
    """An object's place, `s3://<bucket>/<key>`; the key stands there as it is, not URL-encoded."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, uri: str) -> "S3Uri":
        """Raises `InvalidManifest` for what is no S3 URI of an object."""
        found = cls.parse_place(uri)
        if not found.key:
            raise InvalidManifest(f"{uri!r} is not of the form s3://bucket/key")
        return found

    @classmethod
    def parse_place(cls, uri: str) -> "S3Uri":
        """Of an object, a prefix, or a whole bucket, whose key is empty. Raises `InvalidManifest`."""
        scheme, _, rest = uri.partition("://")
        bucket, _, key = rest.partition("/")
        if scheme != "s3" or not bucket:
            raise InvalidManifest(f"{uri!r} is not of the form s3://bucket/key")
        return cls(bucket, key)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def read_rows(lines: Iterable[str]) -> Iterator[Row]:
    """Rows of a manifest; blank lines are passed over, `\\r\\n` is accepted.

    Raises `InvalidManifest` naming the line that is not a JSON object with a `source-ref`.
    """
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text:
            continue
        try:
            row = read_line(text)
        except NotJson as error:
            raise InvalidManifest(f"line {number} is not JSON: {error}") from error
        if not isinstance(row, dict) or not isinstance(row.get("source-ref"), str):
            raise InvalidManifest(f"line {number} is not an object with a source-ref")
        yield row


def write_rows(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Lines of a manifest, each ending in a newline."""
    return write_lines(rows)


def label_categories(labels: Iterable[str]) -> str:
    """Ground Truth's label category file: class indexes are the positions in it."""
    document = {"document-version": "2018-11-28", "labels": [{"label": label} for label in labels]}
    return json.dumps(document, ensure_ascii=False, indent=1)
