"""Pictures for tests: such as people take, such as break, and such as are made to do harm."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

# x and y offset, x and y step of the passes of an interlaced PNG
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def photo(width: int = 320, height: int = 240, seed: int = 0) -> Image.Image:
    """Shapes of all sizes, the larger the stronger, as in photos; another seed is another picture."""
    random = np.random.default_rng(seed)
    picture = np.full((height, width, 3), 128.0)
    for cells, contrast in ((3, 40), (6, 24), (12, 14), (24, 8), (48, 5)):
        shapes = random.normal(128, contrast, (cells, cells, 3)).clip(0, 255).astype(np.uint8)
        picture += np.asarray(Image.fromarray(shapes).resize((width, height), Image.Resampling.BICUBIC))
        picture -= 128
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    """The file that Pillow makes of it."""
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def jpeg(width: int = 320, height: int = 240, seed: int = 0, **options: Any) -> bytes:
    return encoded(photo(width, height, seed), "JPEG", **options)


def png(width: int = 320, height: int = 240, seed: int = 0, **options: Any) -> bytes:
    return encoded(photo(width, height, seed), "PNG", **options)


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of(
    width: int, height: int, pixels: bytes, *, depth: int = 8, colour: int = 2, is_interlaced: bool = False
) -> bytes:
    """A PNG with exactly these bytes of (filtered) pixels, right or wrong."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(is_interlaced))
    return _png(header, zlib.compress(pixels, 9))


def _png(header: bytes, compressed: bytes) -> bytes:
    chunks = (chunk(b"IHDR", header), chunk(b"IDAT", compressed), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def black_png(width: int, height: int, *, is_interlaced: bool = False) -> bytes:
    """A PNG of three bytes a pixel that is black all over: a few hundred kilobytes for 100 megapixels."""
    passes = _PASSES if is_interlaced else ((0, 0, 1, 1),)
    compressor, compressed = zlib.compressobj(9), []
    for x, y, dx, dy in passes:
        line = bytes(1 + 3 * len(range(x, width, dx)))
        compressed += [compressor.compress(line) for _ in range(y, height, dy)]
    compressed.append(compressor.flush())
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, int(is_interlaced))
    return _png(header, b"".join(compressed))


def interlaced(image: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    """An interlaced PNG (Adam7) of an array of rows, columns and colours."""
    lines = [b"\0" + line.tobytes() for x, y, dx, dy in _PASSES for line in image[y::dy, x::dx] if line.size]
    return png_of(image.shape[1], image.shape[0], b"".join(lines), is_interlaced=True)
