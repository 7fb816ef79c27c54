"""The static pages of web/, as the functions' package of that name carries them."""

import hashlib
import mimetypes
from dataclasses import dataclass
from importlib.resources import files
from pathlib import PurePosixPath

from loupe.domain.errors import NotFound

TEXT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".webmanifest": "application/manifest+json; charset=utf-8",
}


@dataclass(frozen=True)
class Page:
    """One file of web/. `etag` is quoted as HTTP wants it."""

    content: bytes
    content_type: str
    etag: str

    @property
    def is_text(self) -> bool:
        return self.content_type.endswith("charset=utf-8")


def find_page(path: str) -> Page:
    """The file at `path` below web/. Raises `NotFound`; nothing outside web/ is ever read."""
    parts = PurePosixPath(path).parts
    if not parts or any(part in {"..", "/"} or part.startswith(".") for part in parts):
        raise NotFound(f"there is no page {path!r}")
    file = files("web").joinpath(*parts)
    if not file.is_file():
        raise NotFound(f"there is no page {path!r}")
    content = file.read_bytes()
    suffix = PurePosixPath(path).suffix
    content_type = TEXT_TYPES.get(suffix) or mimetypes.guess_type(path)[0] or "application/octet-stream"
    return Page(content, content_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def content_security_policy(image_origin: str, sign_in_origin: str) -> str:
    """What the pages may load: their own scripts and styles, images of the raw-data bucket, the sign-in."""
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            f"img-src 'self' data: blob: {image_origin}",
            f"connect-src 'self' {sign_in_origin}",
            "manifest-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )
