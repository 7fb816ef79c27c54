"""What is counted of a dataset version's images while its rows are written."""

from collections import Counter
from dataclasses import dataclass, field
from math import ceil

from loupe.domain.datasets.splits import Split
from loupe.domain.label_attributes import Label
from loupe.domain.label_values import Boxes

BOXES_AN_IMAGE = (
    (0, "0"),
    (1, "1"),
    (2, "2"),
    (3, "3 to 5"),
    (6, "6 to 10"),
    (11, "11 to 20"),
    (21, "above 20"),
)
"""From how many boxes on an image is counted under which name."""

Size = tuple[int, int]


@dataclass
class Measures:
    """Sizes are in pixels, counted by powers of two: under 7 is what has more than 64 and at most 128.

    `longer_sides` are of images, `boxes` counts boxes by split and label, `box_sides` are the longer sides of
    boxes, `boxes_an_image` has images by the first number of `BOXES_AN_IMAGE`. `jobs` has images by the job
    that their label is of; `by_model` are images whose label no person gave.
    """

    smallest: Size | None = None
    largest: Size | None = None
    longer_sides: Counter[int] = field(default_factory=Counter)
    shapes: Counter[str] = field(default_factory=Counter)
    jobs: Counter[str] = field(default_factory=Counter)
    by_model: int = 0
    boxes: Counter[tuple[Split, str]] = field(default_factory=Counter)
    box_sides: Counter[int] = field(default_factory=Counter)
    boxes_an_image: Counter[int] = field(default_factory=Counter)

    def add(self, split: Split, label: Label, size: Size | None) -> None:
        """Count an image of this width and height; None where nobody knows them."""
        if size is not None:
            self._add_size(size)
        self.jobs[label.job or ""] += 1
        self.by_model += not label.is_human
        if isinstance(label.value, Boxes):
            self._add_boxes(split, label.value)

    def _add_size(self, size: Size) -> None:
        width, height = size
        if self.smallest is None or width * height < self.smallest[0] * self.smallest[1]:
            self.smallest = size
        if self.largest is None or width * height > self.largest[0] * self.largest[1]:
            self.largest = size
        self.longer_sides[_power(max(size))] += 1
        self.shapes["square" if width == height else "landscape" if width > height else "portrait"] += 1

    def _add_boxes(self, split: Split, value: Boxes) -> None:
        for box in value.boxes:
            self.boxes[split, box.label] += 1
            self.box_sides[_power(max(box.width, box.height))] += 1
        number = len(value.boxes)
        self.boxes_an_image[max(first for first, _ in BOXES_AN_IMAGE if first <= number)] += 1


def _power(pixels: float) -> int:
    """The power of two that is not below it."""
    return max(0, ceil(pixels) - 1).bit_length()


def size_range(power: int) -> str:
    """What is counted under a power of two, in words."""
    most = 1 << power
    return "1 px" if power == 0 else f"{most // 2 + 1:,} to {most:,} px" if power > 1 else "2 px"
