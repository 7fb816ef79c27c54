"""Small images, each of other bytes."""

import pyvips


def picture(number: int, width: int = 40, height: int = 30) -> bytes:
    """A PNG in a shade of its own."""
    shade = pyvips.Image.black(width, height) + number % 256
    content: bytes = shade.cast("uchar").pngsave_buffer()
    return content
