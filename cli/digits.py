"""Real handwritten digits for the demo: scikit-learn's scans, each written out as a 64x64 PNG."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy
import pyvips

LABELS = tuple(str(digit) for digit in range(10))
SIDE = 64
SEED = 20261121


@dataclass(frozen=True)
class Digit:
    """A scan: 8x8 gray levels (uint8), the digit that it shows, and a file name that doesn't tell which."""

    name: str
    pixels: numpy.ndarray[tuple[int, ...], numpy.dtype[numpy.uint8]]
    label: str

    def png(self) -> bytes:
        """The scan as a gray 64x64 PNG."""
        height, width = self.pixels.shape
        image = pyvips.Image.new_from_memory(self.pixels.tobytes(), width, height, 1, "uchar")
        content: bytes = image.resize(SIDE / width, kernel="cubic").pngsave_buffer()
        return content


def load_digits() -> list[Digit]:
    """All 1,797 digits, shuffled with a fixed seed: any slice is a fair sample."""
    # scikit-learn takes seconds to import, and only the demo needs it.
    from sklearn import datasets

    scans = datasets.load_digits()
    order = numpy.random.default_rng(SEED).permutation(len(scans.target))
    levels = (scans.images * (255 / 16)).round().astype(numpy.uint8)
    return [
        Digit(f"scan-{index:04d}.png", levels[index], str(scans.target[index])) for index in order.tolist()
    ]


def write_out(digits: Iterable[Digit], folder: Path) -> None:
    """Writes each digit as a file of its name."""
    folder.mkdir(parents=True, exist_ok=True)
    for digit in digits:
        (folder / digit.name).write_bytes(digit.png())
