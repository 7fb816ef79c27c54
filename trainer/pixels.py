"""From the bytes of an image to the numbers a network sees.

Training, evaluation and serving all come through here, so that a model never meets pixels made differently
from those it learned from. The steps: decode the first frame, turn it as its EXIF orientation says, put
transparent pixels on white (as the labeling page shows them), convert to 8-bit RGB, and resize to a square.
"""

import io
import struct
import zlib
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

MAX_PIXELS = 100_000_000
# Pillow itself only warns above this limit, and refuses above twice as much; _open refuses at once.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
_FORMATS = ("JPEG", "PNG")
# What Pillow's decoders raise on damaged bytes: no single base class covers them.
_DECODING_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)
_SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I;16N")


class UnreadableImageError(ValueError):
    """The bytes are not an image that can be used; the message says why, in words for the sender."""


def image_size(data: bytes) -> tuple[int, int]:
    """Width and height in pixels as stored, from the header alone; UnreadableImageError if there is none."""
    return _open(data).size


def to_pixels(data: bytes, side: int) -> torch.Tensor:
    """Decode a JPEG or PNG into contiguous uint8 RGB (3, side, side); UnreadableImageError if it is none.

    The whole image is kept: another aspect ratio is squeezed into the square, not cropped.
    """
    image = _open(data)
    # A JPEG decoder can shrink by 2, 4 or 8 while decoding, which costs a fraction of the full decode.
    image.draft("RGB", (side, side))
    try:
        image.load()
        rgb = _to_rgb(_upright(image))
    except _DECODING_ERRORS as error:
        raise UnreadableImageError(f"the image cannot be decoded: {error}") from error
    resized = rgb.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=3.0)
    # Channels first, copied into one piece of memory.
    return torch.from_numpy(np.asarray(resized).transpose(2, 0, 1).copy())


def normalise(pixels: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Turn pixels (N, 3, H, W) from 0 to 1 into a network's input: zero mean, unit variance a channel."""
    shape = (1, 3, 1, 1)
    centre = torch.tensor(mean, dtype=pixels.dtype, device=pixels.device).view(shape)
    spread = torch.tensor(std, dtype=pixels.dtype, device=pixels.device).view(shape)
    return ((pixels - centre) / spread).contiguous()


def _open(data: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except UnidentifiedImageError as error:
        raise UnreadableImageError("the data is neither a JPEG nor a PNG image") from error
    except Image.DecompressionBombError as error:
        raise UnreadableImageError(f"the image has more than {MAX_PIXELS:,} pixels") from error
    except _DECODING_ERRORS as error:
        raise UnreadableImageError(f"the image's header cannot be read: {error}") from error
    if image.width * image.height > MAX_PIXELS:
        raise UnreadableImageError(
            f"the image has {image.width:,} x {image.height:,} pixels; at most {MAX_PIXELS:,} are taken"
        )
    return image


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except _DECODING_ERRORS:
        # Broken EXIF does not make the picture unreadable: browsers show it as stored, and so does this.
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in _SIXTEEN_BIT_MODES:
        # Pillow would clip 16-bit grey at 255; keep the high byte instead.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image)
    return image.convert("RGB")
