"""The API's answer drawn into its image: boxes with their labels, or a caption below it."""

import colorsys
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import pyvips
from PIL import Image, ImageDraw, ImageFont

from cli.errors import CommandFault
from cli.stack import Json

FILE_ENDINGS = (".png", ".jpg", ".jpeg")
_LEAST_SIDE = 640
"""Smaller images are enlarged to about this, or no text would fit."""
_TEXT = 1 / 45
_LINE = 1 / 320
"""Height of text and width of lines, as shares of the longer side."""
_LEAST_TEXT, _LEAST_LINE = 15, 2
_BLACK, _WHITE, _GROUND = (0, 0, 0), (255, 255, 255), (24, 24, 24)
_DARK = 0.45  # share of full brightness below which text on a colour is white

_Colour = tuple[int, int, int]
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def draw(content: bytes, answer: Json, caption: str) -> Image.Image:
    """The picture as it is stored, whatever EXIF says about turning it, with every box of the answer, or with
    `caption` below where it has none. Raises CommandFault."""
    picture = _decoded(content)
    scale = max(1, round(_LEAST_SIDE / max(picture.size)))
    if scale > 1:
        picture = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.BICUBIC)
    side = max(picture.size)
    font = ImageFont.load_default(max(_LEAST_TEXT, side * _TEXT))
    boxed = [each for each in answer["predictions"] if "box" in each]
    if not boxed:
        return _with_caption(picture, caption, font)
    line = max(_LEAST_LINE, round(side * _LINE))
    canvas = ImageDraw.Draw(picture)
    for each in reversed(boxed):  # the best comes last, above all others
        _draw_box(canvas, picture.size, each, scale, line)
    for each in reversed(boxed):
        _draw_label(canvas, picture.size, each, scale, font)
    return picture


def target_of(image: str, out: Path, count: int, taken: set[Path]) -> Path:
    """Where an image's drawing goes: `out` itself for one image if that names a file, else a PNG of the
    image's name in the folder `out`, which is none of `taken`. Raises CommandFault."""
    names_file = out.suffix.lower() in FILE_ENDINGS and not out.is_dir()
    if names_file and count > 1:
        raise CommandFault(f"{out} names one file for {count} images; give a folder.")
    if names_file:
        return out
    stem = Path(image).stem
    names = (
        out / (f"{stem}.png" if number == 1 else f"{stem}-{number}.png") for number in range(1, count + 1)
    )
    return next(name for name in names if name not in taken)


def save(picture: Image.Image, target: Path) -> None:
    """Raises CommandFault."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        picture.save(target)
    except OSError as error:
        raise CommandFault(f"{target} can't be written: {error.strerror or error}") from error


def _decoded(content: bytes) -> Image.Image:
    """Eight bits of red, green and blue, of whatever JPEG or PNG."""
    try:
        image = pyvips.Image.new_from_buffer(content, "")
        if image.hasalpha():
            image = image.flatten(background=[255])
        image = image.colourspace("srgb")
        return Image.frombytes("RGB", (image.width, image.height), bytes(image.write_to_memory()))
    except pyvips.Error as error:
        raise CommandFault("it does not decode, so nothing can be drawn into it") from error


def _draw_box(canvas: ImageDraw.ImageDraw, size: tuple[int, int], each: Json, scale: int, line: int) -> None:
    left, top, right, bottom = _corners(each["box"], size, scale)
    canvas.rectangle((left, top, right, bottom), outline=_colour_of(each["label"]), width=line)


def _draw_label(
    canvas: ImageDraw.ImageDraw, size: tuple[int, int], each: Json, scale: int, font: _Font
) -> None:
    """Above its box, or below where the picture ends, or else inside; not beyond the picture's sides."""
    text = f"{each['label']}  {each['confidence']:.0%}"
    _, _, width, height = (round(length) for length in canvas.textbbox((0, 0), text, font=font))
    gap = max(2, height // 5)
    width, height = width + 2 * gap, height + 2 * gap
    left, top, _, bottom = _corners(each["box"], size, scale)
    x = max(0, min(left, size[0] - width))
    places = (top - height - 1, bottom + 1, top)
    y = next((place for place in places if 0 <= place <= size[1] - height), 0)
    colour = _colour_of(each["label"])
    canvas.rectangle((x, y, x + width, y + height), fill=colour)
    canvas.text((x + gap, y + gap), text, fill=_readable_on(colour), font=font)


def _corners(box: Json, size: tuple[int, int], scale: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom in whole pixels of the picture."""
    left, top = round(box["left"] * scale), round(box["top"] * scale)
    right, bottom = (box["left"] + box["width"]) * scale, (box["top"] + box["height"]) * scale
    left, top = max(0, min(left, size[0] - 1)), max(0, min(top, size[1] - 1))
    return left, top, max(left, min(round(right), size[0]) - 1), max(top, min(round(bottom), size[1]) - 1)


def _with_caption(picture: Image.Image, caption: str, font: _Font) -> Image.Image:
    """The picture, and the text on a dark band below it."""
    measure = ImageDraw.Draw(picture)
    gap = round(measure.textlength("n", font=font))
    lines = _broken(measure, caption, picture.width - 2 * gap, font)
    text = "\n".join(lines)
    height = round(measure.multiline_textbbox((0, 0), text, font=font)[3]) + 2 * gap
    framed = Image.new("RGB", (picture.width, picture.height + height), _GROUND)
    framed.paste(picture, (0, 0))
    ImageDraw.Draw(framed).multiline_text((gap, picture.height + gap), text, fill=_WHITE, font=font)
    return framed


def _broken(measure: ImageDraw.ImageDraw, text: str, width: float, font: _Font) -> Sequence[str]:
    """Lines that fit, broken between words."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and measure.textlength(longer, font=font) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _colour_of(label: str) -> _Colour:
    """The same for a label in all images."""
    red, green, blue = colorsys.hsv_to_rgb(crc32(label.encode()) % 360 / 360, 0.85, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)


def _readable_on(colour: _Colour) -> _Colour:
    brightness = (0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]) / 255
    return _WHITE if brightness < _DARK else _BLACK
