"""Smaller copies of images, for endpoints that take less than S3 holds."""

import pyvips

from loupe.domain.images import ImageRejected, inspect

MAX_SIDE = 1536
"""Pixels of the longer side of a reduced image: well above what any of the networks looks at."""

_QUALITY = 90


def reduced(image: bytes) -> bytes:
    """A JPEG of the same picture with at most `MAX_SIDE` pixels a side; raises `ImageRejected`.

    It is turned as EXIF says, since the copy has no EXIF.
    """
    inspect(image)
    try:
        small = pyvips.Image.thumbnail_buffer(image, MAX_SIDE, height=MAX_SIDE, size="down")
        content: bytes = small.jpegsave_buffer(Q=_QUALITY, keep="none")
    except pyvips.Error as error:
        raise ImageRejected("corrupt", str(error).strip()) from error
    return content
