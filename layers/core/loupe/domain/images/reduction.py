"""Smaller copies of images, for endpoints that take less than S3 holds."""

import pyvips

from loupe.domain.images.inspection import decoded, inspect

MAX_SIDE = 1536
"""Pixels of the longer side of a reduced image: well above what any of the networks looks at."""

_QUALITY = 90


def reduced(image: bytes) -> bytes:
    """A JPEG of the same picture with at most `MAX_SIDE` pixels a side; raises `ImageRejected`.

    It lies as the original does, and keeps what EXIF says about turning it: so boxes in it are boxes in the
    original, but for the scale.
    """
    inspect(image)
    return decoded(lambda: _small_jpeg(image))


def _small_jpeg(image: bytes) -> bytes:
    small = pyvips.Image.thumbnail_buffer(image, MAX_SIDE, height=MAX_SIDE, size="down", no_rotate=True)
    content: bytes = small.jpegsave_buffer(Q=_QUALITY, keep="exif")
    return content
