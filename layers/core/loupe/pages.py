"""The static pages of web/, as the functions' package of that name carries them."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from loupe.domain.errors import NotFound

CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
    ".webmanifest": "application/manifest+json; charset=utf-8",
}
"""What web/ may hold: text, since API Gateway would have to be told of each binary type."""


@dataclass(frozen=True)
class Page:
    """One file of web/. `etag` is quoted as HTTP wants it."""

    content: str
    content_type: str
    etag: str


def find_page(path: str) -> Page:
    """The file at `path` below web/. Raises `NotFound`; nothing outside web/ is ever read."""
    parts = PurePosixPath(path).parts
    content_type = CONTENT_TYPES.get(PurePosixPath(path).suffix)
    if content_type is None or any(part in {"..", "/"} for part in parts):
        raise NotFound(f"there is no page {path!r}")
    file = files("web")
    for part in parts:
        file = file / part
    if not file.is_file():
        raise NotFound(f"there is no page {path!r}")
    content = file.read_bytes()
    return Page(content.decode(), content_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def content_security_policy(
    image_origins: Sequence[str], sign_in_url: str, referred: Iterable[str] = ()
) -> str:
    """What the pages may load: their own scripts and styles, images of the stack's buckets, whose origins are
    given, and of those that it refers to, and the sign-in."""
    sign_in = urlsplit(sign_in_url)
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            " ".join(["img-src 'self'", *image_origins, *_origins(image_origins[0], referred)]),
            f"connect-src 'self' {sign_in.scheme}://{sign_in.netloc}",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            # The browser itself refuses to make markup of text.
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ]
    )


def _origins(image_origin: str, buckets: Iterable[str]) -> Iterator[str]:
    """The origins of other buckets, of the raw-data bucket's kind: `https://<bucket>.s3.<region>...`. Where
    buckets are no part of it, it is the origin of all."""
    _, virtual_hosted, rest = image_origin.partition(".s3.")
    return (f"https://{bucket}.s3.{rest}" for bucket in buckets if virtual_hosted)
