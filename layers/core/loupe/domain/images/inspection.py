"""Looking at an image's bytes: can it be labeled and trained on, how large is it, which others is it like.

Limits are Ground Truth's: JPEG or PNG, at most 40 MB and 100 megapixels. What a file is, its bytes say, not
its name. Every pixel is decoded once, so that nothing broken goes on to people or into a training, but never
at full size: JPEGs shrink while they are decoded, PNGs pass by line by line. docs/decisions/ tells of the
choice of decoder (image-decoding.md) and of the hash (perceptual-hash.md).
"""

import math
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import add, mul, sub
from typing import Any, Literal, TypeVar

import pyvips

T = TypeVar("T")

MAX_IMAGE_BYTES = 40_000_000
MAX_PIXELS = 100_000_000

NEAR_DUPLICATE_DISTANCE = 24
"""Perceptual hashes that differ in at most so many of their 256 bits are of the same picture."""

_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"
_OTHER_FORMATS = (
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "BigTIFF"),
    (b"MM\0+", "BigTIFF"),
    (b"8BPS", "Photoshop"),
    (b"\0\0\1\0", "ICO"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"%PDF-", "PDF"),
)
_ISO_MEDIA_BRANDS = {b"avif": "AVIF", b"avis": "AVIF"} | dict.fromkeys(
    (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"), "HEIC"
)
# Warnings of libjpeg about files that are complete all the same.
_HARMLESS = ("extraneous bytes before marker", "Inconsistent progression sequence", "Unknown Adobe")
_CUT_SHORT = "premature end of JPEG image"

# One image is worked on by one thread: a batch has many images. Results are never asked for twice.
pyvips.vips_lib.vips_concurrency_set(1)
pyvips.cache_set_max(0)


class ImageRejected(Exception):
    """The file can't be labeled. `reason` is a slug, `detail` says in words what is the matter."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class ImageFacts:
    """Width and height are pixels as stored, `format` is jpeg or png, `phash` is 64 hexadecimal digits.
    `orientation` is how EXIF asks viewers to turn the image, 1 to 8; 1 is not at all."""

    width: int
    height: int
    format: str
    phash: str
    orientation: int = 1


def inspect(data: bytes) -> ImageFacts:
    """Decode the whole image in little memory. Raises `ImageRejected`."""
    return _inspect_jpeg(data) if media_type(data) == "image/jpeg" else _inspect_png(data)


def dimensions(data: bytes) -> tuple[int, int]:
    """Width and height in pixels as stored, from the header alone. Raises `ImageRejected`."""
    if media_type(data) == "image/jpeg":
        header = decoded(lambda: pyvips.Image.jpegload_buffer(data, access="sequential"))
    else:
        header = _PngHeader.read(data)
    return _checked_dimensions(header.width, header.height)


def media_type(data: bytes) -> Literal["image/jpeg", "image/png"]:
    """What the file says it is in its first bytes. Raises `ImageRejected` for anything else, and for a number
    of bytes that no image may have."""
    check_size(len(data))
    if data.startswith(_JPEG):
        return "image/jpeg"
    if data.startswith(_PNG):
        return "image/png"
    raise _not_accepted(data)


def check_size(size: int) -> None:
    """Raises `ImageRejected` for a number of bytes that no image may have."""
    if size == 0:
        raise ImageRejected("empty-file", "the object has no content")
    if size > MAX_IMAGE_BYTES:
        raise ImageRejected(
            "too-large", f"{size:,} bytes; an image may have at most {MAX_IMAGE_BYTES:,} (40 MB)"
        )


def _not_accepted(data: bytes) -> ImageRejected:
    kind = next((kind for start, kind in _OTHER_FORMATS if data.startswith(start)), None)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        kind = "WebP"
    elif data[4:8] == b"ftyp":
        kind = _ISO_MEDIA_BRANDS.get(data[8:12], "video or other ISO media")
    elif data[:1024].lstrip().startswith(b"<") and b"<svg" in data[:1024]:
        kind = "SVG"
    if kind:
        return ImageRejected("unsupported-format", f"this is a {kind} file; use JPEG or PNG")
    if _PNG.startswith(data) or _JPEG.startswith(data):
        return ImageRejected("truncated", f"the file ends after {len(data)} bytes")
    return ImageRejected("not-an-image", f"neither JPEG nor PNG: it begins with {data[:16]!r}")


# JPEG -----------------------------------------------------------------------------------------------


def _inspect_jpeg(data: bytes) -> ImageFacts:
    header = decoded(lambda: pyvips.Image.jpegload_buffer(data, access="sequential"))
    width, height = _checked_dimensions(header.width, header.height)
    shrink = next((by for by in (8, 4, 2) if min(width, height) >= by * 2 * _LEAST_SIDE), 1)
    try:
        phash = _hash_of_jpeg(data, shrink, "warning")
    except ImageRejected as rejected:
        if not any(words in rejected.detail for words in _HARMLESS):
            raise
        phash = _hash_of_jpeg(data, shrink, "error")
    return ImageFacts(width, height, "jpeg", phash, _orientation(header))


def _hash_of_jpeg(data: bytes, shrink: int, fail_on: str) -> str:
    load = pyvips.Image.jpegload_buffer
    return decoded(lambda: perceptual_hash(load(data, shrink=shrink, access="sequential", fail_on=fail_on)))


# PNG ------------------------------------------------------------------------------------------------

_LARGE_INTERLACED = 4_000_000
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# x and y offset, x and y step of the passes of an interlaced PNG (Adam7)
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_INFLATED_AT_ONCE = 1 << 20


def _inspect_png(data: bytes) -> ImageFacts:
    header = _PngHeader.read(data)
    width, height = _checked_dimensions(header.width, header.height)
    chunks = list(_png_chunks(data))
    original = data
    if header.interlaced and width * height > _LARGE_INTERLACED:
        data = _first_pass(header, chunks)
    load = pyvips.Image.pngload_buffer
    orientation = decoded(lambda: _orientation(load(original, access="sequential")))
    phash = decoded(lambda: perceptual_hash(load(data, access="sequential", fail_on="error")))
    return ImageFacts(width, height, "png", phash, orientation)


@dataclass(frozen=True)
class _PngHeader:
    width: int
    height: int
    depth: int
    colour: int
    interlaced: bool

    @classmethod
    def read(cls, data: bytes) -> "_PngHeader":
        if len(data) < 33:
            raise ImageRejected("truncated", f"the file ends after {len(data)} bytes")
        if data[12:16] != b"IHDR":
            raise ImageRejected("corrupt", "a PNG has to begin with its header, IHDR")
        width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", data[16:29])
        if colour not in _CHANNELS:
            raise ImageRejected("corrupt", f"there is no PNG colour type {colour}")
        return cls(width, height, depth, colour, interlace == 1)

    def pass_size(self, number: int) -> tuple[int, int, int]:
        """Width, height and bytes (with a filter byte a line) of one pass of an interlaced PNG."""
        x, y, dx, dy = _PASSES[number]
        width, height = max(0, -(-(self.width - x) // dx)), max(0, -(-(self.height - y) // dy))
        line = (width * self.depth * _CHANNELS[self.colour] + 7) // 8
        return width, height, (line + 1) * height if width else 0


def _first_pass(header: _PngHeader, chunks: list[tuple[bytes, memoryview]]) -> bytes:
    """Every eighth pixel of every eighth line, as a PNG of its own.

    Decoders keep the whole of an interlaced image in memory, up to 800 MB at the limit of pixels. Its first
    pass is a complete small image; of the others it is only checked that they are all there.
    """
    width, height, first_bytes = header.pass_size(0)
    expected = sum(header.pass_size(number)[2] for number in range(len(_PASSES)))
    kept, palette = bytearray(), b""
    inflater, inflated = zlib.decompressobj(), 0
    for kind, content in chunks:
        if kind in (b"PLTE", b"tRNS"):
            palette += _png_chunk(kind, content)
        elif kind == b"IDAT":
            for piece in _inflated(inflater, content):
                kept += piece[: max(0, first_bytes - inflated)]
                inflated += len(piece)
                if inflated > expected:
                    raise ImageRejected("corrupt", "the PNG holds more than its header says")
    if inflated < expected or not inflater.eof:
        raise ImageRejected("truncated", f"{inflated:,} of {expected:,} bytes of pixels are there")
    small = struct.pack(">IIBBBBB", width, height, header.depth, header.colour, 0, 0, 0)
    return b"".join(
        (_PNG, _png_chunk(b"IHDR", small), palette, _png_chunk(b"IDAT", zlib.compress(kept, 1)),
         _png_chunk(b"IEND", b""))
    )  # fmt: skip


def _inflated(inflater: Any, content: memoryview) -> Iterator[bytes]:
    rest: Any = content
    while rest and not inflater.eof:
        try:
            yield inflater.decompress(rest, _INFLATED_AT_ONCE)
        except zlib.error as error:
            raise ImageRejected("corrupt", f"the PNG's pixels can't be inflated: {error}") from error
        rest = inflater.unconsumed_tail


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Kinds and contents, up to the image's end; what comes after that belongs to no image."""
    view, at = memoryview(data), len(_PNG)
    while True:
        length = struct.unpack_from(">I", data, at)[0] if at + 8 <= len(data) else 0
        end = at + 8 + length
        if end + 4 > len(data):
            raise ImageRejected("truncated", f"the file ends in the middle of its chunk at byte {at:,}")
        if zlib.crc32(view[at + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise ImageRejected("corrupt", f"the checksum of the PNG's chunk at byte {at:,} is wrong")
        kind = bytes(view[at + 4 : at + 8])
        if kind == b"IEND":
            return
        yield kind, view[at + 8 : end]
        at = end + 4


def _png_chunk(kind: bytes, content: bytes | memoryview) -> bytes:
    checksum = zlib.crc32(content, zlib.crc32(kind))
    return struct.pack(">I", len(content)) + kind + bytes(content) + struct.pack(">I", checksum)


# Dimensions and likeness ----------------------------------------------------------------------------

_LEAST_SIDE = 32
_FREQUENCIES = 16


def _checked_dimensions(width: int, height: int) -> tuple[int, int]:
    if width < 1 or height < 1:
        raise ImageRejected("corrupt", f"an image of {width} × {height} pixels has nothing to see")  # noqa: RUF001
    if width * height > MAX_PIXELS:
        raise ImageRejected(
            "too-many-pixels",
            f"{width} × {height} are {width * height / 1e6:,.0f} megapixels; "  # noqa: RUF001
            f"an image may have at most {MAX_PIXELS // 10**6}",
        )
    return width, height


# One image is decoded at a time: libvips keeps the messages of all threads in one place, and they decide
# whether an image is rejected. It bounds memory, too, as a progressive JPEG keeps all its coefficients until
# its end, up to 600 MB. The function has one processor, so no speed is lost; others read from S3 meanwhile.
_turns = threading.Lock()


def decoded(decode: Callable[[], T]) -> T:
    """What libvips makes of an image, one at a time. Raises `ImageRejected` where it fails."""
    try:
        with _turns:
            return decode()
    except pyvips.Error as error:
        lines = [line.strip() for line in error.detail.splitlines() if line.strip()]
        detail = "; ".join(dict.fromkeys(lines)) or error.message
        raise ImageRejected("truncated" if _CUT_SHORT in detail else "corrupt", detail) from error


def _orientation(image: Any) -> int:
    """EXIF's orientation of a pyvips image; libvips gives 1 for one that EXIF does not have."""
    return int(image.get("orientation")) if image.get_typeof("orientation") else 1


def perceptual_hash(image: Any) -> str:
    """256 bits of a pyvips image: which of its 16 x 16 lowest frequencies (cosine transform along both sides)
    are above their median. Reads every line of the image."""
    across, down = max(1, image.width // _LEAST_SIDE), max(1, image.height // _LEAST_SIDE)
    small = image.shrink(across, down, ceil=True)
    if small.hasalpha():
        small = small.flatten()
    if small.interpretation not in ("srgb", "b-w"):  # CMYK or 16 bits
        small = small.colourspace("srgb")
    if min(small.width, small.height) < _LEAST_SIDE:
        enlarged = max(_LEAST_SIDE / small.width, 1), max(_LEAST_SIDE / small.height, 1)
        small = small.resize(enlarged[0], vscale=enlarged[1], kernel="linear")
    # From here on in Python: with so few pixels, setting up further operations of libvips takes longer.
    pixels: Sequence[int] = bytes(small.write_to_memory())
    if small.bands == 3:
        pixels = list(map(add, map(add, pixels[::3], pixels[1::3]), pixels[2::3]))
    width = small.width
    lines = (pixels[at : at + width] for at in range(0, len(pixels), width))
    columns = zip(*(_frequencies(line) for line in lines), strict=True)
    both = [round(value) for column in columns for value in _frequencies(column)]
    median = sorted(both)[len(both) // 2]
    bits = 0
    for value in both:
        bits = bits << 1 | (value > median)
    return f"{bits:064x}"


def _frequencies(line: Sequence[float]) -> list[float]:
    """The lowest frequencies of a line of any length (its discrete cosine transform, not scaled).

    A cosine is even or odd about the middle of the line, so half of the line is enough for each.
    """
    half = len(line) // 2
    mirrored = line[::-1]
    even = [*map(add, line[:half], mirrored), *line[half : len(line) - half]]
    odd = list(map(sub, line[:half], mirrored))
    return [
        sum(map(mul, cosines, odd if step % 2 else even)) for step, cosines in enumerate(_cosines(len(line)))
    ]


@lru_cache(maxsize=256)
def _cosines(length: int) -> list[list[float]]:
    """The first half of each cosine, with the middle."""
    return [
        [math.cos(math.pi * step * (2 * at + 1) / (2 * length)) for at in range((length + 1) // 2)]
        for step in range(_FREQUENCIES)
    ]


def distance(a: str, b: str) -> int:
    """In how many of their 256 bits two perceptual hashes differ."""
    return (int(a, 16) ^ int(b, 16)).bit_count()
