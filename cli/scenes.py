"""Pictures with several real handwritten digits each, and the boxes around them, for finding objects."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy
from PIL import Image

from cli.digits import Digit

SIDE = 128
_DIGITS = (2, 6)
_SIZES = (18, 46)  # pixels that a scan is enlarged to
_STROKES = (2, 7)  # of clutter
_INK = 64  # gray level of a scan from which there is ink
_ATTEMPTS = 30
_GAP = 2  # pixels between digits, at least
_NOISE = 10.0

_Gray = numpy.ndarray[tuple[int, int], numpy.dtype[numpy.float64]]


@dataclass(frozen=True)
class PlacedDigit:
    """A digit in a scene: its label, and the box around its ink in pixels."""

    label: str
    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class Scene:
    """A gray PNG of 128x128 pixels, a file name, and what is in the picture."""

    name: str
    png: bytes
    digits: tuple[PlacedDigit, ...]


def compose(digits: Sequence[Digit], count: int, seed: int, name: str = "scene") -> list[Scene]:
    """`count` scenes of these digits, each used about equally often. Same arguments, same scenes."""
    chance = numpy.random.default_rng(seed)
    supply = _endless(digits, chance)
    return [_scene(f"{name}-{number:04d}.png", supply, chance) for number in range(count)]


def _scene(name: str, supply: Iterator[Digit], chance: numpy.random.Generator) -> Scene:
    """Digits in random places and sizes, darker or brighter than an uneven ground with strokes and noise."""
    canvas = _ground(chance)
    for _ in range(chance.integers(*_STROKES, endpoint=True)):
        _draw_stroke(canvas, chance)
    placed: list[PlacedDigit] = []
    for _ in range(chance.integers(*_DIGITS, endpoint=True)):
        digit = next(supply)
        ink = _enlarged(digit, int(chance.integers(*_SIZES, endpoint=True)))
        place = _free_place(digit.label, ink, placed, chance)
        if place is not None:
            _draw_ink(canvas, ink, place, chance)
            placed.append(place)
    noisy = canvas + chance.normal(0, _NOISE, canvas.shape)
    file = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(numpy.uint8)).save(file, "PNG")
    return Scene(name, file.getvalue(), tuple(placed))


def _ground(chance: numpy.random.Generator) -> _Gray:
    """A slope from one level of gray to another."""
    x, y = numpy.meshgrid(numpy.linspace(-1, 1, SIDE), numpy.linspace(-1, 1, SIDE))
    slope_x, slope_y = chance.uniform(-25, 25, 2)
    ground: _Gray = chance.uniform(90, 165) + slope_x * x + slope_y * y
    return ground


def _draw_stroke(canvas: _Gray, chance: numpy.random.Generator) -> None:
    """A straight stroke of random place, length, width and shade, which is no digit."""
    x, y = chance.uniform(0, SIDE, 2)
    angle, length, width = chance.uniform(0, numpy.pi), chance.uniform(5, 40), chance.uniform(1, 4)
    rows, columns = numpy.mgrid[:SIDE, :SIDE]
    along = (columns - x) * numpy.cos(angle) + (rows - y) * numpy.sin(angle)
    across = (rows - y) * numpy.cos(angle) - (columns - x) * numpy.sin(angle)
    canvas[(abs(along) < length / 2) & (abs(across) < width / 2)] += chance.choice((-1, 1)) * chance.uniform(
        30, 80
    )


def _enlarged(digit: Digit, side: int) -> _Gray:
    """The scan at this size, cut to its ink: 0 is ground, 1 is ink."""
    scan = Image.fromarray(digit.pixels).resize((side, side), Image.Resampling.BICUBIC)
    levels = numpy.asarray(scan, numpy.float64)
    rows, columns = (
        numpy.flatnonzero((levels >= _INK).any(axis=1)),
        numpy.flatnonzero((levels >= _INK).any(axis=0)),
    )
    ink: _Gray = levels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] / 255
    return ink


def _free_place(
    label: str, ink: _Gray, placed: Sequence[PlacedDigit], chance: numpy.random.Generator
) -> PlacedDigit | None:
    """Where no other digit is, or None if chance doesn't find such a place."""
    height, width = ink.shape
    for _ in range(_ATTEMPTS):
        left, top = chance.integers(0, SIDE - width), chance.integers(0, SIDE - height)
        place = PlacedDigit(label, int(left), int(top), width, height)
        if not any(_touch(place, other) for other in placed):
            return place
    return None


def _touch(one: PlacedDigit, other: PlacedDigit) -> bool:
    return (
        one.left < other.left + other.width + _GAP
        and other.left < one.left + one.width + _GAP
        and one.top < other.top + other.height + _GAP
        and other.top < one.top + one.height + _GAP
    )


def _draw_ink(canvas: _Gray, ink: _Gray, place: PlacedDigit, chance: numpy.random.Generator) -> None:
    part = canvas[place.top : place.top + place.height, place.left : place.left + place.width]
    shade = chance.choice((-1, 1)) * chance.uniform(70, 130)
    part += ink * shade


def _endless(digits: Sequence[Digit], chance: numpy.random.Generator) -> Iterator[Digit]:
    """All digits in random order, again and again."""
    while True:
        for index in chance.permutation(len(digits)).tolist():
            yield digits[index]
