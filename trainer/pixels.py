"""From the bytes of an image to the numbers a network sees.

Training, evaluation and serving all come through here, so that a model never meets pixels made differently
from those it learned from. The steps: decode the first frame, turn it as its EXIF orientation says, put
transparent pixels on white (as the labeling page shows them), convert to 8-bit RGB, and resize to a square:
squeezed into it, or at its top left with the aspect ratio kept (letterboxed).
"""

import io
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch.nn import functional

MAX_PIXELS = 100_000_000
# Pillow itself only warns above this limit, and refuses above twice as much; _open refuses at once.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
_FORMATS = ("JPEG", "PNG")
# What Pillow's decoders raise on damaged bytes: no single base class covers them.
_DECODING_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)
_SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "I;16N")
_ORIENTATION = 0x0112
# To turn an image upright: mirror x, mirror y, both as stored; from 5 on, swap x and y afterwards.
_MIRRORED = {
    2: (True, False),
    3: (True, True),
    4: (False, True),
    6: (False, True),
    7: (True, True),
    8: (True, False),
}
_FIRST_SWAPPED = 5
_PAPER = 128  # beside a letterboxed image


class UnreadableImageError(ValueError):
    """The bytes are not an image that can be used; the message says why, in words for the sender."""


@dataclass(frozen=True)
class Frame:
    """Where an image lies in the square that a network sees.

    `width` and `height` are those of the image as stored, `orientation` its EXIF orientation (1: upright),
    and `scale` the factors from the upright image's x and y to the square's.
    """

    width: int
    height: int
    orientation: int
    scale: tuple[float, float]

    def to_square(self, corners: torch.Tensor) -> torch.Tensor:
        """Boxes (N, 4) of left, top, right, bottom: from the image as stored to the square, in pixels."""
        upright = self._mirror(corners)
        if self.orientation >= _FIRST_SWAPPED:
            upright = upright[:, [1, 0, 3, 2]]
        return upright * corners.new_tensor(self.scale * 2)

    def to_image(self, corners: torch.Tensor) -> torch.Tensor:
        """Boxes (N, 4) the other way, cut off at the image's edges."""
        stored = corners / corners.new_tensor(self.scale * 2)
        if self.orientation >= _FIRST_SWAPPED:
            stored = stored[:, [1, 0, 3, 2]]
        return self.clip(self._mirror(stored))

    def clip(self, corners: torch.Tensor) -> torch.Tensor:
        """The part of each box, as stored, that is within the image."""
        return torch.minimum(corners.clamp(min=0), corners.new_tensor([self.width, self.height] * 2))

    def _mirror(self, corners: torch.Tensor) -> torch.Tensor:
        mirror_x, mirror_y = _MIRRORED.get(self.orientation, (False, False))
        left, top, right, bottom = corners.unbind(dim=1)
        if mirror_x:
            left, right = self.width - right, self.width - left
        if mirror_y:
            top, bottom = self.height - bottom, self.height - top
        return torch.stack((left, top, right, bottom), dim=1)


def image_size(data: bytes) -> tuple[int, int]:
    """Width and height in pixels as stored, from the header alone; UnreadableImageError if there is none."""
    return _open(data).size


def to_pixels(data: bytes, side: int) -> torch.Tensor:
    """Decode a JPEG or PNG into contiguous uint8 RGB (3, side, side); UnreadableImageError if it is none.

    The whole image is kept: another aspect ratio is squeezed into the square, not cropped.
    """
    pixels, _ = to_square(data, side, letterboxed=False)
    return pixels


def to_square(data: bytes, side: int, *, letterboxed: bool) -> tuple[torch.Tensor, Frame]:
    """As to_pixels, with the image's place in the square; letterboxed, what the image leaves free is grey."""
    image = _open(data)
    width, height = image.size
    # A JPEG decoder can shrink by 2, 4 or 8 while decoding, which costs a fraction of the full decode.
    image.draft("RGB", (side, side))
    try:
        image.load()
        upright, orientation = _upright(image)
        rgb = _to_rgb(upright)
    except _DECODING_ERRORS as error:
        raise UnreadableImageError(f"the image cannot be decoded: {error}") from error
    turned = (height, width) if orientation >= _FIRST_SWAPPED else (width, height)
    across, down = _letterbox(turned, side) if letterboxed else (side, side)
    resized = rgb.resize((across, down), Image.Resampling.BILINEAR, reducing_gap=3.0)
    # Channels first, copied into one piece of memory.
    pixels = torch.from_numpy(np.asarray(resized).transpose(2, 0, 1).copy())
    if (across, down) != (side, side):
        pixels = functional.pad(pixels, (0, side - across, 0, side - down), value=_PAPER)
    return pixels, Frame(width, height, orientation, (across / turned[0], down / turned[1]))


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


def _letterbox(size: tuple[int, int], side: int) -> tuple[int, int]:
    """The largest width and height of the same aspect ratio that fit into the square."""
    longest = max(size)
    across, down = (max(1, round(length * side / longest)) for length in size)
    return across, down


def _upright(image: Image.Image) -> tuple[Image.Image, int]:
    """The image as it is looked at, and the orientation that it is stored in."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
        return ImageOps.exif_transpose(image), orientation if orientation in range(1, 9) else 1
    except _DECODING_ERRORS:
        # Broken EXIF does not make the picture unreadable: browsers show it as stored, and so does this.
        return image, 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in _SIXTEEN_BIT_MODES:
        # Pillow would clip 16-bit grey at 255; keep the high byte instead.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image)
    return image.convert("RGB")
