"""What `loupe demo` shows the loop on: pictures of real handwritten digits, and what each of them shows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cli.digits import LABELS, Digit
from cli.scenes import PlacedDigit, Scene, compose
from loupe.domain.label_values import Box, Boxes, LabelValue, OneLabel
from loupe.domain.projects import TaskType

_SEED = 20261127


@dataclass(frozen=True)
class Picture:
    """A PNG, a file name that tells nothing of it, and its right label."""

    name: str
    png: bytes
    value: LabelValue


@dataclass(frozen=True)
class Material:
    """Pictures for a project called `project`: a first batch, a second one, if any, and others to ask the
    endpoint about. `noun` is what they are; a turn of the loop may take `patience` seconds."""

    task: TaskType
    project: str
    noun: str
    instructions: str
    patience: float
    first: Sequence[Picture]
    second: Sequence[Picture]
    test: Sequence[Picture]
    labels: tuple[str, ...] = LABELS


@dataclass(frozen=True)
class Sizes:
    """How many pictures the demo labels at first, then, and asks the endpoint about."""

    first: int
    second: int
    test: int


DIGITS = Sizes(first=800, second=200, test=200)
SCENES = Sizes(first=300, second=0, test=60)
_UNSEEN = 0.28
"""Share of the digits that only scenes to be asked about have."""


def single_digits(digits: Sequence[Digit], sizes: Sizes = DIGITS) -> Material:
    """A digit a picture, each to be named."""
    pictures = [Picture(digit.name, digit.png(), OneLabel(digit.label)) for digit in digits[: sum_of(sizes)]]
    return Material(
        task="image-classification",
        project="digits",
        noun="digits",
        instructions="Which digit is this?",
        patience=600.0,
        first=pictures[: sizes.first],
        second=pictures[sizes.first : sizes.first + sizes.second],
        test=pictures[sizes.first + sizes.second :],
    )


def scenes_of_digits(digits: Sequence[Digit], sizes: Sizes = SCENES) -> Material:
    """Several digits a picture, each to be found. Those of the pictures that the endpoint is asked about are
    in no picture that was labeled."""
    seen = round(len(digits) * (1 - _UNSEEN))
    labeled = compose(digits[:seen], sizes.first + sizes.second, _SEED, "scene")
    asked = compose(digits[seen:], sizes.test, _SEED + 1, "other")
    return Material(
        task="bounding-box",
        project="scenes",
        noun="scenes",
        instructions="Draw a box around each digit. Strokes are none.",
        patience=1800.0,
        first=_pictures(labeled[: sizes.first]),
        second=_pictures(labeled[sizes.first :]),
        test=_pictures(asked),
    )


MATERIALS = {"image-classification": single_digits, "bounding-box": scenes_of_digits}
"""Tasks that there is a demo of."""


def sum_of(sizes: Sizes) -> int:
    return sizes.first + sizes.second + sizes.test


def _pictures(scenes: Iterable[Scene]) -> list[Picture]:
    return [Picture(scene.name, scene.png, Boxes(tuple(map(_box, scene.digits)))) for scene in scenes]


def _box(digit: PlacedDigit) -> Box:
    return Box(digit.label, digit.left, digit.top, digit.width, digit.height)
